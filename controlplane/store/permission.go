package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"latchkey/authz"
)

const selectPermission = `SELECT stack_id, user_id, level, allow_ssh, allow_sudo, not_after FROM permissions`

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

// scanPermission reads a row; a level that does not parse denies.
func scanPermission(s scanner) (p authz.Permission, err error) {
	var stack, user, level string
	var notAfter sql.NullInt64
	if err := s.Scan(&stack, &user, &level, &p.AllowSSH, &p.AllowSudo, &notAfter); err != nil {
		return p, err
	}
	p.NotAfter = instant(notAfter)
	p.Level, _ = authz.ParseLevel(level)
	if p.Stack, err = authz.ParseStackID(stack); err != nil {
		return authz.Permission{}, fmt.Errorf("%w: permission's stack: %v", ErrCorrupt, err)
	}
	if p.User, err = authz.ParseUserID(user); err != nil {
		return authz.Permission{}, fmt.Errorf("%w: permission's user: %v", ErrCorrupt, err)
	}
	return p, nil
}

// SetPermission keeps a permission; the default is kept by removing the row.
func (t *Tx) SetPermission(ctx context.Context, p authz.Permission) error {
	var err error
	if p == DefaultPermission(p.Stack, p.User) {
		_, err = t.exec(ctx, `DELETE FROM permissions WHERE stack_id = $1 AND user_id = $2`, p.Stack.String(), p.User.String())
	} else {
		_, err = t.exec(ctx, `
			INSERT INTO permissions (stack_id, user_id, level, allow_ssh, allow_sudo, not_after)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (stack_id, user_id) DO UPDATE SET
				level = excluded.level, allow_ssh = excluded.allow_ssh,
				allow_sudo = excluded.allow_sudo, not_after = excluded.not_after`,
			p.Stack.String(), p.User.String(), p.Level.String(), p.AllowSSH, p.AllowSudo, seconds(p.NotAfter))
	}
	if err != nil {
		return fmt.Errorf("set permission of %s on %s: %w", p.User, p.Stack, err)
	}
	return nil
}
