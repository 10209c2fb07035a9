package controlplane_test

import (
	"errors"
	"testing"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

func TestControlPlane_RegisterInstance(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	for _, tc := range []struct {
		name, stack string
		code        controlplane.Code
		message     string
	}{
		{"always", stack, controlplane.Invalid, "Register Instance: a machine joins by its own agent: make a token with " +
			"latchkey token create, and run latchkey-agent enroll on the machine"},
		{"unknown-stack", noStack, controlplane.NotFound, "Unable to find stack with ID " + noStack},
		{"malformed", "x", controlplane.Invalid, "Stack Id: id is not a lower-case UUID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.RegisterInstance(t.Context(), p.admin, controlplane.RegisterInstanceRequest{StackId: tc.stack, Hostname: "web-1"})
			expectError(t, err, tc.code, tc.message)
		})
	}
}

func TestControlPlane_GrantAccess(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	linux, _ := p.instance(t, stack)
	windows, _ := p.instance(t, stack)
	report := wire.Report{Epoch: 1, Serial: 1, Facts: wire.Facts{Hostname: "WIN-1", OS: "windows"}}
	if err := p.Report(t.Context(), must(authz.ParseInstanceID(windows)), report); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"login", "show", "only-ssh"} {
		p.user(t, name)
	}
	p.grant(t, stack, "login", "show", true, false)
	p.grant(t, stack, "show", "show", false, false)
	p.grant(t, stack, "only-ssh", "iam_only", true, true)
	denied := func(name, why string) string {
		return "User: " + arn(name) + " is not authorized to perform: opsworks:GrantAccess on resource: " + arnPrefix + "instance/" + linux + " because " + why
	}
	for _, tc := range []struct {
		name, who, instance string
		minutes             *int64
		code                controlplane.Code
		message             string
	}{
		{"linux", "login", linux, nil, controlplane.Invalid, "Instance Id: only Windows instances have temporary passwords; log in with your SSH key"},
		{"windows", "login", windows, ptr(int64(60)), controlplane.Invalid, "Instance Id: temporary passwords of Windows instances are not served yet"},
		{"without-ssh", "show", linux, nil, controlplane.Denied, denied("show", "AllowSsh is not set for the user on this stack")},
		{"without-show", "only-ssh", linux, nil, controlplane.Denied, denied("only-ssh", "no policy and no level allows it")},
		{"too-short", "login", linux, ptr(int64(59)), controlplane.Invalid, "Valid For In Minutes: must be 60 to 1440"},
		{"too-long", "login", linux, ptr(int64(1441)), controlplane.Invalid, "Valid For In Minutes: must be 60 to 1440"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.GrantAccess(t.Context(), as(tc.who), controlplane.GrantAccessRequest{InstanceId: tc.instance, ValidForInMinutes: tc.minutes})
			expectError(t, err, tc.code, tc.message)
		})
	}
	t.Run("its-reason", func(t *testing.T) {
		_, err := p.GrantAccess(t.Context(), as("show"), controlplane.GrantAccessRequest{InstanceId: linux})
		if !errors.Is(err, authz.ErrSSHNotAllowed) {
			t.Errorf("got %v", err)
		}
	})
}
