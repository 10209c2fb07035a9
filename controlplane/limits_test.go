package controlplane_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

// limit prints what alice's sudo is limited to, as the administrator is shown it, and
// fails if the ways to ask disagree.
func (p *plane) limit(t *testing.T, stack string) string {
	t.Helper()
	shown := p.permissions(t, controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: arn("alice")})[0]
	explained := p.explained(t, p.admin, stack, "alice")
	if !slices.Equal(shown.SudoCommands, explained.SudoCommands) {
		t.Errorf("shown are %q, explained %q", shown.SudoCommands, explained.SudoCommands)
	}
	listed, err := p.ListAccess(t.Context(), p.admin, controlplane.ListAccessRequest{StackId: stack})
	expectError(t, err, "", "")
	_, b := p.bundle(t, stack)
	for i, u := range b.Users {
		if e := listed.Access[i]; u.Sudo != e.Sudo || !slices.Equal(u.SudoCommands, e.SudoCommands) || u.Sudo && !slices.Equal(u.SudoCommands, shown.SudoCommands) {
			t.Errorf("bundle %v %q, list %v %q, permission %q", u.Sudo, u.SudoCommands, e.Sudo, e.SudoCommands, shown.SudoCommands)
		}
	}
	return strings.Join(shown.SudoCommands, ", ")
}

// TestControlPlane_SetPermission_SudoCommands holds R55 in part and T-S2: a limit of
// sudo, changed step by step.
func TestControlPlane_SetPermission_SudoCommands(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	list := func(commands ...string) *[]string { return &commands }
	long := make([]string, 33)
	for i := range long {
		long[i] = fmt.Sprint("/bin/", i)
	}
	const special = ": command holds what sudoers(5) gives a meaning: a wildcard, a list, a quote, an alias, a setting, an include, a word like ALL or sudoedit"
	for _, step := range []struct {
		name    string
		pass    time.Duration
		req     controlplane.SetPermissionRequest
		message string // refused
		want    string
		raises  bool
	}{
		{"before-there-is-sudo", 0, controlplane.SetPermissionRequest{SudoCommands: list("/bin/id")}, "", "/bin/id", false},
		{"with-a-way-in", 0, controlplane.SetPermissionRequest{AllowSsh: ptr(true)}, "", "/bin/id", true},
		{"with-sudo", 0, controlplane.SetPermissionRequest{AllowSudo: ptr(true)}, "", "/bin/id", true},
		{"sorted-and-each-once", 0, controlplane.SetPermissionRequest{SudoCommands: list("/bin/b x", "/bin/id", "/bin/a", "/bin/id")}, "", "/bin/a, /bin/b x, /bin/id", true},
		{"same-again", 0, controlplane.SetPermissionRequest{SudoCommands: list("/bin/id", "/bin/a", "/bin/b x")}, "", "/bin/a, /bin/b x, /bin/id", false},
		{"kept-by-others", 0, controlplane.SetPermissionRequest{Level: ptr("show"), ExpiresAt: ptr("2026-03-01T13:00:00Z")}, "", "/bin/a, /bin/b x, /bin/id", true},
		{"less", 0, controlplane.SetPermissionRequest{SudoCommands: list("/bin/a")}, "", "/bin/a", true},
		{"wildcard", 0, controlplane.SetPermissionRequest{SudoCommands: list("/bin/a", "/bin/*")}, "Sudo Commands[1]" + special, "/bin/a", false},
		{"everything-by-its-word", 0, controlplane.SetPermissionRequest{SudoCommands: list("ALL")}, "Sudo Commands[0]" + special, "/bin/a", false},
		{"no-path", 0, controlplane.SetPermissionRequest{SudoCommands: list("id")}, "Sudo Commands[0]: command does not begin with / and so names no one program", "/bin/a", false},
		{"too-many", 0, controlplane.SetPermissionRequest{SudoCommands: &long}, "Sudo Commands: there are more than 32 commands", "/bin/a", false},
		{"no-sudo-keeps-the-limit", 0, controlplane.SetPermissionRequest{AllowSudo: ptr(false)}, "", "/bin/a", true},
		{"sudo-again", 0, controlplane.SetPermissionRequest{AllowSudo: ptr(true)}, "", "/bin/a", true},
		{"no-limit", 0, controlplane.SetPermissionRequest{SudoCommands: list()}, "", "", true},
		{"limit-again", 0, controlplane.SetPermissionRequest{SudoCommands: list("/bin/a")}, "", "/bin/a", true},
		{"after-the-end-the-limit-stays", 2 * time.Hour, controlplane.SetPermissionRequest{AllowSsh: ptr(true), AllowSudo: ptr(true)}, "", "/bin/a", true},
		{"of-nothing-else", 0, controlplane.SetPermissionRequest{AllowSsh: ptr(false), AllowSudo: ptr(false)}, "", "/bin/a", true},
		{"of-nothing", 0, controlplane.SetPermissionRequest{SudoCommands: list()}, "", "", false},
	} {
		t.Run(step.name, func(t *testing.T) {
			p.pass(step.pass)
			step.req.StackId, step.req.IamUserArn = stack, arn("alice")
			before := p.serial(t, stack)
			_, err := p.SetPermission(t.Context(), p.admin, step.req)
			if step.message != "" {
				expectError(t, err, controlplane.Invalid, step.message)
			} else {
				expectError(t, err, "", "")
			}
			if got := p.limit(t, stack); got != step.want {
				t.Errorf("got %s, want %s", got, step.want)
			}
			if raised := p.serial(t, stack) != before; raised != step.raises {
				t.Errorf("serial raised: %v, want %v", raised, step.raises)
			}
		})
	}
}

