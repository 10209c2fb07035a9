package iam_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/authz/iam"
)

// The policy of bench row P8: ten statements, eight that allow and two that deny,
// with wildcards. The request is allowed by the last allow and by no denial, so
// every statement has to be looked at.
var p8Statements = []struct{ effect, action, resource string }{
	{"Allow", "s3:Get*", "arn:aws:s3:::logs/*"},
	{"Allow", "ec2:Describe*", "*"},
	{"Deny", "opsworks:Delete*", "arn:aws:opsworks:*:*:stack/*"},
	{"Allow", "opsworks:Describe*", "arn:aws:opsworks:us-east-1:111122223333:stack/*"},
	{"Allow", "opsworks:*Instance", "arn:aws:opsworks:eu-west-1:*:stack/*/"},
	{"Allow", "iam:PassRole", "arn:aws:iam::111122223333:role/ops-*"},
	{"Deny", "opsworks:S*Instance", "arn:aws:opsworks:*:*:stack/b4d2*/"},
	{"Allow", "sns:Publish", "arn:aws:sns:*:111122223333:alarms-*"},
	{"Allow", "opsworks:Set*", "*"},
	{"Allow", "opsworks:St??Instance", "arn:aws:opsworks:*:111122223333:stack/2f18*/"},
}

func p8Policy(tb testing.TB) iam.Policy {
	var all []string
	for _, s := range p8Statements {
		all = append(all, `{"Effect":"`+s.effect+`","Action":"`+s.action+`","Resource":"`+s.resource+`"}`)
	}
	return mustParse(tb, strings.Join(all, ","))
}

// scan is the floor of P8: the same policy read as text, each pattern matched by
// the usual loop over a glob.
func scan(action, resource string) bool {
	allowed := false
	for i := range p8Statements {
		s := &p8Statements[i]
		if globScan(s.action, action) && globScan(s.resource, resource) {
			if s.effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

func globScan(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// BenchmarkP8 prints the ratio of a decision to the hand-written scan, both
// measured here in rotation; the target is 1 at most, without an allocation.
func BenchmarkP8(b *testing.B) {
	policies := []iam.Policy{p8Policy(b)}
	request := mustRequest(b, "opsworks:StopInstance", stackA, nil)
	b.ReportAllocs()
	var ours, floor time.Duration
	for b.Loop() {
		const rounds = 1000
		start := time.Now()
		for range rounds {
			if iam.Evaluate(policies, nil, request).Outcome != iam.Allowed {
				b.Fatal("not allowed")
			}
		}
		middle := time.Now()
		for range rounds {
			if !scan("opsworks:StopInstance", stackA) {
				b.Fatal("not allowed")
			}
		}
		ours += middle.Sub(start)
		floor += time.Since(middle)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N)/1000, "ns/decision")
	b.ReportMetric(float64(floor.Nanoseconds())/float64(b.N)/1000, "ns/scan")
	b.ReportMetric(float64(ours)/float64(floor), "ratio")
}

// BenchmarkEvaluate is one decision of P8 by itself.
func BenchmarkEvaluate(b *testing.B) {
	policies := []iam.Policy{p8Policy(b)}
	request := mustRequest(b, "opsworks:StopInstance", stackA, nil)
	b.ReportAllocs()
	for b.Loop() {
		iam.Evaluate(policies, nil, request)
	}
}

// BenchmarkGlobScan is the floor by itself.
func BenchmarkGlobScan(b *testing.B) {
	for b.Loop() {
		scan("opsworks:StopInstance", stackA)
	}
}

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

// BenchmarkParse reads the policy of P8.
func BenchmarkParse(b *testing.B) {
	doc := []byte(p8Policy(b).String())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := iam.Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEvaluate_AllocatesNothing holds P8's second half: with wildcards and
// conditions, and with variables where they are not case-insensitive.
func TestEvaluate_AllocatesNothing(t *testing.T) {
	policies := []iam.Policy{p8Policy(t), mustParse(t, `{"Effect":"Allow","Action":"*","Resource":"arn:aws:opsworks:*:*:stack/${aws:username}/*",
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
