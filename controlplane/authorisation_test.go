package controlplane_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

// Who may do what: each action, asked by a user at each level on the stack
// (requirement R114).
func TestAuthorisation(t *testing.T) {
	levels := []string{"deny", "iam_only", "show", "deploy", "manage"}
	type request func(t *testing.T, p *plane, caller controlplane.Caller, stack string) error
	for _, tc := range []struct {
		action string
		on     string   // the resource in a denial
		levels []string // that allow it
		ask    request
	}{
		{"opsworks:CreateUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.CreateUserProfile(t.Context(), who, controlplane.CreateUserProfileRequest{IamUserArn: arn("new")})
			return err
		}},
		{"opsworks:UpdateUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.UpdateUserProfile(t.Context(), who, controlplane.UpdateUserProfileRequest{IamUserArn: arn("target")})
			return err
		}},
		{"opsworks:DeleteUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DeleteUserProfile(t.Context(), who, controlplane.DeleteUserProfileRequest{IamUserArn: arn("target")})
			return err
		}},
		{"opsworks:DescribeUserProfiles", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DescribeUserProfiles(t.Context(), who, controlplane.DescribeUserProfilesRequest{})
			return err
		}},
		{"opsworks:CreateStack", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.CreateStack(t.Context(), who, controlplane.CreateStackRequest{Name: "n"})
			return err
		}},
		{"opsworks:DescribeStacks", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeStacks(t.Context(), who, controlplane.DescribeStacksRequest{StackIds: []string{stack}})
			return err
		}},
		{"opsworks:DescribeMyUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DescribeMyUserProfile(t.Context(), who, controlplane.DescribeMyUserProfileRequest{})
			return err
		}},
		{"opsworks:UpdateMyUserProfile", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.UpdateMyUserProfile(t.Context(), who, controlplane.UpdateMyUserProfileRequest{})
			return err
		}},
		{"opsworks:CloneStack", "stack", nil, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.CloneStack(t.Context(), who, controlplane.CloneStackRequest{SourceStackId: stack})
			return err
		}},
		{"opsworks:UpdateStack", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.UpdateStack(t.Context(), who, controlplane.UpdateStackRequest{StackId: stack, Name: ptr("n")})
			return err
		}},
		{"opsworks:DescribeStackSummary", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeStackSummary(t.Context(), who, controlplane.DescribeStackSummaryRequest{StackId: stack})
			return err
		}},
		{"opsworks:DescribeStackProvisioningParameters", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeStackProvisioningParameters(t.Context(), who, controlplane.DescribeStackProvisioningParametersRequest{StackId: stack})
			return err
		}},
		{"opsworks:DeleteStack", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DeleteStack(t.Context(), who, controlplane.DeleteStackRequest{StackId: stack})
			return err
		}},
		{"opsworks:SetPermission", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.SetPermission(t.Context(), who, controlplane.SetPermissionRequest{StackId: stack, IamUserArn: arn("target"), Level: ptr("manage")})
			return err
		}},
		{"opsworks:DescribePermissions", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribePermissions(t.Context(), who, controlplane.DescribePermissionsRequest{StackId: stack})
			return err
		}},
		{"opsworks:DescribeInstances", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeInstances(t.Context(), who, controlplane.DescribeInstancesRequest{StackId: stack})
			return err
		}},
		{"opsworks:DeregisterInstance", "instance", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			id, _ := p.instance(t, stack)
			_, err := p.DeregisterInstance(t.Context(), who, controlplane.DeregisterInstanceRequest{InstanceId: id})
			return maskID(err, id)
		}},
		{"opsworks:TagResource", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.TagResource(t.Context(), who, controlplane.TagResourceRequest{ResourceArn: arnPrefix + "stack/" + stack + "/", Tags: map[string]string{"k": "v"}})
			return err
		}},
		{"opsworks:UntagResource", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.UntagResource(t.Context(), who, controlplane.UntagResourceRequest{ResourceArn: arnPrefix + "stack/" + stack + "/", TagKeys: []string{"k"}})
			return err
		}},
		{"opsworks:ListTags", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.ListTags(t.Context(), who, controlplane.ListTagsRequest{ResourceArn: arnPrefix + "stack/" + stack + "/"})
			return err
		}},
		{"opsworks:DescribeAgentVersions", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeAgentVersions(t.Context(), who, controlplane.DescribeAgentVersionsRequest{StackId: stack})
			return err
		}},
		{"opsworks:DescribeOperatingSystems", "*", nil, func(t *testing.T, p *plane, who controlplane.Caller, _ string) error {
			_, err := p.DescribeOperatingSystems(t.Context(), who, controlplane.DescribeOperatingSystemsRequest{})
			return err
		}},
		{"opsworks:DescribeServiceErrors", "stack", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.DescribeServiceErrors(t.Context(), who, controlplane.DescribeServiceErrorsRequest{StackId: stack})
			return err
		}},
		{"opsworks:UpdateInstance", "instance", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			id, _ := p.instance(t, stack)
			_, err := p.UpdateInstance(t.Context(), who, controlplane.UpdateInstanceRequest{InstanceId: id, Hostname: ptr("h")})
			return maskID(err, id)
		}},
		{"opsworks:DescribeCommands", "instance", []string{"show", "deploy", "manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			id, _ := p.instance(t, stack)
			_, err := p.DescribeCommands(t.Context(), who, controlplane.DescribeCommandsRequest{InstanceId: id})
			return maskID(err, id)
		}},
		{"opsworks:RegisterInstance", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.RegisterInstance(t.Context(), who, controlplane.RegisterInstanceRequest{StackId: stack})
			return unlessInvalid(err) // who may is told how machines join
		}},
		{"latchkey:CreateJoinToken", "stack", []string{"manage"}, func(t *testing.T, p *plane, who controlplane.Caller, stack string) error {
			_, err := p.CreateJoinToken(t.Context(), who, controlplane.CreateJoinTokenRequest{StackId: stack})
			return err
		}},
	} {
		t.Run(strings.ToLower(strings.ReplaceAll(tc.action, ":", "-")), func(t *testing.T) {
			p := newPlane(t)
			p.user(t, "target")
			other := p.stack(t, "other")
			for _, level := range levels {
				p.user(t, level)
				stack := p.stack(t, "stack")
				p.grant(t, stack, level, level, false, false)
				p.grant(t, other, level, "manage", false, false) // must not help
				before := len(p.audit(t))
				err := tc.ask(t, p, as(level), stack)
				if strings.Contains(" "+strings.Join(tc.levels, " ")+" ", " "+level+" ") {
					expectError(t, err, "", "")
					continue
				}
				expectError(t, err, controlplane.Denied, denial(p, level, tc.action, tc.on, stack))
				if after := len(p.audit(t)); after > before+2 { // a token and an instance made for the question
					t.Errorf("a denial left %d audit rows", after-before)
				}
			}
			expectError(t, tc.ask(t, p, p.admin, p.stack(t, "admin's")), "", "")
			stranger := as("stranger") // no profile, no permission
			expectError(t, tc.ask(t, p, stranger, other), controlplane.Denied, denial(p, "stranger", tc.action, tc.on, other))
			gone := p.admin
			gone.AccessKeyID = "LKIAUNKNOWN"
			expectError(t, tc.ask(t, p, gone, other), controlplane.Unauthenticated, "The security token included in the request is invalid.")
			borrowed := as("manage") // somebody else's key
			borrowed.AccessKeyID = p.key.ID
			expectError(t, tc.ask(t, p, borrowed, other), controlplane.Unauthenticated, "The security token included in the request is invalid.")
			expectError(t, tc.ask(t, p, controlplane.Caller{}, other), controlplane.Unauthenticated, "The security token included in the request is invalid.")
		})
	}
}