// TestControlPlane_SudoCommands_Shown: the limit is in the audit log and in the
// explanation, goes with a copy of the stack, and cannot be lifted by whom it limits.
func TestControlPlane_SudoCommands_Shown(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	p.grant(t, stack, "alice", "manage", true, true)
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{
		StackId: stack, IamUserArn: arn("alice"), SudoCommands: &[]string{"/bin/systemctl restart nginx", "/bin/id"},
	})
	expectError(t, err, "", "")
	entries := p.audit(t)
	want := "manage ssh=true sudo=true sudo-commands=[/bin/id, /bin/systemctl restart nginx]"
	if got := entries[len(entries)-1].Detail["to"]; got != want {
		t.Errorf("the audit log says %q", got)
	}
	e := p.explained(t, p.admin, stack, "alice")
	lines := slices.DeleteFunc(e.Lines, func(l string) bool { return !strings.HasPrefix(l, "sudo ") })
	if diff := cmp.Diff([]string{"sudo is limited to /bin/id, without arguments", "sudo is limited to /bin/systemctl restart nginx, with exactly these arguments"}, lines); diff != "" {
		t.Error(diff)
	}
	if e.Text != "may enter as alice, with sudo for 2 commands" {
		t.Errorf("explained as %q", e.Text)
	}
	for _, commands := range [][]string{{}, {"/bin/id"}, {"/bin/sh"}} {
		_, err := p.SetPermission(t.Context(), as("alice"), controlplane.SetPermissionRequest{StackId: stack, IamUserArn: arn("alice"), SudoCommands: &commands})
		expectError(t, err, controlplane.Invalid, "Unable to change what own sudo is limited to.")
	}
	clone, err := p.CloneStack(t.Context(), p.admin, controlplane.CloneStackRequest{SourceStackId: stack, ClonePermissions: ptr(true)})
	expectError(t, err, "", "")
	if got := p.limit(t, clone.StackId); got != "/bin/id, /bin/systemctl restart nginx" {
		t.Errorf("the copy's limit is %q", got)
	}
}

