package controlplane_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

func TestControlPlane_UserPolicies(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	see := doc(allow("opsworks:DescribeStacks"))
	put := func(policy string, d json.RawMessage) func() error {
		return func() error {
			_, err := p.PutUserPolicy(t.Context(), p.admin, controlplane.PutUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: policy, PolicyDocument: d})
			return err
		}
	}
	remove := func(policy string) func() error {
		return func() error {
			_, err := p.DeleteUserPolicy(t.Context(), p.admin, controlplane.DeleteUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: policy})
			return err
		}
	}
	attach := func(policy string) func() error {
		return func() error {
			_, err := p.AttachUserPolicy(t.Context(), p.admin, controlplane.AttachUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: policy})
			return err
		}
	}
	detach := func(policy string) func() error {
		return func() error {
			_, err := p.DetachUserPolicy(t.Context(), p.admin, controlplane.DetachUserPolicyRequest{IamUserArn: arn("alice"), PolicyName: policy})
			return err
		}
	}
	p.managed(t, "Rules", see)
	const sum = "Policy Document: the inline policies of the user are longer than 2048 characters together, without white space; a managed policy has more room"
	for _, tc := range []struct {
		name    string
		do      func() error
		code    controlplane.Code
		message string
		want    string // inline | attached, afterwards
	}{
		{"inline", put("a", see), "", "", "a |"},
		{"as-text", put("a", json.RawMessage(fmt.Sprintf("%q", see))), "", "", "a |"},
		{"names-have-case", put("A", see), "", "", "A a |"},
		{"too-long", put("b", long(t, 2049)), controlplane.Invalid, sum, "A a |"},
		{"too-long-together", put("b", long(t, 2049-2*len(see))), controlplane.Invalid, sum, "A a |"},
		{"just-long-enough", put("b", long(t, 2048-2*len(see))), "", "", "A a b |"},
		{"removed", remove("b"), "", "", "A a |"},
		{"removed-again", remove("b"), controlplane.NotFound, "Unable to find policy b of user " + arn("alice"), "A a |"},
		{"malformed-name", put("a b", see), controlplane.Invalid, "Policy Name: is not 1 to 128 of A-Z a-z 0-9 + = , . @ _ -", "A a |"},
		{"no-document", put("a", nil), controlplane.Invalid, "Policy Document: is required", "A a |"},
		{"malformed-document", put("a", json.RawMessage(`{"Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}`)), controlplane.Invalid,
			"Policy Document: Statement[0].Effect (byte 24): effect is neither Allow nor Deny", "A a |"},
		{"attached", attach("rules"), "", "", "A a | Rules"},
		{"attached-again", attach("RULES"), "", "", "A a | Rules"},
		{"built-in", attach("latchkeyreadonly"), "", "", "A a | LatchkeyReadOnly Rules"},
		{"unknown", attach("ghost"), controlplane.NotFound, "Unable to find policy with name ghost", "A a | LatchkeyReadOnly Rules"},
		{"detached", detach("LATCHKEYREADONLY"), "", "", "A a | Rules"},
		{"detached-again", detach("LatchkeyReadOnly"), controlplane.NotFound, "Unable to find policy LatchkeyReadOnly of user " + arn("alice"), "A a | Rules"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(p.audit(t))
			expectError(t, tc.do(), tc.code, tc.message)
			if grew := len(p.audit(t)) - before; (grew == 1) != (tc.code == "") || grew > 1 {
				t.Errorf("%d audit rows", grew)
			}
			h := p.holds(t, "alice")
			var names []string
			for _, i := range h.InlinePolicies {
				names = append(names, i.PolicyName)
			}
			if got := strings.TrimSuffix(strings.Join(names, " ")+" | "+strings.Join(h.AttachedPolicies, " "), " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	t.Run("eleven", func(t *testing.T) {
		for n := range 9 {
			p.managed(t, fmt.Sprint("p", n), see)
			p.attached(t, "alice", fmt.Sprint("p", n))
		}
		expectError(t, attach("LatchkeyReadOnly")(), controlplane.Invalid, "Policy Name: 10 managed policies are attached already, which is the most; detach one first")
		expectError(t, attach("p1")(), "", "") // has it already
	})
}

func TestControlPlane_Boundaries(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	p.managed(t, "Limit", doc(allow("opsworks:*")))
	for _, policy := range []string{"limit", "LIMIT", "latchkeyfullaccess"} {
		p.bounded(t, "alice", policy)
		if got := p.holds(t, "alice").PermissionsBoundary; !strings.EqualFold(got, policy) || got == policy {
			t.Errorf("%s: bounded by %q", policy, got)
		}
	}
	remove := func() error {
		_, err := p.DeleteUserPermissionsBoundary(t.Context(), p.admin, controlplane.DeleteUserPermissionsBoundaryRequest{IamUserArn: arn("alice")})
		return err
	}
	expectError(t, remove(), "", "")
	expectError(t, remove(), controlplane.NotFound, "Unable to find a permissions boundary of user "+arn("alice"))
}

