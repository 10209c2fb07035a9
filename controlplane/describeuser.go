package controlplane

import (
	"context"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// DescribeUser shows all that a user holds, besides his profile and his permissions.
func (c *ControlPlane) DescribeUser(ctx context.Context, caller Caller, req DescribeUserRequest) (DescribeUserResponse, error) {
	arn, err := parseOwner(req.IamUserArn, caller)
	if err != nil {
		return DescribeUserResponse{}, err
	}
	var out DescribeUserResponse
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authoriseOn(ctx, v, who, "latchkey:DescribeUser", target{user: arn}); err != nil {
			return err
		}
		u, err := knownUser(ctx, v, arn)
		if err != nil {
			return err
		}
		out, err = c.showUser(ctx, v, u)
		return err
	})
	return out, err
}

func (c *ControlPlane) showUser(ctx context.Context, v store.View, u authz.Profile) (DescribeUserResponse, error) {
	out := DescribeUserResponse{
		IamUserArn: u.ARN.String(), Groups: []string{}, GroupPolicies: []GroupPolicy{}, Tags: map[string]string{},
	}
	held, err := v.Holdings(ctx, u.ID)
	if err != nil {
		return out, err
	}
	out.Groups = append(out.Groups, held.Groups...)
	for _, h := range held.Policies {
		if h.Group != "" {
			out.GroupPolicies = append(out.GroupPolicies, GroupPolicy{GroupName: h.Group, PolicyName: h.Name, Managed: h.Managed})
		}
	}
	if held.Boundary != nil {
		out.PermissionsBoundary = held.Boundary.Name
	}
	for _, tag := range held.Tags {
		out.Tags[tag.Key] = tag.Value
	}
	if out.InlinePolicies, out.AttachedPolicies, err = c.showPolicies(ctx, v, store.HeldByUser(u.ID)); err != nil {
		return out, err
	}
	if out.AccessKeys, err = showKeys(ctx, v, u); err != nil {
		return out, err
	}
	out.SshKeys, out.LastLoginAt, err = usesOf(ctx, v, u)
	return out, err
}
