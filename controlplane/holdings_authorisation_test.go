package controlplane_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/controlplane"
)

// named are what requests about holdings name.
type named struct{ user, group, policy, key string }

// holdingQuestion asks for one action. on is what a denial names: the user, or *.
type holdingQuestion struct {
	action, on string
	ask        func(t *testing.T, p *plane, who controlplane.Caller, n named) error
}

func holdingQuestions() []holdingQuestion {
	d := doc(allow("opsworks:ListTags"))
	return []holdingQuestion{
		{"DescribeUser", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DescribeUser(t.Context(), who, controlplane.DescribeUserRequest{IamUserArn: n.user})
			return err
		}},
		{"CreateAccessKey", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.CreateAccessKey(t.Context(), who, controlplane.CreateAccessKeyRequest{IamUserArn: n.user})
			return err
		}},
		{"ListAccessKeys", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.ListAccessKeys(t.Context(), who, controlplane.ListAccessKeysRequest{IamUserArn: n.user})
			return err
		}},
		{"UpdateAccessKey", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.UpdateAccessKey(t.Context(), who, controlplane.UpdateAccessKeyRequest{IamUserArn: n.user, AccessKeyId: n.key, Status: "Active"})
			return err
		}},
		{"PutUserPolicy", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.PutUserPolicy(t.Context(), who, controlplane.PutUserPolicyRequest{IamUserArn: n.user, PolicyName: n.policy, PolicyDocument: d})
			return err
		}},
		{"DeleteUserPolicy", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DeleteUserPolicy(t.Context(), who, controlplane.DeleteUserPolicyRequest{IamUserArn: n.user, PolicyName: n.policy})
			return err
		}},
		{"AttachUserPolicy", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.AttachUserPolicy(t.Context(), who, controlplane.AttachUserPolicyRequest{IamUserArn: n.user, PolicyName: n.policy})
			return err
		}},
		{"DetachUserPolicy", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DetachUserPolicy(t.Context(), who, controlplane.DetachUserPolicyRequest{IamUserArn: n.user, PolicyName: n.policy})
			return err
		}},
		{"PutUserPermissionsBoundary", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.PutUserPermissionsBoundary(t.Context(), who, controlplane.PutUserPermissionsBoundaryRequest{IamUserArn: n.user, PolicyName: n.policy})
			return err
		}},
		{"DeleteUserPermissionsBoundary", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DeleteUserPermissionsBoundary(t.Context(), who, controlplane.DeleteUserPermissionsBoundaryRequest{IamUserArn: n.user})
			return err
		}},
		{"TagUser", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.TagUser(t.Context(), who, controlplane.TagUserRequest{IamUserArn: n.user, Tags: map[string]string{"k": "v"}})
			return err
		}},
		{"UntagUser", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.UntagUser(t.Context(), who, controlplane.UntagUserRequest{IamUserArn: n.user, TagKeys: []string{"k"}})
			return err
		}},
		{"AddUserToGroup", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.AddUserToGroup(t.Context(), who, controlplane.AddUserToGroupRequest{GroupName: n.group, IamUserArn: n.user})
			return err
		}},
		{"RemoveUserFromGroup", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.RemoveUserFromGroup(t.Context(), who, controlplane.RemoveUserFromGroupRequest{GroupName: n.group, IamUserArn: n.user})
			return err
		}},
		{"DescribeGroups", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DescribeGroups(t.Context(), who, controlplane.DescribeGroupsRequest{GroupNames: []string{n.group}})
			return err
		}},
		{"PutGroupPolicy", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.PutGroupPolicy(t.Context(), who, controlplane.PutGroupPolicyRequest{GroupName: n.group, PolicyName: n.policy, PolicyDocument: d})
			return err
		}},
		{"DeleteGroupPolicy", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DeleteGroupPolicy(t.Context(), who, controlplane.DeleteGroupPolicyRequest{GroupName: n.group, PolicyName: n.policy})
			return err
		}},
		{"AttachGroupPolicy", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.AttachGroupPolicy(t.Context(), who, controlplane.AttachGroupPolicyRequest{GroupName: n.group, PolicyName: n.policy})
			return err
		}},
		{"DetachGroupPolicy", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DetachGroupPolicy(t.Context(), who, controlplane.DetachGroupPolicyRequest{GroupName: n.group, PolicyName: n.policy})
			return err
		}},
		{"UpdatePolicy", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.UpdatePolicy(t.Context(), who, controlplane.UpdatePolicyRequest{PolicyName: n.policy, PolicyDocument: d})
			return err
		}},
		{"DescribePolicies", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DescribePolicies(t.Context(), who, controlplane.DescribePoliciesRequest{PolicyNames: []string{n.policy}})
			return err
		}},
		{"CreatePolicy", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.CreatePolicy(t.Context(), who, controlplane.CreatePolicyRequest{PolicyName: n.policy + "-new", PolicyDocument: d})
			return err
		}},
		{"CreateGroup", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.CreateGroup(t.Context(), who, controlplane.CreateGroupRequest{GroupName: n.group + "-new"})
			return err
		}},
		{"DeleteGroup", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DeleteGroup(t.Context(), who, controlplane.DeleteGroupRequest{GroupName: n.group})
			return err
		}},
		{"DeletePolicy", "*", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DeletePolicy(t.Context(), who, controlplane.DeletePolicyRequest{PolicyName: n.policy})
			return err
		}},
		{"DeleteAccessKey", "user", func(t *testing.T, p *plane, who controlplane.Caller, n named) error {
			_, err := p.DeleteAccessKey(t.Context(), who, controlplane.DeleteAccessKeyRequest{IamUserArn: n.user, AccessKeyId: n.key})
			return err
		}},
	}
}

