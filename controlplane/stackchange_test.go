package controlplane_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane"
)

// described is a stack as the administrator is shown it.
func (p *plane) described(t *testing.T, stack string) controlplane.Stack {
	t.Helper()
	out, err := p.DescribeStacks(t.Context(), p.admin, controlplane.DescribeStacksRequest{StackIds: []string{stack}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Stacks[0]
}

func TestControlPlane_UpdateStack(t *testing.T) {
	p := newPlane(t)
	made, err := p.CreateStack(t.Context(), p.admin, controlplane.CreateStackRequest{
		Name: "old", ServiceRoleArn: "role", DefaultOs: "Debian 12", CustomJson: "{}", UseCustomCookbooks: ptr(true),
		ConfigurationManager: &controlplane.StackConfigurationManager{Name: "Chef", Version: "11.10"},
	})
	if err != nil {
		t.Fatal(err)
	}
	stack, serial := made.StackId, p.serial(t, made.StackId)
	t.Run("changes-what-it-names", func(t *testing.T) {
		want := p.described(t, stack)
		_, err := p.UpdateStack(t.Context(), p.admin, controlplane.UpdateStackRequest{
			StackId: stack, Name: ptr("new"), CustomJson: ptr(""), UseCustomCookbooks: ptr(false), ServiceRoleArn: ptr("role"),
			Attributes:            map[string]string{"Color": "red"},
			ConfigurationManager:  &controlplane.StackConfigurationManager{Version: "12"},
			CustomCookbooksSource: &controlplane.Source{Url: "u", Password: "hunter2"},
		})
		expectError(t, err, "", "")
		want.Name, want.CustomJson, want.UseCustomCookbooks = "new", "", ptr(false)
		want.Attributes, want.ConfigurationManager.Version = map[string]string{"Color": "red"}, "12"
		want.CustomCookbooksSource = &controlplane.Source{Url: "u", Password: "*****FILTERED*****"}
		if diff := cmp.Diff(want, p.described(t, stack)); diff != "" {
			t.Error(diff)
		}
		if p.serial(t, stack) != serial {
			t.Error("the serial was raised")
		}
		entries := p.audit(t)
		if e := entries[len(entries)-1]; e.Action != "opsworks:UpdateStack" || e.Target != stack || e.Detail["from"] != "old" || e.Detail["to"] != "new" {
			t.Errorf("entry %+v", e)
		}
	})
	t.Run("nothing-named", func(t *testing.T) {
		want := p.described(t, stack)
		_, err := p.UpdateStack(t.Context(), p.admin, controlplane.UpdateStackRequest{StackId: stack})
		expectError(t, err, "", "")
		if diff := cmp.Diff(want, p.described(t, stack)); diff != "" {
			t.Error(diff)
		}
	})
	for _, tc := range []struct {
		name    string
		req     controlplane.UpdateStackRequest
		code    controlplane.Code
		message string
	}{
		{"empty-name", controlplane.UpdateStackRequest{StackId: stack, Name: ptr("")}, controlplane.Invalid, "Name: is required"},
		{"other-role", controlplane.UpdateStackRequest{StackId: stack, ServiceRoleArn: ptr("other")}, controlplane.Invalid,
			"Service Role Arn: a stack's service role cannot be changed"},
		{"unknown", controlplane.UpdateStackRequest{StackId: noStack}, controlplane.NotFound, "Unable to find stack with ID " + noStack},
		{"malformed", controlplane.UpdateStackRequest{StackId: "x"}, controlplane.Invalid, "Stack Id: id is not a lower-case UUID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.UpdateStack(t.Context(), p.admin, tc.req)
			expectError(t, err, tc.code, tc.message)
		})
	}
}

func TestControlPlane_CloneStack(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	made, err := p.CreateStack(t.Context(), p.admin, controlplane.CreateStackRequest{
		Name: "parent", Region: "us-west-2", VpcId: "vpc-1", DefaultOs: "Debian 12", Attributes: map[string]string{"Color": "red"},
	})
	if err != nil {
		t.Fatal(err)
	}
	parent := made.StackId
	p.grant(t, parent, "alice", "deploy", true, true)
	p.instance(t, parent)
	p.pass(time.Hour)
	for _, tc := range []struct {
		name        string
		req         controlplane.CloneStackRequest
		change      func(*controlplane.Stack)
		permissions string
		users       int
	}{
		{"like-the-parent", controlplane.CloneStackRequest{}, func(*controlplane.Stack) {}, "iam_only", 0},
		{"without-permissions", controlplane.CloneStackRequest{ClonePermissions: ptr(false)}, func(*controlplane.Stack) {}, "iam_only", 0},
		{"with-permissions", controlplane.CloneStackRequest{ClonePermissions: ptr(true), Name: ptr("child"), VpcId: ptr("")},
			func(s *controlplane.Stack) { s.Name, s.VpcId = "child", "" }, "deploy", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := p.described(t, parent)
			tc.req.SourceStackId = parent
			out, err := p.CloneStack(t.Context(), p.admin, tc.req)
			expectError(t, err, "", "")
			got := p.described(t, out.StackId)
			want.StackId, want.Arn, want.CreatedAt = out.StackId, got.Arn, "2026-03-01T13:00:00+00:00"
			tc.change(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			permissions, err := p.DescribePermissions(t.Context(), p.admin, controlplane.DescribePermissionsRequest{StackId: out.StackId, IamUserArn: arn("alice")})
			if err != nil || permissions.Permissions[0].Level != tc.permissions {
				t.Errorf("got %+v, %v", permissions, err)
			}
			if _, b := p.bundle(t, out.StackId); len(b.Users) != tc.users {
				t.Errorf("%d users in the bundle, want %d", len(b.Users), tc.users)
			}
		})
	}
	for _, tc := range []struct {
		name    string
		req     controlplane.CloneStackRequest
		code    controlplane.Code
		message string
	}{
		{"unknown", controlplane.CloneStackRequest{SourceStackId: noStack}, controlplane.NotFound, "Unable to find stack with ID " + noStack},
		{"malformed", controlplane.CloneStackRequest{SourceStackId: "x"}, controlplane.Invalid, "Source Stack Id: id is not a lower-case UUID"},
		{"apps", controlplane.CloneStackRequest{SourceStackId: parent, CloneAppIds: []string{"a"}}, controlplane.Invalid,
			"Clone App Ids: there are no apps to clone"},
		{"bad-region", controlplane.CloneStackRequest{SourceStackId: parent, Region: ptr("a b")}, controlplane.Invalid,
			"Region: is not a word of a-z, 0-9 and -"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.CloneStack(t.Context(), p.admin, tc.req)
			expectError(t, err, tc.code, tc.message)
		})
	}
}

