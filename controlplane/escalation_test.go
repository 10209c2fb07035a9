package controlplane_test

import (
	"context"
	"testing"

	"latchkey/controlplane"
)

// isAdmin is a condition on the caller's tags, inGroup one on his groups.
const (
	isAdmin = `{"StringEquals":{"aws:PrincipalTag/role":"admin"}}`
	inGroup = `{"ForAnyValue:StringEquals":{"latchkey:PrincipalGroups":"Boss"}}`
)

// attempt is a change by the user "lead", after what the administrator prepared.
type attempt struct {
	name    string
	prepare func(t *testing.T, p *plane)
	do      func(ctx context.Context, p *plane, lead controlplane.Caller) error
}

// newLead makes a plane with a user who may administer all that users hold, and do
// nothing else but see stacks, and with users who may do more.
func newLead(t *testing.T) *plane {
	p := newPlane(t)
	for _, u := range []string{"lead", "alice", "boss"} {
		p.user(t, u)
	}
	p.inline(t, "lead", "lead", doc(allow("latchkey:*"), allow("opsworks:DescribeStacks"), allow("opsworks:UpdateUserProfile")))
	p.attached(t, "boss", "LatchkeyFullAccess")
	return p
}

// Nobody makes himself or others able to do what he may not do (requirement R112 in
// part: who manages a stack may give SSH and sudo there that he has not).
func TestEscalation(t *testing.T) {
	all, see := doc(allow("*")), doc(allow("opsworks:DescribeStacks"))
	for _, tc := range []attempt{
		{"inline-policy-for-oneself", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("lead"), PolicyName: "all", PolicyDocument: all})
			return err
		}},
		{"inline-policy-for-another", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: "all", PolicyDocument: doc(allow("opsworks:DeleteStack"))})
			return err
		}},
		{"inline-policy-replaced", func(t *testing.T, p *plane) { p.inline(t, "lead", "own", see) }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("lead"), PolicyName: "own", PolicyDocument: all})
			return err
		}},
		{"built-in-policy", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.AttachUserPolicy(ctx, lead, controlplane.AttachUserPolicyRequest{IamUserArn: arn("lead"), PolicyName: "latchkeyfullaccess"})
			return err
		}},
		{"managed-policy", func(t *testing.T, p *plane) { p.managed(t, "all", all) }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.AttachUserPolicy(ctx, lead, controlplane.AttachUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: "all"})
			return err
		}},
		{"managed-policy-created", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.CreatePolicy(ctx, lead, controlplane.CreatePolicyRequest{PolicyName: "all", PolicyDocument: all})
			return err
		}},
		{"managed-policy-updated", func(t *testing.T, p *plane) { p.managed(t, "own", see); p.attached(t, "lead", "own") },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.UpdatePolicy(ctx, lead, controlplane.UpdatePolicyRequest{PolicyName: "own", PolicyDocument: all})
				return err
			}},
		{"managed-policy-loses-its-denial", func(t *testing.T, p *plane) {
			p.managed(t, "not", doc(deny("opsworks:DeleteStack")))
			p.attached(t, "alice", "not")
			p.inline(t, "alice", "own", all)
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.UpdatePolicy(ctx, lead, controlplane.UpdatePolicyRequest{PolicyName: "not", PolicyDocument: see})
			return err
		}},
		{"managed-policy-of-a-group-loses-its-denial", func(t *testing.T, p *plane) {
			p.managed(t, "not", doc(deny("opsworks:DeleteStack")))
			p.group(t, "team", nil, "boss")
			done(t)(p.AttachGroupPolicy(t.Context(), p.admin, controlplane.AttachGroupPolicyRequest{GroupName: "team", PolicyName: "not"}))
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.UpdatePolicy(ctx, lead, controlplane.UpdatePolicyRequest{PolicyName: "not", PolicyDocument: see})
			return err
		}},
		{"boundary-widened-by-its-policy", func(t *testing.T, p *plane) { p.managed(t, "limit", see); p.bounded(t, "boss", "limit") },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.UpdatePolicy(ctx, lead, controlplane.UpdatePolicyRequest{PolicyName: "limit", PolicyDocument: all})
				return err
			}},
		{"group", func(t *testing.T, p *plane) { p.group(t, "admins", all) }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.AddUserToGroup(ctx, lead, controlplane.AddUserToGroupRequest{GroupName: "admins", IamUserArn: arn("lead")})
			return err
		}},
		{"group-with-a-managed-policy", func(t *testing.T, p *plane) {
			p.group(t, "admins", nil)
			done(t)(p.AttachGroupPolicy(t.Context(), p.admin, controlplane.AttachGroupPolicyRequest{GroupName: "admins", PolicyName: "LatchkeyFullAccess"}))
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.AddUserToGroup(ctx, lead, controlplane.AddUserToGroupRequest{GroupName: "ADMINS", IamUserArn: arn("alice")})
			return err
		}},
		{"group-that-a-policy-asks-about", func(t *testing.T, p *plane) {
			p.group(t, "Boss", nil)
			p.inline(t, "lead", "own", doc(allow("*", inGroup)))
		},
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.AddUserToGroup(ctx, lead, controlplane.AddUserToGroupRequest{GroupName: "Boss", IamUserArn: arn("lead")})
				return err
			}},
		{"group-gets-an-inline-policy", func(t *testing.T, p *plane) { p.group(t, "team", nil, "lead") }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutGroupPolicy(ctx, lead, controlplane.PutGroupPolicyRequest{GroupName: "team", PolicyName: "all", PolicyDocument: all})
			return err
		}},
		{"group-gets-a-managed-policy", func(t *testing.T, p *plane) { p.group(t, "team", nil, "lead") }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.AttachGroupPolicy(ctx, lead, controlplane.AttachGroupPolicyRequest{GroupName: "team", PolicyName: "LatchkeyFullAccess"})
			return err
		}},
		{"group-loses-a-denial", func(t *testing.T, p *plane) { p.group(t, "team", doc(deny("opsworks:DeleteStack")), "boss") },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.DeleteGroupPolicy(ctx, lead, controlplane.DeleteGroupPolicyRequest{GroupName: "team", PolicyName: "rules"})
				return err
			}},
		{"group-that-denies-is-left", func(t *testing.T, p *plane) { p.group(t, "team", doc(deny("opsworks:DeleteStack")), "boss") },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.RemoveUserFromGroup(ctx, lead, controlplane.RemoveUserFromGroupRequest{GroupName: "team", IamUserArn: arn("boss")})
				return err
			}},
		{"boundary-removed", func(t *testing.T, p *plane) {
			p.inline(t, "lead", "more", doc(allow("opsworks:*")))
			p.managed(t, "limit", doc(allow("latchkey:*")))
			p.bounded(t, "lead", "limit")
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.DeleteUserPermissionsBoundary(ctx, lead, controlplane.DeleteUserPermissionsBoundaryRequest{IamUserArn: arn("lead")})
			return err
		}},
		{"boundary-replaced", func(t *testing.T, p *plane) {
			p.inline(t, "lead", "more", doc(allow("opsworks:*")))
			p.managed(t, "limit", doc(allow("latchkey:*")))
			p.bounded(t, "lead", "limit")
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPermissionsBoundary(ctx, lead, controlplane.PutUserPermissionsBoundaryRequest{IamUserArn: arn("lead"), PolicyName: "LatchkeyFullAccess"})
			return err
		}},
		{"boundary-that-held-back-a-level", func(t *testing.T, p *plane) {
			p.grant(t, p.stack(t, "web"), "alice", "manage", false, false)
			p.managed(t, "limit", see)
			p.bounded(t, "alice", "limit")
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.DeleteUserPermissionsBoundary(ctx, lead, controlplane.DeleteUserPermissionsBoundaryRequest{IamUserArn: arn("alice")})
			return err
		}},
		{"denial-removed", func(t *testing.T, p *plane) { p.inline(t, "lead", "not", doc(deny("latchkey:CreateGroup"))) },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.DeleteUserPolicy(ctx, lead, controlplane.DeleteUserPolicyRequest{IamUserArn: arn("lead"), PolicyName: "not"})
				return err
			}},
		{"denial-replaced", func(t *testing.T, p *plane) { p.inline(t, "lead", "not", doc(deny("latchkey:CreateGroup"))) },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("lead"), PolicyName: "not", PolicyDocument: doc(deny("latchkey:Nothing"))})
				return err
			}},
		{"denial-detached", func(t *testing.T, p *plane) {
			p.managed(t, "not", doc(deny("opsworks:Delete*")))
			p.attached(t, "boss", "not")
		},
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.DetachUserPolicy(ctx, lead, controlplane.DetachUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "not"})
				return err
			}},
		{"tag-that-a-policy-asks-about", func(t *testing.T, p *plane) { p.inline(t, "lead", "own", doc(allow("*", isAdmin))) },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.TagUser(ctx, lead, controlplane.TagUserRequest{IamUserArn: arn("lead"), Tags: map[string]string{"role": "admin"}})
				return err
			}},
		{"tag-that-a-denial-asks-about", func(t *testing.T, p *plane) {
			p.inline(t, "boss", "own", doc(deny("*", isAdmin)))
			done(t)(p.TagUser(t.Context(), p.admin, controlplane.TagUserRequest{IamUserArn: arn("boss"), Tags: map[string]string{"role": "admin"}}))
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.UntagUser(ctx, lead, controlplane.UntagUserRequest{IamUserArn: arn("boss"), TagKeys: []string{"role"}})
			return err
		}},
		{"tag-in-a-variable", func(t *testing.T, p *plane) {
			p.inline(t, "alice", "own", doc(`{"Effect":"Allow","Action":"opsworks:*","Resource":"arn:aws:opsworks:*:*:${AWS:principaltag/where}"}`))
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.TagUser(ctx, lead, controlplane.TagUserRequest{IamUserArn: arn("alice"), Tags: map[string]string{"where": "x"}})
			return err
		}},
		{"access-key-of-an-administrator", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.CreateAccessKey(ctx, lead, controlplane.CreateAccessKeyRequest{IamUserArn: arn("boss")})
			return err
		}},
		{"access-key-of-somebody-with-a-level", func(t *testing.T, p *plane) { p.grant(t, p.stack(t, "web"), "alice", "manage", false, false) },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.CreateAccessKey(ctx, lead, controlplane.CreateAccessKeyRequest{IamUserArn: arn("alice")})
				return err
			}},
		{"access-key-brought-back", func(t *testing.T, p *plane) {
			k, _ := p.accessKey(t, "boss")
			done(t)(p.UpdateAccessKey(t.Context(), p.admin, controlplane.UpdateAccessKeyRequest{IamUserArn: arn("boss"), AccessKeyId: k.AccessKeyId, Status: "Inactive"}))
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			keys, err := p.ListAccessKeys(ctx, lead, controlplane.ListAccessKeysRequest{IamUserArn: arn("boss")})
			if err != nil {
				return err
			}
			_, err = p.UpdateAccessKey(ctx, lead, controlplane.UpdateAccessKeyRequest{
				IamUserArn: arn("boss"), AccessKeyId: keys.AccessKeys[0].AccessKeyId, Status: "Active",
			})
			return err
		}},
		{"access-key-of-somebody-who-may-log-in", func(t *testing.T, p *plane) {
			done(t)(p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn("alice"), SshPublicKey: ptr(keyOne)}))
			p.grant(t, p.stack(t, "web"), "alice", "iam_only", true, false)
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.CreateAccessKey(ctx, lead, controlplane.CreateAccessKeyRequest{IamUserArn: arn("alice")})
			return err
		}},
		{"ssh-key-of-somebody-who-may-log-in", func(t *testing.T, p *plane) {
			done(t)(p.UpdateUserProfile(t.Context(), p.admin, controlplane.UpdateUserProfileRequest{IamUserArn: arn("alice"), SshPublicKey: ptr(keyOne)}))
			p.grant(t, p.stack(t, "web"), "alice", "iam_only", true, false)
		}, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.UpdateUserProfile(ctx, lead, controlplane.UpdateUserProfileRequest{IamUserArn: arn("alice"), SshPublicKey: ptr(keyTwo)})
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLead(t)
			if tc.prepare != nil {
				tc.prepare(t, p)
			}
			before := len(p.audit(t))
			expectError(t, tc.do(t.Context(), p, as("lead")), controlplane.Denied, "User: "+arn("lead")+
				" is refused: the change would give more than the caller may do; who has LatchkeyFullAccess may")
			if after := len(p.audit(t)); after != before {
				t.Errorf("the refusal left %d audit rows", after-before)
			}
			expectError(t, tc.do(t.Context(), p, p.admin), "", "") // who has everything may
		})
	}
}

