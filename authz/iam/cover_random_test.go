package iam_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"testing"

	"latchkey/authz/iam"
)

// TestCovers_NeverMore: whatever random policy Covers finds covered by a random
// holder, no request is allowed by it and not by what the holder has, though the one
// who asks is another. Most policies are made of the holder's statements by narrowing
// them, or by narrowing and then widening them a little (requirement R112 in part).
func TestCovers_NeverMore(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	g := newGenerator(seed, 30)
	covered, refused, exceeded, allowed := map[string]int{}, map[string]int{}, 0, 0
	for i := range 12_000 {
		holder, boundary := g.holder()
		way := pick(g, "narrowed", "narrowed", "widened", "random")
		doc := g.policy()
		if way != "random" {
			doc = g.derived(holder, way == "widened")
		}
		p, ok := g.parse(doc)
		if !ok {
			continue
		}
		h := g.parseHolder(t, holder, boundary)
		covers, _ := iam.Covers(h.policies, h.boundary, p)
		tally := refused
		if covers && allows(doc) {
			tally = covered
		}
		tally[way]++
		more, hits := g.exceeds(t, h, p, doc)
		switch {
		case covers && more != nil:
			text, _ := json.Marshal(more)
			t.Fatalf("policy %d of seed %d is said to be covered and is not: %s", i, seed, text)
		case covers:
			allowed += hits
		case more != nil:
			exceeded++
		}
	}
	t.Logf("covered %v, refused %v (%d shown to exceed); %d requests allowed", covered, refused, exceeded, allowed)
	if covered["narrowed"]*5 < refused["narrowed"] || covered["widened"]*10 < refused["widened"] || allowed < 5*covered["narrowed"] {
		t.Error("too few are covered, or too few requests allowed, to prove anything")
	}
	if exceeded < refused["narrowed"] {
		t.Error("few of the refused exceed the holder: Covers says no too often, or the requests are not near")
	}
}

// held is what a holder has, parsed.
type held struct {
	docs     []policyDoc
	limit    *policyDoc
	policies []iam.Policy
	boundary *iam.Policy
}

// holder makes one to three policies and sometimes a boundary; half of the holders
// have no denials.
func (g *generator) holder() ([]policyDoc, *policyDoc) {
	var all []policyDoc
	for range 1 + g.IntN(3) {
		all = append(all, g.policy())
	}
	var boundary *policyDoc
	if g.in(15) {
		b := g.policy()
		if g.in(50) {
			b = all[0]
		}
		boundary = &b
	}
	if g.in(50) {
		for _, p := range all {
			for i := range p.Statement {
				p.Statement[i].Effect = "Allow"
			}
		}
	}
	return all, boundary
}

func (g *generator) parse(doc policyDoc) (iam.Policy, bool) {
	text, err := json.Marshal(doc)
	if err != nil {
		return iam.Policy{}, false
	}
	p, err := iam.Parse(text)
	return p, err == nil
}

func (g *generator) parseHolder(t *testing.T, docs []policyDoc, limit *policyDoc) held {
	h := held{docs: docs, limit: limit}
	for _, doc := range docs {
		p, ok := g.parse(doc)
		if !ok {
			t.Fatalf("%+v is malformed", doc)
		}
		h.policies = append(h.policies, p)
	}
	if limit != nil {
		b, _ := g.parse(*limit)
		h.boundary = &b
	}
	return h
}

func allows(doc policyDoc) bool {
	for _, s := range doc.Statement {
		if s.Effect == "Allow" {
			return true
		}
	}
	return false
}

// derived makes a policy of one or two statements of the holder.
func (g *generator) derived(holder []policyDoc, widened bool) policyDoc {
	p := policyDoc{Version: "2012-10-17"}
	for range pick(g, 1, 1, 2) {
		from := pick(g, holder...)
		s := pick(g, from.Statement...)
		if from.Version != p.Version { // ${ may be malformed in the other
			s.Condition = nil
		}
		s.Effect = "Allow"
		s.Action, s.NotAction = g.narrow(s.Action, g.narrowAction), g.narrow(s.NotAction, g.narrowAction)
		s.Resource, s.NotResource = g.narrow(s.Resource, g.narrowResource), g.narrow(s.NotResource, g.narrowResource)
		if s.Condition == nil && g.in(30) {
			op, block := g.condition()
			s.Condition = map[string]map[string]values{op: block}
		}
		if widened {
			g.widen(&s)
		}
		p.Statement = append(p.Statement, s)
	}
	return p
}

// narrow makes a new list of some of the patterns.
func (g *generator) narrow(list values, one func(string) string) values {
	var all values
	for _, text := range list {
		if len(all) == 0 || g.in(70) {
			all = append(all, one(text))
		}
	}
	return all
}

// wildcard finds variables too, so that what is within one is left alone.
var wildcard = regexp.MustCompile(`\$\{[^}]*\}|\*|\?`)

