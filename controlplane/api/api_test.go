package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane"
)

func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Actions() {
		if seen[a.Name] {
			t.Errorf("%s is there twice", a.Name)
		}
		seen[a.Name] = true
		if a.IAM.Rule().Scope == authz.ScopeUnknown {
			t.Errorf("%s: the authoriser does not know it", a.IAM)
		}
		reading := strings.HasPrefix(a.Name, "Describe") || strings.HasPrefix(a.Name, "List") || strings.HasPrefix(a.Name, "Get") ||
			slices.Contains([]string{"Authorize", "BatchAuthorize", "SimulatePolicy", "ExplainAccess"}, a.Name)
		if a.Changes == reading {
			t.Errorf("%s: changes is %t", a.Name, a.Changes)
		}
		if want := a.Name + "Request"; a.Request.Name() != want {
			t.Errorf("%s: request is %s, want %s", a.Name, a.Request.Name(), want)
		}
		if a.Response != nil && a.Response.Name() != a.Name+"Response" {
			t.Errorf("%s: response is %s", a.Name, a.Response.Name())
		}
		if a.Doc == "" || !strings.HasSuffix(a.Doc, ".") {
			t.Errorf("%s: doc is %q", a.Name, a.Doc)
		}
	}
	if len(seen) != 65 {
		t.Errorf("%d actions", len(seen))
	}
}

