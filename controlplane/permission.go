package controlplane

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// Reasons for refusing the end of a permission.
var (
	errExpiryForm = name.Refuse("expiry_malformed", "is not a time like 2026-08-01T22:53:42Z")
	errExpiryPast = name.Refuse("expiry_past", "is not in the future")
)

// parseExpiry reads when a permission shall end; the empty string is no end.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	end, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil || end.Year() > 9999:
		return time.Time{}, errExpiryForm
	case !end.After(now):
		return time.Time{}, errExpiryPast
	}
	return end.UTC().Truncate(time.Second), nil
}

// parseCommands reads what sudo shall be limited to, and says which command is wrong.
func parseCommands(list []string) (authz.Commands, error) {
	commands, err := authz.ParseCommands(list)
	if err == nil {
		return commands, nil
	}
	for i, text := range list {
		if _, wrong := authz.ParseCommand(text); wrong == err {
			return authz.Commands{}, invalid("Sudo Commands["+strconv.Itoa(i)+"]", err)
		}
	}
	return authz.Commands{}, invalid("Sudo Commands", err)
}

// inForce is what a permission is worth now. One that has ended is worth what
// everybody has, and never more than before: a deny stays, and so do the limits of sudo
// and keys.
func inForce(p authz.Permission, now time.Time) authz.Permission {
	if p.NotAfter.IsZero() || now.Before(p.NotAfter) {
		return p
	}
	return over(p)
}

// over is what is left of a permission that is taken away: at most what everybody has,
// and its limits.
func over(p authz.Permission) authz.Permission {
	left := store.DefaultPermission(p.Stack, p.User)
	left.Level = min(left.Level, p.Level)
	left.SudoCommands, left.Restricted = p.SudoCommands, p.Restricted
	return left
}

// SetPermission changes what the request names of a user's permission on a stack
// and keeps the rest; of one that has ended there is no rest but its limits. The
// caller's own level, the end of his own permission and what his own sudo and keys are
// limited to cannot be set, not even to what they are; his own flags can.
func (c *ControlPlane) SetPermission(ctx context.Context, caller Caller, req SetPermissionRequest) (Nothing, error) {
	stack, err := parseStack(req.StackId)
	if err != nil {
		return Nothing{}, err
	}
	arn, err := parseARN(req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	want, err := parseWanted(req, c.cfg.Now())
	if err != nil {
		return Nothing{}, err
	}
	const action = "opsworks:SetPermission"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, stack); err != nil {
			return err
		}
		user, err := permissionOf(ctx, ch.View, stack, arn)
		if err != nil {
			return err
		}
		if arn == ch.who.ARN {
			if err := want.ofOneself(); err != nil {
				return err
			}
		}
		if want.level != nil && *want.level == authz.LevelDeny {
			if err := c.mayDeny(ctx, ch, user); err != nil {
				return err
			}
		}
		return setPermission(ctx, ch, user, stack, want)
	})
}

// wanted is what a request wants of a permission; nil keeps what is.
type wanted struct {
	level      *authz.Level
	ssh, sudo  *bool
	restricted *bool
	commands   *authz.Commands
	end        *time.Time // the zero time: no end
}

func parseWanted(req SetPermissionRequest, now time.Time) (wanted, error) {
	w := wanted{ssh: req.AllowSsh, sudo: req.AllowSudo, restricted: req.Restricted}
	if req.Level != nil {
		l, err := authz.ParseLevel(*req.Level)
		if err != nil {
			return wanted{}, invalid("Level", err)
		}
		w.level = &l
	}
	if req.ExpiresAt != nil {
		e, err := parseExpiry(*req.ExpiresAt, now)
		if err != nil {
			return wanted{}, invalid("Expires At", err)
		}
		w.end = &e
	}
	if req.SudoCommands != nil {
		commands, err := parseCommands(*req.SudoCommands)
		if err != nil {
			return wanted{}, err
		}
		w.commands = &commands
	}
	return w, nil
}

// ofOneself says what nobody may set of his own permission: nil for flags alone.
func (w wanted) ofOneself() error {
	switch {
	case w.level != nil:
		return refused("Unable to change own permission level. Only AllowSsh and AllowSudo allowed.")
	case w.end != nil:
		return refused("Unable to change the end of own permission.")
	case w.commands != nil:
		return refused("Unable to change what own sudo is limited to.")
	case w.restricted != nil:
		return refused("Unable to change what own keys are limited to.")
	}
	return nil
}

// of returns a permission changed as wanted.
func (w wanted) of(p authz.Permission) authz.Permission {
	p.Level = *cmp.Or(w.level, &p.Level)
	p.AllowSSH = *cmp.Or(w.ssh, &p.AllowSSH)
	p.AllowSudo = *cmp.Or(w.sudo, &p.AllowSudo)
	p.SudoCommands = *cmp.Or(w.commands, &p.SudoCommands)
	p.Restricted = *cmp.Or(w.restricted, &p.Restricted)
	p.NotAfter = *cmp.Or(w.end, &p.NotAfter)
	return p
}

// permissionOf finds the stack, which must be there, and the user.
func permissionOf(ctx context.Context, v store.View, stack authz.StackID, arn authz.ARN) (authz.Profile, error) {
	if _, err := v.Serial(ctx, stack); errors.Is(err, store.ErrNotFound) {
		return authz.Profile{}, noStack(stack)
	} else if err != nil {
		return authz.Profile{}, err
	}
	user, err := v.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return authz.Profile{}, noUser(arn)
	}
	return user, err
}

