package controlplane_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

// doc is a policy of statements.
func doc(statements ...string) json.RawMessage {
	return json.RawMessage(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
}

// allow is a statement on everything, with a condition if one is given.
func allow(action string, condition ...string) string {
	s := `{"Effect":"Allow","Action":"` + action + `","Resource":"*"`
	if len(condition) > 0 {
		s += `,"Condition":` + condition[0]
	}
	return s + `}`
}

func deny(action string, condition ...string) string {
	return strings.Replace(allow(action, condition...), "Allow", "Deny", 1)
}

// long is a document of so many characters without white space.
func long(t *testing.T, size int) json.RawMessage {
	t.Helper()
	statement := func(sid string) json.RawMessage { return doc(`{"Sid":"` + sid + `",` + allow("opsworks:ListTags")[1:]) }
	d := statement(strings.Repeat("x", size-len(statement(""))))
	if len(d) != size {
		t.Fatalf("%d characters", len(d))
	}
	return d
}

// done fails the test at an error of what prepares it.
func done(t *testing.T) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// inline gives a user an inline policy of a name.
func (p *plane) inline(t *testing.T, user, policy string, d json.RawMessage) {
	t.Helper()
	done(t)(p.PutUserPolicy(t.Context(), p.admin, controlplane.PutUserPolicyRequest{IamUserArn: arn(user), PolicyName: policy, PolicyDocument: d}))
}

// managed makes a managed policy.
func (p *plane) managed(t *testing.T, policy string, d json.RawMessage) {
	t.Helper()
	done(t)(p.CreatePolicy(t.Context(), p.admin, controlplane.CreatePolicyRequest{PolicyName: policy, PolicyDocument: d}))
}

func (p *plane) attached(t *testing.T, user, policy string) {
	t.Helper()
	done(t)(p.AttachUserPolicy(t.Context(), p.admin, controlplane.AttachUserPolicyRequest{IamUserArn: arn(user), PolicyName: policy}))
}

func (p *plane) bounded(t *testing.T, user, policy string) {
	t.Helper()
	done(t)(p.PutUserPermissionsBoundary(t.Context(), p.admin, controlplane.PutUserPermissionsBoundaryRequest{IamUserArn: arn(user), PolicyName: policy}))
}

// group makes a group with an inline policy, if one is given, and members.
func (p *plane) group(t *testing.T, group string, d json.RawMessage, members ...string) {
	t.Helper()
	done(t)(p.CreateGroup(t.Context(), p.admin, controlplane.CreateGroupRequest{GroupName: group}))
	if d != nil {
		done(t)(p.PutGroupPolicy(t.Context(), p.admin, controlplane.PutGroupPolicyRequest{GroupName: group, PolicyName: "rules", PolicyDocument: d}))
	}
	for _, m := range members {
		done(t)(p.AddUserToGroup(t.Context(), p.admin, controlplane.AddUserToGroupRequest{GroupName: group, IamUserArn: arn(m)}))
	}
}

// accessKey makes an access key of a user, and returns it as a caller too.
func (p *plane) accessKey(t *testing.T, user string) (controlplane.CreateAccessKeyResponse, controlplane.Caller) {
	t.Helper()
	k, err := p.CreateAccessKey(t.Context(), p.admin, controlplane.CreateAccessKeyRequest{IamUserArn: arn(user)})
	done(t)(k, err)
	c, err := p.Credential(t.Context(), k.AccessKeyId)
	done(t)(c, err)
	return k, c.Caller
}

func (p *plane) holds(t *testing.T, user string) controlplane.DescribeUserResponse {
	t.Helper()
	out, err := p.DescribeUser(t.Context(), p.admin, controlplane.DescribeUserRequest{IamUserArn: arn(user)})
	done(t)(out, err)
	return out
}

func TestControlPlane_DescribeUser(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	nothing := controlplane.DescribeUserResponse{
		IamUserArn: arn("alice"), Groups: []string{}, InlinePolicies: []controlplane.InlinePolicy{}, AttachedPolicies: []string{},
		GroupPolicies: []controlplane.GroupPolicy{}, Tags: map[string]string{}, AccessKeys: []controlplane.AccessKey{},
		SshKeys: []controlplane.SshKeyUse{},
	}
	if diff := cmp.Diff(nothing, p.holds(t, "alice")); diff != "" {
		t.Errorf("nothing:\n%s", diff)
	}
	d := doc(allow("opsworks:DescribeStacks"))
	p.inline(t, "alice", "own", d)
	p.managed(t, "Rules", d)
	p.attached(t, "alice", "rules")
	p.attached(t, "alice", "awsopsworksINSTANCEREGISTRATION")
	p.bounded(t, "alice", "LATCHKEYFULLACCESS")
	p.group(t, "Team", d, "alice")
	done(t)(p.AttachGroupPolicy(t.Context(), p.admin, controlplane.AttachGroupPolicyRequest{GroupName: "TEAM", PolicyName: "Rules"}))
	done(t)(p.TagUser(t.Context(), p.admin, controlplane.TagUserRequest{IamUserArn: arn("alice"), Tags: map[string]string{"team": "web"}}))
	k, _ := p.accessKey(t, "alice")
	want := controlplane.DescribeUserResponse{
		IamUserArn: arn("alice"), Groups: []string{"Team"},
		InlinePolicies:   []controlplane.InlinePolicy{{PolicyName: "own", PolicyDocument: d}},
		AttachedPolicies: []string{"AWSOpsWorksInstanceRegistration", "Rules"},
		GroupPolicies: []controlplane.GroupPolicy{
			{GroupName: "Team", PolicyName: "rules"}, {GroupName: "Team", PolicyName: "Rules", Managed: true},
		},
		PermissionsBoundary: "LatchkeyFullAccess", Tags: map[string]string{"team": "web"}, SshKeys: []controlplane.SshKeyUse{},
		AccessKeys: []controlplane.AccessKey{{AccessKeyId: k.AccessKeyId, Status: "Active", CreatedAt: "2026-03-01T12:00:00+00:00"}},
	}
	if diff := cmp.Diff(want, p.holds(t, "alice")); diff != "" {
		t.Errorf("everything:\n%s", diff)
	}
	t.Run("oneself", func(t *testing.T) {
		p.inline(t, "alice", "self", doc(`{"Effect":"Allow","Action":"latchkey:DescribeUser","Resource":"arn:aws:iam::*:user/${aws:username}"}`))
		out, err := p.DescribeUser(t.Context(), as("alice"), controlplane.DescribeUserRequest{})
		if err != nil || out.IamUserArn != arn("alice") || len(out.InlinePolicies) != 2 {
			t.Errorf("%+v, %v", out, err)
		}
		_, err = p.DescribeUser(t.Context(), as("alice"), controlplane.DescribeUserRequest{IamUserArn: adminARN})
		expectError(t, err, controlplane.Denied, "User: "+arn("alice")+" is not authorized to perform: latchkey:DescribeUser on resource: "+adminARN+
			" because no policy and no level allows it")
	})
	t.Run("unknown", func(t *testing.T) {
		_, err := p.DescribeUser(t.Context(), p.admin, controlplane.DescribeUserRequest{IamUserArn: arn("ghost")})
		expectError(t, err, controlplane.NotFound, "Unable to find user with ARN "+arn("ghost"))
	})
	t.Run("ends-with-the-user", func(t *testing.T) {
		done(t)(p.DeleteUserProfile(t.Context(), p.admin, controlplane.DeleteUserProfileRequest{IamUserArn: arn("alice")}))
		p.user(t, "alice")
		if diff := cmp.Diff(nothing, p.holds(t, "alice")); diff != "" {
			t.Error(diff)
		}
	})
}

// What is given decides at once, by policy and by level, and so does what is taken.
func TestHoldings_Decide(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	stack := p.stack(t, "web")
	sees := func(want bool) {
		t.Helper()
		out, err := p.DescribeStacks(t.Context(), as("alice"), controlplane.DescribeStacksRequest{})
		if err != nil || (len(out.Stacks) == 1) != want {
			t.Errorf("sees %d stacks, %v; want %v", len(out.Stacks), err, want)
		}
	}
	see := doc(allow("opsworks:DescribeStacks"))
	for _, tc := range []struct {
		name       string
		give, take func()
	}{
		{"inline", func() { p.inline(t, "alice", "see", see) }, func() {
			done(t)(p.DeleteUserPolicy(t.Context(), p.admin, controlplane.DeleteUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: "see"}))
		}},
		{"managed", func() { p.managed(t, "see", see); p.attached(t, "alice", "see") }, func() {
			done(t)(p.DetachUserPolicy(t.Context(), p.admin, controlplane.DetachUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: "SEE"}))
		}},
		{"group", func() { p.group(t, "seers", see, "alice") }, func() {
			done(t)(p.RemoveUserFromGroup(t.Context(), p.admin, controlplane.RemoveUserFromGroupRequest{GroupName: "seers", IamUserArn: arn("alice")}))
		}},
		{"level", func() { p.grant(t, stack, "alice", "show", false, false) }, func() {}},
		{"boundary", func() {}, func() { p.managed(t, "narrow", doc(allow("opsworks:ListTags"))); p.bounded(t, "alice", "narrow") }},
		{"no-boundary", func() {
			done(t)(p.DeleteUserPermissionsBoundary(t.Context(), p.admin, controlplane.DeleteUserPermissionsBoundaryRequest{IamUserArn: arn("alice")}))
		}, func() { p.inline(t, "alice", "not", doc(deny("opsworks:*"))) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.give()
			sees(true)
			tc.take()
			sees(tc.name == "level")
		})
	}
	if serial := p.serial(t, stack); serial != 1 {
		t.Errorf("policies raised the serial to %d", serial)
	}
}

