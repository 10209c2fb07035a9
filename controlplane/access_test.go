package controlplane_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

// who prints entries, a line each.
func who(all []controlplane.AccessEntry) string {
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "%s %s %s %d sudo=%t keys=%d %s\n", e.StackName, strings.TrimPrefix(e.IamUserArn, arn("")), e.SshUsername, e.Uid, e.Sudo, e.Keys, e.ExpiresAt)
	}
	return b.String()
}

func TestControlPlane_ListAccess(t *testing.T) {
	p := newPlane(t)
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		p.user(t, name)
	}
	if _, err := p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn("alice"), SshPublicKey: ptr(keyOne)}); err != nil {
		t.Fatal(err)
	}
	web, db, idle := p.stack(t, "web"), p.stack(t, "db"), p.stack(t, "idle")
	p.grant(t, web, "alice", "iam_only", true, true)
	p.grant(t, web, "bob", "manage", true, false)
	p.grant(t, web, "carol", "deny", true, true)
	p.grant(t, web, "dave", "show", false, true)
	p.grant(t, db, "alice", "show", true, false)
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{StackId: db, IamUserArn: arn("bob"), AllowSsh: ptr(true), ExpiresAt: ptr("2026-03-01T13:00:00Z")})
	if err != nil {
		t.Fatal(err)
	}
	uid := map[string]int64{}
	for _, e := range must(p.ListAccess(t.Context(), p.admin, controlplane.ListAccessRequest{StackId: web})).Access {
		uid[e.SshUsername] = e.Uid
	}
	aliceWeb := fmt.Sprintf("web alice alice %d sudo=true keys=1 \n", uid["alice"])
	bobWeb := fmt.Sprintf("web bob bob %d sudo=false keys=0 \n", uid["bob"])
	aliceDB := fmt.Sprintf("db alice alice %d sudo=false keys=1 \n", uid["alice"])
	bobDB := fmt.Sprintf("db bob bob %d sudo=false keys=0 2026-03-01T13:00:00+00:00\n", uid["bob"])

	for name, tc := range map[string]struct {
		caller      controlplane.Caller
		stack, user string
		code        controlplane.Code
		want        string
	}{
		"by-stack":                 {p.admin, web, "", "", aliceWeb + bobWeb},
		"by-stack-with-an-end":     {p.admin, db, "", "", aliceDB + bobDB},
		"by-stack-nobody":          {p.admin, idle, "", "", ""},
		"by-user":                  {p.admin, "", "alice", "", aliceDB + aliceWeb},
		"by-user-nowhere":          {p.admin, "", "dave", "", ""},
		"by-both":                  {p.admin, web, "alice", "", aliceWeb},
		"by-both-denied":           {p.admin, web, "carol", "", ""},
		"manager-of-the-stack":     {as("bob"), web, "", "", aliceWeb + bobWeb},
		"manager-about-a-user":     {as("bob"), "", "alice", "", aliceWeb},
		"manager-about-himself":    {as("bob"), "", "bob", "", bobWeb},
		"manager-of-another-stack": {as("bob"), db, "", controlplane.Denied, denial(p, "bob", "latchkey:ListAccess", "stack", db)},
		"own-where-he-sees":        {as("alice"), "", "alice", "", aliceDB},
		"own-on-a-stack-he-sees":   {as("alice"), db, "alice", "", aliceDB},
		"own-on-one-he-does-not":   {as("alice"), web, "alice", controlplane.Denied, denial(p, "alice", "latchkey:ListAccess", "stack", web)},
		"own-with-deny":            {as("carol"), "", "carol", "", ""},
		"others-where-he-sees":     {as("alice"), db, "bob", controlplane.Denied, denial(p, "alice", "latchkey:ListAccess", "stack", db)},
		"others-everywhere":        {as("alice"), "", "bob", controlplane.Denied, denial(p, "alice", "latchkey:ListAccess", "*", "")},
		"unknown-others":           {as("alice"), "", "nobody", controlplane.Denied, denial(p, "alice", "latchkey:ListAccess", "*", "")},
		"unknown-user":             {p.admin, "", "nobody", controlplane.NotFound, "Unable to find user with ARN " + arn("nobody")},
		"unknown-user-on-a-stack":  {p.admin, web, "nobody", controlplane.NotFound, "Unable to find user with ARN " + arn("nobody")},
		"unknown-stack":            {p.admin, noStack, "", controlplane.NotFound, "Unable to find stack with ID " + noStack},
		"malformed-stack":          {p.admin, "x", "", controlplane.Invalid, "Stack Id: id is not a lower-case UUID"},
		"malformed-user":           {p.admin, "", "a b", controlplane.Invalid, "Iam User Arn: " + authz.ErrARN.Text},
		"neither":                  {p.admin, "", "", controlplane.Invalid, "Stack Id, Iam User Arn: one of them is required"},
	} {
		t.Run(name, func(t *testing.T) {
			req := controlplane.ListAccessRequest{StackId: tc.stack}
			if tc.user != "" {
				req.IamUserArn = arn(tc.user)
			}
			got, err := p.ListAccess(t.Context(), tc.caller, req)
			if tc.code != "" {
				expectError(t, err, tc.code, tc.want)
				return
			}
			if err != nil || got.Access == nil {
				t.Fatalf("%v, %v", got, err)
			}
			if diff := cmp.Diff(tc.want, who(got.Access)); diff != "" {
				t.Error(diff)
			}
		})
	}
	p.pass(time.Hour)
	if got := who(must(p.ListAccess(t.Context(), p.admin, controlplane.ListAccessRequest{StackId: db})).Access); got != aliceDB {
		t.Errorf("after the end:\n%s", got)
	}
}

