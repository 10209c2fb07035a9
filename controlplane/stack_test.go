package controlplane_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane"
)

func TestControlPlane_CreateStack_KeepsEveryMember(t *testing.T) {
	p := newPlane(t)
	req := controlplane.CreateStackRequest{
		Name: "Büro 1", Region: "us-west-2", VpcId: "vpc-1", Attributes: map[string]string{"Color": "rgb(1, 2, 3)"},
		ServiceRoleArn: "arn:aws:iam::123456789012:role/r", DefaultInstanceProfileArn: "arn:aws:iam::123456789012:instance-profile/p",
		DefaultOs: "Debian 12", HostnameTheme: "Layer_Dependent", DefaultAvailabilityZone: "us-west-2a", DefaultSubnetId: "subnet-1",
		CustomJson: `{"a": "<b>"}`, ConfigurationManager: &controlplane.StackConfigurationManager{Name: "Chef", Version: "12"},
		ChefConfiguration:  &controlplane.ChefConfiguration{ManageBerkshelf: ptr(false), BerkshelfVersion: "3"},
		UseCustomCookbooks: ptr(true), UseOpsworksSecurityGroups: ptr(false),
		CustomCookbooksSource: &controlplane.Source{
			Type: "git", Url: "https://example.invalid/x.git", Username: "u", Password: "hunter2", SshKey: "PRIVATE", Revision: "main",
		},
		DefaultSshKeyName: "k", DefaultRootDeviceType: "ebs", AgentVersion: "LATEST",
	}
	out, err := p.CreateStack(t.Context(), p.admin, req)
	if err != nil {
		t.Fatal(err)
	}
	if req.CustomCookbooksSource.Password != "hunter2" {
		t.Error("the caller's request was changed")
	}
	shown, err := p.DescribeStacks(t.Context(), p.admin, controlplane.DescribeStacksRequest{StackIds: []string{out.StackId}})
	if err != nil {
		t.Fatal(err)
	}
	req.CustomCookbooksSource.Password = "*****FILTERED*****"
	req.CustomCookbooksSource.SshKey = "*****FILTERED*****"
	want := controlplane.Stack{
		StackId: out.StackId, Arn: "arn:aws:opsworks:eu-west-1:123456789012:stack/" + out.StackId + "/",
		CreateStackRequest: req, CreatedAt: "2026-03-01T12:00:00+00:00",
	}
	if diff := cmp.Diff([]controlplane.Stack{want}, shown.Stacks); diff != "" {
		t.Error(diff)
	}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(p.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "hunter2") {
			t.Errorf("the secret is in latchkey.db%s", suffix)
		}
	}
	text, err := json.Marshal(shown.Stacks[0])
	if err != nil || !strings.Contains(string(text), `"Name":"Büro 1"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestControlPlane_CreateStack_Refuses(t *testing.T) {
	p := newPlane(t)
	for _, tc := range []struct {
		name    string
		req     controlplane.CreateStackRequest
		message string // empty: accepted
	}{
		{"no-name", controlplane.CreateStackRequest{}, "Name: is required"},
		{"64-characters", controlplane.CreateStackRequest{Name: strings.Repeat("ü", 64)}, ""},
		{"65-characters", controlplane.CreateStackRequest{Name: strings.Repeat("n", 65)}, "Name: is longer than 64 characters"},
		{"newline", controlplane.CreateStackRequest{Name: "a\nb"}, "Name: holds a character that cannot be printed"},
		{"right-to-left-mark", controlplane.CreateStackRequest{Name: "a\u202eb"}, "Name: holds a character that cannot be printed"},
		{"not-utf-8", controlplane.CreateStackRequest{Name: "a\xff"}, "Name: holds a character that cannot be printed"},
		{"region", controlplane.CreateStackRequest{Name: "n", Region: "a b"}, "Region: is not a word of a-z, 0-9 and -"},
		{"large", controlplane.CreateStackRequest{Name: "n", CustomJson: strings.Repeat("x", 256<<10)}, "Stack: is larger than 256 KiB"},
		{"same-name-twice", controlplane.CreateStackRequest{Name: strings.Repeat("ü", 64)}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.CreateStack(t.Context(), p.admin, tc.req)
			if tc.message == "" {
				expectError(t, err, "", "")
			} else {
				expectError(t, err, controlplane.Invalid, tc.message)
			}
		})
	}
}

// TestControlPlane_DescribeStacks holds R115 in part.
func TestControlPlane_DescribeStacks(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	c, a, b := p.stack(t, "c"), p.stack(t, "a"), p.stack(t, "b")
	p.grant(t, a, "alice", "show", false, false)
	p.grant(t, b, "alice", "iam_only", true, true)
	p.grant(t, c, "alice", "deploy", false, false)
	names := func(who controlplane.Caller, ids ...string) (string, error) {
		out, err := p.DescribeStacks(t.Context(), who, controlplane.DescribeStacksRequest{StackIds: ids})
		var all []string
		for _, st := range out.Stacks {
			all = append(all, st.Name)
		}
		if out.Stacks == nil {
			t.Error("the list is null, not empty")
		}
		return strings.Join(all, " "), err
	}
	for _, tc := range []struct {
		name    string
		who     controlplane.Caller
		ids     []string
		want    string
		code    controlplane.Code
		message string
	}{
		{"all", p.admin, nil, "a b c", "", ""},
		{"all-that-he-may-see", as("alice"), nil, "a c", "", ""},
		{"none-that-he-may-see", as("stranger"), nil, "", "", ""},
		{"named", as("alice"), []string{c, a}, "c a", "", ""},
		{"one-of-them-not-allowed", as("alice"), []string{a, b}, "", controlplane.Denied, denial(p, "alice", "opsworks:DescribeStacks", "stack", b)},
		{"unknown", p.admin, []string{noStack}, "", controlplane.NotFound, "Unable to find stack with ID " + noStack},
		{"malformed", p.admin, []string{"../x"}, "", controlplane.Invalid, "Stack Id: id is not a lower-case UUID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.code != "" {
				_, err := p.DescribeStacks(t.Context(), tc.who, controlplane.DescribeStacksRequest{StackIds: tc.ids})
				expectError(t, err, tc.code, tc.message)
				return
			}
			got, err := names(tc.who, tc.ids...)
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestControlPlane_DeleteStack(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	stack := p.stack(t, "stack")
	id := must(authz.ParseStackID(stack))
	p.grant(t, stack, "alice", "show", true, false)
	token, err := p.CreateJoinToken(t.Context(), p.admin, controlplane.CreateJoinTokenRequest{StackId: stack})
	expectError(t, err, "", "")
	instance, _ := p.instance(t, stack)
	p.bundle(t, stack)

	_, err = p.DeleteStack(t.Context(), p.admin, controlplane.DeleteStackRequest{StackId: stack})
	expectError(t, err, controlplane.Invalid, "Stack Id: stack still holds instances (1); deregister them first")
	_, err = p.DeregisterInstance(t.Context(), p.admin, controlplane.DeregisterInstanceRequest{InstanceId: instance})
	expectError(t, err, "", "")
	changed := p.Changed(id)
	_, err = p.DeleteStack(t.Context(), p.admin, controlplane.DeleteStackRequest{StackId: stack})
	expectError(t, err, "", "")
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	_, err = p.DeleteStack(t.Context(), p.admin, controlplane.DeleteStackRequest{StackId: stack})
	expectError(t, err, controlplane.NotFound, "Unable to find stack with ID "+stack)
	_, err = p.Bundle(t.Context(), id)
	expectError(t, err, controlplane.NotFound, "Unable to find stack with ID "+stack)
	_, err = p.Enroll(t.Context(), enrolment(t, token.Token))
	expectError(t, err, controlplane.Denied, "join token is not known")
}