// TestEveryKnownAction: all 74 actions of the original service have an answer on
// the AWS surface, and it is a 400 of the right kind for those not served.
func TestEveryKnownAction(t *testing.T) {
	s := newTestServer(t)
	names := strings.Fields(originalActions)
	if len(names) != 74 {
		t.Fatalf("%d names", len(names))
	}
	served := 0
	for _, name := range names {
		if slices.ContainsFunc(Actions(), func(a Action) bool { return a.Name == name }) {
			served++
			continue
		}
		status, answer := s.aws(t, name, `{"StackId":"x"}`)
		want := fmt.Sprintf(`{"__type":"ValidationException","message":"%s is known but not served by this control plane"}`, name)
		if status != 400 || answer != want {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if served != 27 {
		t.Errorf("%d of them are served", served)
	}
}

// originalActions is the list of the original's API reference.
const originalActions = `AssignInstance AssignVolume AssociateElasticIp AttachElasticLoadBalancer CloneStack CreateApp
CreateDeployment CreateInstance CreateLayer CreateStack CreateUserProfile DeleteApp DeleteInstance DeleteLayer DeleteStack
DeleteUserProfile DeregisterEcsCluster DeregisterElasticIp DeregisterInstance DeregisterRdsDbInstance DeregisterVolume
DescribeAgentVersions DescribeApps DescribeCommands DescribeDeployments DescribeEcsClusters DescribeElasticIps
DescribeElasticLoadBalancers DescribeInstances DescribeLayers DescribeLoadBasedAutoScaling DescribeMyUserProfile
DescribeOperatingSystems DescribePermissions DescribeRaidArrays DescribeRdsDbInstances DescribeServiceErrors
DescribeStackProvisioningParameters DescribeStackSummary DescribeStacks DescribeTimeBasedAutoScaling DescribeUserProfiles
DescribeVolumes DetachElasticLoadBalancer DisassociateElasticIp GetHostnameSuggestion GrantAccess ListTags RebootInstance
RegisterEcsCluster RegisterElasticIp RegisterInstance RegisterRdsDbInstance RegisterVolume SetLoadBasedAutoScaling
SetPermission SetTimeBasedAutoScaling StartInstance StartStack StopInstance StopStack TagResource UnassignInstance
UnassignVolume UntagResource UpdateApp UpdateElasticIp UpdateInstance UpdateLayer UpdateMyUserProfile UpdateRdsDbInstance
UpdateStack UpdateUserProfile UpdateVolume`

// aws calls an action on the AWS surface with the administrator's key.
func (s *server) aws(t *testing.T, name, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", awsJSON)
	if name != "" {
		r.Header.Set("X-Amz-Target", awsTarget+name)
	}
	s.sign(t, r, body, awsService)
	status, answer, _ = s.do(t, r)
	return status, answer
}

// TestAnswers is what callers see, on both surfaces.
func TestAnswers(t *testing.T) {
	s := newTestServer(t)
	for _, tt := range []struct {
		name, surface, action, body string
		status                      int
		want                        string
	}{
		{"aws-list", "aws", "DescribeInstances", `{}`, 200, `{"Instances":[]}`},
		{"aws-unknown-member", "aws", "DescribeInstances", `{"Later":1}`, 200, `{"Instances":[]}`},
		{"aws-no-body", "aws", "DescribeInstances", ``, 200, `{"Instances":[]}`},
		{"aws-no-output", "aws", "SetPermission", `{"StackId":"STACK","IamUserArn":"arn:aws:iam::000000000000:user/admin","AllowSsh":true}`, 200, ``},
		{"aws-wrong-type", "aws", "DescribeStacks", `{"StackIds":"x"}`, 400, `{"__type":"SerializationException","message":"StackIds: a list is wanted, a string was given"}`},
		{"aws-not-found", "aws", "SetPermission", `{"StackId":"STACK","IamUserArn":"arn:aws:iam::000000000000:user/no"}`, 400,
			`{"__type":"ResourceNotFoundException","message":"Unable to find user with ARN arn:aws:iam::000000000000:user/no"}`},
		{"aws-unknown-action", "aws", "Bogus", `{}`, 400, `{"__type":"UnknownOperationException","message":"no action has the name \"Bogus\""}`},
		{"aws-no-action", "aws", "", `{}`, 400, `{"__type":"UnknownOperationException","message":"no action is named: the header is  X-Amz-Target: OpsWorks_20130218.ACTION"}`},
		{"aws-our-own-action", "aws", "CreateJoinToken", `{}`, 400,
			`{"__type":"UnknownOperationException","message":"CreateJoinToken is not an action of the OpsWorks API: call it at /api/v1/CreateJoinToken"}`},

		{"plain-list", "plain", "DescribeStacks", `{"StackIds":["STACK"]}`, 200, `{"Stacks":[{"StackId":"STACK","Arn":`},
		{"plain-no-body", "plain", "DescribeInstances", ``, 200, `{"Instances":[]}`},
		{"plain-no-output", "plain", "SetPermission", `{"StackId":"STACK","IamUserArn":"arn:aws:iam::000000000000:user/admin","AllowSsh":false}`, 200, `{}`},
		{"plain-unknown-member", "plain", "SetPermission", `{"StackID":"x"}`, 400, `{"__type":"ValidationException","message":"\"StackID\" is not a member of this request"}`},
		{"plain-not-found", "plain", "SetPermission", `{"StackId":"STACK","IamUserArn":"arn:aws:iam::000000000000:user/no"}`, 404,
			`{"__type":"ResourceNotFoundException","message":"Unable to find user with ARN arn:aws:iam::000000000000:user/no"}`},
		{"plain-command", "plain", "SetPermission", `{"StackId":"STACK","IamUserArn":"arn:aws:iam::000000000000:user/no","SudoCommands":["/bin/id","sh"]}`, 400,
			`{"__type":"ValidationException","message":"Sudo Commands[1]: command does not begin with / and so names no one program"}`},
		{"plain-command-no-list", "plain", "SetPermission", `{"SudoCommands":"/bin/id"}`, 400, `{"__type":"SerializationException","message":"SudoCommands: a list is wanted, a string was given"}`},
		{"plain-command-own", "plain", "SetPermission", `{"StackId":"STACK","IamUserArn":"arn:aws:iam::000000000000:user/admin","SudoCommands":[]}`, 400,
			`{"__type":"ValidationException","message":"Unable to change what own sudo is limited to."}`},
		{"plain-not-served", "plain", "StartStack", `{}`, 400, `{"__type":"ValidationException","message":"StartStack is known but not served by this control plane"}`},
		{"plain-unknown-action", "plain", "bogus", `{}`, 400, `{"__type":"UnknownOperationException","message":"no action has the name \"bogus\""}`},
		{"plain-own-action", "plain", "CreateJoinToken", `{"StackId":"STACK","TtlSeconds":59}`, 400, `{"__type":"ValidationException","message":"Ttl Seconds: must be 60 to 3600"}`},
		{"plain-too-large", "plain", "CreateStack", `{"CustomJson":"` + strings.Repeat("x", MaxBody) + `"}`, 413, `{"__type":"RequestEntityTooLargeException","message":"the body is larger than 1048576 bytes"}`},
		{"aws-too-large", "aws", "CreateStack", `{"CustomJson":"` + strings.Repeat("x", MaxBody) + `"}`, 400, `{"__type":"RequestEntityTooLargeException","message":"the body is larger than 1048576 bytes"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stack := s.stack(t)
			body := strings.ReplaceAll(tt.body, "STACK", stack)
			var status int
			var got string
			if tt.surface == "aws" {
				status, got = s.aws(t, tt.action, body)
			} else {
				status, got, _ = s.post(t, plainPath+tt.action, body, nil)
			}
			want := strings.ReplaceAll(tt.want, "STACK", stack)
			if status != tt.status || got != want && !(strings.HasSuffix(want, ":") && strings.HasPrefix(got, want)) {
				t.Errorf("got %d %s\nwant %d %s", status, got, tt.status, want)
			}
		})
	}
}

// admin is the first administrator.
func (s *server) admin(t *testing.T) controlplane.Caller {
	return controlplane.Caller{ARN: mustARN(t, "arn:aws:iam::000000000000:user/admin")}
}

// stack makes a stack without going through the API.
func (s *server) stack(t *testing.T) string {
	t.Helper()
	resp, err := s.cp.CreateStack(t.Context(), s.admin(t), controlplane.CreateStackRequest{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	return resp.StackId
}

func TestContentTypes(t *testing.T) {
	s := newTestServer(t)
	for _, tt := range []struct {
		given, body string
		status      int
	}{
		{"application/json", "{}", 200},
		{"application/json; charset=utf-8", "{}", 200},
		{"application/x-amz-json-1.1", "{}", 200},
		{"", "", 200},
		{"", "{}", 400},
		{"application/x-www-form-urlencoded", "{}", 400}, // what a page of another site can send
		{"text/plain", "{}", 400},
		{"multipart/form-data", "{}", 400},
		{"text/plain", "", 400},
		{"application/json;;", "{}", 400},
	} {
		status, answer, _ := s.post(t, plainPath+"DescribeStacks", tt.body, func(r *http.Request) {
			r.Header.Del("Content-Type")
			if tt.given != "" {
				r.Header.Set("Content-Type", tt.given)
			}
		})
		if status != tt.status {
			t.Errorf("%q with %q: %d %s", tt.given, tt.body, status, answer)
		}
	}
	status, answer, _ := s.post(t, plainPath+"DescribeStacks", "{}", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })
	if status != 400 || !strings.Contains(answer, `content encoding \"gzip\" is not accepted`) {
		t.Errorf("gzip: %d %s", status, answer)
	}
}

// TestNoCredentials: every action of the plain surface, and names that are none,
// answer a stranger the same (requirement R73).
func TestNoCredentials(t *testing.T) {
	s := newTestServer(t)
	names := []string{"Bogus", "StartStack"}
	for _, a := range Actions() {
		names = append(names, a.Name)
	}
	for _, name := range names {
		for credentials, want := range map[string]string{
			"":               `{"__type":"MissingAuthenticationTokenException","message":"the request carries no credentials"}`,
			"Basic bm86bm8=": `{"__type":"UnrecognizedClientException","message":"the access key is not known, or its secret is another"}`,
			"Bearer x":       `{"__type":"IncompleteSignatureException","message":"the Authorization header is not of Signature Version 4"}`,
		} {
			status, answer, head := s.post(t, plainPath+name, `{"Bad`, func(r *http.Request) {
				r.Header.Del("Authorization")
				if credentials != "" {
					r.Header.Set("Authorization", credentials)
				}
			})
			if status != 401 || answer != want || !strings.HasPrefix(head.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s with %q: %d %s %q", name, credentials, status, answer, head.Get("WWW-Authenticate"))
			}
		}
	}
}

// TestMatrix asks every action as every kind of caller and compares with the
// declared table (requirement R114). Nobody, which is the zero caller, is let in nowhere
// (R169 in part). An action without a row fails.
func TestMatrix(t *testing.T) {
	table := map[string]string{}
	for _, rows := range []map[string]string{originalMatrix(), machinesMatrix(), holdingsMatrix(), questionsMatrix(), importMatrix()} {
		maps.Copy(table, rows)
	}
	cp, _ := newControlPlane(t)
	admin := controlplane.Caller{ARN: mustARN(t, "arn:aws:iam::000000000000:user/admin")}
	callers := []string{"", "none", "deny", "show", "manage", "other", "own", "admin"}
	for _, a := range Actions() {
		row, listed := table[a.Name]
		if !listed {
			t.Errorf("%s is in no row", a.Name)
			continue
		}
		for i, want := range strings.Fields(row) {
			t.Run(strings.ToLower(a.Name)+"-by-"+first(callers[i], "nobody"), func(t *testing.T) {
				body := situation(t, cp, admin, callers[i]).body(t, a.Name)
				caller := controlplane.Caller{}
				if callers[i] != "" {
					caller.ARN = mustARN(t, "arn:aws:iam::000000000000:user/"+callers[i])
				}
				_, err := a.run(t.Context(), cp, caller, body, ignoreUnknown)
				if got := verdict(t, err, callers[i] == ""); got != want {
					t.Errorf("got %s (%v), want %s", got, err, want)
				}
			})
		}
	}
}

func first(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// members are those of requests, by name.
type members map[string]any

// body holds the members that an action has, less those that exclude each other.
func (m members) body(t *testing.T, action string) []byte {
	t.Helper()
	given := maps.Clone(m)
	if action == "DescribeServiceErrors" { // by one of them
		delete(given, "StackId")
	}
	text, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// situation makes a new stack with an instance on which caller has the level of
// his name, and returns a member for every action.
func situation(t *testing.T, cp *controlplane.ControlPlane, admin controlplane.Caller, caller string) members {
	t.Helper()
	own, err := cp.CreateStack(t.Context(), admin, controlplane.CreateStackRequest{Name: "own"})
	if err != nil {
		t.Fatal(err)
	}
	on, level := own.StackId, caller
	if caller == "other" {
		other, err := cp.CreateStack(t.Context(), admin, controlplane.CreateStackRequest{Name: "other"})
		if err != nil {
			t.Fatal(err)
		}
		on, level = other.StackId, "manage"
	}
	victim := "arn:aws:iam::000000000000:user/victim"
	for _, arn := range []string{victim, "arn:aws:iam::000000000000:user/" + first(caller, "nobody")} {
		var e *controlplane.Error
		self := caller == "own"
		_, err := cp.CreateUserProfile(t.Context(), admin, controlplane.CreateUserProfileRequest{IamUserArn: arn, AllowSelfManagement: &self})
		if err != nil && !(errors.As(err, &e) && e.Code == controlplane.Invalid) { // there already
			t.Fatal(err)
		}
	}
	if slices.Contains([]string{"deny", "show", "manage"}, level) {
		_, err := cp.SetPermission(t.Context(), admin, controlplane.SetPermissionRequest{
			StackId: on, IamUserArn: "arn:aws:iam::000000000000:user/" + caller, Level: &level,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	instance, _ := enrolled(t, cp, admin, own.StackId)
	m := members{
		"StackId": own.StackId, "StackIds": []string{own.StackId}, "SourceStackId": own.StackId, "IamUserArn": victim,
		"Name": "new", "InstanceId": instance, "ResourceArn": "arn:aws:opsworks:us-east-1:000000000000:stack/" + own.StackId + "/",
		"Tags": map[string]string{"k": "v"}, "TagKeys": []string{"k"}, "Action": "opsworks:DescribeStacks",
		"Questions": []any{map[string]string{"IamUserArn": victim, "Action": "opsworks:DescribeStacks"}},
	}
	holdingsSituation(t, cp, admin, victim, m)
	return m
}

// verdict is + when the caller was let in, whatever he then got, and - when not.
func verdict(t *testing.T, err error, nobody bool) string {
	t.Helper()
	var e *controlplane.Error
	switch {
	case err == nil:
		return "+"
	case !errors.As(err, &e):
		t.Fatal(err)
	case nobody && e.Code == controlplane.Unauthenticated, !nobody && e.Code == controlplane.Denied:
		return "-"
	}
	return "+"
}

// TestHonestStatuses pins the table.
func TestHonestStatuses(t *testing.T) {
	for code, want := range map[controlplane.Code]int{
		controlplane.Invalid: 400, Malformed: 400, UnknownOperation: 400,
		controlplane.Unauthenticated: 401, controlplane.BadSignature: 401, NoCredentials: 401, BadCredentials: 401,
		controlplane.Denied: 403, controlplane.NotFound: 404, Conflict: 409, TooLarge: 413, TooMany: 429, Internal: 500,
	} {
		if got := honestStatus(code); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
		if got := awsStatus(code); got != 400 && code != Internal {
			t.Errorf("%s on the AWS surface: %d", code, got)
		}
	}
}

// TestInternalErrors: a fault of ours is not shown, and a panic is one, which is never
// taken for an answer (requirement R169 in part).
func TestInternalErrors(t *testing.T) {
	faulty := &handler{}
	for name, run := range map[string]func() (any, error){
		"error":       func() (any, error) { return nil, errors.New("open /secret/path: disk on fire") },
		"panic":       func() (any, error) { panic("secret") },
		"unencodable": func() (any, error) { return make(chan int), nil },
	} {
		a := Action{run: func(context.Context, *controlplane.ControlPlane, controlplane.Caller, []byte, unknown) (any, error) {
			return run()
		}}
		rep := faulty.act(t.Context(), call{surface: plainSurface()}, a, nil)
		if rep.status != 500 || rep.body != `{"__type":"InternalFailure","message":"internal error"}` || rep.err == nil || rep.err.Err == nil {
			t.Errorf("%s: %+v", name, rep)
		}
	}
}

// TestLog: one line a call, with who, what and how it ended, and nothing secret
// (requirements R8 in part, R79 in part, R81 and T-K29 in part).
func TestLog(t *testing.T) {
	s := newTestServer(t)
	before := s.log.String()
	stack := s.stack(t)
	_, token, _ := s.post(t, plainPath+"CreateJoinToken", `{"StackId":"`+stack+`"}`, nil)
	s.post(t, plainPath+"Bog%0aus", `{"Secret":"planted-body"}`, nil)
	s.post(t, plainPath+"DescribeStacks", `{"Secret":"planted-body"}`, nil)
	s.post(t, plainPath+"DescribeStacks", `{}`, func(r *http.Request) { r.SetBasicAuth(s.key.ID, "planted-secret") })
	s.aws(t, "Bogus x=y", `{}`)
	pasted := `{"SshPublicKey":"-----BEGIN PRIVATE KEY-----\nplanted-key\n-----END PRIVATE KEY-----\n"}`
	if _, answer := s.aws(t, "UpdateMyUserProfile", pasted); !strings.Contains(answer, authz.ErrKeyPrivate.Text) || strings.Contains(answer, "planted") {
		t.Errorf("a private key is answered with %s", answer)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimPrefix(s.log.String(), before), "\n") {
		if strings.Contains(line, "msg=call") {
			got = append(got, field(line, "action")+" "+field(line, "caller")+" "+field(line, "outcome"))
		}
	}
	const admin = "arn:aws:iam::000000000000:user/admin"
	want := []string{
		"CreateJoinToken " + admin + " ok",
		"DescribeStacks " + admin + " ValidationException",
		`DescribeStacks "" UnrecognizedClientException`,
		`"Bogus ` + admin + ` UnknownOperationException`, // quoted, so it cannot forge a field
		"UpdateMyUserProfile " + admin + " ValidationException",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var made controlplane.CreateJoinTokenResponse
	if err := json.Unmarshal([]byte(token), &made); err != nil || made.Token == "" {
		t.Fatalf("token: %s", token)
	}
	for _, secret := range []string{s.key.Secret, "planted", made.Token, made.Token[5:20]} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// field returns the value of a key in a line of slog's text form.
func field(line, key string) string {
	_, rest, _ := strings.Cut(line, " "+key+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}