func TestControlPlane_UserTags(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	tag := func(tags map[string]string) error {
		_, err := p.TagUser(t.Context(), p.admin, controlplane.TagUserRequest{IamUserArn: arn("alice"), Tags: tags})
		return err
	}
	untag := func(keys ...string) error {
		_, err := p.UntagUser(t.Context(), p.admin, controlplane.UntagUserRequest{IamUserArn: arn("alice"), TagKeys: keys})
		return err
	}
	expectError(t, tag(map[string]string{"Team": "web", " cost ": "1"}), "", "")
	expectError(t, tag(map[string]string{"cost": "2"}), "", "")
	expectError(t, tag(map[string]string{"team": "x"}), controlplane.Invalid, "Tags: a key is there already in another case")
	expectError(t, tag(nil), controlplane.Invalid, "Tags: is required")
	expectError(t, tag(map[string]string{"aws:x": ""}), controlplane.Invalid, "Tags: a key begins with aws:")
	many := map[string]string{}
	for n := range 39 {
		many[fmt.Sprint("k", n)] = ""
	}
	expectError(t, tag(many), controlplane.Invalid, "Tags: more than 40 for one resource")
	expectError(t, untag(), controlplane.Invalid, "Tag Keys: is required")
	expectError(t, untag(""), controlplane.Invalid, "Tag Keys: a key is empty")
	expectError(t, untag("cost", "none"), "", "")
	if diff := cmp.Diff(map[string]string{"Team": "web"}, p.holds(t, "alice").Tags); diff != "" {
		t.Error(diff)
	}
	t.Run("a-policy-may-ask-about-them", func(t *testing.T) {
		p.user(t, "hr")
		p.inline(t, "hr", "tags", doc(
			`{"Effect":"Allow","Action":"latchkey:*agUser","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"web"},"ForAllValues:StringEquals":{"aws:TagKeys":["cost","room"]}}}`))
		ask := func(user string, tags map[string]string) error {
			_, err := p.TagUser(t.Context(), as("hr"), controlplane.TagUserRequest{IamUserArn: arn(user), Tags: tags})
			return err
		}
		expectError(t, ask("alice", map[string]string{"room": "1"}), "", "")
		for user, tags := range map[string]map[string]string{"alice": {"Team": "x"}, "hr": {"room": "1"}} {
			var e *controlplane.Error
			if err := ask(user, tags); !errors.As(err, &e) || e.Code != controlplane.Denied {
				t.Errorf("%s: %v", user, err)
			}
		}
	})
}

func TestControlPlane_ManagedPolicies(t *testing.T) {
	p := newPlane(t)
	for _, u := range []string{"a", "b", "c", "d", "e"} {
		p.user(t, u)
	}
	see := doc(allow("opsworks:DescribeStacks"))
	create := func(policy string, d json.RawMessage) error {
		_, err := p.CreatePolicy(t.Context(), p.admin, controlplane.CreatePolicyRequest{PolicyName: policy, PolicyDocument: d})
		return err
	}
	change := func(policy string, d json.RawMessage) error {
		_, err := p.UpdatePolicy(t.Context(), p.admin, controlplane.UpdatePolicyRequest{PolicyName: policy, PolicyDocument: d})
		return err
	}
	remove := func(policy string) error {
		_, err := p.DeletePolicy(t.Context(), p.admin, controlplane.DeletePolicyRequest{PolicyName: policy})
		return err
	}
	expectError(t, create("Rules", see), "", "")
	expectError(t, create("rULES", see), controlplane.Invalid, "Policy Name: Rules is already taken")
	expectError(t, create("large", long(t, 6145)), controlplane.Invalid, "Policy Document: is longer than 6144 characters without white space")
	expectError(t, create("large", long(t, 6144)), "", "")
	for _, n := range []string{"LatchkeyFullAccess", "latchkeyreadonly"} {
		exact := map[string]string{"LatchkeyFullAccess": "LatchkeyFullAccess", "latchkeyreadonly": "LatchkeyReadOnly"}[n]
		message := "Policy Name: " + exact + " is built in, and stays as it is"
		expectError(t, create(n, see), controlplane.Invalid, message)
		expectError(t, change(n, see), controlplane.Invalid, message)
		expectError(t, remove(n), controlplane.Invalid, message)
	}
	p.pass(1e9 * 60)
	expectError(t, change("RULES", doc(deny("*"))), "", "")
	p.attached(t, "a", "rules")
	p.bounded(t, "b", "rules")
	p.group(t, "team", nil)
	done(t)(p.AttachGroupPolicy(t.Context(), p.admin, controlplane.AttachGroupPolicyRequest{GroupName: "team", PolicyName: "Rules"}))
	out, err := p.DescribePolicies(t.Context(), p.admin, controlplane.DescribePoliciesRequest{PolicyNames: []string{"RULES", "latchkeyfullACCESS"}})
	want := []controlplane.ManagedPolicy{
		{PolicyName: "Rules", PolicyDocument: doc(deny("*")), AttachmentCount: 3, CreatedAt: "2026-03-01T12:00:00+00:00", UpdatedAt: "2026-03-01T12:01:00+00:00"},
		{PolicyName: "LatchkeyFullAccess", PolicyDocument: doc(`{"Sid":"Everything",` + allow("*")[1:]), BuiltIn: true, AttachmentCount: 1},
	}
	if diff := cmp.Diff(want, out.Policies); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	out, err = p.DescribePolicies(t.Context(), p.admin, controlplane.DescribePoliciesRequest{})
	var names []string
	for _, m := range out.Policies {
		names = append(names, m.PolicyName)
	}
	if diff := cmp.Diff("AWSOpsWorks_FullAccess AWSOpsWorksInstanceRegistration large LatchkeyFullAccess LatchkeyReadOnly Rules", strings.Join(names, " ")); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	expectError(t, remove("rules"), controlplane.Invalid,
		"Policy Name: Rules is attached to user "+arn("a")+", group team, user "+arn("b")+" as boundary; detach it first")
	for _, u := range []string{"b", "c", "d"} {
		p.attached(t, u, "rules")
	}
	expectError(t, remove("rules"), controlplane.Invalid, "Policy Name: Rules is attached to user "+arn("a")+", user "+arn("b")+", user "+arn("c")+
		", user "+arn("d")+", group team and 1 more; detach it first")
	expectError(t, remove("large"), "", "")
	expectError(t, remove("large"), controlplane.NotFound, "Unable to find policy with name large")
}

