package authz_test

import (
	"strings"
	"testing"

	"latchkey/authz"
	"latchkey/authz/iam"
)

// stackARN is the resource of a stack of the tests.
const stackARN = "arn:aws:opsworks:us-east-1:000000000000:stack/11111111-1111-4111-8111-111111111111/"

// rights holds built-in policies by name, and documents that begin with {.
func rights(t *testing.T, boundary string, policies ...string) authz.Rights {
	t.Helper()
	var held []authz.Policy
	for _, p := range policies {
		held = append(held, policy(t, p))
	}
	if boundary == "" {
		return authz.NewRights(held, nil)
	}
	b := policy(t, boundary)
	b.Origin = "boundary b"
	return authz.NewRights(held, &b)
}

func policy(t *testing.T, text string) authz.Policy {
	t.Helper()
	p := authz.Policy{Origin: "policy " + text}
	if text == "malformed" {
		return p
	}
	if strings.HasPrefix(text, "{") {
		p.Origin = "policy p"
		text = `{"Version":"2012-10-17","Statement":[` + text + `]}`
	} else {
		text = authz.BuiltinPolicy(text)
	}
	var err error
	if p.Document, err = iam.Parse([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func resource(t *testing.T, arn string) iam.Resource {
	t.Helper()
	r, err := iam.ParseResource(arn)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDecide holds R110 and R169 in part.
func TestDecide(t *testing.T) {
	const (
		on, off  = `"arn:aws:opsworks:*:*:stack/11111111-1111-4111-8111-111111111111/"`, `"arn:aws:opsworks:*:*:stack/22222222-2222-4222-8222-222222222222/"`
		byFull   = "policy LatchkeyFullAccess, Statement[0] Everything"
		allowAll = `{"Effect":"Allow","Action":"opsworks:*","Resource":"*"}`
	)
	stack := mustStack(t, "11111111-1111-4111-8111-111111111111")
	full := rights(t, "", authz.FullAccess)
	deny := func(action, where string) string {
		return `{"Sid":"No","Effect":"Deny","Action":"` + action + `","Resource":` + where + `}`
	}
	allow := func(action, where string) string {
		return `{"Effect":"Allow","Action":"` + action + `","Resource":` + where + `}`
	}
	for _, c := range []struct {
		name    string
		request authz.Request
		want    *authz.Refusal // nil: allowed
		rule    authz.Rule
		by      string // "": the reason's text
	}{
		{name: "zero-request", want: authz.ErrActionUnknown, rule: authz.RuleAction},
		{name: "unknown-action", request: authz.Request{Action: "opsworks:Nonsense", Stack: stack, Level: authz.LevelManage}, want: authz.ErrActionUnknown, rule: authz.RuleAction},
		{name: "unknown-action-with-full-access", request: authz.Request{Action: "opsworks:Nonsense", Rights: full}, want: authz.ErrActionUnknown, rule: authz.RuleAction},
		{name: "unknown-action-of-ours", request: authz.Request{Action: "Latchkey:Nonsense", Rights: full}, want: authz.ErrActionUnknown, rule: authz.RuleAction},
		{name: "action-without-prefix", request: authz.Request{Action: "DescribeStacks", Stack: stack, Level: authz.LevelManage, Rights: full}, want: authz.ErrActionUnknown, rule: authz.RuleAction},
		{name: "action-in-another-case", request: authz.Request{Action: "opsworks:describestacks", Stack: stack, Level: authz.LevelManage}, want: authz.ErrActionUnknown, rule: authz.RuleAction},

		{name: "zero-level-denies", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack}, want: authz.ErrLevelDeny, rule: authz.RuleLevel},
		{name: "deny-beats-full-access", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelDeny, Rights: full}, want: authz.ErrLevelDeny, rule: authz.RuleLevel},
		{name: "no-level-beyond-manage", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelManage + 1, Rights: full}, want: authz.ErrLevelDeny, rule: authz.RuleLevel},
		{name: "no-level-below-deny", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: -1, Rights: full}, want: authz.ErrLevelDeny, rule: authz.RuleLevel},
		{name: "deny-says-nothing-of-the-account", request: authz.Request{Action: "opsworks:CreateStack", Stack: stack, Level: authz.LevelDeny, Rights: full}, rule: authz.RulePolicy, by: byFull},
		{name: "deny-holds-for-foreign-actions-on-the-stack", request: authz.Request{Action: "deploy:Ship", Stack: stack, Level: authz.LevelDeny, Rights: full}, want: authz.ErrLevelDeny, rule: authz.RuleLevel},

		{name: "iam-only-alone", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelIAMOnly}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "iam-only-and-full-access", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelIAMOnly, Rights: full}, rule: authz.RulePolicy, by: byFull},

		{name: "show-shows", request: authz.Request{Action: "opsworks:DescribeInstances", Stack: stack, Level: authz.LevelShow}, rule: authz.RuleLevel, by: "level show"},
		{name: "show-grants-access", request: authz.Request{Action: "opsworks:GrantAccess", Stack: stack, Level: authz.LevelShow}, rule: authz.RuleLevel, by: "level show"},
		{name: "show-does-not-deploy", request: authz.Request{Action: "opsworks:CreateDeployment", Stack: stack, Level: authz.LevelShow}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "show-does-not-see-permissions", request: authz.Request{Action: "opsworks:DescribePermissions", Stack: stack, Level: authz.LevelShow}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "deploy-deploys", request: authz.Request{Action: "opsworks:UpdateApp", Stack: stack, Level: authz.LevelDeploy}, rule: authz.RuleLevel, by: "level deploy"},
		{name: "deploy-does-not-manage", request: authz.Request{Action: "opsworks:SetPermission", Stack: stack, Level: authz.LevelDeploy}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "manage-manages", request: authz.Request{Action: "opsworks:SetPermission", Stack: stack, Level: authz.LevelManage}, rule: authz.RuleLevel, by: "level manage"},
		{name: "manage-makes-tokens", request: authz.Request{Action: "latchkey:CreateJoinToken", Stack: stack, Level: authz.LevelManage}, rule: authz.RuleLevel, by: "level manage"},
		{name: "deploy-makes-no-tokens", request: authz.Request{Action: "latchkey:CreateJoinToken", Stack: stack, Level: authz.LevelDeploy}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "no-level-clones", request: authz.Request{Action: "opsworks:CloneStack", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "no-level-creates-stacks", request: authz.Request{Action: "opsworks:CreateStack", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "no-level-manages-users", request: authz.Request{Action: "opsworks:UpdateUserProfile", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "no-level-gives-keys", request: authz.Request{Action: "latchkey:CreateAccessKey", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "no-level-knows-foreign-actions", request: authz.Request{Action: "deploy:Ship", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "level-needs-a-stack", request: authz.Request{Action: "opsworks:DescribeStacks", Level: authz.LevelManage}, want: authz.ErrNotGranted, rule: authz.RuleNone},

		{name: "explicit-deny-beats-level", request: authz.Request{Action: "opsworks:CreateLayer", Stack: stack, Level: authz.LevelManage, Rights: rights(t, "", deny("opsworks:CreateLayer", on))},
			want: iam.ErrDenied, rule: authz.RulePolicy, by: "policy p, Statement[0] No, denies it"},
		{name: "explicit-deny-beats-full-access", request: authz.Request{Action: "opsworks:CreateLayer", Stack: stack, Level: authz.LevelIAMOnly, Rights: rights(t, "", authz.FullAccess, deny("*", on))},
			want: iam.ErrDenied, rule: authz.RulePolicy, by: "policy p, Statement[0] No, denies it"},
		{name: "deny-elsewhere", request: authz.Request{Action: "opsworks:CreateLayer", Stack: stack, Level: authz.LevelManage, Rights: rights(t, "", deny("*", off))},
			rule: authz.RuleLevel, by: "level manage"},
		{name: "policy-on-the-stack", request: authz.Request{Action: "opsworks:CloneStack", Stack: stack, Level: authz.LevelShow, Rights: rights(t, "", allow("opsworks:CloneStack", on))},
			rule: authz.RulePolicy, by: "policy p, Statement[0]"},
		{name: "policy-on-another-stack", request: authz.Request{Action: "opsworks:CloneStack", Stack: stack, Level: authz.LevelManage, Rights: rights(t, "", allow("opsworks:CloneStack", off))},
			want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "account-action-needs-everything", request: authz.Request{Action: "opsworks:CreateStack", Stack: stack, Level: authz.LevelManage, Rights: rights(t, "", allow("opsworks:CreateStack", on))},
			want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "foreign-action-by-policy", request: authz.Request{Action: "deploy:Ship", Stack: stack, Level: authz.LevelIAMOnly, Rights: rights(t, "", allow("deploy:*", on))},
			rule: authz.RulePolicy, by: "policy p, Statement[0]"},
		{name: "malformed-policy-denies", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelManage, Rights: rights(t, "", authz.FullAccess, "malformed")},
			want: iam.ErrPolicy, rule: authz.RulePolicy, by: "policy malformed is malformed"},

		{name: "boundary-limits-policies", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelIAMOnly, Rights: rights(t, allow("opsworks:Describe*", on), authz.FullAccess)},
			want: iam.ErrBoundaryLimit, rule: authz.RuleBoundary},
		{name: "boundary-limits-levels", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelManage, Rights: rights(t, allow("opsworks:Describe*", on))},
			want: iam.ErrBoundaryLimit, rule: authz.RuleBoundary},
		{name: "boundary-limits-self-management", request: authz.Request{Action: "opsworks:UpdateMyUserProfile", SelfManagement: true, Rights: rights(t, allow("opsworks:DescribeStacks", on))},
			want: iam.ErrBoundaryLimit, rule: authz.RuleBoundary},
		{name: "boundary-grants-nothing", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelIAMOnly, Rights: rights(t, allowAll)},
			want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "boundary-denies", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelManage, Rights: rights(t, deny("*", on), authz.FullAccess)},
			want: iam.ErrBoundaryDeny, rule: authz.RuleBoundary, by: "boundary b, Statement[0] No, denies it"},
		{name: "boundary-lets-a-level-be", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelManage, Rights: rights(t, allowAll)},
			rule: authz.RuleLevel, by: "level manage"},
		{name: "malformed-boundary-denies", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelManage, Rights: rights(t, "malformed", authz.FullAccess)},
			want: iam.ErrPolicy, rule: authz.RuleBoundary, by: "boundary b is malformed"},

		{name: "self-management", request: authz.Request{Action: "opsworks:UpdateMyUserProfile", SelfManagement: true}, rule: authz.RuleSelfManagement, by: "self-management"},
		{name: "without-self-management", request: authz.Request{Action: "opsworks:UpdateMyUserProfile", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "self-management-of-others", request: authz.Request{Action: "opsworks:UpdateUserProfile", SelfManagement: true}, want: authz.ErrNotGranted, rule: authz.RuleNone},
		{name: "self-with-full-access", request: authz.Request{Action: "opsworks:DescribeMyUserProfile", Rights: full}, rule: authz.RulePolicy, by: byFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.request.Resource = resource(t, stackARN)
			got := authz.Decide(c.request)
			if c.want != nil && c.by == "" {
				c.by = c.want.Text
			}
			if got.Reason != c.want || got.Allowed() != (c.want == nil) || got.By != c.by || got.Rule != c.rule {
				t.Errorf("got %+v, want %v by %s: %s", got, c.want, c.rule, c.by)
			}
		})
	}
}

