package controlplane_test

import (
	"testing"

	"latchkey/controlplane"
)

// TestStackSettings: what a stack wants of instances that hear nothing reaches them,
// is shown, follows a clone, and is refused in any form that they would not read.
func TestStackSettings(t *testing.T) {
	const form = "Stale: is none of keep, drop-sudo:HOURSh and drop-all:HOURSh, with 1 to 8784 hours, like drop-sudo:168h"
	p := newPlane(t)
	stack := p.stack(t, "stack")
	p.user(t, "manager")
	p.user(t, "shower")
	p.grant(t, stack, "manager", "manage", false, false)
	p.grant(t, stack, "shower", "show", false, false)
	for _, tc := range []struct {
		name    string
		caller  controlplane.Caller
		stale   *string
		code    controlplane.Code
		message string
		want    string
		raises  bool
	}{
		{"nothing-named", p.admin, nil, "", "", "keep", false},
		{"sudo", p.admin, ptr("drop-sudo:168h"), "", "", "drop-sudo:168h", true},
		{"the-same", as("manager"), ptr("drop-sudo:168h"), "", "", "drop-sudo:168h", false},
		{"all", as("manager"), ptr("drop-all:1h"), "", "", "drop-all:1h", true},
		{"by-show", as("shower"), ptr("keep"), controlplane.Denied, "User: " + arn("shower") + " is not authorized to perform: latchkey:UpdateStackSettings on resource: " +
			arnPrefix + "stack/" + stack + "/ because no policy and no level allows it", "drop-all:1h", false},
		{"no-hours", p.admin, ptr("drop-all"), controlplane.Invalid, form, "drop-all:1h", false},
		{"minutes", p.admin, ptr("drop-all:90m"), controlplane.Invalid, form, "drop-all:1h", false},
		{"too-long", p.admin, ptr("drop-all:8785h"), controlplane.Invalid, form, "drop-all:1h", false},
		{"not-the-shortest", p.admin, ptr("drop-all:01h"), controlplane.Invalid, form, "drop-all:1h", false},
		{"empty", p.admin, ptr(""), controlplane.Invalid, form, "drop-all:1h", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := p.serial(t, stack)
			_, err := p.UpdateStackSettings(t.Context(), tc.caller, controlplane.UpdateStackSettingsRequest{StackId: stack, Stale: tc.stale})
			expectError(t, err, tc.code, tc.message)
			if raised := p.serial(t, stack) != before; raised != tc.raises {
				t.Errorf("serial raised: %v", raised)
			}
			out, err := p.DescribeStackSettings(t.Context(), as("shower"), controlplane.DescribeStackSettingsRequest{StackId: stack})
			if err != nil || out.Settings.Stale != tc.want || out.Settings.KeysMode != "command" {
				t.Errorf("%+v, %v", out, err)
			}
			if _, b := p.bundle(t, stack); b.Settings.Stale != tc.want {
				t.Errorf("the bundle says %q", b.Settings.Stale)
			}
		})
	}
	clone, err := p.CloneStack(t.Context(), p.admin, controlplane.CloneStackRequest{SourceStackId: stack})
	if err != nil {
		t.Fatal(err)
	}
	if _, b := p.bundle(t, clone.StackId); b.Settings.Stale != "drop-all:1h" {
		t.Errorf("the clone's bundle says %q", b.Settings.Stale)
	}
	_, err = p.UpdateStackSettings(t.Context(), p.admin, controlplane.UpdateStackSettingsRequest{StackId: noStack, Stale: ptr("keep")})
	expectError(t, err, controlplane.NotFound, "Unable to find stack with ID "+noStack)
}

// TestStackSettings_Choices: the settings with a closed list take what it holds, keep
// what a request leaves out, and are refused together where they contradict each other.
func TestStackSettings_Choices(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	type request = controlplane.UpdateStackSettingsRequest
	for _, tc := range []struct {
		name    string
		req     request
		message string // empty: taken
		want    string // keys mode, on revoke, homes, unmanaged
	}{
		{"nothing", request{}, "", "command lock keep report"},
		{"keys", request{KeysMode: ptr("directory")}, "", "directory lock keep report"},
		{"no-such-keys", request{KeysMode: ptr("file")}, "KeysMode: is none of command, directory and home", "directory lock keep report"},
		{"homes-of-locked", request{Homes: ptr("delete")}, "Homes: homes are archived or deleted only where accounts are removed on revoke",
			"directory lock keep report"},
		{"both", request{OnRevoke: ptr("remove"), Homes: ptr("archive")}, "", "directory remove archive report"},
		{"lock-again", request{OnRevoke: ptr("lock")}, "Homes: homes are archived or deleted only where accounts are removed on revoke",
			"directory remove archive report"},
		{"lock-and-keep", request{OnRevoke: ptr("lock"), Homes: ptr("keep")}, "", "directory lock keep report"},
		{"no-such-end", request{OnRevoke: ptr("delete")}, "OnRevoke: is none of lock and remove", "directory lock keep report"},
		{"unmanaged", request{Unmanaged: ptr("quarantine"), KeysMode: ptr("home")}, "", "home lock keep quarantine"},
		{"no-such-policy", request{Unmanaged: ptr("")}, "Unmanaged: is none of report, allow, adopt and quarantine", "home lock keep quarantine"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := p.serial(t, stack)
			tc.req.StackId = stack
			_, err := p.UpdateStackSettings(t.Context(), p.admin, tc.req)
			code := controlplane.Code("")
			if tc.message != "" {
				code = controlplane.Invalid
			}
			expectError(t, err, code, tc.message)
			_, b := p.bundle(t, stack)
			s := b.Settings
			if got := s.KeysMode + " " + s.OnRevoke + " " + s.Homes + " " + s.Unmanaged; got != tc.want {
				t.Errorf("the bundle says %s", got)
			}
			if raised := p.serial(t, stack) != before; raised != (tc.message == "" && tc.name != "nothing") {
				t.Errorf("serial raised: %v", raised)
			}
		})
	}
}