// TestControlPlane_SudoCommands_Confirmed holds R143 in part: what takes a part of
// somebody's sudo is confirmed for the agents, and what takes nothing is not.
func TestControlPlane_SudoCommands_Confirmed(t *testing.T) {
	for situation, c := range map[string]struct {
		from, to  []string
		confirmed bool
	}{
		"everything-to-a-list": {nil, []string{"/bin/a"}, true},
		"a-list-shrinks":       {[]string{"/bin/a", "/bin/b"}, []string{"/bin/a"}, true},
		"another-list":         {[]string{"/bin/a"}, []string{"/bin/b", "/bin/c"}, true},
		"other-arguments":      {[]string{"/bin/a"}, []string{"/bin/a x"}, true},
		"a-list-grows":         {[]string{"/bin/a"}, []string{"/bin/a", "/bin/b"}, false},
		"a-list-to-everything": {[]string{"/bin/a"}, nil, false},
	} {
		t.Run(situation, func(t *testing.T) {
			p := newPlane(t)
			p.user(t, "alice", keyOne)
			stack := p.stack(t, "stack")
			p.grant(t, stack, "alice", "show", true, true)
			for _, list := range [][]string{c.from, c.to} {
				_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{StackId: stack, IamUserArn: arn("alice"), SudoCommands: &list})
				expectError(t, err, "", "")
				if _, b := p.bundle(t, stack); c.from != nil && !slices.Equal(list, c.to) {
					want := b.Confirmed // made by the first limit, a loss too
					if len(want) != 1 {
						t.Fatalf("the first limit is not confirmed: %q", want)
					}
					p.pass(91 * 24 * time.Hour)
				}
			}
			if _, b := p.bundle(t, stack); (len(b.Confirmed) == 1) != c.confirmed {
				t.Errorf("confirmed are %q", b.Confirmed)
			}
		})
	}
}

// TestControlPlane_SetPermission_Restricted holds R12 in part: that keys open sessions
// alone is asked for, told, kept when the permission ends, and not lifted by whom it
// concerns.
func TestControlPlane_SetPermission_Restricted(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	p.grant(t, stack, "alice", "manage", true, true)
	for _, step := range []struct {
		name   string
		pass   time.Duration
		caller controlplane.Caller
		req    controlplane.SetPermissionRequest
		code   controlplane.Code
		want   bool
		raises bool
	}{
		{"restricted", 0, p.admin, controlplane.SetPermissionRequest{Restricted: ptr(true), ExpiresAt: ptr("2026-03-01T13:00:00Z")}, "", true, true},
		{"same-again", 0, p.admin, controlplane.SetPermissionRequest{Restricted: ptr(true)}, "", true, false},
		{"kept-by-others", 0, p.admin, controlplane.SetPermissionRequest{AllowSudo: ptr(false)}, "", true, true},
		{"lifted-by-oneself", 0, as("alice"), controlplane.SetPermissionRequest{Restricted: ptr(false)}, controlplane.Invalid, true, false},
		{"kept-after-the-end", 2 * time.Hour, p.admin, controlplane.SetPermissionRequest{AllowSsh: ptr(true)}, "", true, true},
		{"lifted", 0, p.admin, controlplane.SetPermissionRequest{Restricted: ptr(false)}, "", false, true},
	} {
		t.Run(step.name, func(t *testing.T) {
			p.pass(step.pass)
			step.req.StackId, step.req.IamUserArn = stack, arn("alice")
			before := p.serial(t, stack)
			_, err := p.SetPermission(t.Context(), step.caller, step.req)
			message := ""
			if step.code != "" {
				message = "Unable to change what own keys are limited to."
			}
			expectError(t, err, step.code, message)
			if raised := p.serial(t, stack) != before; raised != step.raises {
				t.Errorf("serial raised: %v, want %v", raised, step.raises)
			}
			shown := p.permissions(t, controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: arn("alice")})[0]
			listed, err := p.ListAccess(t.Context(), p.admin, controlplane.ListAccessRequest{StackId: stack})
			expectError(t, err, "", "")
			_, b := p.bundle(t, stack)
			if explained := p.explained(t, p.admin, stack, "alice"); shown.Restricted != step.want || explained.Restricted != step.want ||
				listed.Access[0].Restricted != step.want || b.Users[0].Restricted != step.want {
				t.Errorf("shown %+v, explained %v, listed %+v, bundle %+v", shown, explained.Restricted, listed.Access, b.Users)
			}
		})
	}
	entries := p.audit(t)
	if got := entries[len(entries)-1].Detail; got["from"] != "iam_only ssh=true sudo=false restricted=true" || got["to"] != "iam_only ssh=true sudo=false" {
		t.Errorf("the audit log says %q", got)
	}
}
