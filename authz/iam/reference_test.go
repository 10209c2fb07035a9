package iam_test

import (
	"encoding/json"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/authz/iam"
)

// reference decides a question from the generated values, as the guide reads and
// with no thought for speed: tables, no compiled form, nothing shared
// with the package.
type reference struct{ question }

func (r reference) outcome() iam.Outcome {
	var said []iam.Outcome
	for _, p := range r.Policies {
		said = append(said, r.policy(p))
	}
	allowed := slices.Contains(said, iam.Allowed)
	if r.Boundary != nil {
		b := r.policy(*r.Boundary)
		said, allowed = append(said, b), allowed && b == iam.Allowed
	}
	switch {
	case slices.Contains(said, iam.ExplicitDeny):
		return iam.ExplicitDeny
	case allowed:
		return iam.Allowed
	}
	return iam.ImplicitDeny
}

func (r reference) policy(p policyDoc) iam.Outcome {
	found := iam.ImplicitDeny
	for _, s := range p.Statement {
		if !r.applies(s, p.Version == "2012-10-17") {
			continue
		}
		if s.Effect == "Deny" {
			return iam.ExplicitDeny
		}
		found = iam.Allowed
	}
	return found
}

func (r reference) applies(s statementDoc, variables bool) bool {
	acts := func(p string) bool {
		if p == "*" || p == "*:*" {
			return true
		}
		return like(strings.ToLower(p), strings.ToLower(r.Action))
	}
	if s.Action != nil && !slices.ContainsFunc(s.Action, acts) || s.NotAction != nil && slices.ContainsFunc(s.NotAction, acts) {
		return false
	}
	nulls := false
	covers := func(p string) bool {
		full, ok := r.replace(p, variables, true)
		if !ok {
			head, _, _ := strings.Cut(p, "${")
			nulls = nulls || arnLike(head+"*", r.Resource)
		}
		return ok && (p == "*" || arnLike(full, r.Resource))
	}
	if s.Resource != nil && !slices.ContainsFunc(s.Resource, covers) {
		return false
	}
	if s.NotResource != nil && (slices.ContainsFunc(s.NotResource, covers) || nulls && s.Effect == "Allow") {
		return false
	}
	for op, block := range s.Condition {
		for key, list := range block {
			if !r.holds(op, key, list, variables) {
				return false
			}
		}
	}
	return true
}

var referenceVariable = regexp.MustCompile(`\$\{([^}]*)\}`)

// Stand-ins for the three special characters while wildcards are compiled.
var (
	hide = strings.NewReplacer("*", "\x01", "?", "\x02", "$", "\x03")
	show = strings.NewReplacer("\x01", "*", "\x02", "?", "\x03", "$")
)

// replace puts values for variables; what they hold is hidden from wildcards.
func (r reference) replace(s string, variables, wildcards bool) (string, bool) {
	ok := true
	if variables {
		s = referenceVariable.ReplaceAllStringFunc(s, func(v string) string {
			v = v[2 : len(v)-1]
			if v == "*" || v == "?" || v == "$" {
				return hide.Replace(v)
			}
			key, fallback, defaults := strings.Cut(v, ", ")
			list := r.get(key)
			switch {
			case len(list) == 1 && list[0] != "":
				return hide.Replace(list[0])
			case defaults:
				return hide.Replace(strings.Trim(fallback, "'"))
			}
			ok = false
			return ""
		})
	}
	if !wildcards {
		s = hide.Replace(s)
	}
	return s, ok
}

func (r reference) get(key string) []string {
	for k, list := range r.Context {
		if strings.EqualFold(k, key) {
			return list
		}
	}
	return nil
}

// like fills the table of which beginnings of the pattern fit which of s.
func like(pattern, s string) bool {
	text := []rune(s)
	fits := make([]bool, len(text)+1)
	fits[0] = true
	for _, c := range pattern {
		next := make([]bool, len(text)+1)
		for i := range next {
			switch {
			case c == '*':
				next[i] = fits[i] || i > 0 && next[i-1]
			case i > 0 && fits[i-1]:
				next[i] = c == '?' || shown(c) == text[i-1]
			}
		}
		fits = next
	}
	return fits[len(text)]
}

func shown(c rune) rune {
	switch c {
	case 1:
		return '*'
	case 2:
		return '?'
	case 3:
		return '$'
	}
	return c
}

func arnLike(pattern, s string) bool {
	p, parts := strings.SplitN(pattern, ":", 6), strings.SplitN(s, ":", 6)
	for len(p) < 6 {
		p = append(p, "*")
	}
	if len(parts) < 6 || parts[0] != "arn" {
		return false
	}
	for i := range p {
		if !like(p[i], parts[i]) {
			return false
		}
	}
	return true
}

