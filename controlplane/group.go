package controlplane

import (
	"context"
	"errors"
	"slices"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

const (
	// maxGroups is IAM's: groups that a user is in ("IAM and AWS STS quotas").
	maxGroups = 10
	// principalGroups is the condition key of a caller's own groups.
	principalGroups = "latchkey:PrincipalGroups"
)

var errGroupsMany = name.Refuse("groups_many", "the user is in 10 groups already, which is the most; remove him from one first")

// CreateGroup makes a group, without members and policies.
func (c *ControlPlane) CreateGroup(ctx context.Context, caller Caller, req CreateGroupRequest) (Nothing, error) {
	given, err := parseName("Group Name", req.GroupName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alter(ctx, caller, "latchkey:CreateGroup", target{}, func(a alteration) error {
		g, err := a.Group(ctx, given)
		if err == nil {
			return refused("Group Name: %s is already taken", g.Name)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		a.Record(given, nil)
		return a.InsertGroup(ctx, given)
	})
}

// DeleteGroup removes a group that has no members and no policies. As in IAM these
// have to be taken away first, so that what a name took from or gave to whom stands
// in the audit log, and each is judged by itself.
func (c *ControlPlane) DeleteGroup(ctx context.Context, caller Caller, req DeleteGroupRequest) (Nothing, error) {
	given, err := parseName("Group Name", req.GroupName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alter(ctx, caller, "latchkey:DeleteGroup", target{}, func(a alteration) error {
		g, err := knownGroup(ctx, a.View, given)
		if err != nil {
			return err
		}
		shown, err := c.showGroup(ctx, a.View, g)
		if err != nil {
			return err
		}
		members, policies := len(shown.Members), len(shown.InlinePolicies)+len(shown.AttachedPolicies)
		if members+policies > 0 {
			return refused("Group Name: %s is not empty (members: %d, policies: %d); remove them first", g.Name, members, policies)
		}
		a.Record(g.Name, nil)
		return a.DeleteGroup(ctx, g.Name)
	})
}

// DescribeGroups lists the groups named, or all, with their members and policies.
func (c *ControlPlane) DescribeGroups(ctx context.Context, caller Caller, req DescribeGroupsRequest) (DescribeGroupsResponse, error) {
	out := DescribeGroupsResponse{Groups: []Group{}}
	names, err := parseAll(req.GroupNames, func(s string) (string, error) { return parseName("Group Names", s) })
	if err != nil {
		return out, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authoriseOn(ctx, v, who, "latchkey:DescribeGroups", target{}); err != nil {
			return err
		}
		groups, err := groupsNamed(ctx, v, names)
		if err != nil {
			return err
		}
		for _, g := range groups {
			shown, err := c.showGroup(ctx, v, g)
			if err != nil {
				return err
			}
			out.Groups = append(out.Groups, shown)
		}
		return nil
	})
	return out, err
}

func groupsNamed(ctx context.Context, v store.View, names []string) ([]store.Group, error) {
	if len(names) == 0 {
		return v.Groups(ctx)
	}
	var groups []store.Group
	for _, n := range names {
		g, err := knownGroup(ctx, v, n)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (c *ControlPlane) showGroup(ctx context.Context, v store.View, g store.Group) (Group, error) {
	out := Group{GroupName: g.Name, Members: []string{}, CreatedAt: timestamp(g.CreatedAt)}
	members, err := v.Members(ctx, g.Name)
	if err != nil {
		return out, err
	}
	for _, m := range members {
		out.Members = append(out.Members, m.ARN.String())
	}
	out.InlinePolicies, out.AttachedPolicies, err = c.showPolicies(ctx, v, store.HeldByGroup(g.Name))
	return out, err
}

// showPolicies lists the policies that a holder has by himself.
func (c *ControlPlane) showPolicies(ctx context.Context, v store.View, h store.Holder) ([]InlinePolicy, []string, error) {
	all, err := v.InlinePolicies(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	shown := make([]InlinePolicy, len(all))
	for i, p := range all {
		shown[i] = InlinePolicy{PolicyName: p.Name, PolicyDocument: c.showDocument(p.Document)}
	}
	attached, err := v.AttachedPolicies(ctx, h)
	return shown, append([]string{}, attached...), err
}

// membership is a user and a group as a request names them.
type membership struct {
	group string
	user  authz.ARN
}

func parseMembership(group, user string) (m membership, err error) {
	if m.group, err = parseName("Group Name", group); err != nil {
		return m, err
	}
	m.user, err = parseARN(user)
	return m, err
}

// find looks both up.
func (m membership) find(ctx context.Context, v store.View) (store.Group, authz.Profile, error) {
	g, err := knownGroup(ctx, v, m.group)
	if err != nil {
		return g, authz.Profile{}, err
	}
	u, err := knownUser(ctx, v, m.user)
	return g, u, err
}

// AddUserToGroup puts a user into a group; one who is in it stays. It gives him all of
// the group's policies, and what policies give to those who are in the group.
func (c *ControlPlane) AddUserToGroup(ctx context.Context, caller Caller, req AddUserToGroupRequest) (Nothing, error) {
	m, err := parseMembership(req.GroupName, req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alter(ctx, caller, "latchkey:AddUserToGroup", target{}, func(a alteration) error {
		g, u, err := m.find(ctx, a.View)
		if err != nil {
			return err
		}
		o := outcome{undo: "latchkey:RemoveUserFromGroup"}
		if o.gives, err = c.groupDocuments(ctx, a.View, g); err != nil {
			return err
		}
		if o.frees, err = c.dependent(ctx, a.View, u, principalGroups); err != nil {
			return err
		}
		a.Record(g.Name, map[string]string{"added": u.ARN.String()})
		return c.carryOut(ctx, a, o, func() error {
			if err := a.AddMember(ctx, g.Name, u.ID); err != nil {
				return err
			}
			all, err := a.GroupsOf(ctx, u.ID)
			if err == nil && len(all) > maxGroups {
				err = invalid("Iam User Arn", errGroupsMany)
			}
			return err
		})
	})
}

// groupDocuments returns the documents of all policies of a group. A managed one that
// is not there is the zero policy.
func (c *ControlPlane) groupDocuments(ctx context.Context, v store.View, g store.Group) ([]iam.Policy, error) {
	h := store.HeldByGroup(g.Name)
	own, err := v.InlinePolicies(ctx, h)
	if err != nil {
		return nil, err
	}
	var all []iam.Policy
	for _, p := range own {
		all = append(all, c.documents.parse(p.Document))
	}
	attached, err := v.AttachedPolicies(ctx, h)
	if err != nil {
		return nil, err
	}
	for _, policy := range attached {
		text, err := managedDocument(ctx, v, policy)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		all = append(all, c.documents.parse(text))
	}
	return all, nil
}

// RemoveUserFromGroup takes a user out of a group. It gives him something only where
// the group denies, or where his own policies ask which groups he is in.
func (c *ControlPlane) RemoveUserFromGroup(ctx context.Context, caller Caller, req RemoveUserFromGroupRequest) (Nothing, error) {
	m, err := parseMembership(req.GroupName, req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alter(ctx, caller, "latchkey:RemoveUserFromGroup", target{}, func(a alteration) error {
		g, u, err := m.find(ctx, a.View)
		if err != nil {
			return err
		}
		documents, err := c.groupDocuments(ctx, a.View, g)
		if err != nil {
			return err
		}
		o := outcome{undo: "latchkey:AddUserToGroup"}
		if o.frees, err = c.dependent(ctx, a.View, u, principalGroups); err != nil {
			return err
		}
		if slices.ContainsFunc(documents, iam.Policy.Denies) {
			o.frees = []store.Identity{identity(u)}
		}
		a.Record(g.Name, map[string]string{"removed": u.ARN.String()})
		return c.carryOut(ctx, a, o, func() error {
			err := a.RemoveMember(ctx, g.Name, u.ID)
			if errors.Is(err, store.ErrNotFound) {
				return &Error{Code: NotFound, Message: "Unable to find user " + u.ARN.String() + " in group " + g.Name}
			}
			return err
		})
	})
}

// alterGroup runs f for a group, as a holder of policies.
func (c *ControlPlane) alterGroup(
	ctx context.Context, caller Caller, action authz.Action, group string, f func(alteration, holder) error,
) error {
	given, err := parseName("Group Name", group)
	if err != nil {
		return err
	}
	return c.alter(ctx, caller, action, target{}, func(a alteration) error {
		h, err := groupHolder(ctx, a.View, given)
		if err != nil {
			return err
		}
		return f(a, h)
	})
}

// PutGroupPolicy gives a group an inline policy, or its policy of that name another
// document.
func (c *ControlPlane) PutGroupPolicy(ctx context.Context, caller Caller, req PutGroupPolicyRequest) (Nothing, error) {
	p, err := parseInline(req.PolicyName, req.PolicyDocument)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterGroup(ctx, caller, "latchkey:PutGroupPolicy", req.GroupName, func(a alteration, h holder) error {
		return c.putInline(ctx, a, h, p, "latchkey:DeleteGroupPolicy")
	})
}

// DeleteGroupPolicy takes an inline policy from a group.
func (c *ControlPlane) DeleteGroupPolicy(ctx context.Context, caller Caller, req DeleteGroupPolicyRequest) (Nothing, error) {
	policy, err := parseName("Policy Name", req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterGroup(ctx, caller, "latchkey:DeleteGroupPolicy", req.GroupName, func(a alteration, h holder) error {
		return c.deleteInline(ctx, a, h, policy, "latchkey:PutGroupPolicy")
	})
}

// AttachGroupPolicy gives a group a managed policy; one that it has already stays.
func (c *ControlPlane) AttachGroupPolicy(ctx context.Context, caller Caller, req AttachGroupPolicyRequest) (Nothing, error) {
	policy, err := parseName("Policy Name", req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterGroup(ctx, caller, "latchkey:AttachGroupPolicy", req.GroupName, func(a alteration, h holder) error {
		return c.attach(ctx, a, h, policy, "latchkey:DetachGroupPolicy")
	})
}

// DetachGroupPolicy takes a managed policy from a group.
func (c *ControlPlane) DetachGroupPolicy(ctx context.Context, caller Caller, req DetachGroupPolicyRequest) (Nothing, error) {
	policy, err := parseName("Policy Name", req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterGroup(ctx, caller, "latchkey:DetachGroupPolicy", req.GroupName, func(a alteration, h holder) error {
		return c.detach(ctx, a, h, policy, "latchkey:AttachGroupPolicy")
	})
}
