package controlplane_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane"
	"latchkey/controlplane/store"
)

// holding is what a user of these tests holds, besides his level.
type holding struct {
	inline   []string          // statements, a policy each
	managed  []string          // names of built-in policies
	boundary string            // a statement
	tags     map[string]string // his own
	group    string            // name, whose inline policy allows latchkey:* on *
}

// hold makes a user who holds so much, past the use cases.
func (p *plane) hold(t *testing.T, name string, h holding) {
	t.Helper()
	p.user(t, name)
	ctx := t.Context()
	err := p.cfg.Store.Write(ctx, store.Entry{At: noon, Actor: "test", Action: "test"}, func(tx *store.Tx) error {
		u, err := tx.UserByARN(ctx, as(name).ARN)
		by := store.HeldByUser(u.ID)
		for i, s := range h.inline {
			err = errors.Join(err, tx.PutInlinePolicy(ctx, by, store.InlinePolicy{Name: fmt.Sprintf("p%d", i+1), Document: statements(s)}))
		}
		for _, m := range h.managed {
			err = errors.Join(err, tx.AttachPolicy(ctx, by, m))
		}
		if h.boundary != "" {
			err = errors.Join(err, tx.PutManagedPolicy(ctx, name+"-limit", statements(h.boundary)), tx.SetBoundary(ctx, u.ID, name+"-limit"))
		}
		for key, value := range h.tags {
			err = errors.Join(err, tx.SetTag(ctx, store.OfUser(u.ID), store.Tag{Key: key, Value: value}))
		}
		if h.group != "" {
			grants := store.InlinePolicy{Name: "own", Document: statements(`{"Effect":"Allow","Action":"latchkey:*","Resource":"*"}`)}
			err = errors.Join(err, tx.InsertGroup(ctx, h.group), tx.AddMember(ctx, h.group, u.ID),
				tx.PutInlinePolicy(ctx, store.HeldByGroup(h.group), grants))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func statements(s string) []byte {
	return []byte(`{"Version":"2012-10-17","Statement":[` + s + `]}`)
}

func (p *plane) stackARN(stack string) string {
	return "arn:aws:opsworks:eu-west-1:123456789012:stack/" + stack + "/"
}

func (p *plane) tagStack(t *testing.T, stack, key, value string) {
	t.Helper()
	req := controlplane.TagResourceRequest{ResourceArn: p.stackARN(stack), Tags: map[string]string{key: value}}
	if _, err := p.TagResource(t.Context(), p.admin, req); err != nil {
		t.Fatal(err)
	}
}

// asker is the administrator, on a request of his own that policies of these tests
// would allow.
func (p *plane) asker() controlplane.Caller {
	caller := p.admin
	caller.SourceIP, caller.UserAgent, caller.Secure = "192.0.2.7", "test", true
	return caller
}

func (p *plane) authorize(t *testing.T, req controlplane.AuthorizeRequest) controlplane.AuthorizeResponse {
	t.Helper()
	got, err := p.Authorize(t.Context(), p.asker(), req)
	if err != nil {
		t.Fatalf("%+v: %v", req, err)
	}
	return got
}

// brief prints a decision on one line.
func brief(d controlplane.AuthorizeResponse) string {
	text := d.Decision + " " + d.Rule
	if d.Reason != "" {
		text += " " + d.Reason
	}
	if d.Policy != "" {
		text += " by " + d.Policy
	}
	if d.Statement != nil {
		text += fmt.Sprintf(" [%d]%s", *d.Statement, d.Sid)
	}
	if d.Level != "" {
		text += " at " + d.Level
	}
	return text
}

// TestControlPlane_Authorize: level × policy × boundary, resources of every kind, tags
// and circumstances, each alone and all in one batch.
func TestControlPlane_Authorize(t *testing.T) {
	p := newPlane(t)
	web, db := p.stack(t, "web"), p.stack(t, "db")
	p.tagStack(t, web, "team", "red")
	instance, _ := p.instance(t, web)
	allow := func(action, more string) string {
		return `{"Sid":"Yes","Effect":"Allow","Action":"` + action + `","Resource":"*"` + more + `}`
	}
	for level := authz.LevelDeny; level <= authz.LevelManage; level++ {
		name := level.String()
		p.user(t, name)
		p.grant(t, web, name, name, false, false)
		p.hold(t, name+"-full", holding{managed: []string{authz.FullAccess}})
		p.grant(t, web, name+"-full", name, false, false)
		p.hold(t, name+"-bounded", holding{boundary: allow("opsworks:Describe*", "")})
		p.grant(t, web, name+"-bounded", name, false, false)
	}
	p.hold(t, "stopless", holding{inline: []string{`{"Sid":"No","Effect":"Deny","Action":"opsworks:StopInstance","Resource":"` + p.stackARN(web) + `"}`}})
	p.grant(t, web, "stopless", "manage", false, false)
	p.hold(t, "by-address", holding{inline: []string{allow("*", `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`)}})
	p.hold(t, "by-time", holding{inline: []string{allow("*", `,"Condition":{"DateLessThan":{"aws:CurrentTime":"2026-03-02T00:00:00Z"}}`)}})
	p.hold(t, "by-epoch", holding{inline: []string{allow("*", `,"Condition":{"NumericLessThan":{"aws:EpochTime":"1772409600"}}`)}})
	p.hold(t, "by-tls", holding{inline: []string{allow("*", `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`)}})
	p.hold(t, "by-tag", holding{tags: map[string]string{"team": "red"},
		inline: []string{allow("*", `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`)}})
	p.hold(t, "by-request-tag", holding{inline: []string{allow("*", `,"Condition":{"StringEquals":{"aws:RequestTag/team":"red"}}`)}})
	p.hold(t, "by-name", holding{inline: []string{`{"Effect":"Allow","Action":"latchkey:*","Resource":"arn:aws:iam::*:user/${aws:username}"}`}})
	p.hold(t, "member", holding{group: "helpers"})
	p.hold(t, "broken", holding{inline: []string{`{"Effect":"Perhaps"}`}})
	p.user(t, "enters", keyOne)
	p.grant(t, web, "enters", "show", true, false)
	p.user(t, "selfish")
	if _, err := p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn("selfish"), AllowSelfManagement: ptr(true)}); err != nil {
		t.Fatal(err)
	}

	type context = map[string][]string
	const byFull = "allowed policy by policy LatchkeyFullAccess [0]Everything"
	var batch controlplane.BatchAuthorizeRequest
	var single []controlplane.AuthorizeResponse
	for _, tc := range []struct {
		who, action, resource string
		context               context
		want, on              string // on: the resource in the answer; "": the one given
	}{
		{"deny", "opsworks:DescribeStacks", web, nil, "explicitDeny level level_deny at deny", p.stackARN(web)},
		{"iam_only", "opsworks:DescribeStacks", web, nil, "implicitDeny none not_granted at iam_only", p.stackARN(web)},
		{"show", "opsworks:DescribeStacks", p.stackARN(web), nil, "allowed level at show", ""},
		{"show", "opsworks:describestacks", strings.TrimSuffix(p.stackARN(web), "/"), nil, "allowed level at show", p.stackARN(web)},
		{"show", "opsworks:CreateDeployment", web, nil, "implicitDeny none not_granted at show", p.stackARN(web)},
		{"deploy", "opsworks:CreateDeployment", web, nil, "allowed level at deploy", p.stackARN(web)},
		{"deploy", "opsworks:CreateDeployment", db, nil, "implicitDeny none not_granted at iam_only", p.stackARN(db)},
		{"deploy", "opsworks:CreateDeployment", noStack, nil, "implicitDeny none not_granted at iam_only", p.stackARN(noStack)},
		{"deploy", "opsworks:CreateDeployment", "*", nil, "implicitDeny none not_granted", ""},
		{"deploy", "opsworks:CreateDeployment", "", nil, "implicitDeny none not_granted", "*"},
		{"manage", "opsworks:StopInstance", web, nil, "allowed level at manage", p.stackARN(web)},
		{"manage", "opsworks:CloneStack", web, nil, "implicitDeny none not_granted at manage", p.stackARN(web)},
		{"manage", "opsworks:CreateStack", web, nil, "implicitDeny none not_granted", "*"},
		{"manage", "latchkey:ListAccess", web, nil, "allowed level at manage", p.stackARN(web)},
		{"manage", "opsworks:StopInstance", p.instanceARN(instance), nil, "allowed level at manage", p.stackARN(web)},
		{"manage", "opsworks:StopInstance", p.instanceARN(noStack), nil, "implicitDeny none not_granted", "*"},
		{"manage", "opsworks:Bogus", web, nil, "implicitDeny action action_unknown at manage", p.stackARN(web)},
		{"manage", "latchkey:Bogus", "", nil, "implicitDeny action action_unknown", "*"},
		{"manage", "ec2:StopInstances", web, nil, "implicitDeny none not_granted at manage", p.stackARN(web)},

		{"deny-full", "opsworks:DescribeStacks", web, nil, "explicitDeny level level_deny at deny", p.stackARN(web)},
		{"deny-full", "opsworks:DescribeStacks", db, nil, byFull + " at iam_only", p.stackARN(db)},
		{"deny-full", "opsworks:CreateStack", "", nil, byFull, "*"},
		{"iam_only-full", "opsworks:DeleteStack", web, nil, byFull + " at iam_only", p.stackARN(web)},
		{"manage-full", "opsworks:DeleteStack", web, nil, byFull + " at manage", p.stackARN(web)},
		{"iam_only-full", "ec2:StopInstances", "arn:aws:ec2:eu-west-1:1:instance/i-1", nil, byFull, ""},
		{"iam_only-full", "opsworks:Bogus", "", nil, "implicitDeny action action_unknown", "*"},

		{"show-bounded", "opsworks:DescribeStacks", web, nil, "allowed level at show", p.stackARN(web)},
		{"manage-bounded", "opsworks:DescribeStacks", web, nil, "allowed level at manage", p.stackARN(web)},
		{"manage-bounded", "opsworks:StopInstance", web, nil, "implicitDeny boundary boundary_silent at manage", p.stackARN(web)},
		{"iam_only-bounded", "opsworks:StopInstance", web, nil, "implicitDeny none not_granted at iam_only", p.stackARN(web)},
		{"deny-bounded", "opsworks:DescribeStacks", web, nil, "explicitDeny level level_deny at deny", p.stackARN(web)},

		{"stopless", "opsworks:StopInstance", web, nil, "explicitDeny policy policy_denies by inline policy p1 [0]No at manage", p.stackARN(web)},
		{"stopless", "opsworks:StopInstance", p.instanceARN(instance), nil, "explicitDeny policy policy_denies by inline policy p1 [0]No at manage", p.stackARN(web)},
		{"stopless", "opsworks:StartInstance", web, nil, "allowed level at manage", p.stackARN(web)},
		{"broken", "opsworks:DescribeStacks", web, nil, "explicitDeny policy policy_malformed by inline policy p1 at iam_only", p.stackARN(web)},
		{"member", "latchkey:CreateGroup", "", nil, "allowed policy by inline policy own of group helpers [0]", "*"},

		// What the question does not say is not known, whatever the caller's request is like.
		{"by-address", "opsworks:CreateStack", "", nil, "implicitDeny none not_granted", "*"},
		{"by-address", "opsworks:CreateStack", "", context{"aws:SourceIp": {"192.0.2.7"}}, "allowed policy by inline policy p1 [0]Yes", "*"},
		{"by-address", "opsworks:CreateStack", "", context{"AWS:SOURCEIP": {"198.51.100.7"}}, "implicitDeny none not_granted", "*"},
		{"by-address", "opsworks:CreateStack", "", context{"aws:SourceIp": {}}, "implicitDeny none not_granted", "*"},
		{"by-tls", "opsworks:CreateStack", "", nil, "implicitDeny none not_granted", "*"},
		{"by-tls", "opsworks:CreateStack", "", context{"aws:SecureTransport": {"true"}}, "allowed policy by inline policy p1 [0]Yes", "*"},
		{"by-time", "opsworks:CreateStack", "", nil, "allowed policy by inline policy p1 [0]Yes", "*"},
		{"by-time", "opsworks:CreateStack", "", context{"aws:CurrentTime": {"2026-03-02T01:00:00+01:00"}}, "implicitDeny none not_granted", "*"},
		{"by-time", "opsworks:CreateStack", "", context{"aws:EpochTime": {"1772409600"}}, "implicitDeny none not_granted", "*"},
		{"by-time", "opsworks:CreateStack", "", context{"aws:CurrentTime": {}}, "implicitDeny none not_granted", "*"},
		{"by-epoch", "opsworks:CreateStack", "", nil, "allowed policy by inline policy p1 [0]Yes", "*"},
		{"by-epoch", "opsworks:CreateStack", "", context{"aws:CurrentTime": {"2026-03-02T00:00:00Z"}}, "implicitDeny none not_granted", "*"},
		{"by-tag", "opsworks:StopInstance", web, nil, "allowed policy by inline policy p1 [0]Yes at iam_only", p.stackARN(web)},
		{"by-tag", "opsworks:StopInstance", p.instanceARN(instance), nil, "allowed policy by inline policy p1 [0]Yes at iam_only", p.stackARN(web)},
		{"by-tag", "opsworks:StopInstance", db, nil, "implicitDeny none not_granted at iam_only", p.stackARN(db)},
		{"by-tag", "latchkey:TagUser", arn("by-tag"), nil, "allowed policy by inline policy p1 [0]Yes", ""},
		{"by-tag", "latchkey:TagUser", arn("by-name"), nil, "implicitDeny none not_granted", ""},
		{"by-tag", "opsworks:DescribeUserProfiles", web, nil, "implicitDeny none not_granted", "*"}, // the account has no tags
		{"by-request-tag", "opsworks:TagResource", web, context{"aws:RequestTag/team": {"red"}}, "allowed policy by inline policy p1 [0]Yes at iam_only", p.stackARN(web)},
		{"by-request-tag", "opsworks:TagResource", web, nil, "implicitDeny none not_granted at iam_only", p.stackARN(web)},
		{"by-name", "latchkey:CreateAccessKey", arn("by-name"), nil, "allowed policy by inline policy p1 [0]", ""},
		{"by-name", "latchkey:CreateAccessKey", arn("by-tag"), nil, "implicitDeny none not_granted", ""},
		{"by-name", "latchkey:CreateAccessKey", arn("nobody"), nil, "implicitDeny none not_granted", ""},

		{"selfish", "opsworks:UpdateMyUserProfile", "", nil, "allowed self-management", "*"},
		{"selfish", "opsworks:UpdateMyUserProfile", web, nil, "allowed self-management", "*"},
		{"show", "opsworks:UpdateMyUserProfile", "", nil, "implicitDeny none not_granted", "*"},
		{"nobody", "opsworks:CreateStack", "", nil, "implicitDeny user user_unknown", "*"},
		{"nobody", "opsworks:StopInstance", web, nil, "implicitDeny user user_unknown", p.stackARN(web)},

		// GrantAccess is for those who may enter.
		{"show", "opsworks:GrantAccess", web, nil, "implicitDeny none ssh_not_allowed at show", p.stackARN(web)},
		{"enters", "opsworks:GrantAccess", p.instanceARN(instance), nil, "allowed level at show", p.stackARN(web)},
		{"iam_only-full", "opsworks:GrantAccess", web, nil, "implicitDeny none ssh_not_allowed at iam_only", p.stackARN(web)},
	} {
		req := controlplane.AuthorizeRequest{IamUserArn: arn(tc.who), Action: tc.action, Resource: tc.resource, Context: tc.context}
		got := p.authorize(t, req)
		on := tc.on
		if on == "" {
			on = tc.resource
		}
		if brief(got) != tc.want || got.Resource != on || got.Text == "" {
			t.Errorf("%s %s on %q with %v:\ngot  %s on %s\nwant %s on %s", tc.who, tc.action, tc.resource, tc.context, brief(got), got.Resource, tc.want, on)
		}
		batch.Questions, single = append(batch.Questions, req), append(single, got)
	}
	all, err := p.BatchAuthorize(t.Context(), p.asker(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(single, all.Decisions); diff != "" {
		t.Errorf("a batch answers otherwise (-alone +batch):\n%s", diff)
	}
}

func (p *plane) instanceARN(id string) string {
	return "arn:aws:opsworks:eu-west-1:123456789012:instance/" + id
}

// A permission that ends takes its level along, and a question about a time to come
// knows.
func TestControlPlane_Authorize_Expiry(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "web")
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{
		StackId: stack, IamUserArn: arn("alice"), Level: ptr("manage"), AllowSsh: ptr(true), ExpiresAt: ptr("2026-03-01T13:00:00Z"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"opsworks:StopInstance", "opsworks:GrantAccess"} {
		ask := func(context map[string][]string) bool {
			got := p.authorize(t, controlplane.AuthorizeRequest{IamUserArn: arn("alice"), Action: action, Resource: stack, Context: context})
			return got.Decision == "allowed"
		}
		p.clock.Store(noon.Unix())
		if !ask(nil) || !ask(map[string][]string{"aws:CurrentTime": {"2026-03-01T12:59:59Z"}}) {
			t.Errorf("%s: denied before the end", action)
		}
		if ask(map[string][]string{"aws:CurrentTime": {"2026-03-01T13:00:00Z"}}) || ask(map[string][]string{"aws:EpochTime": {"1772370000"}}) {
			t.Errorf("%s: allowed at the end", action)
		}
		p.pass(time.Hour)
		if ask(nil) {
			t.Errorf("%s: allowed after the end", action)
		}
	}
}

// TestAuthorize_Agrees: for every action that the authoriser knows, and everybody,
// Authorize says what the use cases are told.
func TestAuthorize_Agrees(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	id := must(authz.ParseStackID(stack))
	names := []string{"admin", "reader", "owner", "bounded"}
	p.hold(t, "reader", holding{managed: []string{authz.ReadOnly}})
	p.hold(t, "owner", holding{inline: []string{`{"Effect":"Allow","Action":"latchkey:*","Resource":"` + arn("owner") + `"}`}})
	p.hold(t, "bounded", holding{managed: []string{authz.OpsWorksFullAccess}, boundary: `{"Effect":"Allow","NotAction":"opsworks:Delete*","Resource":"*"}`})
	for level := authz.LevelDeny; level <= authz.LevelManage; level++ {
		p.user(t, level.String())
		p.grant(t, stack, level.String(), level.String(), true, false)
		names = append(names, level.String())
	}
	asked, allowed := 0, 0
	for _, action := range authz.Actions() {
		for _, name := range names {
			resource, err := "", error(nil)
			switch action.Rule().Scope {
			case authz.ScopeStack:
				resource, err = stack, p.MayAct(t.Context(), as(name), action, id)
			case authz.ScopeUser:
				resource, err = arn("owner"), p.MayActOnUser(t.Context(), as(name), action, as("owner").ARN)
			default:
				err = p.MayAct(t.Context(), as(name), action, authz.StackID{})
			}
			got := p.authorize(t, controlplane.AuthorizeRequest{IamUserArn: arn(name), Action: string(action), Resource: resource})
			if denial := (*controlplane.Error)(nil); err != nil && (!errors.As(err, &denial) || denial.Code != controlplane.Denied) {
				t.Fatal(err)
			}
			enters := action != "opsworks:GrantAccess" || got.Reason != "ssh_not_allowed"
			if (got.Decision == "allowed") != (err == nil) && enters {
				t.Errorf("%s by %s: %s, acting: %v", action, name, brief(got), err)
			}
			asked++
			if err == nil {
				allowed++
			}
		}
	}
	if asked < 900 || allowed < 300 || allowed > asked/2 {
		t.Errorf("%d of %d are allowed: the test tells nothing", allowed, asked)
	}
}

// The ten examples of the original's user guide and what it says of them, with real
// levels and policies.
func TestAuthorize_GuideExamples(t *testing.T) {
	p := newPlane(t)
	const full = `{"Effect":"Allow","Action":["opsworks:*","ec2:DescribeAvailabilityZones","iam:PassRole"],"Resource":"*"}`
	stack := p.stack(t, "web")
	wild := `"arn:aws:opsworks:*:*:stack/` + stack + `/"`
	for _, c := range []struct{ name, level, policy, may, mayNot string }{
		{"e1", "manage", `{"Effect":"Deny","Action":"opsworks:StopInstance","Resource":` + wild + `}`, "DescribeStacks CreateLayer", "StopInstance"},
		{"e2", "manage", `{"Effect":"Deny","Action":["opsworks:CreateLayer","opsworks:DeleteLayer"],"Resource":` + wild + `}`, "StopInstance SetPermission", "CreateLayer DeleteLayer"},
		{"e3", "manage", `{"Effect":"Allow","Action":["opsworks:CreateStack","opsworks:CloneStack"],"Resource":"*"}`, "CreateStack CloneStack StopInstance", "DescribeUserProfiles"},
		{"e4", "manage", `{"Effect":"Deny","Action":["opsworks:RegisterVolume","opsworks:RegisterElasticIp"],"Resource":"*"}`, "DeregisterVolume DeregisterElasticIp CreateApp", "RegisterVolume RegisterElasticIp"},
		{"e5", "manage", `{"Effect":"Allow","Action":["opsworks:DescribeUserProfiles","opsworks:CreateUserProfile","opsworks:DeleteUserProfile","iam:ListUsers"],"Resource":"*"}`,
			"DescribeUserProfiles CreateUserProfile DeleteUserProfile StopInstance", "UpdateUserProfile CreateStack"},
		{"e6", "deploy", `{"Effect":"Allow","Action":["opsworks:CreateApp","opsworks:DeleteApp"],"Resource":` + wild + `}`, "CreateApp DeleteApp CreateDeployment", "CreateLayer"},
		{"e7", "deploy", `{"Effect":"Allow","Action":"opsworks:CreateLayer","Resource":` + wild + `}`, "CreateLayer UpdateApp", "DeleteLayer"},
		{"e8", "deny", full, "CreateStack", "DescribeStacks StopInstance SetPermission"},
		{"e9", "iam_only", "", "", "DescribeStacks StopInstance CreateStack"},
		{"e10", "iam_only", full, "DescribeStacks StopInstance SetPermission CreateStack DescribeUserProfiles", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := holding{}
			if c.policy != "" {
				h.inline = []string{c.policy}
			}
			p.hold(t, c.name, h)
			p.grant(t, stack, c.name, c.level, false, false)
			for want, actions := range map[bool]string{true: c.may, false: c.mayNot} {
				for action := range strings.FieldsSeq(actions) {
					got := p.authorize(t, controlplane.AuthorizeRequest{IamUserArn: arn(c.name), Action: "opsworks:" + action, Resource: stack})
					if (got.Decision == "allowed") != want {
						t.Errorf("%s: %s", action, brief(got))
					}
				}
			}
		})
	}
}

func TestControlPlane_Authorize_Refuses(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	good := controlplane.AuthorizeRequest{IamUserArn: adminARN, Action: "opsworks:CreateStack"}
	with := func(key string, values ...string) func(*controlplane.AuthorizeRequest) {
		return func(r *controlplane.AuthorizeRequest) { r.Context = map[string][]string{key: values} }
	}
	about := func(resource string) func(*controlplane.AuthorizeRequest) {
		return func(r *controlplane.AuthorizeRequest) { r.Resource = resource }
	}
	const noResource, noAction = "neither * nor an ARN of six parts without wildcards", "not an action of the form service:Name"
	const notOurs, noEpoch = "not the ARN of a stack or an instance of this control plane", "aws:EpochTime is not a number of seconds since 1970"
	const noTime = "aws:CurrentTime is not a time like 2026-08-01T22:53:42Z"
	for name, tc := range map[string]struct {
		change func(*controlplane.AuthorizeRequest)
		want   string
	}{
		"no-user":         {func(r *controlplane.AuthorizeRequest) { r.IamUserArn = "" }, "IamUserArn: " + authz.ErrARN.Text},
		"user-malformed":  {func(r *controlplane.AuthorizeRequest) { r.IamUserArn = "alice" }, "IamUserArn: " + authz.ErrARN.Text},
		"no-action":       {func(r *controlplane.AuthorizeRequest) { r.Action = "" }, "Action: " + noAction},
		"action-bare":     {func(r *controlplane.AuthorizeRequest) { r.Action = "CreateStack" }, "Action: " + noAction},
		"action-wild":     {func(r *controlplane.AuthorizeRequest) { r.Action = "opsworks:*" }, "Action: " + noAction},
		"resource-word":   {about("web"), "Resource: " + noResource},
		"resource-wild":   {about("arn:aws:opsworks:*:*:stack/" + stack + "/"), "Resource: " + noResource},
		"resource-upper":  {about(p.stackARN(strings.ToUpper(stack))), "Resource: " + notOurs},
		"resource-layer":  {about(p.stackARN(stack) + "layer/x"), "Resource: " + notOurs},
		"resource-app":    {about("arn:aws:opsworks:eu-west-1:123456789012:app/x"), "Resource: " + notOurs},
		"resource-i":      {about(p.instanceARN("i-1")), "Resource: " + notOurs},
		"username":        {with("aws:username", "bob"), "Context: aws:username is for the control plane to say"},
		"username-case":   {with("AWS:UserName", "bob"), "Context: AWS:UserName is for the control plane to say"},
		"userid":          {with("aws:userid"), "Context: aws:userid is for the control plane to say"},
		"principal-arn":   {with("aws:PrincipalArn", "x"), "Context: aws:PrincipalArn is for the control plane to say"},
		"principal-tag":   {with("aws:PrincipalTag/team", "x"), "Context: aws:PrincipalTag/team is for the control plane to say"},
		"principal-other": {with("aws:PrincipalOrgID", "x"), "Context: aws:PrincipalOrgID is for the control plane to say"},
		"resource-tag":    {with("aws:ResourceTag/team", "x"), "Context: aws:ResourceTag/team is for the control plane to say"},
		"groups":          {with("latchkey:PrincipalGroups", "x"), "Context: latchkey:PrincipalGroups is for the control plane to say"},
		"token":           {with("aws:TokenIssueTime", "x"), "Context: aws:TokenIssueTime is for the control plane to say"},
		"key-hostile":     {with("aws:PrincipalTag/\x1b[2J\u202ex", "x"), "Context: aws:PrincipalTag/[2Jx is for the control plane to say"},
		"key-empty":       {with("", "x"), "Context: a context key is empty, or is given twice in different case"},
		"key-twice": {func(r *controlplane.AuthorizeRequest) {
			r.Context = map[string][]string{"aws:SourceIp": {"192.0.2.1"}, "aws:sourceip": {"192.0.2.1"}}
		}, "Context: a context key is empty, or is given twice in different case"},
		"time-word":   {with("aws:CurrentTime", "noon"), "Context: " + noTime},
		"time-two":    {with("aws:CurrentTime", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"), "Context: " + noTime},
		"epoch-word":  {with("aws:EpochTime", "noon"), "Context: " + noEpoch},
		"epoch-two":   {with("aws:EpochTime", "1", "2"), "Context: " + noEpoch},
		"epoch-huge":  {with("aws:EpochTime", "9223372036854775807"), "Context: " + noEpoch},
		"epoch-early": {with("aws:EpochTime", "-99999999999999"), "Context: " + noEpoch},
		"times-differ": {func(r *controlplane.AuthorizeRequest) {
			r.Context = map[string][]string{"aws:CurrentTime": {"2026-03-01T12:00:00Z"}, "aws:EpochTime": {"1"}}
		}, "Context: aws:EpochTime is not the second of aws:CurrentTime"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			tc.change(&bad)
			_, err := p.Authorize(t.Context(), p.admin, bad)
			expectError(t, err, controlplane.Invalid, strings.Replace(tc.want, "IamUserArn", "Iam User Arn", 1))
			_, err = p.BatchAuthorize(t.Context(), p.admin, controlplane.BatchAuthorizeRequest{
				Questions: []controlplane.AuthorizeRequest{good, good, good, bad},
			})
			expectError(t, err, controlplane.Invalid, "Questions[3]."+tc.want)
		})
	}
	for n, code := range map[int]controlplane.Code{0: controlplane.Invalid, 1: "", 1000: "", 1001: controlplane.Invalid} {
		_, err := p.BatchAuthorize(t.Context(), p.admin, controlplane.BatchAuthorizeRequest{
			Questions: slices.Repeat([]controlplane.AuthorizeRequest{good}, n),
		})
		expectError(t, err, code, "Questions: must be 1 to 1000")
	}
}

// Who may ask: about a user by policy on his ARN, about many on the account. The
// right to ask is not in a level, and not about oneself either.
func TestControlPlane_Authorize_WhoMayAsk(t *testing.T) {
	p := newPlane(t)
	p.hold(t, "helper", holding{inline: []string{`{"Effect":"Allow","Action":"latchkey:Authorize","Resource":"` + arn("alice") + `"}`}})
	p.user(t, "alice")
	about := func(name string) controlplane.AuthorizeRequest {
		return controlplane.AuthorizeRequest{IamUserArn: arn(name), Action: "opsworks:CreateStack"}
	}
	if _, err := p.Authorize(t.Context(), as("helper"), about("alice")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"bob", "helper"} {
		_, err := p.Authorize(t.Context(), as("helper"), about(name))
		expectError(t, err, controlplane.Denied, "User: "+arn("helper")+" is not authorized to perform: latchkey:Authorize on resource: "+
			arn(name)+" because no policy and no level allows it")
	}
	_, err := p.BatchAuthorize(t.Context(), as("helper"), controlplane.BatchAuthorizeRequest{Questions: []controlplane.AuthorizeRequest{about("alice")}})
	expectError(t, err, controlplane.Denied, "User: "+arn("helper")+
		" is not authorized to perform: latchkey:BatchAuthorize on resource: * because no policy and no level allows it")
}

// TestBatchAuthorize_Thousand prints how long a thousand questions take.
func TestBatchAuthorize_Thousand(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	var questions []controlplane.AuthorizeRequest
	for i := range 20 {
		stack := p.stack(t, fmt.Sprintf("stack-%d", i))
		p.grant(t, stack, "alice", []string{"show", "manage"}[i%2], false, false)
		for range 50 {
			questions = append(questions, controlplane.AuthorizeRequest{
				IamUserArn: arn("alice"), Action: "opsworks:StopInstance", Resource: stack, Context: map[string][]string{"aws:SourceIp": {"192.0.2.1"}},
			})
		}
	}
	began := time.Now()
	got, err := p.BatchAuthorize(t.Context(), p.admin, controlplane.BatchAuthorizeRequest{Questions: questions})
	t.Logf("%d questions about one user on 20 stacks: %v", len(questions), time.Since(began))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range got.Decisions {
		if want := (i/50)%2 == 1; (d.Decision == "allowed") != want || d.Resource != p.stackARN(questions[i].Resource) {
			t.Fatalf("question %d: %s on %s", i, brief(d), d.Resource)
		}
	}
	// The answer has no more than it must: this is what a deploy tool reads.
	text, err := json.Marshal(got.Decisions[0])
	want := `{"Decision":"implicitDeny","Reason":"not_granted","Rule":"none","Text":"no policy and no level allows it","Level":"show","Resource":"` +
		p.stackARN(questions[0].Resource) + `"}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}
