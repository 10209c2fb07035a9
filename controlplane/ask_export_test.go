package controlplane

import (
	"context"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// MayAct is what use cases ask before they act: authorise, on a stack or with the zero
// id on the account.
func (c *ControlPlane) MayAct(ctx context.Context, caller Caller, action authz.Action, stack authz.StackID) error {
	return c.read(ctx, caller, func(v store.View, who principal) error { return c.authorise(ctx, v, who, action, stack) })
}

// MayActOnUser is the same for a user.
func (c *ControlPlane) MayActOnUser(ctx context.Context, caller Caller, action authz.Action, user authz.ARN) error {
	return c.read(ctx, caller, func(v store.View, who principal) error {
		return c.authoriseOn(ctx, v, who, action, target{user: user})
	})
}
