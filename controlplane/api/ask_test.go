package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane"
)

// TestAuthorize_AgreesWithCalls asks Authorize about every action as every kind of
// caller, and then lets the caller call it: both must say the same.
func TestAuthorize_AgreesWithCalls(t *testing.T) {
	cp, _ := newControlPlane(t)
	admin := controlplane.Caller{ARN: mustARN(t, "arn:aws:iam::000000000000:user/admin")}
	verdicts := map[string]int{}
	for _, a := range Actions() {
		for _, name := range []string{"none", "deny", "show", "manage", "other", "own", "admin"} {
			given := situation(t, cp, admin, name)
			question := controlplane.AuthorizeRequest{IamUserArn: "arn:aws:iam::000000000000:user/" + name, Action: string(a.IAM)}
			switch a.IAM.Rule().Scope {
			case authz.ScopeStack:
				question.Resource = given["StackId"].(string)
			case authz.ScopeUser:
				question.Resource = given["IamUserArn"].(string)
			}
			said, err := cp.Authorize(t.Context(), admin, question)
			if err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "+", false: "-"}[said.Decision == "allowed"]
			_, err = a.run(t.Context(), cp, controlplane.Caller{ARN: mustARN(t, question.IamUserArn)}, given.body(t, a.Name), ignoreUnknown)
			if got := verdict(t, err, false); got != want {
				t.Errorf("%s by %s: Authorize says %s, %s; calling it: %v", a.Name, name, said.Decision, said.Text, err)
			}
			verdicts[want]++
		}
	}
	if verdicts["+"] < 50 || verdicts["-"] < 50 {
		t.Errorf("verdicts %v: the test tells nothing", verdicts)
	}
}