func (r reference) holds(op, key string, list values, variables bool) bool {
	got := r.get(key)
	if op == "Null" {
		return slices.ContainsFunc(list, func(v string) bool { return strings.EqualFold(v, "true") == (len(got) == 0) })
	}
	prefix, base, set := strings.Cut(op, ":")
	if !set {
		base = op
	}
	base, ifExists := strings.CutSuffix(base, "IfExists")
	meets := func(v string) bool { return r.meets(base, v, list, variables) }
	if set && len(got) == 1 && got[0] == "" {
		got = nil
	}
	switch {
	case set && prefix == "ForAnyValue":
		return slices.ContainsFunc(got, meets)
	case set:
		return !slices.ContainsFunc(got, func(v string) bool { return !meets(v) })
	case len(got) == 0:
		return ifExists || strings.Contains(base, "Not")
	}
	return len(got) == 1 && meets(got[0])
}

// meets compares one value. ok is false for a value of the wrong type.
func (r reference) meets(base, got string, list values, variables bool) bool {
	found := false
	for _, v := range list {
		same, ok := r.compare(strings.Replace(base, "Not", "", 1), got, v, variables)
		if !ok {
			return false
		}
		found = found || same
	}
	return found != strings.Contains(base, "Not")
}

func (r reference) compare(base, got, want string, variables bool) (same, ok bool) {
	family := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(base, "Equals"), "LessThan"), "GreaterThan")
	switch {
	case family == "Numeric":
		a, ok := new(big.Rat).SetString(got)
		b, _ := new(big.Rat).SetString(want)
		return ok && ordered(base, a.Cmp(b)), ok
	case family == "Date":
		a, ok := referenceDate(got)
		b, _ := referenceDate(want)
		return ok && ordered(base, a.Compare(b)), ok
	case base == "IpAddress":
		a, err := netip.ParseAddr(got)
		if !strings.Contains(want, "/") {
			b, _ := netip.ParseAddr(want)
			return a.Unmap() == b, err == nil
		}
		b, _ := netip.ParsePrefix(want)
		return b.Contains(a.Unmap()), err == nil
	case base == "BinaryEquals":
		return got == want, got != "AQI" && got != "!"
	case base == "Bool":
		if !strings.EqualFold(got, "true") && !strings.EqualFold(got, "false") {
			return false, false
		}
		text, known := r.replace(want, variables, false)
		return known && strings.EqualFold(show.Replace(text), got), true
	case strings.HasPrefix(base, "Arn"):
		text, known := r.replace(want, variables, true)
		parts := strings.SplitN(got, ":", 6)
		return known && arnLike(text, got), len(parts) == 6 && parts[0] == "arn"
	}
	text, known := r.replace(want, variables, base == "StringLike")
	switch base {
	case "StringLike":
		return known && like(text, got), true
	case "StringEqualsIgnoreCase":
		return known && strings.EqualFold(show.Replace(text), got), true
	}
	return known && show.Replace(text) == got, true
}

func ordered(base string, order int) bool {
	less, greater := strings.Contains(base, "LessThan"), strings.Contains(base, "GreaterThan")
	equal := strings.HasSuffix(base, "Equals")
	return less && order < 0 || greater && order > 0 || equal && order == 0
}

func referenceDate(s string) (time.Time, bool) {
	if seconds, ok := new(big.Int).SetString(s, 10); ok {
		return time.Unix(seconds.Int64(), 0), true
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// decide asks the package about a generated question.
func decide(t testing.TB, q question) iam.Outcome {
	t.Helper()
	parse := func(p policyDoc) iam.Policy {
		doc, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := iam.Parse(doc)
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		return parsed
	}
	var policies []iam.Policy
	for _, p := range q.Policies {
		policies = append(policies, parse(p))
	}
	var boundary *iam.Policy
	if q.Boundary != nil {
		b := parse(*q.Boundary)
		boundary = &b
	}
	action, err := iam.ParseAction(q.Action)
	if err != nil {
		t.Fatal(q.Action, err)
	}
	resource, err := iam.ParseResource(q.Resource)
	if err != nil {
		t.Fatal(q.Resource, err)
	}
	context, err := iam.NewContext(q.Context)
	if err != nil {
		t.Fatal(err)
	}
	return iam.Evaluate(policies, boundary, iam.Request{Action: action, Resource: resource, Context: context}).Outcome
}

// TestEvaluate_LikeReference compares with the reference on 100,000 random
// questions, among them all that the simulator is known to decide otherwise
// (requirement R111).
func TestEvaluate_LikeReference(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	g := newGenerator(seed, 30)
	count := map[iam.Outcome]int{}
	for i := range 100_000 {
		q := g.question()
		got, want := decide(t, q), reference{q}.outcome()
		count[got]++
		if got != want {
			doc, _ := json.Marshal(q)
			t.Fatalf("question %d of seed %d: %v, want %v: %s", i, seed, got, want, doc)
		}
	}
	for _, o := range []iam.Outcome{iam.ImplicitDeny, iam.ExplicitDeny, iam.Allowed} {
		if count[o] < 5000 {
			t.Errorf("%v came up %d times, which compares next to nothing", o, count[o])
		}
	}
	t.Log(count)
}
