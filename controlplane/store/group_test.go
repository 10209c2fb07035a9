package store_test

import (
	"context"
	"errors"
	"testing"

	"latchkey/controlplane/store"
)

func TestGroups(t *testing.T) {
	s, _ := newStore(t)
	for n := range 3 {
		insertUser(t, s, n)
	}
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.InsertGroup(ctx, "ops"), tx.InsertGroup(ctx, "Dev"), tx.InsertGroup(ctx, "empty"),
			tx.AddMember(ctx, "OPS", userID(1)), tx.AddMember(ctx, "ops", userID(1)), tx.AddMember(ctx, "ops", userID(0)),
			tx.AddMember(ctx, "dev", userID(1)),
		)
	})
	groups := func(ctx context.Context, v store.View) ([]store.Group, error) { return v.Groups(ctx) }
	memberships := func(ctx context.Context, v store.View) (map[string]int, error) { return v.Memberships(ctx) }
	groupsOf := func(n int) func(ctx context.Context, v store.View) ([]string, error) {
		return func(ctx context.Context, v store.View) ([]string, error) { return v.GroupsOf(ctx, userID(n)) }
	}
	expect(t, s, []store.Group{{Name: "Dev", CreatedAt: noon}, {Name: "empty", CreatedAt: noon}, {Name: "ops", CreatedAt: noon}}, groups)
	expect(t, s, store.Group{Name: "Dev", CreatedAt: noon},
		func(ctx context.Context, v store.View) (store.Group, error) { return v.Group(ctx, "dEV") })
	expect(t, s, []store.Identity{who(0), who(1)},
		func(ctx context.Context, v store.View) ([]store.Identity, error) { return v.Members(ctx, "Ops") })
	expect(t, s, map[string]int{"Dev": 1, "ops": 2}, memberships)
	expect(t, s, []string{"Dev", "ops"}, groupsOf(1))
	expect(t, s, nil, groupsOf(2))

	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RemoveMember(ctx, "OPS", userID(1)) })
	expect(t, s, []string{"Dev"}, groupsOf(1))
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteGroup(ctx, "dev") })
	expect(t, s, []store.Group{{Name: "empty", CreatedAt: noon}, {Name: "ops", CreatedAt: noon}}, groups)
	expect(t, s, map[string]int{"ops": 1}, memberships)

	for what, change := range map[string]func(context.Context, *store.Tx) error{
		"delete":      func(ctx context.Context, tx *store.Tx) error { return tx.DeleteGroup(ctx, "Dev") },
		"remove":      func(ctx context.Context, tx *store.Tx) error { return tx.RemoveMember(ctx, "ops", userID(1)) },
		"add-to-none": func(ctx context.Context, tx *store.Tx) error { return tx.AddMember(ctx, "Dev", userID(1)) },
		"read": func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Group(ctx, "Dev")
			return err
		},
	} {
		expectNotFound(t, s, what, change)
	}
	for what, change := range map[string]func(tx *store.Tx) error{
		"the same group in other letters": func(tx *store.Tx) error { return tx.InsertGroup(t.Context(), "OPS") },
		"a user who is not there":         func(tx *store.Tx) error { return tx.AddMember(t.Context(), "ops", userID(9)) },
	} {
		if err := s.Write(t.Context(), entry("x"), change); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}

// A group that is deleted leaves nothing that one of the same name would get.
func TestTx_DeleteGroup(t *testing.T) {
	s, path := newStore(t)
	insertUser(t, s, 1)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.InsertGroup(ctx, "ops"), tx.AddMember(ctx, "ops", userID(1)),
			tx.AttachPolicy(ctx, store.HeldByGroup("OPS"), "Deploy"),
			tx.PutInlinePolicy(ctx, store.HeldByGroup("Ops"), inline("a", `{}`)))
	})
	db := raw(t, path)
	tables := []string{"groups", "group_members", "group_policies", "group_inline_policies"}
	for _, want := range []int{1, 0} {
		for _, table := range tables {
			var got int
			if err := db.QueryRow(`SELECT count(*) FROM ` + table).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %d rows, %v, want %d", table, got, err, want)
			}
		}
		if want == 1 {
			mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteGroup(ctx, "oPS") })
		}
	}
}
