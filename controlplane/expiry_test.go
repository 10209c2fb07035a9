package controlplane_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/controlplane"
)

// permission prints alice's permission as the administrator is shown it.
func (p *plane) permission(t *testing.T, stack string) string {
	t.Helper()
	out, err := p.DescribePermissions(t.Context(), p.admin, controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: arn("alice")})
	if err != nil {
		t.Fatal(err)
	}
	got := out.Permissions[0]
	return fmt.Sprintf("%s %v %v %s", got.Level, got.AllowSsh, got.AllowSudo, got.ExpiresAt)
}

// A permission with an end, changed step by step on one clock.
func TestControlPlane_SetPermission_Expires(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	for _, step := range []struct {
		name   string
		pass   time.Duration
		req    controlplane.SetPermissionRequest
		want   string
		raises bool
		bundle string // alice's not-after in it, - if she is not there
	}{
		{"granted-until", 0, controlplane.SetPermissionRequest{Level: ptr("manage"), AllowSsh: ptr(true), ExpiresAt: ptr("2026-03-01T14:00:00+01:00")},
			"manage true false 2026-03-01T13:00:00+00:00", true, "2026-03-01T13:00:00Z"},
		{"same-again", 0, controlplane.SetPermissionRequest{ExpiresAt: ptr("2026-03-01T13:00:00.9Z")},
			"manage true false 2026-03-01T13:00:00+00:00", false, "2026-03-01T13:00:00Z"},
		{"a-flag-keeps-the-end", 0, controlplane.SetPermissionRequest{AllowSudo: ptr(true)},
			"manage true true 2026-03-01T13:00:00+00:00", true, "2026-03-01T13:00:00Z"},
		{"longer", 0, controlplane.SetPermissionRequest{ExpiresAt: ptr("2026-03-01T14:00:00Z")},
			"manage true true 2026-03-01T14:00:00+00:00", true, "2026-03-01T14:00:00Z"},
		{"for-ever", 0, controlplane.SetPermissionRequest{ExpiresAt: ptr("")}, "manage true true ", true, ""},
		{"until-again", 0, controlplane.SetPermissionRequest{ExpiresAt: ptr("2026-03-01T14:00:00Z")},
			"manage true true 2026-03-01T14:00:00+00:00", true, "2026-03-01T14:00:00Z"},
		{"after-the-end-nothing-is-left", 2 * time.Hour, controlplane.SetPermissionRequest{AllowSsh: ptr(true)},
			"iam_only true false ", true, ""},
		{"a-level-alone-ends-too", 0, controlplane.SetPermissionRequest{AllowSsh: ptr(false), Level: ptr("deny"), ExpiresAt: ptr("2026-03-01T15:00:00Z")},
			"deny false false 2026-03-01T15:00:00+00:00", true, "-"},
		{"a-deny-stays", 2 * time.Hour, controlplane.SetPermissionRequest{AllowSsh: ptr(true)}, "deny true false ", false, "-"},
	} {
		t.Run(step.name, func(t *testing.T) {
			p.pass(step.pass)
			step.req.StackId, step.req.IamUserArn = stack, arn("alice")
			before := p.serial(t, stack)
			_, err := p.SetPermission(t.Context(), p.admin, step.req)
			expectError(t, err, "", "")
			if got := p.permission(t, stack); got != step.want {
				t.Errorf("got %s, want %s", got, step.want)
			}
			if raised := p.serial(t, stack) != before; raised != step.raises {
				t.Errorf("serial raised: %v, want %v", raised, step.raises)
			}
			until := "-"
			if _, b := p.bundle(t, stack); len(b.Users) == 1 {
				until = b.Users[0].NotAfter
			}
			if until != step.bundle {
				t.Errorf("in the bundle until %q, want %q", until, step.bundle)
			}
		})
	}
}

// At its end a permission's level is gone for every action, by itself.
func TestPermission_EndsByItself(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	stack := p.stack(t, "stack")
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{
		StackId: stack, IamUserArn: arn("alice"), Level: ptr("manage"), AllowSsh: ptr(true), ExpiresAt: ptr("2026-03-01T13:00:00Z"),
	})
	expectError(t, err, "", "")
	ask := func() (named error, listed int) {
		_, err := p.DescribeStacks(t.Context(), as("alice"), controlplane.DescribeStacksRequest{StackIds: []string{stack}})
		out, listErr := p.DescribeStacks(t.Context(), as("alice"), controlplane.DescribeStacksRequest{})
		expectError(t, listErr, "", "")
		return err, len(out.Stacks)
	}
	p.pass(time.Hour - time.Second)
	err, listed := ask()
	expectError(t, err, "", "")
	if listed != 1 {
		t.Errorf("%d stacks before the end", listed)
	}
	p.pass(time.Second)
	err, listed = ask()
	expectError(t, err, controlplane.Denied, denial(p, "alice", "opsworks:DescribeStacks", "stack", stack))
	if listed != 0 {
		t.Errorf("%d stacks after the end", listed)
	}
	if got, want := p.permission(t, stack), "iam_only false false 2026-03-01T13:00:00+00:00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestControlPlane_SetPermission_RefusesExpiry(t *testing.T) {
	p := newPlane(t)
	p.user(t, "boss")
	stack := p.stack(t, "stack")
	p.grant(t, stack, "boss", "manage", false, false)
	for _, tc := range []struct{ name, of, end, message string }{
		{"own", "boss", "2026-03-02T00:00:00Z", "Unable to change the end of own permission."},
		{"own-never", "boss", "", "Unable to change the end of own permission."},
		{"now", "admin", "2026-03-01T12:00:00Z", "Expires At: is not in the future"},
		{"zero", "admin", "0001-01-01T00:00:00Z", "Expires At: is not in the future"},
		{"word", "admin", "tomorrow", "Expires At: is not a time like 2026-08-01T22:53:42Z"},
		{"no-zone", "admin", "2026-03-02T00:00:00", "Expires At: is not a time like 2026-08-01T22:53:42Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.SetPermission(t.Context(), as("boss"), controlplane.SetPermissionRequest{
				StackId: stack, IamUserArn: arn(tc.of), AllowSsh: ptr(true), ExpiresAt: &tc.end,
			})
			expectError(t, err, controlplane.Invalid, tc.message)
		})
	}
}
