package authz_test

import (
	"testing"

	"latchkey/authz"
)

func TestDecide(t *testing.T) {
	stack := mustStack(t, "11111111-1111-4111-8111-111111111111")
	full := []authz.Policy{authz.FullAccess}
	none := authz.StackID{}
	for _, c := range []struct {
		name    string
		request authz.Request
		want    *authz.Refusal // nil: allowed
		by      string
	}{
		{name: "zero-request", want: authz.ErrActionUnknown},
		{name: "unknown-action", request: authz.Request{Action: "opsworks:Nonsense", Stack: stack, Level: authz.LevelManage}, want: authz.ErrActionUnknown},
		{name: "unknown-action-with-full-access", request: authz.Request{Action: "opsworks:Nonsense", Policies: full}, want: authz.ErrActionUnknown},
		{name: "action-without-prefix", request: authz.Request{Action: "DescribeStacks", Stack: stack, Level: authz.LevelManage, Policies: full}, want: authz.ErrActionUnknown},
		{name: "action-in-another-case", request: authz.Request{Action: "opsworks:describestacks", Stack: stack, Level: authz.LevelManage}, want: authz.ErrActionUnknown},

		{name: "zero-level-denies", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack}, want: authz.ErrLevelDeny},
		{name: "deny-beats-full-access", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelDeny, Policies: full}, want: authz.ErrLevelDeny},
		{name: "no-level-beyond-manage", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelManage + 1, Policies: full}, want: authz.ErrLevelDeny},
		{name: "no-level-below-deny", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: -1, Policies: full}, want: authz.ErrLevelDeny},
		{name: "deny-says-nothing-of-the-account", request: authz.Request{Action: "opsworks:CreateStack", Stack: stack, Level: authz.LevelDeny, Policies: full}, by: "policy AWSOpsWorks_FullAccess"},

		{name: "iam-only-alone", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelIAMOnly}, want: authz.ErrNotGranted},
		{name: "iam-only-and-full-access", request: authz.Request{Action: "opsworks:DeleteStack", Stack: stack, Level: authz.LevelIAMOnly, Policies: full}, by: "policy AWSOpsWorks_FullAccess"},
		{name: "another-policy", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelIAMOnly, Policies: []authz.Policy{"AWSOpsWorks_FullAccess2", ""}}, want: authz.ErrNotGranted},

		{name: "show-shows", request: authz.Request{Action: "opsworks:DescribeInstances", Stack: stack, Level: authz.LevelShow}, by: "level show"},
		{name: "show-grants-access", request: authz.Request{Action: "opsworks:GrantAccess", Stack: stack, Level: authz.LevelShow}, by: "level show"},
		{name: "show-does-not-deploy", request: authz.Request{Action: "opsworks:CreateDeployment", Stack: stack, Level: authz.LevelShow}, want: authz.ErrNotGranted},
		{name: "show-does-not-see-permissions", request: authz.Request{Action: "opsworks:DescribePermissions", Stack: stack, Level: authz.LevelShow}, want: authz.ErrNotGranted},
		{name: "deploy-deploys", request: authz.Request{Action: "opsworks:UpdateApp", Stack: stack, Level: authz.LevelDeploy}, by: "level deploy"},
		{name: "deploy-does-not-manage", request: authz.Request{Action: "opsworks:SetPermission", Stack: stack, Level: authz.LevelDeploy}, want: authz.ErrNotGranted},
		{name: "manage-manages", request: authz.Request{Action: "opsworks:SetPermission", Stack: stack, Level: authz.LevelManage}, by: "level manage"},
		{name: "manage-shows", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: stack, Level: authz.LevelManage}, by: "level manage"},
		{name: "manage-makes-tokens", request: authz.Request{Action: "latchkey:CreateJoinToken", Stack: stack, Level: authz.LevelManage}, by: "level manage"},
		{name: "deploy-makes-no-tokens", request: authz.Request{Action: "latchkey:CreateJoinToken", Stack: stack, Level: authz.LevelDeploy}, want: authz.ErrNotGranted},
		{name: "no-level-clones", request: authz.Request{Action: "opsworks:CloneStack", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted},
		{name: "no-level-creates-stacks", request: authz.Request{Action: "opsworks:CreateStack", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted},
		{name: "no-level-manages-users", request: authz.Request{Action: "opsworks:UpdateUserProfile", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted},

		{name: "level-needs-a-stack", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: none, Level: authz.LevelManage}, want: authz.ErrNotGranted},
		{name: "no-stack-and-full-access", request: authz.Request{Action: "opsworks:DescribeStacks", Stack: none, Policies: full}, by: "policy AWSOpsWorks_FullAccess"},

		{name: "self-management", request: authz.Request{Action: "opsworks:UpdateMyUserProfile", SelfManagement: true}, by: "self-management"},
		{name: "without-self-management", request: authz.Request{Action: "opsworks:UpdateMyUserProfile", Stack: stack, Level: authz.LevelManage}, want: authz.ErrNotGranted},
		{name: "self-management-of-others", request: authz.Request{Action: "opsworks:UpdateUserProfile", SelfManagement: true}, want: authz.ErrNotGranted},
		{name: "self-with-full-access", request: authz.Request{Action: "opsworks:DescribeMyUserProfile", Policies: full}, by: "policy AWSOpsWorks_FullAccess"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := authz.Decide(c.request)
			want := authz.Decision{Allowed: true, By: c.by}
			if c.want != nil {
				want = authz.Decision{Reason: c.want, By: c.want.Text}
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
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
