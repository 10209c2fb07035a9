package iam_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz/iam"
)

const (
	stackA = "arn:aws:opsworks:us-east-1:111122223333:stack/2f18b4cb-4de5-4429-a149-ff7da9f0d8ee/"
	stackB = "arn:aws:opsworks:eu-west-1:111122223333:stack/b4d2a5c1-11aa-42bb-93cc-0123456789ab/"
)

// mustParse parses a whole document, or statements as what stands between [ and ].
func mustParse(t testing.TB, doc string) iam.Policy {
	t.Helper()
	if !strings.Contains(doc, `"Statement"`) {
		doc = `{"Version":"2012-10-17","Statement":[` + doc + `]}`
	}
	p, err := iam.Parse([]byte(doc))
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return p
}

func mustRequest(t testing.TB, action, resource string, context map[string][]string) iam.Request {
	t.Helper()
	a, err := iam.ParseAction(action)
	if err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	r, err := iam.ParseResource(resource)
	if err != nil {
		t.Fatalf("%s: %v", resource, err)
	}
	c, err := iam.NewContext(context)
	if err != nil {
		t.Fatalf("%v: %v", context, err)
	}
	return iam.Request{Action: a, Resource: r, Context: c}
}

// TestEvaluate_Statements decides by actions and resources alone (requirement R110).
func TestEvaluate_Statements(t *testing.T) {
	for situation, c := range map[string]struct {
		policy, action, resource string
		want                     iam.Outcome
	}{
		"action-exact":                {`{"Effect":"Allow","Action":"opsworks:StopInstance","Resource":"*"}`, "opsworks:StopInstance", stackA, iam.Allowed},
		"action-other":                {`{"Effect":"Allow","Action":"opsworks:StopInstance","Resource":"*"}`, "opsworks:StartInstance", stackA, iam.ImplicitDeny},
		"action-longer":               {`{"Effect":"Allow","Action":"opsworks:StopInstance","Resource":"*"}`, "opsworks:StopInstances", stackA, iam.ImplicitDeny},
		"action-ignores-case":         {`{"Effect":"Allow","Action":"OPSWORKS:stopinstance","Resource":"*"}`, "opsWorks:StopInstance", stackA, iam.Allowed},
		"action-other-service":        {`{"Effect":"Allow","Action":"opswork:*","Resource":"*"}`, "opsworks:StopInstance", stackA, iam.ImplicitDeny},
		"action-star":                 {`{"Effect":"Allow","Action":"*","Resource":"*"}`, "latchkey:Authorize", stackA, iam.Allowed},
		"action-star-colon-star":      {`{"Effect":"Allow","Action":"*:*","Resource":"*"}`, "latchkey:Authorize", stackA, iam.Allowed},
		"action-prefix":               {`{"Effect":"Allow","Action":"opsworks:Describe*","Resource":"*"}`, "opsworks:DescribeStacks", stackA, iam.Allowed},
		"action-prefix-itself":        {`{"Effect":"Allow","Action":"opsworks:Describe*","Resource":"*"}`, "opsworks:Describe", stackA, iam.Allowed},
		"action-middle":               {`{"Effect":"Allow","Action":"opsworks:*Instance","Resource":"*"}`, "opsworks:RebootInstance", stackA, iam.Allowed},
		"action-middle-not-at-end":    {`{"Effect":"Allow","Action":"opsworks:*Instance","Resource":"*"}`, "opsworks:DescribeInstances", stackA, iam.ImplicitDeny},
		"action-question-mark":        {`{"Effect":"Allow","Action":"opsworks:St??Instance","Resource":"*"}`, "opsworks:StopInstance", stackA, iam.Allowed},
		"action-question-mark-short":  {`{"Effect":"Allow","Action":"opsworks:St??Instance","Resource":"*"}`, "opsworks:StoInstance", stackA, iam.ImplicitDeny},
		"action-one-of-list":          {`{"Effect":"Allow","Action":["opsworks:A","opsworks:B"],"Resource":"*"}`, "opsworks:B", stackA, iam.Allowed},
		"not-action-listed":           {`{"Effect":"Allow","NotAction":["opsworks:A","opsworks:B*"],"Resource":"*"}`, "opsworks:Bx", stackA, iam.ImplicitDeny},
		"not-action-other":            {`{"Effect":"Allow","NotAction":["opsworks:A","opsworks:B*"],"Resource":"*"}`, "latchkey:C", stackA, iam.Allowed},
		"resource-exact":              {`{"Effect":"Allow","Action":"*","Resource":"` + stackA + `"}`, "opsworks:A", stackA, iam.Allowed},
		"resource-other":              {`{"Effect":"Allow","Action":"*","Resource":"` + stackA + `"}`, "opsworks:A", stackB, iam.ImplicitDeny},
		"resource-without-slash":      {`{"Effect":"Allow","Action":"*","Resource":"` + strings.TrimSuffix(stackA, "/") + `"}`, "opsworks:A", stackA, iam.ImplicitDeny},
		"resource-case-matters":       {`{"Effect":"Allow","Action":"*","Resource":"` + strings.Replace(stackA, "stack", "Stack", 1) + `"}`, "opsworks:A", stackA, iam.ImplicitDeny},
		"resource-region-account":     {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:opsworks:*:*:stack/2f18b4cb-4de5-4429-a149-ff7da9f0d8ee/"}`, "opsworks:A", stackA, iam.Allowed},
		"resource-prefix":             {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:opsworks:us-east-1:111122223333:stack/*"}`, "opsworks:A", stackA, iam.Allowed},
		"resource-star-keeps-colon":   {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:*:stack/x:y"}`, "opsworks:A", "arn:aws:s3:::stack/x:y", iam.ImplicitDeny},
		"resource-last-star-colons":   {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:sns:*"}`, "sns:A", "arn:aws:sns:us-east-1:111122223333:topic:sub", iam.Allowed},
		"resource-last-part-colons":   {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:sns:*:*:t*b"}`, "sns:A", "arn:aws:sns:us-east-1:111122223333:topic:sub", iam.Allowed},
		"resource-question-mark":      {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:opsworks:us-east-?:*:stack/*/"}`, "opsworks:A", stackA, iam.Allowed},
		"resource-question-is-rune":   {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/?/*"}`, "s3:A", "arn:aws:s3:::b/é/x", iam.Allowed},
		"resource-star-action-alone":  {`{"Effect":"Allow","Action":"*","Resource":"` + stackA + `"}`, "opsworks:CreateStack", "*", iam.ImplicitDeny},
		"resource-star-for-star":      {`{"Effect":"Allow","Action":"*","Resource":"*"}`, "opsworks:CreateStack", "*", iam.Allowed},
		"resource-arn-star-for-star":  {`{"Effect":"Allow","Action":"*","Resource":"arn:*"}`, "opsworks:CreateStack", "*", iam.ImplicitDeny},
		"not-resource-listed":         {`{"Effect":"Allow","Action":"*","NotResource":["` + stackB + `","` + stackA + `"]}`, "opsworks:A", stackA, iam.ImplicitDeny},
		"not-resource-other":          {`{"Effect":"Allow","Action":"*","NotResource":"` + stackB + `"}`, "opsworks:A", stackA, iam.Allowed},
		"deny-wins-after":             {`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"opsworks:S*","Resource":"*"}`, "opsworks:StopInstance", stackA, iam.ExplicitDeny},
		"deny-wins-before":            {`{"Effect":"Deny","Action":"opsworks:S*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "opsworks:StopInstance", stackA, iam.ExplicitDeny},
		"deny-elsewhere":              {`{"Effect":"Deny","Action":"opsworks:S*","Resource":"` + stackB + `"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "opsworks:StopInstance", stackA, iam.Allowed},
		"deny-alone":                  {`{"Effect":"Deny","Action":"*","Resource":"*"}`, "opsworks:StopInstance", stackA, iam.ExplicitDeny},
		"deny-not-action":             {`{"Effect":"Deny","NotAction":"opsworks:*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "latchkey:A", stackA, iam.ExplicitDeny},
		"resource-2008-dollar-is-raw": {`{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${aws:username}"}}`, "s3:A", "arn:aws:s3:::b/${aws:username}", iam.Allowed},
	} {
		t.Run(situation, func(t *testing.T) {
			p := mustParse(t, c.policy)
			d := iam.Evaluate([]iam.Policy{p}, nil, mustRequest(t, c.action, c.resource, nil))
			if d.Outcome != c.want {
				t.Errorf("%v (%v), want %v", d.Outcome, d.Reason, c.want)
			}
		})
	}
}

// TestEvaluate_Reasons names what decided, over several policies and a boundary.
func TestEvaluate_Reasons(t *testing.T) {
	allow := mustParse(t, `{"Effect":"Deny","Action":"x:No","Resource":"*"},{"Sid":"Two","Effect":"Allow","Action":"opsworks:*","Resource":"*"},{"Sid":"Three","Effect":"Allow","Action":"*","Resource":"*"}`)
	deny := mustParse(t, `{"Sid":"Stop","Effect":"Deny","Action":"opsworks:Stop*","Resource":"*"}`)
	narrow := mustParse(t, `{"Effect":"Allow","Action":"opsworks:Describe*","Resource":"*"},{"Sid":"Never","Effect":"Deny","Action":"*","Resource":"`+stackB+`"}`)
	two, three := iam.Match{Statement: 1, Sid: "Two"}, iam.Match{Statement: 2, Sid: "Three"}
	for situation, c := range map[string]struct {
		policies         []iam.Policy
		boundary         *iam.Policy
		action, resource string
		want             iam.Decision
		matches          []iam.Match
	}{
		"no-policies":     {nil, nil, "opsworks:A", stackA, iam.Decision{Reason: iam.ErrNotAllowed}, nil},
		"allowed":         {[]iam.Policy{allow}, nil, "opsworks:A", stackA, iam.Decision{Outcome: iam.Allowed, By: two}, []iam.Match{two, three}},
		"second-denies":   {[]iam.Policy{allow, deny}, nil, "opsworks:StopInstance", stackA, iam.Decision{Outcome: iam.ExplicitDeny, Reason: iam.ErrDenied, By: iam.Match{Policy: 1, Sid: "Stop"}}, []iam.Match{{Policy: 1, Sid: "Stop"}}},
		"malformed-first": {[]iam.Policy{{}, allow}, nil, "opsworks:A", stackA, iam.Decision{Outcome: iam.ExplicitDeny, Reason: iam.ErrPolicy}, nil},
		"malformed-last":  {[]iam.Policy{allow, {}}, nil, "opsworks:A", stackA, iam.Decision{Outcome: iam.ExplicitDeny, Reason: iam.ErrPolicy, By: iam.Match{Policy: 1}}, nil},
		"boundary-allows": {[]iam.Policy{allow}, &narrow, "opsworks:DescribeStacks", stackA, iam.Decision{Outcome: iam.Allowed, By: two}, []iam.Match{two, three, {Boundary: true}}},
		"boundary-silent": {[]iam.Policy{allow}, &narrow, "opsworks:A", stackA, iam.Decision{Reason: iam.ErrBoundaryLimit}, nil},
		"boundary-denies": {[]iam.Policy{allow}, &narrow, "opsworks:A", stackB, iam.Decision{Outcome: iam.ExplicitDeny, Reason: iam.ErrBoundaryDeny, By: iam.Match{Statement: 1, Sid: "Never", Boundary: true}}, []iam.Match{{Statement: 1, Sid: "Never", Boundary: true}}},
		"boundary-alone":  {nil, &narrow, "opsworks:DescribeStacks", stackA, iam.Decision{Reason: iam.ErrNotAllowed}, nil},
		"boundary-broken": {[]iam.Policy{allow}, &iam.Policy{}, "opsworks:DescribeStacks", stackA, iam.Decision{Outcome: iam.ExplicitDeny, Reason: iam.ErrPolicy, By: iam.Match{Boundary: true}}, nil},
	} {
		t.Run(situation, func(t *testing.T) {
			r := mustRequest(t, c.action, c.resource, nil)
			got, matches := iam.Explain(c.policies, c.boundary, r)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.matches, matches); diff != "" {
				t.Error(diff)
			}
			if again := iam.Evaluate(c.policies, c.boundary, r); again != got {
				t.Errorf("evaluated to %+v", again)
			}
		})
	}
	t.Run("request-of-zero-values", func(t *testing.T) {
		whole := mustRequest(t, "a:B", "*", nil)
		for _, r := range []iam.Request{{}, {Action: whole.Action}, {Resource: whole.Resource}} {
			if d := iam.Evaluate([]iam.Policy{allow}, nil, r); d.Outcome != iam.ExplicitDeny || d.Reason != iam.ErrRequest {
				t.Errorf("%+v gives %+v", r, d)
			}
		}
	})
}

// TestError_Text is golden: the place a person looks for, and one fact.
func TestError_Text(t *testing.T) {
	_, err := iam.Parse([]byte(`{"Statement": {"Effect": "Allow", "Action": ["a:B", "Stop"], "Resource": "*"}}`))
	const want = "Statement.Action[1] (byte 52): action is neither * nor of the form service:Name, with wildcards in the name alone"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = iam.Parse([]byte(`{"Version": "2012-10-17",, }`))
	if want := "document (byte 25): not JSON, or more than one JSON value"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestPolicy_String(t *testing.T) {
	doc := ` { "Statement" : [ {"Condition":{"StringLike":{"aws:PrincipalTag/Team":["a*","<b>"]},"Bool":{"aws:SecureTransport":true},
		"NumericEqualsIfExists":{"s3:max-keys":[10, "2.5"]}},"Resource":["*"],"NotAction":["a:B","c:*"],"Effect":"Deny","Sid":"One"},
		{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::b/${aws:username, 'none'}"} ], "Id":"x", "Version":"2012-10-17" }`
	const want = `{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"One","Effect":"Deny","NotAction":["a:B","c:*"],"Resource":"*",` +
		`"Condition":{"StringLike":{"aws:PrincipalTag/Team":["a*","\u003cb\u003e"]},"Bool":{"aws:SecureTransport":"true"},"NumericEqualsIfExists":{"s3:max-keys":["10","2.5"]}}},` +
		`{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::b/${aws:username, 'none'}"}]}`
	p := mustParse(t, doc)
	if p.String() != want {
		t.Errorf("printed %s, want %s", p, want)
	}
	if again := mustParse(t, p.String()); again.String() != want {
		t.Errorf("printed again %s", again)
	}
	text, err := json.Marshal(struct{ A, B iam.Policy }{A: p})
	if err != nil || string(text) != `{"A":`+want+`,"B":null}` {
		t.Errorf("%s, %v", text, err)
	}
	if (iam.Policy{}).String() != "" {
		t.Error("the zero value prints as something")
	}
}

func TestSize(t *testing.T) {
	if n := iam.Size([]byte(" { \"a b\" :\n\t\"é\" } ")); n != len(`{"ab":"x"}`) {
		t.Errorf("%d characters", n)
	}
}

func TestParseAction(t *testing.T) {
	for text, want := range map[string]string{
		"opsworks:StopInstance": "opsworks:stopinstance", "execute-api:In_v.o-ke": "execute-api:in_v.o-ke",
		"": "", "opsworks": "", "opsworks:": "", ":Stop": "", "a:b:c": "", "opsworks:*": "", "opsworks:Sto?": "", "ops works:A": "", "opsworks:É": "",
		strings.Repeat("a", 255) + ":b": "",
	} {
		a, err := iam.ParseAction(text)
		if a.String() != want || errors.Is(err, iam.ErrAction) != (want == "") || a.IsZero() != (want == "") {
			t.Errorf("%q gives %q, %v", text, a, err)
		}
	}
}

func TestParseResource(t *testing.T) {
	for text, good := range map[string]bool{
		"*": true, stackA: true, "arn:aws:s3:::bucket": true, "arn:aws:sns:us-east-1:111122223333:a:b:c": true,
		"": false, "**": false, "stack/x": false, "arn:aws:s3::bucket": false, "arn:aws:s3:::": false, "arn::s3:::b": false, "ARN:aws:s3:::b": false,
		"arn:aws:s3:::b/*": false, "arn:aws:s3:::b?": false, "arn:aws:s3:::b\n": false, "arn:aws:s3:::\xff": false,
		"arn:aws:s3:::" + strings.Repeat("x", 2048): false,
	} {
		r, err := iam.ParseResource(text)
		if errors.Is(err, iam.ErrResource) == good || r.IsZero() == good || good && r.String() != text {
			t.Errorf("%q gives %q, %v", text, r, err)
		}
	}
}

func TestNewContext(t *testing.T) {
	for situation, values := range map[string]map[string][]string{
		"empty-key": {"": {"x"}}, "same-key-in-other-case": {"aws:x": {"1"}, "AWS:X": {"2"}},
	} {
		if _, err := iam.NewContext(values); !errors.Is(err, iam.ErrContext) {
			t.Errorf("%s: %v", situation, err)
		}
	}
	list := []string{"10.0.0.1"}
	r := mustRequest(t, "a:B", "*", map[string][]string{"AWS:sourceIP": list})
	list[0] = "192.168.0.1"
	p := mustParse(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`)
	if d := iam.Evaluate([]iam.Policy{p}, nil, r); d.Outcome != iam.Allowed {
		t.Errorf("%v: the key's case matters, or the list was not copied", d.Outcome)
	}
}

// TestContext_With adds keys to a context that others share.
func TestContext_With(t *testing.T) {
	base := mustRequest(t, "a:B", "*", map[string][]string{"aws:SourceIp": {"10.0.0.1"}, "aws:absent": {}}).Context
	with := func(c iam.Context, values map[string][]string) iam.Context {
		more, err := c.With(values)
		if err != nil {
			t.Fatal(err)
		}
		return more
	}
	secure := map[string][]string{"aws:SecureTransport": {"true"}}
	list := []string{"ann"}
	ann := with(base, map[string][]string{"AWS:username": list})
	bob := with(with(base, map[string][]string{"aws:username": {"bob"}}), secure)
	p := mustParse(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"StringEquals":{"aws:username":["ann","bob"]},
		"Bool":{"aws:SecureTransport":"true"},"Null":{"aws:absent":"true"}}}`)
	list[0] = "eve"
	for situation, c := range map[string]struct {
		context iam.Context
		want    iam.Outcome
	}{
		"base-is-as-it-was": {base, iam.ImplicitDeny},
		"one-more-key":      {ann, iam.ImplicitDeny},
		"keys-of-three":     {bob, iam.Allowed},
		"list-was-copied":   {with(ann, secure), iam.Allowed},
		"with-nothing":      {with(bob, nil), iam.Allowed},
		"on-the-zero-value": {with(with(iam.Context{}, map[string][]string{"aws:SourceIp": {"10.1.1.1"}, "aws:username": {"bob"}}), secure), iam.Allowed},
	} {
		t.Run(situation, func(t *testing.T) {
			r := mustRequest(t, "a:B", "*", nil)
			r.Context = c.context
			if d := iam.Evaluate([]iam.Policy{p}, nil, r); d.Outcome != c.want {
				t.Errorf("%v, want %v", d.Outcome, c.want)
			}
		})
	}
	for situation, values := range map[string]map[string][]string{
		"empty-key": {"": {"x"}}, "key-of-the-last": {"aws:securetransport": {"false"}}, "key-of-the-first": {"AWS:SourceIp": {"1.1.1.1"}},
		"key-with-an-empty-list": {"aws:Absent": {"x"}}, "same-key-in-other-case": {"aws:x": {"1"}, "AWS:X": {"2"}},
	} {
		if _, err := bob.With(values); !errors.Is(err, iam.ErrContext) {
			t.Errorf("%s: %v", situation, err)
		}
	}
}