// What takes away only never waits for somebody mightier, and what one has one may
// give.
func TestEscalation_None(t *testing.T) {
	all, see := doc(allow("*")), doc(allow("opsworks:DescribeStacks"))
	for _, tc := range []attempt{
		{"detach-from-an-administrator", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.DetachUserPolicy(ctx, lead, controlplane.DetachUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "LatchkeyFullAccess"})
			return err
		}},
		{"delete-from-an-administrator", func(t *testing.T, p *plane) { p.inline(t, "boss", "own", all) }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.DeleteUserPolicy(ctx, lead, controlplane.DeleteUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "own"})
			return err
		}},
		{"remove-from-a-mightier-group", func(t *testing.T, p *plane) { p.group(t, "admins", all, "alice") }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.RemoveUserFromGroup(ctx, lead, controlplane.RemoveUserFromGroupRequest{GroupName: "admins", IamUserArn: arn("alice")})
			return err
		}},
		{"group-loses-what-it-allows", func(t *testing.T, p *plane) { p.group(t, "admins", all, "alice", "boss") }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.DeleteGroupPolicy(ctx, lead, controlplane.DeleteGroupPolicyRequest{GroupName: "admins", PolicyName: "rules"})
			return err
		}},
		{"first-boundary", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPermissionsBoundary(ctx, lead, controlplane.PutUserPermissionsBoundaryRequest{IamUserArn: arn("boss"), PolicyName: "LatchkeyReadOnly"})
			return err
		}},
		{"narrower-boundary", func(t *testing.T, p *plane) { p.bounded(t, "boss", "LatchkeyFullAccess") }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPermissionsBoundary(ctx, lead, controlplane.PutUserPermissionsBoundaryRequest{IamUserArn: arn("boss"), PolicyName: "LatchkeyReadOnly"})
			return err
		}},
		{"narrower-policy", func(t *testing.T, p *plane) {
			p.managed(t, "own", all)
			p.attached(t, "boss", "own")
			p.bounded(t, "alice", "own")
		},
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.UpdatePolicy(ctx, lead, controlplane.UpdatePolicyRequest{PolicyName: "own", PolicyDocument: doc(allow("opsworks:*"))})
				return err
			}},
		{"denial-given", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "not", PolicyDocument: doc(deny("*"))})
			return err
		}},
		{"access-key-ended", func(t *testing.T, p *plane) { p.accessKey(t, "boss") }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			keys, err := p.ListAccessKeys(ctx, lead, controlplane.ListAccessKeysRequest{IamUserArn: arn("boss")})
			if err != nil {
				return err
			}
			id := keys.AccessKeys[0].AccessKeyId
			if _, err := p.UpdateAccessKey(ctx, lead, controlplane.UpdateAccessKeyRequest{IamUserArn: arn("boss"), AccessKeyId: id, Status: "Inactive"}); err != nil {
				return err
			}
			_, err = p.DeleteAccessKey(ctx, lead, controlplane.DeleteAccessKeyRequest{IamUserArn: arn("boss"), AccessKeyId: id})
			return err
		}},
		{"what-one-has", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: "see", PolicyDocument: see})
			return err
		}},
		{"what-one-has-to-somebody-mightier", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "see", PolicyDocument: see})
			return err
		}},
		{"what-one-has-by-level", func(t *testing.T, p *plane) { p.grant(t, p.stack(t, "web"), "lead", "manage", false, false) },
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				stacks, err := p.DescribeStacks(ctx, lead, controlplane.DescribeStacksRequest{})
				if err != nil {
					return err
				}
				d := doc(`{"Effect":"Allow","Action":"opsworks:DeleteStack","Resource":"` + stacks.Stacks[0].Arn + `"}`)
				_, err = p.PutUserPolicy(ctx, lead, controlplane.PutUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: "see", PolicyDocument: d})
				return err
			}},
		{"tag-that-nothing-asks-about", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.TagUser(ctx, lead, controlplane.TagUserRequest{IamUserArn: arn("boss"), Tags: map[string]string{"role": "admin"}})
			return err
		}},
		{"mightier-user-into-a-group", func(t *testing.T, p *plane) { p.group(t, "team", see) }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.AddUserToGroup(ctx, lead, controlplane.AddUserToGroupRequest{GroupName: "team", IamUserArn: arn("boss")})
			return err
		}},
		{"boundary-removed-from-one-who-may-less", func(t *testing.T, p *plane) {
			p.inline(t, "alice", "own", see)
			p.bounded(t, "alice", "LatchkeyReadOnly")
		},
			func(ctx context.Context, p *plane, lead controlplane.Caller) error {
				_, err := p.DeleteUserPermissionsBoundary(ctx, lead, controlplane.DeleteUserPermissionsBoundaryRequest{IamUserArn: arn("alice")})
				return err
			}},
		{"access-key-of-one-who-may-less", func(t *testing.T, p *plane) { p.inline(t, "alice", "own", see) }, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.CreateAccessKey(ctx, lead, controlplane.CreateAccessKeyRequest{IamUserArn: arn("alice")})
			return err
		}},
		{"ssh-key-of-one-who-may-not-log-in", nil, func(ctx context.Context, p *plane, lead controlplane.Caller) error {
			_, err := p.UpdateUserProfile(ctx, lead, controlplane.UpdateUserProfileRequest{IamUserArn: arn("alice"), SshPublicKey: ptr(keyTwo)})
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLead(t)
			if tc.prepare != nil {
				tc.prepare(t, p)
			}
			expectError(t, tc.do(t.Context(), p, as("lead")), "", "")
		})
	}
}