// Each action is refused to a caller without the policy, in the same words for what
// there is and what there is not, and leaves nothing; with a policy of that action
// alone on that resource alone he gets further (requirement R114).
func TestHoldings_Authorisation(t *testing.T) {
	p := newPlane(t)
	for _, u := range []string{"noone", "target", "manage"} {
		p.user(t, u)
	}
	p.grant(t, p.stack(t, "stack"), "manage", "manage", true, true)
	p.group(t, "team", nil, "target")
	p.managed(t, "rules", doc(allow("opsworks:ListTags")))
	k, _ := p.accessKey(t, "target")
	there := named{arn("target"), "team", "rules", k.AccessKeyId}
	missing := named{arn("ghost"), "ghosts", "ghostly", "LKIA" + strings.Repeat("A", 16)}
	for _, q := range holdingQuestions() {
		t.Run(strings.ToLower(q.action), func(t *testing.T) {
			before := len(p.audit(t))
			for _, who := range []string{"noone", "manage"} {
				for _, n := range []named{there, missing} {
					on := q.on
					if on == "user" {
						on = n.user
					}
					expectError(t, q.ask(t, p, as(who), n), controlplane.Denied, "User: "+arn(who)+" is not authorized to perform: latchkey:"+q.action+
						" on resource: "+on+" because no policy and no level allows it")
				}
			}
			if after := len(p.audit(t)); after != before {
				t.Errorf("denials left %d audit rows", after-before)
			}
			resource := strings.NewReplacer("user", arn("target")).Replace(q.on)
			p.inline(t, "noone", "one", doc(fmt.Sprintf(`{"Effect":"Allow","Action":"latchkey:%s","Resource":"%s"}`, q.action, resource),
				allow("opsworks:ListTags"))) // which he may then give
			if err := q.ask(t, p, as("noone"), there); err != nil && strings.Contains(err.Error(), "is not authorized") {
				t.Errorf("with a policy: %v", err)
			}
			done(t)(p.DeleteUserPolicy(t.Context(), p.admin, controlplane.DeleteUserPolicyRequest{IamUserArn: arn("noone"), PolicyName: "one"}))
		})
	}
}

// What names nothing that is there is said to be missing, to whoever may ask.
func TestHoldings_Missing(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	p.group(t, "team", nil)
	noUser, noGroup := "Unable to find user with ARN "+arn("ghost"), "Unable to find group with name ghosts"
	noPolicy, noKey := "Unable to find policy with name ghostly", "LKIA"+strings.Repeat("A", 16)
	here := named{arn("alice"), "team", "ghostly", noKey} // the user and the group are there
	ofUser, ofGroup := "Unable to find policy ghostly of user "+arn("alice"), "Unable to find policy ghostly of group team"
	ask := map[string]func(*testing.T, *plane, controlplane.Caller, named) error{}
	for _, q := range holdingQuestions() {
		ask[q.action] = q.ask
		if n := (named{arn("ghost"), "ghosts", "ghostly", noKey}); q.on == "user" {
			expectError(t, q.ask(t, p, p.admin, n), controlplane.NotFound, noUser)
		} else if strings.Contains(q.action, "Group") && q.action != "CreateGroup" {
			expectError(t, q.ask(t, p, p.admin, n), controlplane.NotFound, noGroup)
		}
	}
	for action, want := range map[string]string{
		"UpdateAccessKey": "Unable to find access key with ID " + noKey + " of user " + arn("alice"),
		"DeleteAccessKey": "Unable to find access key with ID " + noKey + " of user " + arn("alice"), "DeleteUserPolicy": ofUser,
		"AttachUserPolicy": noPolicy, "DetachUserPolicy": ofUser, "PutUserPermissionsBoundary": noPolicy,
		"DeleteUserPermissionsBoundary": "Unable to find a permissions boundary of user " + arn("alice"),
		"RemoveUserFromGroup":           "Unable to find user " + arn("alice") + " in group team", "DeleteGroupPolicy": ofGroup,
		"AttachGroupPolicy": noPolicy, "DetachGroupPolicy": ofGroup,
		"UpdatePolicy": noPolicy, "DescribePolicies": noPolicy, "DeletePolicy": noPolicy,
	} {
		t.Run(strings.ToLower(action), func(t *testing.T) {
			expectError(t, ask[action](t, p, p.admin, here), controlplane.NotFound, want)
		})
	}
}
