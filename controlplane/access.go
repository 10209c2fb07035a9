package controlplane

import (
	"context"
	"errors"
	"time"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

// authoriseAbout authorises a question about somebody on a stack.
func (c *ControlPlane) authoriseAbout(
	ctx context.Context, v store.View, who principal, action authz.Action, stack authz.StackID, about authz.ARN,
) error {
	q, err := c.question(ctx, v, who, action, target{stack: stack})
	if err != nil {
		return err
	}
	d := authz.Decide(q)
	sees := func() bool { return c.authorise(ctx, v, who, describeStacks, stack) == nil }
	if !mayAsk(d, about == who.ARN, sees) {
		return denied(q, d)
	}
	return nil
}

// mayAsk reports whether a question about somebody on a stack may be answered, after
// the decision on it. What one may do oneself there is one's own affair: seeing the
// stack is enough, unless asking is denied explicitly.
func mayAsk(d authz.Decision, own bool, sees func() bool) bool {
	return d.Allowed() || own && d.Outcome == iam.ImplicitDeny && sees()
}

const (
	listAccess     = "latchkey:ListAccess"
	describeStacks = "opsworks:DescribeStacks"
)

// ListAccess lists who may enter the instances of a stack, or where a user may, on the
// stacks that the caller may ask about; of both, that one way in or none. It is what
// authz.Resolve says, and so what instances are told.
func (c *ControlPlane) ListAccess(ctx context.Context, caller Caller, req ListAccessRequest) (ListAccessResponse, error) {
	out := ListAccessResponse{Access: []AccessEntry{}}
	stack, arn, err := parsePair(req.StackId, req.IamUserArn)
	if err != nil {
		return out, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		var entries []AccessEntry
		var err error
		if stack.IsZero() {
			entries, err = c.accessOfUser(ctx, v, who, arn)
		} else {
			entries, err = c.accessOn(ctx, v, who, stack, arn)
		}
		out.Access = append(out.Access, entries...)
		return err
	})
	return out, err
}

// parsePair reads a stack and a user, one of which may be absent.
func parsePair(stackID, iamUserARN string) (stack authz.StackID, arn authz.ARN, err error) {
	if stackID == "" && iamUserARN == "" {
		return stack, arn, refused("Stack Id, Iam User Arn: one of them is required")
	}
	if stackID != "" {
		if stack, err = parseStack(stackID); err != nil {
			return stack, arn, err
		}
	}
	if iamUserARN != "" {
		arn, err = parseARN(iamUserARN)
	}
	return stack, arn, err
}

func (c *ControlPlane) accessOn(
	ctx context.Context, v store.View, who principal, stack authz.StackID, arn authz.ARN,
) ([]AccessEntry, error) {
	if err := c.authoriseAbout(ctx, v, who, listAccess, stack, arn); err != nil {
		return nil, err
	}
	st, err := stackNamed(ctx, v, stack)
	if err != nil {
		return nil, err
	}
	users, err := usersAbout(ctx, v, stack, arn)
	if err != nil {
		return nil, err
	}
	permissions, err := v.PermissionsOn(ctx, stack)
	if err != nil {
		return nil, err
	}
	uses, err := v.KeyUsesOn(ctx, stack, authz.UserID{})
	return showAccess(st, authz.Resolve(stack, users, permissions, c.cfg.Now()), lastLogins(uses)), err
}

// usersAbout are those of a stack who may have a way in, or the one asked about.
func usersAbout(ctx context.Context, v store.View, stack authz.StackID, arn authz.ARN) ([]authz.Profile, error) {
	if arn.IsZero() {
		return v.UsersOf(ctx, stack)
	}
	u, err := v.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noUser(arn)
	}
	return []authz.Profile{u}, err
}

func (c *ControlPlane) accessOfUser(ctx context.Context, v store.View, who principal, arn authz.ARN) ([]AccessEntry, error) {
	visible, err := c.stacksAbout(ctx, v, who, arn)
	if err != nil {
		return nil, err
	}
	user, err := v.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noUser(arn)
	}
	if err != nil {
		return nil, err
	}
	permission, err := permissionsEverywhere(ctx, v, user.ID)
	if err != nil {
		return nil, err
	}
	var entries []AccessEntry
	for _, st := range visible {
		access := authz.Resolve(st.ID, []authz.Profile{user}, []authz.Permission{permission(st.ID)}, c.cfg.Now())
		uses, err := v.KeyUsesOn(ctx, st.ID, user.ID)
		if err != nil {
			return nil, err
		}
		entries = append(entries, showAccess(st, access, lastLogins(uses))...)
	}
	return entries, nil
}

// stacksAbout are the stacks on which the caller may ask about somebody. To have none
// is a denial where he asks about another and has no right on the account either.
func (c *ControlPlane) stacksAbout(ctx context.Context, v store.View, who principal, about authz.ARN) ([]store.Stack, error) {
	all, err := v.Stacks(ctx)
	if err != nil {
		return nil, err
	}
	decide, err := c.decider(ctx, v, who)
	if err != nil {
		return nil, err
	}
	own := about == who.ARN
	var visible []store.Stack
	for _, st := range all {
		sees := func() bool { return decide(describeStacks, st.ID).Allowed() }
		if mayAsk(decide(listAccess, st.ID), own, sees) {
			visible = append(visible, st)
		}
	}
	if len(visible) == 0 && !own {
		return nil, c.authorise(ctx, v, who, listAccess, authz.StackID{})
	}
	return visible, nil
}

func showAccess(st store.Stack, access authz.Access, last map[authz.UserID]time.Time) []AccessEntry {
	var entries []AccessEntry
	for _, g := range access.Grants {
		e := AccessEntry{
			StackId: st.ID.String(), StackName: st.Name, IamUserArn: g.ARN.String(),
			SshUsername: g.Username.String(), Uid: int64(g.UID), Sudo: g.Sudo, SudoCommands: g.SudoCommands.List(),
			Restricted: g.Restricted, Keys: int64(len(g.Keys)),
			LastLoginAt: instantOf(last[g.User]),
		}
		if !g.NotAfter.IsZero() {
			e.ExpiresAt = timestamp(g.NotAfter)
		}
		entries = append(entries, e)
	}
	return entries
}
