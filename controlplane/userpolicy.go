package controlplane

import (
	"context"
	"errors"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

// alterUser runs f for a user who is named by his ARN, as a holder of policies.
func (c *ControlPlane) alterUser(
	ctx context.Context, caller Caller, action authz.Action, arn authz.ARN, f func(alteration, holder) error,
) error {
	return c.alter(ctx, caller, action, target{user: arn}, func(a alteration) error {
		h, err := userHolder(ctx, a.View, arn)
		if err != nil {
			return err
		}
		return f(a, h)
	})
}

// PutUserPolicy gives a user an inline policy, or his of that name another document.
func (c *ControlPlane) PutUserPolicy(ctx context.Context, caller Caller, req PutUserPolicyRequest) (Nothing, error) {
	arn, err := parseARN(req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	p, err := parseInline(req.PolicyName, req.PolicyDocument)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterUser(ctx, caller, "latchkey:PutUserPolicy", arn, func(a alteration, h holder) error {
		return c.putInline(ctx, a, h, p, "latchkey:DeleteUserPolicy")
	})
}

// DeleteUserPolicy takes an inline policy from a user.
func (c *ControlPlane) DeleteUserPolicy(ctx context.Context, caller Caller, req DeleteUserPolicyRequest) (Nothing, error) {
	arn, policy, err := parseUserPolicy(req.IamUserArn, req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterUser(ctx, caller, "latchkey:DeleteUserPolicy", arn, func(a alteration, h holder) error {
		return c.deleteInline(ctx, a, h, policy, "latchkey:PutUserPolicy")
	})
}

// AttachUserPolicy gives a user a managed policy; one that he has already stays.
func (c *ControlPlane) AttachUserPolicy(ctx context.Context, caller Caller, req AttachUserPolicyRequest) (Nothing, error) {
	arn, policy, err := parseUserPolicy(req.IamUserArn, req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterUser(ctx, caller, "latchkey:AttachUserPolicy", arn, func(a alteration, h holder) error {
		return c.attach(ctx, a, h, policy, "latchkey:DetachUserPolicy")
	})
}

// DetachUserPolicy takes a managed policy from a user.
func (c *ControlPlane) DetachUserPolicy(ctx context.Context, caller Caller, req DetachUserPolicyRequest) (Nothing, error) {
	arn, policy, err := parseUserPolicy(req.IamUserArn, req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alterUser(ctx, caller, "latchkey:DetachUserPolicy", arn, func(a alteration, h holder) error {
		return c.detach(ctx, a, h, policy, "latchkey:AttachUserPolicy")
	})
}

func parseUserPolicy(user, policy string) (arn authz.ARN, parsed string, err error) {
	if arn, err = parseARN(user); err != nil {
		return arn, "", err
	}
	parsed, err = parseName("Policy Name", policy)
	return arn, parsed, err
}

// PutUserPermissionsBoundary bounds a user by a managed policy. A first boundary takes
// access away only; another one in its place may give some back.
func (c *ControlPlane) PutUserPermissionsBoundary(
	ctx context.Context, caller Caller, req PutUserPermissionsBoundaryRequest,
) (Nothing, error) {
	arn, policy, err := parseUserPolicy(req.IamUserArn, req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	const action = "latchkey:PutUserPermissionsBoundary"
	return Nothing{}, c.alter(ctx, caller, action, target{user: arn}, func(a alteration) error {
		u, err := knownUser(ctx, a.View, arn)
		if err != nil {
			return err
		}
		m, err := c.managed(ctx, a.View, policy)
		if err != nil {
			return err
		}
		before, bounded, err := c.boundary(ctx, a.View, u)
		if err != nil {
			return err
		}
		o := outcome{}
		if bounded != "" {
			o = replacing(before, c.documents.parse(m.Document), nil)
			if len(o.gives) > 0 { // a boundary gives nothing by itself
				o = outcome{frees: []store.Identity{identity(u)}}
			}
		}
		o.undo = "latchkey:DeleteUserPermissionsBoundary"
		a.Record(arn.String(), map[string]string{"before": bounded, "after": m.Name})
		return c.carryOut(ctx, a, o, func() error { return a.SetBoundary(ctx, u.ID, m.Name) })
	})
}

// boundary returns the document of a user's boundary and its name; "" is none.
func (c *ControlPlane) boundary(ctx context.Context, v store.View, u authz.Profile) (iam.Policy, string, error) {
	bounded, err := v.Boundary(ctx, u.ID)
	if err != nil || bounded == "" {
		return iam.Policy{}, "", err
	}
	text, err := managedDocument(ctx, v, bounded)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return iam.Policy{}, "", err
	}
	return c.documents.parse(text), bounded, nil
}

// DeleteUserPermissionsBoundary takes a user's boundary away.
func (c *ControlPlane) DeleteUserPermissionsBoundary(
	ctx context.Context, caller Caller, req DeleteUserPermissionsBoundaryRequest,
) (Nothing, error) {
	arn, err := parseARN(req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	const action = "latchkey:DeleteUserPermissionsBoundary"
	return Nothing{}, c.alter(ctx, caller, action, target{user: arn}, func(a alteration) error {
		u, err := knownUser(ctx, a.View, arn)
		if err != nil {
			return err
		}
		before, err := a.Boundary(ctx, u.ID)
		if err != nil {
			return err
		}
		if before == "" {
			return &Error{Code: NotFound, Message: "Unable to find a permissions boundary of user " + arn.String()}
		}
		a.Record(arn.String(), map[string]string{"before": before, "after": ""})
		o := outcome{frees: []store.Identity{identity(u)}, undo: "latchkey:PutUserPermissionsBoundary"}
		return c.carryOut(ctx, a, o, func() error { return a.SetBoundary(ctx, u.ID, "") })
	})
}