// TestDecide_NoResource: a request whose resource nobody parsed is denied.
func TestDecide_NoResource(t *testing.T) {
	got := authz.Decide(authz.Request{Action: "opsworks:DescribeStacks", Rights: rights(t, "", authz.FullAccess)})
	if got.Allowed() || got.Reason != iam.ErrRequest {
		t.Errorf("got %+v", got)
	}
}

// TestDecide_OwnKeys is the idiom by which people are given their own access keys.
func TestDecide_OwnKeys(t *testing.T) {
	own := rights(t, "", `{"Effect":"Allow","Action":"latchkey:*AccessKey*","Resource":"arn:aws:iam::*:user/${aws:username}"}`)
	alice, err := authz.ParseARN("arn:aws:iam::000000000000:user/alice")
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := iam.NewContext(authz.Circumstances{Principal: authz.Profile{ARN: alice}}.Keys())
	if err != nil {
		t.Fatal(err)
	}
	for arn, want := range map[string]bool{alice.String(): true, "arn:aws:iam::000000000000:user/bob": false, "*": false} {
		got := authz.Decide(authz.Request{Action: "latchkey:CreateAccessKey", Resource: resource(t, arn), Rights: own, Context: ctx})
		if got.Allowed() != want {
			t.Errorf("%s: %+v", arn, got)
		}
	}
}

func TestParseLevel(t *testing.T) {
	for s, want := range map[string]authz.Level{
		"deny": authz.LevelDeny, "iam_only": authz.LevelIAMOnly, "show": authz.LevelShow, "deploy": authz.LevelDeploy, "manage": authz.LevelManage,
	} {
		if got, err := authz.ParseLevel(s); err != nil || got != want || got.String() != s {
			t.Errorf("%s: got %v, error %v", s, got, err)
		}
	}
	for _, s := range []string{"", "Deny", "MANAGE", "iam only", "manage ", "5"} {
		if got, err := authz.ParseLevel(s); err != error(authz.ErrLevel) || got != authz.LevelDeny {
			t.Errorf("%q: got %v, error %v", s, got, err)
		}
	}
	if got := authz.Level(99).String(); got != "deny" {
		t.Errorf("a level that is none prints as %q", got)
	}
}

func mustStack(t testing.TB, s string) authz.StackID {
	t.Helper()
	id, err := authz.ParseStackID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
