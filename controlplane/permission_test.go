package controlplane_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane"
	"latchkey/controlplane/store"
)

func TestControlPlane_SetPermission(t *testing.T) {
	p := newPlane(t)
	p.user(t, "manager")
	p.user(t, "alice")
	stack := p.stack(t, "stack")
	p.grant(t, stack, "manager", "manage", false, false)
	own := "Unable to change own permission level. Only AllowSsh and AllowSudo allowed."
	for _, tc := range []struct {
		name    string
		caller  controlplane.Caller
		req     controlplane.SetPermissionRequest
		code    controlplane.Code
		message string
		want    string // level ssh sudo
		raises  bool
	}{
		{"level", as("manager"), controlplane.SetPermissionRequest{Level: ptr("show")}, "", "", "show false false", false},
		{"ssh-keeps-level", as("manager"), controlplane.SetPermissionRequest{AllowSsh: ptr(true)}, "", "", "show true false", true},
		{"sudo-keeps-ssh", as("manager"), controlplane.SetPermissionRequest{AllowSudo: ptr(true)}, "", "", "show true true", true},
		{"level-keeps-flags", as("manager"), controlplane.SetPermissionRequest{Level: ptr("deploy")}, "", "", "deploy true true", false},
		{"nothing", as("manager"), controlplane.SetPermissionRequest{}, "", "", "deploy true true", false},
		{"deny-closes-the-machines", as("manager"), controlplane.SetPermissionRequest{Level: ptr("deny")}, "", "", "deny true true", true},
		{"flags-under-deny", as("manager"), controlplane.SetPermissionRequest{AllowSudo: ptr(false)}, "", "", "deny true false", false},
		{"iam-only-with-ssh", p.admin, controlplane.SetPermissionRequest{Level: ptr("iam_only")}, "", "", "iam_only true false", true},
		{"sudo-without-ssh", p.admin, controlplane.SetPermissionRequest{AllowSsh: ptr(false), AllowSudo: ptr(true)}, "", "", "iam_only false true", true},
		{"sudo-without-ssh-gone", p.admin, controlplane.SetPermissionRequest{AllowSudo: ptr(false)}, "", "", "iam_only false false", false},
		{"no-such-level", p.admin, controlplane.SetPermissionRequest{Level: ptr("Show")}, controlplane.Invalid,
			"Level: level is none of deny, iam_only, show, deploy, manage", "iam_only false false", false},
		{"own-level", as("manager"), controlplane.SetPermissionRequest{IamUserArn: arn("manager"), Level: ptr("show")}, controlplane.Invalid, own, "manage false false", false},
		{"own-level-even-unchanged", as("manager"), controlplane.SetPermissionRequest{IamUserArn: arn("manager"), Level: ptr("manage"), AllowSsh: ptr(true)},
			controlplane.Invalid, own, "manage false false", false},
		{"own-level-of-an-administrator", p.admin, controlplane.SetPermissionRequest{IamUserArn: adminARN, Level: ptr("deny")}, controlplane.Invalid, own, "iam_only false false", false},
		{"own-flags", as("manager"), controlplane.SetPermissionRequest{IamUserArn: arn("manager"), AllowSsh: ptr(true), AllowSudo: ptr(true)}, "", "", "manage true true", true},
		{"unknown-user", as("manager"), controlplane.SetPermissionRequest{IamUserArn: arn("ghost"), Level: ptr("show")}, controlplane.NotFound,
			"Unable to find user with ARN " + arn("ghost"), "", false},
		{"unknown-stack", p.admin, controlplane.SetPermissionRequest{StackId: noStack}, controlplane.NotFound,
			"Unable to find stack with ID " + noStack, "", false},
		{"malformed-stack", p.admin, controlplane.SetPermissionRequest{StackId: "x"}, controlplane.Invalid,
			"Stack Id: id is not a lower-case UUID", "", false},
		{"malformed-user", p.admin, controlplane.SetPermissionRequest{IamUserArn: "x"}, controlplane.Invalid,
			"Iam User Arn: not the ARN of an IAM user, a federated user, an assumed role or an account root", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.StackId == "" {
				tc.req.StackId = stack
			}
			if tc.req.IamUserArn == "" {
				tc.req.IamUserArn = arn("alice")
			}
			before := p.serial(t, stack)
			_, err := p.SetPermission(t.Context(), tc.caller, tc.req)
			expectError(t, err, tc.code, tc.message)
			if raised := p.serial(t, stack) != before; raised != tc.raises {
				t.Errorf("serial raised: %v, want %v", raised, tc.raises)
			}
			if tc.want == "" {
				return
			}
			out, err := p.DescribePermissions(t.Context(), p.admin, controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: tc.req.IamUserArn})
			if err != nil || len(out.Permissions) != 1 {
				t.Fatalf("%v, %v", out, err)
			}
			got := out.Permissions[0]
			if text := fmt.Sprintf("%s %v %v", got.Level, got.AllowSsh, got.AllowSudo); text != tc.want {
				t.Errorf("got %s, want %s", text, tc.want)
			}
		})
	}
}