func setPermission(ctx context.Context, ch *change, user authz.Profile, stack authz.StackID, want wanted) error {
	before, err := ch.Permission(ctx, stack, user.ID)
	if err != nil {
		return err
	}
	after := want.of(inForce(before, ch.Now()))
	if err := ch.SetPermission(ctx, after); err != nil {
		return err
	}
	detail := map[string]string{
		"user": user.ARN.String(), "from": describePermission(before), "to": describePermission(after),
	}
	if user.ID == ch.who.ID { // the original allows it, so it has to be easy to find
		detail["self"] = "true"
	}
	ch.Record(stack.String(), detail)
	return ch.raiseIf(ctx, stack, user.ID, ch.access(user, before), ch.access(user, after))
}

func describePermission(p authz.Permission) string {
	text := p.Level.String() + " ssh=" + strconv.FormatBool(p.AllowSSH) + " sudo=" + strconv.FormatBool(p.AllowSudo)
	if commands := p.SudoCommands.List(); commands != nil {
		text += " sudo-commands=[" + strings.Join(commands, ", ") + "]"
	}
	if p.Restricted {
		text += " restricted=true"
	}
	if !p.NotAfter.IsZero() {
		text += " until=" + timestamp(p.NotAfter)
	}
	return text
}

// DescribePermissions lists by stack one entry for every user, by user one for
// every stack, by both exactly one. By user alone it is filtered to the stacks
// whose permissions the caller may see. Both missing is refused: the answer would
// have users times stacks entries. An entry is what the permission is worth now;
// one that has ended still says when.
func (c *ControlPlane) DescribePermissions(
	ctx context.Context, caller Caller, req DescribePermissionsRequest,
) (DescribePermissionsResponse, error) {
	stack, arn, err := parsePair(req.StackId, req.IamUserArn)
	if err != nil {
		return DescribePermissionsResponse{}, err
	}
	out := DescribePermissionsResponse{}
	err = c.read(ctx, caller, func(v store.View, who principal) (err error) {
		if stack.IsZero() {
			out.Permissions, err = c.permissionsOfUser(ctx, v, who, arn)
		} else {
			out.Permissions, err = c.permissionsOnStack(ctx, v, who, stack, arn)
		}
		return err
	})
	return out, err
}

const describePermissions = "opsworks:DescribePermissions"

func (c *ControlPlane) permissionsOnStack(
	ctx context.Context, v store.View, who principal, stack authz.StackID, arn authz.ARN,
) ([]Permission, error) {
	if err := c.authorise(ctx, v, who, describePermissions, stack); err != nil {
		return nil, err
	}
	if !arn.IsZero() {
		user, err := permissionOf(ctx, v, stack, arn)
		if err != nil {
			return nil, err
		}
		p, err := v.Permission(ctx, stack, user.ID)
		return []Permission{c.showPermission(p, arn)}, err
	}
	if _, err := v.Serial(ctx, stack); errors.Is(err, store.ErrNotFound) {
		return nil, noStack(stack)
	} else if err != nil {
		return nil, err
	}
	users, err := v.Identities(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := v.PermissionsOn(ctx, stack)
	if err != nil {
		return nil, err
	}
	byUser := make(map[authz.UserID]authz.Permission, len(stored))
	for _, p := range stored {
		byUser[p.User] = p
	}
	out := make([]Permission, 0, len(users))
	for _, u := range users {
		p, found := byUser[u.ID]
		if !found {
			p = store.DefaultPermission(stack, u.ID)
		}
		out = append(out, c.showPermission(p, u.ARN))
	}
	return out, nil
}

func (c *ControlPlane) permissionsOfUser(ctx context.Context, v store.View, who principal, arn authz.ARN) ([]Permission, error) {
	stacks, err := v.Stacks(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := c.permitted(ctx, v, who, describePermissions)
	if err != nil {
		return nil, err
	}
	everywhere := c.authorise(ctx, v, who, describePermissions, authz.StackID{})
	var visible []authz.StackID
	for _, st := range stacks {
		if seen(st.ID) {
			visible = append(visible, st.ID)
		}
	}
	if len(visible) == 0 && everywhere != nil {
		return nil, everywhere
	}
	user, err := v.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noUser(arn)
	}
	if err != nil {
		return nil, err
	}
	stored, err := v.PermissionsOf(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	return c.everyStack(user, visible, stored), nil
}

// everyStack gives one entry per stack, the stored one or the default.
func (c *ControlPlane) everyStack(user authz.Profile, stacks []authz.StackID, stored []authz.Permission) []Permission {
	byStack := make(map[authz.StackID]authz.Permission, len(stored))
	for _, p := range stored {
		byStack[p.Stack] = p
	}
	out := make([]Permission, 0, len(stacks))
	for _, id := range stacks {
		p, found := byStack[id]
		if !found {
			p = store.DefaultPermission(id, user.ID)
		}
		out = append(out, c.showPermission(p, user.ARN))
	}
	return out
}

func (c *ControlPlane) showPermission(p authz.Permission, arn authz.ARN) Permission {
	worth := inForce(p, c.cfg.Now())
	out := Permission{
		StackId: p.Stack.String(), IamUserArn: arn.String(),
		AllowSsh: worth.AllowSSH, AllowSudo: worth.AllowSudo, SudoCommands: worth.SudoCommands.List(), Level: worth.Level.String(),
	}
	out.Restricted = worth.Restricted
	if !p.NotAfter.IsZero() {
		out.ExpiresAt = timestamp(p.NotAfter)
	}
	return out
}