func TestControlPlane_DescribeStackSummary(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	summary := func() controlplane.StackSummary {
		t.Helper()
		out, err := p.DescribeStackSummary(t.Context(), p.admin, controlplane.DescribeStackSummaryRequest{StackId: stack})
		expectError(t, err, "", "")
		return out.StackSummary
	}
	want := controlplane.StackSummary{StackId: stack, Name: "web", Arn: p.described(t, stack).Arn}
	if diff := cmp.Diff(want, summary()); diff != "" {
		t.Error(diff)
	}
	for n := range 4 {
		id, _ := p.instance(t, stack)
		if n == 0 {
			continue
		}
		if err := p.Seen(t.Context(), must(authz.ParseInstanceID(id))); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			p.pass(time.Hour)
		}
	}
	want.InstancesCount = controlplane.InstancesCount{Registered: 1, ConnectionLost: 1, Online: 2}
	if diff := cmp.Diff(want, summary()); diff != "" {
		t.Error(diff)
	}
	_, err := p.DescribeStackSummary(t.Context(), p.admin, controlplane.DescribeStackSummaryRequest{StackId: noStack})
	expectError(t, err, controlplane.NotFound, "Unable to find stack with ID "+noStack)
}

// The stock client puts these values unquoted into a shell script that it runs as
// root.
func TestControlPlane_DescribeStackProvisioningParameters(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "web")
	out, err := p.DescribeStackProvisioningParameters(t.Context(), p.admin, controlplane.DescribeStackProvisioningParametersRequest{StackId: stack})
	expectError(t, err, "", "")
	if out.Parameters["assets_download_bucket"] == "" || out.Parameters["control_plane"] != p.id(t) {
		t.Errorf("parameters %v", out.Parameters)
	}
	harmless := regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	for key, value := range out.Parameters {
		if !harmless.MatchString(key) || !harmless.MatchString(value) {
			t.Errorf("%q: %q", key, value)
		}
	}
	if !regexp.MustCompile(`^https://[a-z-]+\.invalid/$`).MatchString(out.AgentInstallerUrl) {
		t.Errorf("installer %q", out.AgentInstallerUrl)
	}
	_, err = p.DescribeStackProvisioningParameters(t.Context(), p.admin, controlplane.DescribeStackProvisioningParametersRequest{StackId: noStack})
	expectError(t, err, controlplane.NotFound, "Unable to find stack with ID "+noStack)
}
