package controlplane_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

func (p *plane) shown(t *testing.T, instance string) controlplane.Instance {
	t.Helper()
	out, err := p.DescribeInstances(t.Context(), p.admin, controlplane.DescribeInstancesRequest{InstanceIds: []string{instance}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Instances[0]
}

func TestControlPlane_UpdateInstance(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	a, _ := p.instance(t, stack)
	b, _ := p.instance(t, stack)
	elsewhere, _ := p.instance(t, p.stack(t, "other"))
	serial := p.serial(t, stack)
	want := p.shown(t, a)
	want.Hostname, want.AgentVersion, want.InstallUpdatesOnBoot, want.SshKeyName = "Front", "INHERIT", ptr(false), "k"
	_, err := p.UpdateInstance(t.Context(), p.admin, controlplane.UpdateInstanceRequest{
		InstanceId: a, Hostname: ptr("Front"), AgentVersion: ptr("INHERIT"), InstallUpdatesOnBoot: ptr(false), SshKeyName: ptr("k"),
	})
	expectError(t, err, "", "")
	if diff := cmp.Diff(want, p.shown(t, a)); diff != "" {
		t.Error(diff)
	}
	p.report(t, a, stack, nil, nil) // it says its own name again, and is shown with the given one
	_, err = p.UpdateInstance(t.Context(), p.admin, controlplane.UpdateInstanceRequest{InstanceId: a, SshKeyName: ptr("")})
	expectError(t, err, "", "")
	if got := p.shown(t, a); got.Hostname != "Front" || got.SshKeyName != "" || got.AgentVersion != "INHERIT" {
		t.Errorf("got %+v", got)
	}
	if p.serial(t, stack) != serial {
		t.Error("the serial was raised")
	}
	for _, tc := range []struct {
		name    string
		req     controlplane.UpdateInstanceRequest
		code    controlplane.Code
		message string
	}{
		{"taken", controlplane.UpdateInstanceRequest{InstanceId: b, Hostname: ptr("fRONT")}, controlplane.Invalid,
			"Hostname: another instance of the stack has it"},
		{"own-again", controlplane.UpdateInstanceRequest{InstanceId: a, Hostname: ptr("front")}, "", ""},
		{"same-on-another-stack", controlplane.UpdateInstanceRequest{InstanceId: elsewhere, Hostname: ptr("front")}, "", ""},
		{"its-own", controlplane.UpdateInstanceRequest{InstanceId: a, Hostname: ptr("")}, "", ""},
		{"63", controlplane.UpdateInstanceRequest{InstanceId: a, Hostname: ptr(strings.Repeat("a", 63))}, "", ""},
		{"64", controlplane.UpdateInstanceRequest{InstanceId: a, Hostname: ptr(strings.Repeat("a", 64))}, controlplane.Invalid,
			"Hostname: is not 1 to 63 letters, digits and dashes, with no dash at either end"},
		{"dash-first", controlplane.UpdateInstanceRequest{InstanceId: a, Hostname: ptr("-a")}, controlplane.Invalid,
			"Hostname: is not 1 to 63 letters, digits and dashes, with no dash at either end"},
		{"dot", controlplane.UpdateInstanceRequest{InstanceId: a, Hostname: ptr("a.b")}, controlplane.Invalid,
			"Hostname: is not 1 to 63 letters, digits and dashes, with no dash at either end"},
		{"layers", controlplane.UpdateInstanceRequest{InstanceId: a, LayerIds: []string{"x"}}, controlplane.Invalid, "Layer Ids: there are no layers"},
		{"no-layers", controlplane.UpdateInstanceRequest{InstanceId: a, LayerIds: []string{}}, "", ""},
		{"type", controlplane.UpdateInstanceRequest{InstanceId: a, InstanceType: ptr("t2.micro")}, controlplane.Invalid,
			"Instance Type: is a fact of the machine and cannot be set"},
		{"long-version", controlplane.UpdateInstanceRequest{InstanceId: a, AgentVersion: ptr(strings.Repeat("1", 256))}, controlplane.Invalid,
			"Agent Version: is longer than 255 bytes"},
		{"key-name", controlplane.UpdateInstanceRequest{InstanceId: a, SshKeyName: ptr("a\n")}, controlplane.Invalid,
			"Ssh Key Name: holds a character that cannot be printed"},
		{"unknown", controlplane.UpdateInstanceRequest{InstanceId: noStack}, controlplane.NotFound, "Unable to find instance with ID " + noStack},
		{"malformed", controlplane.UpdateInstanceRequest{InstanceId: "x"}, controlplane.Invalid, "Instance Id: id is not a lower-case UUID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.UpdateInstance(t.Context(), p.admin, tc.req)
			expectError(t, err, tc.code, tc.message)
		})
	}
	t.Run("windows", func(t *testing.T) {
		report := wire.Report{Epoch: 1, Serial: serial, Facts: wire.Facts{Hostname: "WIN-1", OS: "windows"}}
		if err := p.Report(t.Context(), must(authz.ParseInstanceID(b)), report); err != nil {
			t.Fatal(err)
		}
		_, err := p.UpdateInstance(t.Context(), p.admin, controlplane.UpdateInstanceRequest{InstanceId: b, Hostname: ptr(strings.Repeat("a", 15))})
		expectError(t, err, "", "")
		_, err = p.UpdateInstance(t.Context(), p.admin, controlplane.UpdateInstanceRequest{InstanceId: b, Hostname: ptr(strings.Repeat("b", 16))})
		expectError(t, err, controlplane.Invalid, "Hostname: is longer than the 15 characters of a Windows instance")
	})
}

func TestControlPlane_DescribeAgentVersions(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	chef := &controlplane.StackConfigurationManager{Name: "Chef", Version: "12"}
	made, err := p.CreateStack(t.Context(), p.admin, controlplane.CreateStackRequest{Name: "n", ConfigurationManager: chef})
	expectError(t, err, "", "")
	stack, bare := made.StackId, p.stack(t, "bare")
	p.grant(t, stack, "alice", "show", false, false)
	p.instance(t, stack)
	p.instance(t, stack) // the same version twice
	cfg := p.cfg
	cfg.AgentVersion = "1.1"
	shipped := p.open(t, cfg)
	for _, tc := range []struct {
		name    string
		c       *controlplane.ControlPlane
		who     controlplane.Caller
		req     controlplane.DescribeAgentVersionsRequest
		want    []controlplane.AgentVersion
		code    controlplane.Code
		message string
	}{
		{"stack", shipped, as("alice"), controlplane.DescribeAgentVersionsRequest{StackId: stack},
			[]controlplane.AgentVersion{{Version: "1.1", ConfigurationManager: chef}, {Version: "1.0", ConfigurationManager: chef}}, "", ""},
		{"not-known-what-came-with-it", p.ControlPlane, p.admin, controlplane.DescribeAgentVersionsRequest{StackId: stack},
			[]controlplane.AgentVersion{{Version: "1.0", ConfigurationManager: chef}}, "", ""},
		{"no-manager", shipped, p.admin, controlplane.DescribeAgentVersionsRequest{StackId: bare}, []controlplane.AgentVersion{{Version: "1.1"}}, "", ""},
		{"manager", shipped, p.admin, controlplane.DescribeAgentVersionsRequest{ConfigurationManager: chef},
			[]controlplane.AgentVersion{{Version: "1.1", ConfigurationManager: chef}, {Version: "1.0", ConfigurationManager: chef}}, "", ""},
		{"manager-without-policy", shipped, as("alice"), controlplane.DescribeAgentVersionsRequest{ConfigurationManager: chef}, nil,
			controlplane.Denied, denial(p, "alice", "opsworks:DescribeAgentVersions", "*", "")},
		{"neither", shipped, p.admin, controlplane.DescribeAgentVersionsRequest{}, nil, controlplane.Invalid,
			"Stack Id, Configuration Manager: one of them is required"},
		{"unknown", shipped, p.admin, controlplane.DescribeAgentVersionsRequest{StackId: noStack}, nil, controlplane.NotFound,
			"Unable to find stack with ID " + noStack},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := tc.c.DescribeAgentVersions(t.Context(), tc.who, tc.req)
			expectError(t, err, tc.code, tc.message)
			if diff := cmp.Diff(tc.want, out.AgentVersions); diff != "" && tc.code == "" {
				t.Error(diff)
			}
		})
	}
}

func TestControlPlane_DescribeOperatingSystems(t *testing.T) {
	p := newPlane(t)
	out, err := p.DescribeOperatingSystems(t.Context(), p.admin, controlplane.DescribeOperatingSystemsRequest{})
	if err != nil || len(out.OperatingSystems) == 0 || !out.OperatingSystems[0].Supported {
		t.Errorf("%+v, %v", out, err)
	}
}
