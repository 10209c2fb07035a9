package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/authz"
)

const selectPermission = `SELECT stack_id, user_id, level, allow_ssh, allow_sudo, sudo_commands, restricted, not_after FROM permissions`

// DefaultPermission is what every user has on every stack until it is changed:
// iam_only and no flags. It is not kept in a row, so ten thousand users on a
// thousand stacks are not ten million rows.
func DefaultPermission(stack authz.StackID, user authz.UserID) authz.Permission {
	return authz.Permission{Stack: stack, User: user, Level: authz.LevelIAMOnly}
}

// Permission returns a user's permission on a stack.
func (v View) Permission(ctx context.Context, stack authz.StackID, user authz.UserID) (authz.Permission, error) {
	p, err := one(ctx, v, scanPermission, selectPermission+` WHERE stack_id = $1 AND user_id = $2`,
		stack.String(), user.String())
	if errors.Is(err, ErrNotFound) {
		return DefaultPermission(stack, user), nil
	}
	return p, err
}

// PermissionsOn returns the permissions on a stack that are not the default.
func (v View) PermissionsOn(ctx context.Context, stack authz.StackID) ([]authz.Permission, error) {
	return list(ctx, v, scanPermission, selectPermission+` WHERE stack_id = $1`, stack.String())
}

// PermissionsOf returns the permissions of a user that are not the default.
func (v View) PermissionsOf(ctx context.Context, user authz.UserID) ([]authz.Permission, error) {
	return list(ctx, v, scanPermission, selectPermission+` WHERE user_id = $1 ORDER BY stack_id`, user.String())
}

// scanPermission reads a row; a level that does not parse denies, and commands that do
// not parse take sudo away.
func scanPermission(s scanner) (p authz.Permission, err error) {
	var stack, user, level, commands string
	var notAfter sql.NullInt64
	if err := s.Scan(&stack, &user, &level, &p.AllowSSH, &p.AllowSudo, &commands, &p.Restricted, &notAfter); err != nil {
		return p, err
	}
	p.NotAfter = instant(notAfter)
	p.Level, _ = authz.ParseLevel(level)
	if p.SudoCommands, err = readCommands(commands); err != nil {
		p.AllowSudo = false
	}
	if p.Stack, err = authz.ParseStackID(stack); err != nil {
		return authz.Permission{}, fmt.Errorf("%w: permission's stack: %v", ErrCorrupt, err)
	}
	if p.User, err = authz.ParseUserID(user); err != nil {
		return authz.Permission{}, fmt.Errorf("%w: permission's user: %v", ErrCorrupt, err)
	}
	return p, nil
}

// readCommands reads what SetPermission wrote: one command a line.
func readCommands(text string) (authz.Commands, error) {
	if text == "" {
		return authz.Commands{}, nil
	}
	return authz.ParseCommands(strings.Split(text, "\n"))
}

// Origin says who set a permission last, and when.
type Origin struct {
	By string // as in the audit log
	At time.Time
}

// PermissionOrigin returns where a user's permission on a stack comes from. It is
// zero for the default, which is not kept, and for one of which it is not known.
func (v View) PermissionOrigin(ctx context.Context, stack authz.StackID, user authz.UserID) (Origin, error) {
	origin, err := one(ctx, v, scanOrigin, `SELECT changed_by, changed_at FROM permissions WHERE stack_id = $1 AND user_id = $2`,
		stack.String(), user.String())
	if errors.Is(err, ErrNotFound) {
		return Origin{}, nil
	}
	return origin, err
}

func scanOrigin(s scanner) (o Origin, err error) {
	var at int64
	err = s.Scan(&o.By, &at)
	o.At = instant(sql.NullInt64{Int64: at, Valid: at != 0})
	return o, err
}

// SetPermission keeps a permission, with the actor and the instant of the
// transaction as its origin; the default is kept by removing the row.
func (t *Tx) SetPermission(ctx context.Context, p authz.Permission) error {
	var err error
	if p == DefaultPermission(p.Stack, p.User) {
		_, err = t.exec(ctx, `DELETE FROM permissions WHERE stack_id = $1 AND user_id = $2`, p.Stack.String(), p.User.String())
	} else {
		_, err = t.exec(ctx, `
			INSERT INTO permissions (stack_id, user_id, level, allow_ssh, allow_sudo, sudo_commands, restricted, not_after, changed_by, changed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (stack_id, user_id) DO UPDATE SET
				level = excluded.level, allow_ssh = excluded.allow_ssh,
				allow_sudo = excluded.allow_sudo, sudo_commands = excluded.sudo_commands,
				restricted = excluded.restricted, not_after = excluded.not_after,
				changed_by = excluded.changed_by, changed_at = excluded.changed_at`,
			p.Stack.String(), p.User.String(), p.Level.String(), p.AllowSSH, p.AllowSudo, strings.Join(p.SudoCommands.List(), "\n"), p.Restricted, seconds(p.NotAfter),
			t.entry.Actor, t.Now().Unix())
	}
	if err != nil {
		return fmt.Errorf("set permission of %s on %s: %w", p.User, p.Stack, err)
	}
	return nil
}