func TestControlPlane_Groups(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	p.user(t, "bob")
	see := doc(allow("opsworks:DescribeStacks"))
	add := func(group, user string) error {
		_, err := p.AddUserToGroup(t.Context(), p.admin, controlplane.AddUserToGroupRequest{GroupName: group, IamUserArn: arn(user)})
		return err
	}
	remove := func(group string) error {
		_, err := p.DeleteGroup(t.Context(), p.admin, controlplane.DeleteGroupRequest{GroupName: group})
		return err
	}
	p.group(t, "Team", see, "bob")
	p.group(t, "empty", nil)
	_, err := p.CreateGroup(t.Context(), p.admin, controlplane.CreateGroupRequest{GroupName: "team"})
	expectError(t, err, controlplane.Invalid, "Group Name: Team is already taken")
	_, err = p.CreateGroup(t.Context(), p.admin, controlplane.CreateGroupRequest{GroupName: "a/b"})
	expectError(t, err, controlplane.Invalid, "Group Name: is not 1 to 128 of A-Z a-z 0-9 + = , . @ _ -")
	expectError(t, add("TEAM", "alice"), "", "")
	expectError(t, add("Team", "alice"), "", "") // twice
	done(t)(p.AttachGroupPolicy(t.Context(), p.admin, controlplane.AttachGroupPolicyRequest{GroupName: "team", PolicyName: "LatchkeyReadOnly"}))
	out, err := p.DescribeGroups(t.Context(), p.admin, controlplane.DescribeGroupsRequest{})
	at := "2026-03-01T12:00:00+00:00"
	want := []controlplane.Group{
		{GroupName: "empty", Members: []string{}, InlinePolicies: []controlplane.InlinePolicy{}, AttachedPolicies: []string{}, CreatedAt: at},
		{GroupName: "Team", Members: []string{arn("alice"), arn("bob")}, AttachedPolicies: []string{"LatchkeyReadOnly"}, CreatedAt: at,
			InlinePolicies: []controlplane.InlinePolicy{{PolicyName: "rules", PolicyDocument: see}}},
	}
	if diff := cmp.Diff(want, out.Groups); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	out, err = p.DescribeGroups(t.Context(), p.admin, controlplane.DescribeGroupsRequest{GroupNames: []string{"team"}})
	if diff := cmp.Diff(want[1:], out.Groups); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	expectError(t, remove("team"), controlplane.Invalid, "Group Name: Team is not empty (members: 2, policies: 2); remove them first")
	expectError(t, remove("empty"), "", "")
	expectError(t, remove("empty"), controlplane.NotFound, "Unable to find group with name empty")
	put := func(d json.RawMessage) error {
		_, err := p.PutGroupPolicy(t.Context(), p.admin, controlplane.PutGroupPolicyRequest{GroupName: "team", PolicyName: "long", PolicyDocument: d})
		return err
	}
	expectError(t, put(long(t, 5121-len(see))), controlplane.Invalid,
		"Policy Document: the inline policies of the group are longer than 5120 characters together, without white space; a managed policy has more room")
	expectError(t, put(long(t, 5120-len(see))), "", "")
	t.Run("eleven-of-a-user", func(t *testing.T) {
		for n := range 9 {
			p.group(t, fmt.Sprint("g", n), nil, "bob")
		}
		p.group(t, "g9", nil)
		expectError(t, add("g9", "bob"), controlplane.Invalid, "Iam User Arn: the user is in 10 groups already, which is the most; remove him from one first")
		expectError(t, add("g8", "bob"), "", "")
	})
}