// unlessInvalid passes over the refusal of a request.
func unlessInvalid(err error) error {
	var refusal *controlplane.Error
	if errors.As(err, &refusal) && refusal.Code == controlplane.Invalid {
		return nil
	}
	return err
}

// maskID puts a fixed word in the place of an id that is another each time.
func maskID(err error, id string) error {
	var refusal *controlplane.Error
	if errors.As(err, &refusal) {
		masked := *refusal
		masked.Message = strings.ReplaceAll(masked.Message, id, "ID")
		return &masked
	}
	return err
}

func denial(p *plane, name, action, on, stack string) string {
	why := "no policy and no level allows it"
	switch on {
	case "stack":
		on = "arn:aws:opsworks:eu-west-1:123456789012:stack/" + stack + "/"
		if name == "deny" {
			why = "the user's level on the stack is deny"
		}
	case "instance":
		on = "arn:aws:opsworks:eu-west-1:123456789012:instance/ID"
	}
	return "User: " + arn(name) + " is not authorized to perform: " + action + " on resource: " + on + " because " + why
}

// A caller who may not learns nothing about what exists (requirement R115 in part).
func TestAuthorisation_HidesWhatExists(t *testing.T) {
	p := newPlane(t)
	p.user(t, "noone")
	p.user(t, "target")
	stack := p.stack(t, "stack")
	instance, _ := p.instance(t, stack)
	ask := func(stack, user, instance string) []string {
		_, e1 := p.SetPermission(t.Context(), as("noone"), controlplane.SetPermissionRequest{StackId: stack, IamUserArn: arn(user)})
		_, e2 := p.DescribeStacks(t.Context(), as("noone"), controlplane.DescribeStacksRequest{StackIds: []string{stack}})
		_, e3 := p.DeleteStack(t.Context(), as("noone"), controlplane.DeleteStackRequest{StackId: stack})
		_, e4 := p.DescribePermissions(t.Context(), as("noone"), controlplane.DescribePermissionsRequest{StackId: stack, IamUserArn: arn(user)})
		_, e5 := p.DescribePermissions(t.Context(), as("noone"), controlplane.DescribePermissionsRequest{IamUserArn: arn(user)})
		_, e6 := p.DescribeInstances(t.Context(), as("noone"), controlplane.DescribeInstancesRequest{InstanceIds: []string{instance}})
		_, e7 := p.DeregisterInstance(t.Context(), as("noone"), controlplane.DeregisterInstanceRequest{InstanceId: instance})
		_, e8 := p.CreateJoinToken(t.Context(), as("noone"), controlplane.CreateJoinTokenRequest{StackId: stack})
		_, e9 := p.DeleteUserProfile(t.Context(), as("noone"), controlplane.DeleteUserProfileRequest{IamUserArn: arn(user)})
		_, e10 := p.UpdateStack(t.Context(), as("noone"), controlplane.UpdateStackRequest{StackId: stack})
		_, e11 := p.CloneStack(t.Context(), as("noone"), controlplane.CloneStackRequest{SourceStackId: stack})
		_, e12 := p.DescribeStackSummary(t.Context(), as("noone"), controlplane.DescribeStackSummaryRequest{StackId: stack})
		_, e13 := p.DescribeStackProvisioningParameters(t.Context(), as("noone"), controlplane.DescribeStackProvisioningParametersRequest{StackId: stack})
		_, e14 := p.UpdateInstance(t.Context(), as("noone"), controlplane.UpdateInstanceRequest{InstanceId: instance})
		_, e15 := p.ListTags(t.Context(), as("noone"), controlplane.ListTagsRequest{ResourceArn: arnPrefix + "stack/" + stack})
		_, e16 := p.UntagResource(t.Context(), as("noone"), controlplane.UntagResourceRequest{ResourceArn: arnPrefix + "instance/" + instance, TagKeys: []string{"k"}})
		_, e17 := p.DescribeServiceErrors(t.Context(), as("noone"), controlplane.DescribeServiceErrorsRequest{InstanceId: instance})
		_, e18 := p.DescribeAgentVersions(t.Context(), as("noone"), controlplane.DescribeAgentVersionsRequest{StackId: stack})
		_, e19 := p.DescribeCommands(t.Context(), as("noone"), controlplane.DescribeCommandsRequest{InstanceId: instance})
		_, e20 := p.GrantAccess(t.Context(), as("noone"), controlplane.GrantAccessRequest{InstanceId: instance})
		_, e21 := p.RegisterInstance(t.Context(), as("noone"), controlplane.RegisterInstanceRequest{StackId: stack})
		var texts []string
		for _, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12, e13, e14, e15, e16, e17, e18, e19, e20, e21} {
			texts = append(texts, strings.NewReplacer(stack, "ID", instance, "ID").Replace(fmt.Sprint(err)))
		}
		return texts
	}
	if diff := cmp.Diff(ask(stack, "target", instance), ask(noStack, "ghost", noStack)); diff != "" {
		t.Errorf("existing and missing are told apart:\n%s", diff)
	}
}
