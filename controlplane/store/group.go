package store

import (
	"context"
	"fmt"
	"time"

	"latchkey/authz"
)

// Group is a set of users who share its policies. Names are the same in any case
// of letters, as in IAM, and are returned as they were written at first.
type Group struct {
	Name      string
	CreatedAt time.Time
}

// Groups returns all groups, sorted by name.
func (v View) Groups(ctx context.Context) ([]Group, error) {
	return list(ctx, v, scanGroup, `SELECT name, created_at FROM groups ORDER BY name`)
}

// Group finds a group, or returns ErrNotFound.
func (v View) Group(ctx context.Context, name string) (Group, error) {
	return one(ctx, v, scanGroup, `SELECT name, created_at FROM groups WHERE name = $1`, name)
}

func scanGroup(s scanner) (g Group, err error) {
	var created int64
	err = s.Scan(&g.Name, &created)
	g.CreatedAt = time.Unix(created, 0).UTC()
	return g, err
}

// InsertGroup adds a group. Its name must be new.
func (t *Tx) InsertGroup(ctx context.Context, name string) error {
	if _, err := t.exec(ctx, `INSERT INTO groups (name, created_at) VALUES ($1, $2)`, name, t.Now().Unix()); err != nil {
		return fmt.Errorf("insert group %s: %w", name, err)
	}
	return nil
}

// DeleteGroup removes a group with its policies and who is in it, or returns
// ErrNotFound.
func (t *Tx) DeleteGroup(ctx context.Context, name string) error {
	n, err := t.exec(ctx, `DELETE FROM groups WHERE name = $1`, name)
	if err != nil {
		return fmt.Errorf("delete group %s: %w", name, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// Members returns who is in a group, sorted by ARN.
func (v View) Members(ctx context.Context, group string) ([]Identity, error) {
	return list(ctx, v, scanIdentity, `
		SELECT u.id, u.arn FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_name = $1 ORDER BY u.arn`, group)
}

// Memberships returns how many users are in each group that has any.
func (v View) Memberships(ctx context.Context) (map[string]int, error) {
	return v.tally(ctx, `SELECT group_name, count(*) FROM group_members GROUP BY group_name`)
}

// GroupsOf returns the names of the groups that a user is in, sorted.
func (v View) GroupsOf(ctx context.Context, user authz.UserID) ([]string, error) {
	return list(ctx, v, scanText,
		`SELECT group_name FROM group_members WHERE user_id = $1 ORDER BY group_name`, user.String())
}

// AddMember puts a user into a group; one who is in it stays. An unknown group is
// ErrNotFound.
func (t *Tx) AddMember(ctx context.Context, group string, user authz.UserID) error {
	g, err := t.Group(ctx, group) // for its name as it was written
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `
		INSERT INTO group_members (group_name, user_id) VALUES ($1, $2) ON CONFLICT (group_name, user_id) DO NOTHING`,
		g.Name, user.String())
	if err != nil {
		return fmt.Errorf("add %s to group %s: %w", user, group, err)
	}
	return nil
}

// RemoveMember takes a user out of a group, or returns ErrNotFound.
func (t *Tx) RemoveMember(ctx context.Context, group string, user authz.UserID) error {
	n, err := t.exec(ctx, `DELETE FROM group_members WHERE group_name = $1 AND user_id = $2`, group, user.String())
	if err != nil {
		return fmt.Errorf("remove %s from group %s: %w", user, group, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