// A caller without a profile may be granted something, by himself too: his first
// request makes the profile.
func TestControlPlane_SetPermission_ImplicitSelf(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	_, err := p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{StackId: stack, IamUserArn: adminARN, AllowSsh: ptr(true)})
	expectError(t, err, "", "")
	if _, b := p.bundle(t, stack); len(b.Users) != 0 {
		t.Errorf("an administrator without a login name got an account: %+v", b.Users)
	}
}

// TestControlPlane_DescribePermissions holds R115 in part.
func TestControlPlane_DescribePermissions(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	p.user(t, "manager")
	one, two := p.stack(t, "one"), p.stack(t, "two")
	p.grant(t, one, "alice", "show", true, false)
	p.grant(t, one, "manager", "manage", false, false)
	entry := func(stack, who, level string, ssh bool) controlplane.Permission {
		return controlplane.Permission{StackId: stack, IamUserArn: who, Level: level, AllowSsh: ssh}
	}
	for _, tc := range []struct {
		name    string
		caller  controlplane.Caller
		req     controlplane.DescribePermissionsRequest
		want    []controlplane.Permission
		code    controlplane.Code
		message string
	}{
		{"stack-lists-every-user", as("manager"), controlplane.DescribePermissionsRequest{StackId: one}, []controlplane.Permission{
			entry(one, adminARN, "iam_only", false), entry(one, arn("alice"), "show", true), entry(one, arn("manager"), "manage", false),
		}, "", ""},
		{"user-lists-every-stack", p.admin, controlplane.DescribePermissionsRequest{IamUserArn: arn("alice")}, []controlplane.Permission{
			entry(one, arn("alice"), "show", true), entry(two, arn("alice"), "iam_only", false),
		}, "", ""},
		{"user-lists-what-the-caller-manages", as("manager"), controlplane.DescribePermissionsRequest{IamUserArn: arn("alice")}, []controlplane.Permission{
			entry(one, arn("alice"), "show", true),
		}, "", ""},
		{"both-is-one", as("manager"), controlplane.DescribePermissionsRequest{StackId: one, IamUserArn: adminARN}, []controlplane.Permission{
			entry(one, adminARN, "iam_only", false),
		}, "", ""},
		{"user-without-managing-any", as("alice"), controlplane.DescribePermissionsRequest{IamUserArn: arn("alice")}, nil, controlplane.Denied,
			denial(p, "alice", "opsworks:DescribePermissions", "*", "")},
		{"stack-not-managed", as("manager"), controlplane.DescribePermissionsRequest{StackId: two}, nil, controlplane.Denied,
			denial(p, "manager", "opsworks:DescribePermissions", "stack", two)},
		{"neither", p.admin, controlplane.DescribePermissionsRequest{}, nil, controlplane.Invalid,
			"Stack Id, Iam User Arn: one of them is required"},
		{"unknown-user", p.admin, controlplane.DescribePermissionsRequest{IamUserArn: arn("ghost")}, nil, controlplane.NotFound,
			"Unable to find user with ARN " + arn("ghost")},
		{"unknown-user-on-stack", p.admin, controlplane.DescribePermissionsRequest{StackId: one, IamUserArn: arn("ghost")}, nil, controlplane.NotFound,
			"Unable to find user with ARN " + arn("ghost")},
		{"unknown-stack", p.admin, controlplane.DescribePermissionsRequest{StackId: noStack}, nil, controlplane.NotFound,
			"Unable to find stack with ID " + noStack},
		{"unknown-stack-and-user", p.admin, controlplane.DescribePermissionsRequest{StackId: noStack, IamUserArn: arn("ghost")}, nil, controlplane.NotFound,
			"Unable to find stack with ID " + noStack},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := p.DescribePermissions(t.Context(), tc.caller, tc.req)
			expectError(t, err, tc.code, tc.message)
			if diff := cmp.Diff(tc.want, out.Permissions); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Ten thousand users on a thousand stacks are not ten million rows: rows are what
// was set, whatever the number of users and stacks.
func TestPermissions_Sparse(t *testing.T) {
	p := newPlane(t)
	const users, stacks = 50, 40
	for n := range users {
		p.user(t, fmt.Sprintf("u%d", n))
	}
	var ids []string
	for n := range stacks {
		ids = append(ids, p.stack(t, fmt.Sprintf("s%02d", n)))
	}
	p.grant(t, ids[0], "u1", "show", true, false)
	p.grant(t, ids[0], "u2", "manage", false, false)
	p.grant(t, ids[0], "u2", "iam_only", false, false)
	shown, rows := 0, 0
	for _, id := range ids {
		out, err := p.DescribePermissions(t.Context(), p.admin, controlplane.DescribePermissionsRequest{StackId: id})
		if err != nil {
			t.Fatal(err)
		}
		shown += len(out.Permissions)
		err = p.cfg.Store.Read(t.Context(), func(v store.View) error {
			stored, err := v.PermissionsOn(t.Context(), must(authz.ParseStackID(id)))
			rows += len(stored)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if shown != (users+1)*stacks || rows != 1 {
		t.Errorf("%d entries shown, %d rows stored", shown, rows)
	}
}

// Many at once: every change has its audit row, without a gap, and the serial only
// goes up (requirements R113 and R136 in part).
func TestControlPlane_SetPermission_Parallel(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	id := must(authz.ParseStackID(stack))
	const workers, turns = 10, 10
	for n := range workers {
		p.user(t, fmt.Sprintf("u%d", n))
	}
	before, start := len(p.audit(t)), p.serial(t, stack)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for turn := range turns {
				on := turn%2 == 0
				_, err := p.SetPermission(context.Background(), p.admin, controlplane.SetPermissionRequest{
					StackId: stack, IamUserArn: arn(fmt.Sprintf("u%d", n)), AllowSsh: &on,
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var serials []int64
	wg.Go(func() {
		for len(serials) < 50 {
			sealed, err := p.Bundle(context.Background(), id)
			if err != nil {
				t.Error(err)
				return
			}
			serials = append(serials, sealed.Serial)
		}
	})
	wg.Wait()
	if !slices.IsSorted(serials) {
		t.Errorf("serials went back: %v", serials)
	}
	if got := p.serial(t, stack) - start; got != workers*turns {
		t.Errorf("serial went up by %d, want %d", got, workers*turns)
	}
	entries := p.audit(t) // verifies the chain
	if len(entries)-before != workers*turns {
		t.Errorf("%d audit rows, want %d", len(entries)-before, workers*turns)
	}
	if e := entries[len(entries)-1]; e.Action != "opsworks:SetPermission" || e.Actor != adminARN || e.AccessKey != p.key.ID || e.Target != stack {
		t.Errorf("entry %+v", e)
	}
}

// Two administrators who delete each other at the same moment: one stays (requirement
// R113).
func TestControlPlane_LastAdministrator(t *testing.T) {
	p := newPlane(t)
	one, two := p.administrator(t, "one"), p.administrator(t, "two")
	results := make(chan error, 2)
	for _, try := range []struct {
		who    controlplane.Caller
		target string
	}{{one, "two"}, {two, "one"}} {
		go func() {
			_, err := p.DeleteUserProfile(context.Background(), try.who, controlplane.DeleteUserProfileRequest{IamUserArn: arn(try.target)})
			results <- err
		}()
	}
	first, second := <-results, <-results
	if (first == nil) == (second == nil) {
		t.Errorf("got %v and %v, want one success", first, second)
	}
}

// TestSetPermission_Self: a Manage user may give himself SSH and sudo, as in the
// original, and the audit log says that it was himself.
func TestSetPermission_Self(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	p.user(t, "manager")
	p.user(t, "alice")
	p.grant(t, stack, "manager", "manage", false, false)
	for _, name := range []string{"manager", "alice"} {
		_, err := p.SetPermission(t.Context(), as("manager"), controlplane.SetPermissionRequest{
			StackId: stack, IamUserArn: arn(name), AllowSsh: ptr(true), AllowSudo: ptr(true),
		})
		if err != nil {
			t.Fatal(err)
		}
		entries := p.audit(t)
		last := entries[len(entries)-1]
		if self := last.Detail["self"] == "true"; last.Actor != arn("manager") || self != (name == "manager") {
			t.Errorf("%s: %+v", name, last)
		}
	}
}