// Every change leaves one row, which names what was changed and holds no secret and no
// document (requirement R79 in part).
func TestHoldings_Audit(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	before := len(p.audit(t))
	one, two := doc(allow("opsworks:ListTags")), doc(allow("opsworks:DescribeStacks"))
	p.inline(t, "alice", "own", one)
	p.inline(t, "alice", "own", two)
	p.managed(t, "rules", one)
	p.attached(t, "alice", "RULES")
	p.bounded(t, "alice", "rules")
	k, _ := p.accessKey(t, "alice")
	p.group(t, "team", nil, "alice")
	done(t)(p.TagUser(t.Context(), p.admin, controlplane.TagUserRequest{IamUserArn: arn("alice"), Tags: map[string]string{"k": "v"}}))
	done(t)(p.UpdateAccessKey(t.Context(), p.admin, controlplane.UpdateAccessKeyRequest{IamUserArn: arn("alice"), AccessKeyId: k.AccessKeyId, Status: "Inactive"}))
	var got []string
	for _, e := range p.audit(t)[before:] {
		got = append(got, fmt.Sprint(strings.TrimPrefix(e.Action, "latchkey:"), " ", e.Target, " ", e.Detail))
		if strings.Contains(fmt.Sprint(e), k.SecretAccessKey) {
			t.Errorf("%s holds the secret", e.Action)
		}
	}
	first, second := fmt.Sprintf("sha256:%.8x", sha256.Sum256(one)), fmt.Sprintf("sha256:%.8x", sha256.Sum256(two))
	want := []string{
		"PutUserPolicy " + arn("alice") + " map[after:" + first + " before: policy:own]",
		"PutUserPolicy " + arn("alice") + " map[after:" + second + " before:" + first + " policy:own]",
		"CreatePolicy rules map[after:" + first + " before: policy:rules]",
		"AttachUserPolicy " + arn("alice") + " map[attached:rules]",
		"PutUserPermissionsBoundary " + arn("alice") + " map[after:rules before:]",
		"CreateAccessKey " + arn("alice") + " map[access_key:" + k.AccessKeyId + "]",
		"CreateGroup team map[]",
		"AddUserToGroup team map[added:" + arn("alice") + "]",
		"TagUser " + arn("alice") + " map[tag k:v]",
		"UpdateAccessKey " + arn("alice") + " map[access_key:" + k.AccessKeyId + " status:Inactive]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
