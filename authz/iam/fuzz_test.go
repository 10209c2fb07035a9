package iam_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/authz/iam"
)

// FuzzParse: no document makes the parser panic, a refusal has a place and a
// reason, and what is accepted prints as a policy that prints the same.
func FuzzParse(f *testing.F) {
	g := newGenerator(1, 100)
	for range 50 {
		doc, err := json.Marshal(g.policy())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"aws:x":true}}}}`))
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotAction":["a:*"],"NotResource":"arn:aws:s3:::${a:b, 'c'}${*}"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := iam.Parse(doc)
		if err != nil {
			var at *iam.Error
			if !errors.As(err, &at) || at.Reason == nil || at.Offset < 0 || at.Offset > len(doc) || !p.IsZero() {
				t.Fatalf("%q: %v, %+v", doc, err, at)
			}
			return
		}
		again, err := iam.Parse([]byte(p.String()))
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q prints %s, which parses as %s, %v", doc, p, again, err)
		}
		r := mustRequest(t, "opsworks:StopInstance", stackA, map[string][]string{"aws:username": {"ann"}})
		if iam.Evaluate([]iam.Policy{p}, nil, r) != iam.Evaluate([]iam.Policy{again}, nil, r) {
			t.Fatalf("%q decides otherwise once printed", doc)
		}
	})
}

// FuzzEvaluate: no pattern, value or request makes a decision panic, a wildcard
// pattern matches as the table of the reference says, and a denial of the same
// statement always wins.
func FuzzEvaluate(f *testing.F) {
	f.Add("*a?b*", "xayb", "StringLike", stackA)
	f.Add("${aws:username}*", "ann", "StringNotLike", "*")
	f.Add("10.0.0.0/8", "10.1.1.1", "IpAddress", stackA)
	f.Add("arn:aws:*:*:*:a*", "arn:aws:s:::ab", "ArnLike", stackA)
	f.Add("2024-01-01", "2024-01-01T00:00:00Z", "ForAnyValue:DateEqualsIfExists", stackA)
	f.Add("é?*", "éxy", "StringLike", stackB)
	f.Fuzz(func(t *testing.T, pattern, value, operator, resource string) {
		form := func(effect string) (iam.Policy, error) {
			doc, err := json.Marshal(policyDoc{Version: "2012-10-17", Statement: []statementDoc{{
				Effect: effect, Action: values{"*"}, Resource: values{"*"}, Condition: map[string]map[string]values{operator: {"k:k": {pattern}}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			return iam.Parse(doc)
		}
		allow, err := form("Allow")
		if err != nil {
			return
		}
		deny, err := form("Deny")
		if err != nil {
			t.Fatal(err)
		}
		target, err := iam.ParseResource(resource)
		if err != nil {
			return
		}
		r := mustRequest(t, "a:B", "*", map[string][]string{"k:k": {value}, "aws:username": {value}})
		r.Resource = target
		holds := iam.Evaluate([]iam.Policy{allow}, nil, r).Outcome == iam.Allowed
		both := iam.Evaluate([]iam.Policy{allow, deny}, &allow, r).Outcome
		if holds != (both == iam.ExplicitDeny) || both == iam.Allowed {
			t.Fatalf("%s %q of %q: holds is %v, with a denial %v", operator, pattern, value, holds, both)
		}
		if q := one(operator, map[string]values{"k:k": {pattern}}, map[string][]string{"k:k": {value}, "aws:username": {value}}); operator == "StringLike" && plainText(pattern) && plainText(value) {
			if want := (reference{q}).outcome() == iam.Allowed; holds != want {
				t.Fatalf("%q of %q: %v, want %v", pattern, value, holds, want)
			}
		}
	})
}

// plainText reports whether the reference can decide about s: it keeps three
// control characters for itself and reads whole characters.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsAny(s, "\x01\x02\x03")
}
