package controlplane

import (
	"context"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// Reasons for refusing what only the original's machines could have.
var (
	errJoinByToken = name.Refuse("join_by_token", "a machine joins by its own agent: make a token with "+
		"latchkey token create, and run latchkey-agent enroll on the machine")
	errNoPassword     = name.Refuse("windows_only", "only Windows instances have temporary passwords; log in with your SSH key")
	errWindowsLater   = name.Refuse("windows_not_yet", "temporary passwords of Windows instances are not served yet")
	errGrantedMinutes = name.Refuse("grant_minutes", "must be 60 to 1440")
)

// RegisterInstance refuses whoever may call it and says how a machine joins
// instead. The original's agent called it with a key that any program on the
// machine could read; ours proves a key of its own and a token that is good once. A
// record of a machine that may never come would let a script that waits for it
// believe in something that is not there.
func (c *ControlPlane) RegisterInstance(ctx context.Context, caller Caller, req RegisterInstanceRequest) (RegisterInstanceResponse, error) {
	stack, err := parseStack(req.StackId)
	if err != nil {
		return RegisterInstanceResponse{}, err
	}
	return RegisterInstanceResponse{}, c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "opsworks:RegisterInstance", stack); err != nil {
			return err
		}
		if _, err := stackNamed(ctx, v, stack); err != nil {
			return err
		}
		return &Error{Code: Invalid, Message: "Register Instance: " + errJoinByToken.Text, Err: errJoinByToken}
	})
}

const grantAccessAction = "opsworks:GrantAccess"

// GrantAccess is for callers who may see the stack and have AllowSsh on it. On a
// Linux instance, where everybody has a key of his own, it is refused as it was in
// the original; on a Windows instance it is not served yet.
func (c *ControlPlane) GrantAccess(ctx context.Context, caller Caller, req GrantAccessRequest) (GrantAccessResponse, error) {
	id, err := parseInstance(req.InstanceId)
	if err != nil {
		return GrantAccessResponse{}, err
	}
	if m := req.ValidForInMinutes; m != nil && (*m < 60 || *m > 1440) {
		return GrantAccessResponse{}, invalid("Valid For In Minutes", errGrantedMinutes)
	}
	const action = grantAccessAction
	return GrantAccessResponse{}, c.read(ctx, caller, func(v store.View, who principal) error {
		i, err := c.instanceFor(ctx, v, who, action, id)
		if err != nil {
			return err
		}
		p, err := v.Permission(ctx, i.Stack, who.ID)
		if err != nil {
			return err
		}
		if _, err := authz.Enter(who.Profile, p, c.cfg.Now()); err != nil {
			return &Error{
				Code: Denied,
				Message: "User: " + who.ARN.String() + " is not authorized to perform: " + action +
					" on resource: " + c.instanceARN(id) + " because " + err.Error(),
				Err: err,
			}
		}
		if i.Facts.OS == "windows" {
			return invalid("Instance Id", errWindowsLater)
		}
		return invalid("Instance Id", errNoPassword)
	})
}