// Nobody takes from himself the right to undo it. Who may do everything keeps that.
func TestLockOut(t *testing.T) {
	boss := controlplane.DetachUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "LatchkeyFullAccess"}
	for _, tc := range []struct {
		attempt
		who string
	}{
		{attempt{"detach-everything", nil, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.DetachUserPolicy(ctx, who, boss)
			return err
		}}, "boss"},
		{attempt{"deny-everything", nil, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, who, controlplane.PutUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "not", PolicyDocument: doc(deny("*"))})
			return err
		}}, "boss"},
		{attempt{"deny-anything", nil, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, who, controlplane.PutUserPolicyRequest{IamUserArn: arn("boss"), PolicyName: "not", PolicyDocument: doc(deny("opsworks:DeleteStack"))})
			return err
		}}, "boss"},
		{attempt{"boundary", nil, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.PutUserPermissionsBoundary(ctx, who, controlplane.PutUserPermissionsBoundaryRequest{IamUserArn: arn("boss"), PolicyName: "LatchkeyReadOnly"})
			return err
		}}, "boss"},
		{attempt{"leave-the-group-that-gives-everything", func(t *testing.T, p *plane) {
			p.group(t, "admins", doc(allow("*")), "boss")
			done(t)(p.DetachUserPolicy(t.Context(), p.admin, boss))
		}, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.RemoveUserFromGroup(ctx, who, controlplane.RemoveUserFromGroupRequest{GroupName: "admins", IamUserArn: arn("boss")})
			return err
		}}, "boss"},
		{attempt{"empty-the-group-that-gives-everything", func(t *testing.T, p *plane) {
			p.group(t, "admins", doc(allow("*")), "boss")
			done(t)(p.DetachUserPolicy(t.Context(), p.admin, boss))
		}, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.DeleteGroupPolicy(ctx, who, controlplane.DeleteGroupPolicyRequest{GroupName: "admins", PolicyName: "rules"})
			return err
		}}, "boss"},
		{attempt{"join-a-group-that-denies", func(t *testing.T, p *plane) { p.group(t, "team", doc(deny("latchkey:*"))) },
			func(ctx context.Context, p *plane, who controlplane.Caller) error {
				_, err := p.AddUserToGroup(ctx, who, controlplane.AddUserToGroupRequest{GroupName: "team", IamUserArn: arn("boss")})
				return err
			}}, "boss"},
		{attempt{"update-the-policy-that-gives-everything", func(t *testing.T, p *plane) {
			p.managed(t, "all", doc(allow("*")))
			p.attached(t, "boss", "all")
			done(t)(p.DetachUserPolicy(t.Context(), p.admin, boss))
		}, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.UpdatePolicy(ctx, who, controlplane.UpdatePolicyRequest{PolicyName: "all", PolicyDocument: doc(allow("opsworks:*"))})
			return err
		}}, "boss"},
		{attempt{"deny-oneself-the-undoing", nil, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.PutUserPolicy(ctx, who, controlplane.PutUserPolicyRequest{IamUserArn: arn("lead"), PolicyName: "not", PolicyDocument: doc(deny("latchkey:DeleteUserPolicy"))})
			return err
		}}, "lead"},
		{attempt{"delete-ones-own-policy", nil, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.DeleteUserPolicy(ctx, who, controlplane.DeleteUserPolicyRequest{IamUserArn: arn("lead"), PolicyName: "lead"})
			return err
		}}, "lead"},
		{attempt{"take-off-the-tag-that-gives", func(t *testing.T, p *plane) {
			p.inline(t, "alice", "own", doc(allow("latchkey:UntagUser", `{"StringEquals":{"aws:ResourceTag/role":"admin"}}`)))
			done(t)(p.TagUser(t.Context(), p.admin, controlplane.TagUserRequest{IamUserArn: arn("alice"), Tags: map[string]string{"role": "admin"}}))
		}, func(ctx context.Context, p *plane, who controlplane.Caller) error {
			_, err := p.UntagUser(ctx, who, controlplane.UntagUserRequest{IamUserArn: arn("alice"), TagKeys: []string{"other", "role"}})
			return err
		}}, "alice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newLead(t)
			if tc.prepare != nil {
				tc.prepare(t, p)
			}
			expectError(t, tc.do(t.Context(), p, as(tc.who)), controlplane.Invalid,
				"the change would take from the caller the right to undo it; somebody else who has LatchkeyFullAccess may")
			expectError(t, tc.do(t.Context(), p, p.admin), "", "") // somebody else may
		})
	}
	t.Run("what-is-superfluous-may-go", func(t *testing.T) {
		p := newLead(t)
		p.group(t, "admins", doc(allow("*")), "boss")
		_, err := p.DetachUserPolicy(t.Context(), as("boss"), boss)
		expectError(t, err, "", "")
	})
}

// TestSetPermission_DenyAdministrator: who manages one stack cannot take it from an
// administrator, who could not undo it; another administrator can.
func TestSetPermission_DenyAdministrator(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	p.user(t, "manager")
	p.user(t, "alice")
	p.grant(t, stack, "manager", "manage", false, false)
	second := p.administrator(t, "second")
	deny := func(caller controlplane.Caller, user string) error {
		_, err := p.SetPermission(t.Context(), caller, controlplane.SetPermissionRequest{StackId: stack, IamUserArn: user, Level: ptr("deny")})
		return err
	}
	const refusal = "User: arn:aws:iam::123456789012:user/manager is refused: " +
		"the level deny for somebody who may do everything can be set only by somebody else who may"
	expectError(t, deny(as("manager"), adminARN), controlplane.Denied, refusal)
	expectError(t, deny(as("manager"), arn("second")), controlplane.Denied, refusal)
	expectError(t, deny(as("manager"), arn("alice")), "", "")
	expectError(t, deny(second, adminARN), "", "")
	_, err := p.DescribeStacks(t.Context(), p.admin, controlplane.DescribeStacksRequest{StackIds: []string{stack}})
	if err == nil {
		t.Error("the denied administrator sees the stack")
	}
}