// The questions over HTTP, byte for byte.
func TestQuestions(t *testing.T) {
	s := newTestServer(t)
	stack := s.stack(t)
	const admin = `"arn:aws:iam::000000000000:user/admin"`
	const policies = `"Policies":[{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"opsworks:Delete*","Resource":"*"},` +
		`{"Effect":"Allow","Action":"opsworks:StopInstance","Resource":"arn:aws:opsworks:*:*:stack/*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}]`
	const boundary = `"PermissionsBoundary":{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	for _, tt := range []struct {
		name, action, body string
		status             int
		want               string
	}{
		{"simulate", "SimulatePolicy", `{"Cases":[` +
			`{` + policies + `,"Principal":"arn:aws:iam::123456789012:user/bob","Action":"opsworks:StopInstance","Resource":"arn:aws:opsworks:us-east-1:123456789012:stack/x/","Context":{"aws:SourceIp":["10.1.2.3"]}},` +
			`{` + policies + `,` + boundary + `,"Action":"opsworks:StopInstance","Resource":"arn:aws:opsworks:us-east-1:123456789012:stack/x/","Context":{"aws:SourceIp":["10.1.2.3"]}},` +
			`{` + policies + `,"PermissionsBoundary":null,"Action":"opsworks:DeleteStack"},` +
			`{` + policies + `,"Action":"opsworks:StopInstance","Resource":"*"}]}`, 200,
			`{"Decisions":[{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":1}]},` +
				`{"Decision":"allowed","MatchedStatements":[{"Policy":0,"Statement":1},{"Boundary":true,"Statement":0}]},` +
				`{"Decision":"explicitDeny","MatchedStatements":[{"Policy":0,"Statement":0}]},` +
				`{"Decision":"implicitDeny","MatchedStatements":[]}]}`},
		{"simulate-malformed", "SimulatePolicy", `{"Cases":[{"Policies":[{"Statement":[{"Effect":"maybe","Action":"*","Resource":"*"}]}],"Action":"a:B"}]}`, 400,
			`{"__type":"ValidationException","message":"Cases[0].Policies[0]: Statement[0].Effect (byte 24): effect is neither Allow nor Deny"}`},
		{"simulate-null", "SimulatePolicy", `{"Cases":[{"Policies":[null],"Action":"a:B"}]}`, 400,
			`{"__type":"SerializationException","message":"Cases[0].Policies[0]: a list holds null"}`},
		{"authorize", "Authorize", `{"IamUserArn":` + admin + `,"Action":"opsworks:DeleteStack","Resource":"` + stack + `"}`, 200,
			`{"Decision":"allowed","Rule":"policy","Text":"policy LatchkeyFullAccess, Statement[0] Everything","Policy":"policy LatchkeyFullAccess",` +
				`"Statement":0,"Sid":"Everything","Level":"iam_only","Resource":"arn:aws:opsworks:us-east-1:000000000000:stack/` + stack + `/"}`},
		{"batch", "BatchAuthorize", `{"Questions":[{"IamUserArn":"arn:aws:iam::000000000000:user/no","Action":"a:B","Context":{"aws:SourceIp":["10.1.2.3"]}}]}`, 200,
			`{"Decisions":[{"Decision":"implicitDeny","Reason":"user_unknown","Rule":"user","Text":"no user has the ARN","Resource":"*"}]}`},
		{"batch-member", "BatchAuthorize", `{"Questions":[{"IamUserArn":` + admin + `,"Action":"a:B"},{"User":"x"}]}`, 400,
			`{"__type":"ValidationException","message":"\"Questions[1].User\" is not a member of this request"}`},
		{"batch-type", "BatchAuthorize", `{"Questions":[{"IamUserArn":` + admin + `,"Action":7}]}`, 400,
			`{"__type":"SerializationException","message":"Questions[0].Action: a string is wanted, a number was given"}`},
		{"batch-context", "BatchAuthorize", `{"Questions":[{"IamUserArn":` + admin + `,"Action":"a:B","Context":{"aws:SourceIp":"10.1.2.3"}}]}`, 400,
			`{"__type":"SerializationException","message":"Questions[0].Context.aws:SourceIp: a list is wanted, a string was given"}`},
		{"access", "ListAccess", `{"StackId":"` + stack + `"}`, 200, `{"Access":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, got, _ := s.post(t, plainPath+tt.action, tt.body, nil)
			if status != tt.status || got != tt.want {
				t.Errorf("got  %d %s\nwant %d %s", status, got, tt.status, tt.want)
			}
		})
	}
}

// TestLargeBody: SimulatePolicy alone takes more than others, to its own limit, signed
// or with a password (requirement R128 in part).
func TestLargeBody(t *testing.T) {
	s := newTestServer(t)
	body := func(size int) string {
		text := `{"Cases":[{"Policies":[],"Action":"a:B"}]}`
		return text + strings.Repeat(" ", size-len(text))
	}
	const answered = `{"Decisions":[{"Decision":"implicitDeny","MatchedStatements":[]}]}`
	for _, tt := range []struct {
		name, action string
		size, status int
		want         string
	}{
		{"beyond-others", "SimulatePolicy", MaxBody + 1, 200, answered},
		{"at-the-limit", "SimulatePolicy", controlplane.MaxSimulation, 200, answered},
		{"beyond", "SimulatePolicy", controlplane.MaxSimulation + 1, 413,
			`{"__type":"RequestEntityTooLargeException","message":"the body is larger than 8388608 bytes"}`},
		{"batch", "BatchAuthorize", MaxBody + 1, 413, `{"__type":"RequestEntityTooLargeException","message":"the body is larger than 1048576 bytes"}`},
		{"no-action", "Bogus", MaxBody + 1, 413, `{"__type":"RequestEntityTooLargeException","message":"the body is larger than 1048576 bytes"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := body(tt.size)
			for _, sign := range []func(*http.Request){nil, func(r *http.Request) { s.sign(t, r, given, ownService) }} {
				status, got, _ := s.post(t, plainPath+tt.action, given, sign)
				if status != tt.status || got != tt.want {
					t.Errorf("%d %.200s", status, got)
				}
			}
		})
	}
	text, err := OpenAPI()
	if err != nil || strings.Count(string(text), fmt.Sprintf(`"description":"At most %d bytes."`, controlplane.MaxSimulation)) != 1 {
		t.Errorf("the document does not say so: %v", err)
	}
}
