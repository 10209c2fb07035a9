package iam_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/authz/iam"
)

// BenchmarkRequest is what comes before a decision: reading the names.
func BenchmarkRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a, _ := iam.ParseAction("opsworks:StopInstance")
		r, _ := iam.ParseResource(stackA)
		if a.IsZero() || r.IsZero() {
			b.Fatal("no request")
		}
	}
}

// TestEvaluate_AllocatesNothing: neither with wildcards nor with conditions, nor with
// variables where they are not case-insensitive. How long a decision takes is figure
// P8, which bench/peers measures.
func TestEvaluate_AllocatesNothing(t *testing.T) {
	policies := []iam.Policy{mustParse(t, `{"Effect":"Allow","Action":"opsworks:St??Instance","Resource":"arn:aws:opsworks:*:*:stack/*/"}`), mustParse(t, `{"Effect":"Allow","Action":"*","Resource":"arn:aws:opsworks:*:*:stack/${aws:username}/*",
		"Condition":{"StringLike":{"aws:PrincipalTag/Team":"${aws:username}*"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},
		"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"},"NumericLessThan":{"a:n":"10"},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/${aws:username}"},
		"Bool":{"aws:SecureTransport":"true"},"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}}`)}
	context := map[string][]string{"aws:username": {"ann"}, "aws:PrincipalTag/Team": {"anna"}, "aws:SourceIp": {"10.9.8.7"}, "aws:CurrentTime": {"2029-01-01T00:00:00Z"},
		"a:n": {"9.5"}, "aws:PrincipalArn": {"arn:aws:iam::1:user/ann"}, "aws:SecureTransport": {"true"}, "aws:TagKeys": {"b", "a"}}
	request := mustRequest(t, "opsworks:Reboot", "arn:aws:opsworks:us-east-1:1:stack/ann/x", context)
	if d := iam.Evaluate(policies, nil, request); d.Outcome != iam.Allowed || d.By.Policy != 1 {
		t.Fatalf("decided %+v", d)
	}
	grown := request
	var err error
	if grown.Context, err = request.Context.With(map[string][]string{"aws:ResourceTag/a": {"b"}}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []iam.Request{request, grown} {
		if n := testing.AllocsPerRun(100, func() { iam.Evaluate(policies, &policies[1], r) }); n != 0 {
			t.Errorf("%v allocations a decision", n)
		}
	}
}

// TestEvaluate_LinearTime: patterns that send a backtracking matcher astray are
// decided against 100,000 characters at once.
func TestEvaluate_LinearTime(t *testing.T) {
	long := strings.Repeat("a", 100_000)
	for situation, c := range map[string]struct {
		pattern, value string
		want           iam.Outcome
	}{
		"many-stars-no-match": {strings.Repeat("*a", 50) + "*b", long, iam.ImplicitDeny},
		"many-stars-match":    {strings.Repeat("*a", 50) + "*b", long + "b", iam.Allowed},
		"stars-and-questions": {strings.Repeat("*a?", 50) + "*c*b", long, iam.ImplicitDeny},
		"long-literal":        {"*" + long[:2000] + "c*b", long + "b", iam.ImplicitDeny},
		"stars-alone":         {strings.Repeat("*", 5000), long, iam.Allowed},
	} {
		t.Run(situation, func(t *testing.T) {
			p := mustParse(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"a:v":"`+c.pattern+`"}}}`)
			r := mustRequest(t, "a:B", "*", map[string][]string{"a:v": {c.value}})
			start := time.Now()
			d := iam.Evaluate([]iam.Policy{p}, nil, r)
			if spent := time.Since(start); d.Outcome != c.want || spent > 500*time.Millisecond {
				t.Errorf("%v after %v", d.Outcome, spent)
			}
		})
	}
}