// explained asks and returns the whole answer.
func (p *plane) explained(t *testing.T, caller controlplane.Caller, stack, user string) controlplane.ExplainAccessResponse {
	t.Helper()
	got, err := p.ExplainAccess(t.Context(), caller, controlplane.ExplainAccessRequest{StackId: stack, IamUserArn: arn(user)})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestControlPlane_ExplainAccess: the answer whole, for somebody who gave himself SSH
// and sudo, on a stack with an instance of every state.
func TestControlPlane_ExplainAccess(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	p.hold(t, "alice", holding{
		inline:   []string{`{"Effect":"Deny","Action":"opsworks:UpdateStack","Resource":"*"}`},
		group:    "helpers",
		boundary: `{"Effect":"Allow","Action":"opsworks:*","Resource":"*"}`,
	})
	if _, err := p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{
		IamUserArn: arn("alice"), SshPublicKey: ptr(keyOne), AllowSelfManagement: ptr(true),
	}); err != nil {
		t.Fatal(err)
	}
	p.grant(t, stack, "alice", "manage", false, false)
	silent, _ := p.instance(t, stack)
	behind, _ := p.instance(t, stack)
	p.report(t, behind, stack, nil, nil)
	p.pass(time.Minute)
	if _, err := p.SetPermission(t.Context(), as("alice"), controlplane.SetPermissionRequest{
		StackId: stack, IamUserArn: arn("alice"), AllowSsh: ptr(true), AllowSudo: ptr(true),
	}); err != nil {
		t.Fatal(err)
	}
	applied, _ := p.instance(t, stack)
	p.report(t, applied, stack, []wire.Result{{What: "create account alice (uid 20000)"}, {What: "create account bob (uid 20001)", Error: "no"}}, nil)
	refused, _ := p.instance(t, stack)
	p.report(t, refused, stack, nil, []wire.Result{{What: "bob"}, {What: "alice", Code: "name_taken", Error: "an account of that name exists"}})
	failed, _ := p.instance(t, stack)
	p.report(t, failed, stack, []wire.Result{{What: "create account alice (uid 20000)", Error: "disk is full"}}, nil)
	keyless, _ := p.instance(t, stack)
	p.report(t, keyless, stack, []wire.Result{{What: "write file /var/lib/latchkey/authorized_keys/alice: not there", Error: "disk is full"}}, nil)
	mended, _ := p.instance(t, stack)
	p.report(t, mended, stack, []wire.Result{{What: "create account alice (uid 20000)", Error: "disk is full"}}, nil)
	p.report(t, mended, stack, []wire.Result{{What: "write file /var/lib/latchkey/authorized_keys/bob", Error: "disk is full"}}, nil)
	name := map[string]string{silent: "silent", behind: "behind", applied: "applied", refused: "refused", failed: "failed", keyless: "keyless", mended: "mended"}
	for id, hostname := range name {
		if _, err := p.UpdateInstance(t.Context(), p.admin, controlplane.UpdateInstanceRequest{InstanceId: id, Hostname: &hostname}); err != nil {
			t.Fatal(err)
		}
	}

	got := p.explained(t, p.admin, stack, "alice")
	states := map[string]string{}
	for _, i := range got.Instances {
		states[name[i.InstanceId]] = fmt.Sprintf("%s %s %d/%d %t %s %s", i.Status, i.LastSeen, i.AppliedSerial, i.Serial, i.UpToDate, i.Account, i.AccountReason)
	}
	serial := p.serial(t, stack)
	at := func(instance, state string) string {
		return fmt.Sprintf("%s %d/%d %s", instance, serial, serial, state)
	}
	wantStates := map[string]string{
		"silent":  fmt.Sprintf("registered  0/%d false none ", serial),
		"behind":  fmt.Sprintf("online 2026-03-01T12:00:00+00:00 %d/%d false applied ", serial-1, serial),
		"applied": at("online 2026-03-01T12:01:00+00:00", "true applied "),
		"refused": at("online 2026-03-01T12:01:00+00:00", "true refused an account of that name exists"),
		"failed":  at("online 2026-03-01T12:01:00+00:00", "true failed create account alice (uid 20000): disk is full"),
		"keyless": at("online 2026-03-01T12:01:00+00:00", "true failed write file /var/lib/latchkey/authorized_keys/alice: not there: disk is full"),
		"mended":  at("online 2026-03-01T12:01:00+00:00", "true applied "),
	}
	if diff := cmp.Diff(wantStates, states); diff != "" {
		t.Errorf("instances: %s", diff)
	}
	lines := strings.Join(got.Lines, "\n")
	wantLines := strings.ReplaceAll(`the level on the stack is manage
AllowSsh is set
AllowSudo is set
the permission does not end by itself
the account is alice, uid 20000
the user has the SSH key ssh-ed25519 SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w
the user may change the key himself
the permission was last set by the user himself at 2026-03-01T12:01:00+00:00
the user has inline policy p1, inline policy own of group helpers
the user is bounded by permissions boundary alice-limit
opsworks:DescribeStacks is allowed by level manage
opsworks:CreateDeployment is allowed by level manage
opsworks:UpdateStack is denied: inline policy p1, Statement[0], denies it
opsworks:SetPermission is allowed by level manage
so the user may give himself SSH and sudo on the stack
instances are told: keys by command, accounts on revoke lock, homes keep, keys of others in homes report, without the control plane keep
instance "applied" is online, at serial N of N, and has the account
instance "behind" is online, at serial M of N, and has not reported on the present state yet
instance "failed" is online, at serial N of N, and has the account failed: "create account alice (uid 20000): disk is full"
instance "keyless" is online, at serial N of N, and has the account failed: "write file /var/lib/latchkey/authorized_keys/alice: not there: disk is full"
instance "mended" is online, at serial N of N, and has the account
instance "refused" is online, at serial N of N, and has the account refused: "an account of that name exists"
instance "silent" is registered and has reported nothing yet`, "serial N of N", fmt.Sprintf("serial %d of %d", serial, serial))
	wantLines = strings.ReplaceAll(wantLines, "serial M of N", fmt.Sprintf("serial %d of %d", serial-1, serial))
	if diff := cmp.Diff(wantLines, lines); diff != "" {
		t.Errorf("lines: %s", diff)
	}
	got.Instances, got.Lines = nil, nil
	want := controlplane.ExplainAccessResponse{
		IamUserArn: arn("alice"), StackId: stack, StackName: "web", MayEnter: true, Text: "may enter as alice, with sudo",
		Level: "manage", AllowSsh: true, AllowSudo: true, Sudo: true, SetBy: arn("alice"), SetAt: "2026-03-01T12:01:00+00:00",
		SshUsername: "alice", Uid: 20000, SelfManagement: true,
		Keys:     []controlplane.SshKey{{Type: "ssh-ed25519", Fingerprint: "SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w"}},
		Policies: []string{"inline policy p1", "inline policy own of group helpers"}, PermissionsBoundary: "alice-limit",
		Decisions: []controlplane.ActionDecision{
			{Action: "opsworks:DescribeStacks", Decision: "allowed", Text: "level manage"},
			{Action: "opsworks:CreateDeployment", Decision: "allowed", Text: "level manage"},
			{Action: "opsworks:UpdateStack", Decision: "explicitDeny", Text: "inline policy p1, Statement[0], denies it"},
			{Action: "opsworks:SetPermission", Decision: "allowed", Text: "level manage"},
		},
		Settings: controlplane.StackSettings{KeysMode: "command", OnRevoke: "lock", Homes: "keep", Unmanaged: "report", Stale: "keep", MinRsaBits: got.Settings.MinRsaBits},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is said of who may not, and of who has nothing.
func TestControlPlane_ExplainAccess_WhyNot(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	instance, _ := p.instance(t, stack)
	for _, name := range []string{"plain", "denied", "ended"} {
		p.user(t, name)
	}
	p.grant(t, stack, "denied", "deny", true, true)
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{
		StackId: stack, IamUserArn: arn("ended"), Level: ptr("manage"), AllowSsh: ptr(true), AllowSudo: ptr(true), ExpiresAt: ptr("2026-03-01T13:00:00Z"),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.pass(time.Hour)
	p.report(t, instance, stack, nil, nil)
	for name, tc := range map[string]struct {
		reason, text, worth string
		lines               []string
	}{
		"plain": {"ssh_not_allowed", "may not enter: AllowSsh is not set for the user on this stack", "iam_only ssh=false sudo=false false ",
			[]string{"nobody has set the permission: it is what every user has", "the user has no SSH key", "the user has no policies", "and has the account closed"}},
		"denied": {"level_deny", "may not enter: the user's level on the stack is deny", "deny ssh=true sudo=true false ",
			[]string{"the level on the stack is deny, which closes the machines too", "the permission was last set by " + adminARN + " at 2026-03-01T12:00:00+00:00",
				"opsworks:DescribeStacks is denied: the user's level on the stack is deny"}},
		"ended": {"expired", "may not enter: the permission has ended", "iam_only ssh=false sudo=false true 2026-03-01T13:00:00+00:00",
			[]string{"the level on the stack was manage", "AllowSsh was set", "the permission ended 2026-03-01T13:00:00Z", "opsworks:DescribeStacks is denied: no policy and no level allows it"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := p.explained(t, p.admin, stack, name)
			worth := fmt.Sprintf("%s ssh=%t sudo=%t %t %s", got.Level, got.AllowSsh, got.AllowSudo, got.Ended, got.ExpiresAt)
			if got.MayEnter || got.Sudo || got.Reason != tc.reason || got.Text != tc.text || worth != tc.worth {
				t.Errorf("got %t %s: %s; %s", got.MayEnter, got.Reason, got.Text, worth)
			}
			for _, line := range tc.lines {
				if !strings.Contains(strings.Join(got.Lines, "\n")+"\n", line+"\n") {
					t.Errorf("no line %q in\n%s", line, strings.Join(got.Lines, "\n"))
				}
			}
		})
	}
	empty := p.explained(t, p.admin, p.stack(t, "empty"), "plain")
	if last := empty.Lines[len(empty.Lines)-1]; last != "the stack has no instances" || empty.Instances == nil || empty.Keys == nil || empty.Policies == nil {
		t.Errorf("%+v", empty)
	}
}

func TestControlPlane_ExplainAccess_WhoMayAsk(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	p.user(t, "alice")
	p.hold(t, "hushed", holding{inline: []string{`{"Effect":"Deny","Action":"latchkey:ExplainAccess","Resource":"*"}`}})
	ask := func(caller, user, stack string) error {
		_, err := p.ExplainAccess(t.Context(), as(caller), controlplane.ExplainAccessRequest{StackId: stack, IamUserArn: arn(user)})
		return err
	}
	for _, level := range []string{"deny", "iam_only", "show", "deploy", "manage"} {
		p.user(t, level)
		p.grant(t, stack, level, level, true, false)
		own, other := controlplane.Denied, controlplane.Denied
		if level == "show" || level == "deploy" || level == "manage" {
			own = ""
		}
		if level == "manage" {
			other = ""
		}
		because := authz.ErrNotGranted.Text
		if level == "deny" {
			because = authz.ErrLevelDeny.Text
		}
		denial := "User: " + arn(level) + " is not authorized to perform: latchkey:ExplainAccess on resource: " + p.stackARN(stack) + " because " + because
		expectError(t, ask(level, level, stack), own, denial)
		expectError(t, ask(level, "alice", stack), other, denial)
	}
	p.grant(t, stack, "hushed", "show", true, false)
	expectError(t, ask("hushed", "hushed", stack), controlplane.Denied, "User: "+arn("hushed")+
		" is not authorized to perform: latchkey:ExplainAccess on resource: "+p.stackARN(stack)+" because inline policy p1, Statement[0], denies it")
	expectError(t, ask("manage", "nobody", stack), controlplane.NotFound, "Unable to find user with ARN "+arn("nobody"))
	expectError(t, ask("admin", "alice", noStack), controlplane.NotFound, "Unable to find stack with ID "+noStack)
	expectError(t, ask("admin", "alice", "x"), controlplane.Invalid, "Stack Id: id is not a lower-case UUID")
	expectError(t, ask("admin", "", stack), controlplane.Invalid, "Iam User Arn: "+authz.ErrARN.Text)
}