// narrowed replaces some wildcards outside of variables by less.
func (g *generator) narrowed(s string, star ...string) string {
	return wildcard.ReplaceAllStringFunc(s, func(wild string) string {
		switch {
		case wild == "*" && g.in(60):
			return pick(g, star...)
		case wild == "?" && g.in(50):
			return pick(g, "a", "t", "o", "n")
		}
		return wild
	})
}

func (g *generator) narrowAction(s string) string {
	if s == "*" {
		return pick(g, "*", g.actionPattern())
	}
	service, verb, _ := strings.Cut(s, ":")
	return service + ":" + g.narrowed(verb, "a", "?*", "In*", "Instance", "*s*")
}

func (g *generator) narrowResource(s string) string {
	if s == "*" {
		return pick(g, "*", g.resourcePattern())
	}
	part := strings.SplitN(s, ":", 6)
	for i := 1; i < len(part); i++ {
		switch {
		case i == 5:
			part[i] = g.narrowed(part[i], "", "a", "?*", "ann/", "x:*", "é", "${aws:username}")
		case i == len(part)-1:
			part[i] = strings.TrimSuffix(part[i], "*") + pick(g, "*", "s*", "?*")
		default:
			part[i] = g.narrowed(part[i], "aws", "opsworks", "us-*", "?*")
		}
	}
	return strings.Join(part, ":")
}

// widen changes one thing, so that a little more is allowed.
func (g *generator) widen(s *statementDoc) {
	list := pick(g, s.Action, s.Resource)
	switch {
	case g.in(20):
		s.Condition = nil
	case g.in(20):
		s.Condition = maps.Clone(s.Condition)
		for op := range s.Condition {
			_, s.Condition[op] = g.condition()
		}
	case len(list) > 0:
		i := g.IntN(len(list))
		at := strings.LastIndexByte(list[i], ':') + 1
		list[i] = list[i][:at] + g.blur(list[i][at:])
	}
}

// exceeds looks for a request that p allows to one principal and the holder's
// policies do not to him. It also counts the requests that p allows.
func (g *generator) exceeds(t *testing.T, h held, p iam.Policy, doc policyDoc) (*question, int) {
	hits := 0
	for range 15 {
		s := pick(g, doc.Statement...)
		context := g.context()
		action, resource := g.action(), g.arn()
		if s.Action != nil {
			action = g.instance(pick(g, s.Action...), context, g.action())
		}
		if s.Resource != nil {
			resource = g.instance(pick(g, s.Resource...), context, pick(g, "*", g.arn()))
		}
		a, err1 := iam.ParseAction(action)
		r, err2 := iam.ParseResource(resource)
		if err1 != nil || err2 != nil {
			continue
		}
		theirs, ours := iam.Request{Action: a, Resource: r}, iam.Request{Action: a, Resource: r}
		theirs.Context, ours.Context = mustContext(t, context), mustContext(t, g.other(context))
		if iam.Evaluate([]iam.Policy{p}, nil, theirs).Outcome != iam.Allowed {
			continue
		}
		hits++
		for _, r := range []iam.Request{theirs, ours} {
			if iam.Evaluate(h.policies, h.boundary, r).Outcome != iam.Allowed {
				return &question{Policies: append([]policyDoc{doc}, h.docs...), Boundary: h.limit, Action: action, Resource: resource, Context: context}, hits
			}
		}
	}
	return nil, hits
}

// instance makes a name that the pattern most likely matches.
func (g *generator) instance(pattern string, context map[string][]string, any string) string {
	if pattern == "*" {
		return any
	}
	part := strings.SplitN(pattern, ":", 6)
	short := part[0] == "arn" && len(part) < 6
	for i := range part {
		part[i] = wildcard.ReplaceAllStringFunc(part[i], func(wild string) string {
			switch {
			case wild == "?":
				return pick(g, "a", "o", "t", "Z")
			case wild == "*" && i == 5:
				return pick(g, "", "a", "ann/", "x:y", "é", "stack/")
			case wild == "*":
				return pick(g, "a", "opsworks", "us-east-1", "Instance", "Tag")
			}
			key, _, _ := strings.Cut(strings.Trim(wild, "${}"), ",")
			for name, list := range context {
				if strings.EqualFold(name, key) && len(list) == 1 {
					return list[0]
				}
			}
			return pick(g, "ann", "web")
		})
	}
	if short {
		part = append(part, "a", "a", "a", "a/b")[:6]
	}
	return strings.Join(part, ":")
}

// other is the context of another principal who makes the same request.
func (g *generator) other(context map[string][]string) map[string][]string {
	context, another := maps.Clone(context), g.context()
	for _, key := range []string{"aws:username", "aws:PrincipalTag/team", "aws:PrincipalArn"} {
		delete(context, key)
		if list, ok := another[key]; ok {
			context[key] = list
		}
	}
	return context
}

func mustContext(t *testing.T, values map[string][]string) iam.Context {
	t.Helper()
	c, err := iam.NewContext(values)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
