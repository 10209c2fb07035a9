package store

import (
	"context"
	"fmt"
	"time"

	"latchkey/authz"
)

// Stack is a set of instances that share permissions.
type Stack struct {
	ID   authz.StackID
	Name string
	// Members is the JSON of what CreateStack was given; the store does not read it.
	Members []byte
	// Serial counts the states of the stack's access, from 1.
	Serial    int64
	CreatedAt time.Time
}

const selectStack = `SELECT id, name, members, serial, created_at FROM stacks`

// Stack finds a stack, or returns ErrNotFound.
func (v View) Stack(ctx context.Context, id authz.StackID) (Stack, error) {
	return one(ctx, v, scanStack, selectStack+` WHERE id = $1`, id.String())
}

// Stacks returns all stacks, sorted by name.
func (v View) Stacks(ctx context.Context) ([]Stack, error) {
	return list(ctx, v, scanStack, selectStack+` ORDER BY name, id`)
}

// Serial returns a stack's serial, or ErrNotFound.
func (v View) Serial(ctx context.Context, id authz.StackID) (int64, error) {
	return one(ctx, v, scanNumber, `SELECT serial FROM stacks WHERE id = $1`, id.String())
}

func scanNumber(s scanner) (n int64, err error) { return n, s.Scan(&n) }

func scanStack(s scanner) (st Stack, err error) {
	var id string
	var created int64
	if err := s.Scan(&id, &st.Name, &st.Members, &st.Serial, &created); err != nil {
		return st, err
	}
	st.CreatedAt = time.Unix(created, 0).UTC()
	if st.ID, err = authz.ParseStackID(id); err != nil {
		return Stack{}, fmt.Errorf("%w: stack: %v", ErrCorrupt, err)
	}
	return st, nil
}

// InsertStack adds a stack with the serial 1.
func (t *Tx) InsertStack(ctx context.Context, st Stack) error {
	_, err := t.exec(ctx, `INSERT INTO stacks (id, name, members, serial, created_at, raised_at) VALUES ($1, $2, $3, 1, $4, $4)`,
		st.ID.String(), st.Name, string(st.Members), t.Now().Unix())
	if err != nil {
		return fmt.Errorf("insert stack %s: %w", st.ID, err)
	}
	return nil
}

// UpdateStack writes the name and the members of the stack with st's id.
func (t *Tx) UpdateStack(ctx context.Context, st Stack) error {
	n, err := t.exec(ctx, `UPDATE stacks SET name = $1, members = $2 WHERE id = $3`, st.Name, string(st.Members), st.ID.String())
	if err != nil {
		return fmt.Errorf("update stack %s: %w", st.ID, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// CopyPermissions gives a stack, which has none yet, the permissions of another.
// Their origin is who copies.
func (t *Tx) CopyPermissions(ctx context.Context, from, to authz.StackID) error {
	_, err := t.exec(ctx, `
		INSERT INTO permissions (stack_id, user_id, level, allow_ssh, allow_sudo, sudo_commands, restricted, not_after, changed_by, changed_at)
		SELECT $1, user_id, level, allow_ssh, allow_sudo, sudo_commands, restricted, not_after, $3, $4 FROM permissions WHERE stack_id = $2`,
		to.String(), from.String(), t.entry.Actor, t.Now().Unix())
	if err != nil {
		return fmt.Errorf("copy permissions of %s to %s: %w", from, to, err)
	}
	return nil
}

// DeleteStack removes a stack with its permissions, join tokens and bundles. A
// stack that still has instances is an error.
func (t *Tx) DeleteStack(ctx context.Context, id authz.StackID) error {
	n, err := t.exec(ctx, `DELETE FROM stacks WHERE id = $1`, id.String())
	if err != nil {
		return fmt.Errorf("delete stack %s: %w", id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// RaiseSerial says that the stack's access is another than before.
func (t *Tx) RaiseSerial(ctx context.Context, id authz.StackID) error {
	n, err := t.exec(ctx, `UPDATE stacks SET serial = serial + 1, raised_at = $1 WHERE id = $2`, t.Now().Unix(), id.String())
	if err != nil {
		return fmt.Errorf("raise serial of stack %s: %w", id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
