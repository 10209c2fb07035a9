package controlplane

import (
	"context"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// Nobody makes or changes a user, a group, a policy or a key beyond what he may do
// himself (requirement R112). Two things are compared: what somebody would have
// after a change, and what the caller had before it, levels of both included. In
// doubt the change is refused, as proofs about patterns and conditions go only so far.

// Reasons for refusing a change of what somebody may do.
var (
	errBeyond   = name.Refuse("beyond_own_rights", "would give more than the caller may do; who has "+authz.FullAccess+" may")
	errDenyAll  = name.Refuse("deny_beyond_own_rights", "the level deny for somebody who may do everything can be set only by somebody else who may")
	errSelfLock = name.Refuse("own_rights_lost", "would take from the caller the right to undo it; somebody else who has "+authz.FullAccess+" may")
)

// everything is all that anybody can be allowed.
func (c *ControlPlane) everything() iam.Policy {
	return c.documents.parse([]byte(authz.BuiltinPolicy(authz.FullAccess)))
}

// effective is what somebody may do by policies and levels together. A boundary
// holds for both, and a deny level for whatever policies say.
func (c *ControlPlane) effective(ctx context.Context, v store.View, who principal) (authz.Rights, error) {
	permissions, err := v.PermissionsOf(ctx, who.ID)
	if err != nil {
		return authz.Rights{}, err
	}
	var levels []authz.Policy
	for _, p := range permissions {
		if l := inForce(p, c.cfg.Now()).Level; l != authz.LevelIAMOnly {
			levels = append(levels, authz.LevelPolicy(l, c.stackARN(p.Stack)))
		}
	}
	return who.rights.With(levels...), nil
}

// mayGive refuses what the caller would give beyond his own: the documents
// themselves, and what the users named have after the change.
func (c *ControlPlane) mayGive(ctx context.Context, ch *change, documents []iam.Policy, users []store.Identity) error {
	own, err := c.effective(ctx, ch.View, ch.who)
	if err != nil || own.Covers(c.everything()) {
		return err
	}
	for _, d := range documents {
		if !own.Covers(d) {
			return beyond(ch.who)
		}
	}
	for _, u := range users {
		after, err := c.principal(ctx, ch.View, authz.Profile{ID: u.ID, ARN: u.ARN})
		if err != nil {
			return err
		}
		theirs, err := c.effective(ctx, ch.View, after) // levels that a denial held back too
		if err != nil {
			return err
		}
		if !own.CoversAll(theirs) {
			return beyond(ch.who)
		}
	}
	return nil
}

// mayActAs refuses to give the caller, or to bring back, a proof of being somebody
// else who may do what the caller may not.
func (c *ControlPlane) mayActAs(ctx context.Context, ch *change, other authz.Profile) error {
	if other.ID == ch.who.ID {
		return nil
	}
	own, err := c.effective(ctx, ch.View, ch.who)
	if err != nil || own.Covers(c.everything()) {
		return err
	}
	them, err := c.principal(ctx, ch.View, other)
	if err != nil {
		return err
	}
	theirs, err := c.effective(ctx, ch.View, them)
	if err != nil {
		return err
	}
	if !own.CoversAll(theirs) {
		return beyond(ch.who)
	}
	return c.mayEnterAs(ctx, ch, other)
}

// mayEnterAs refuses what lets the caller log in as somebody else, as a new SSH key
// for him does, where the caller could not give himself the same: the original lets
// whoever may set permissions on a stack give himself SSH and sudo there.
func (c *ControlPlane) mayEnterAs(ctx context.Context, ch *change, other authz.Profile) error {
	if other.ID == ch.who.ID {
		return nil
	}
	permissions, err := ch.PermissionsOf(ctx, other.ID)
	if err != nil {
		return err
	}
	decide, err := c.decider(ctx, ch.View, ch.who)
	if err != nil {
		return err
	}
	for _, p := range permissions {
		if _, err := authz.Enter(other, p, ch.Now()); err == nil && !decide("opsworks:SetPermission", p.Stack).Allowed() {
			return beyond(ch.who)
		}
	}
	return nil
}

// keepsRight refuses a change after which the caller could not do the same again,
// and so not undo it: whoever may change policies must not lock himself out. Who may
// do everything must keep that: to give back the least of it he would need it all, so
// that the last administrator could lose it for everybody, bit by bit.
func (c *ControlPlane) keepsRight(ctx context.Context, ch *change, action authz.Action, on target) error {
	after, err := c.principal(ctx, ch.View, ch.who.Profile)
	if err != nil {
		return err
	}
	if after.context, err = iam.NewContext(c.circumstances(after, ch.caller).Keys()); err != nil {
		return err
	}
	q, err := c.question(ctx, ch.View, after, action, on)
	if err != nil {
		return err
	}
	lost, err := c.losesEverything(ctx, ch, after)
	if err != nil {
		return err
	}
	if lost || !authz.Decide(q).Allowed() {
		return &Error{Code: Invalid, Message: "the change " + errSelfLock.Text, Err: errSelfLock}
	}
	return nil
}

// losesEverything reports whether the caller might do everything before a change and
// not after it.
func (c *ControlPlane) losesEverything(ctx context.Context, ch *change, after principal) (bool, error) {
	before, err := c.effective(ctx, ch.View, ch.who)
	if err != nil || !before.Covers(c.everything()) {
		return false, err
	}
	now, err := c.effective(ctx, ch.View, after)
	return err == nil && !now.Covers(c.everything()), err
}

// mayDeny keeps a Manage user of one stack from taking it from those who may do
// everything: a denied administrator could neither undo it nor name another one.
func (c *ControlPlane) mayDeny(ctx context.Context, ch *change, other authz.Profile) error {
	them, err := c.principal(ctx, ch.View, other)
	if err != nil || !them.rights.Covers(c.everything()) {
		return err
	}
	own, err := c.effective(ctx, ch.View, ch.who)
	if err != nil || own.Covers(c.everything()) {
		return err
	}
	return &Error{Code: Denied, Message: "User: " + ch.who.ARN.String() + " is refused: " + errDenyAll.Text, Err: errDenyAll}
}

func beyond(who principal) error {
	return &Error{Code: Denied, Message: "User: " + who.ARN.String() + " is refused: the change " + errBeyond.Text, Err: errBeyond}
}
