package store_test

import (
	"context"
	"errors"
	"testing"

	"latchkey/controlplane/store"
)

func TestAttempt(t *testing.T) {
	s, _ := newStore(t)
	fault := errors.New("not this one")
	names := func(ctx context.Context, v store.View) ([]string, error) {
		groups, err := v.Groups(ctx)
		var all []string
		for _, g := range groups {
			all = append(all, g.Name)
		}
		return all, err
	}
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		insert := func(name string, then error) func() error {
			return func() error { return errors.Join(tx.InsertGroup(ctx, name), then) }
		}
		if err := tx.InsertGroup(ctx, "before"); err != nil {
			return err
		}
		if err := tx.Attempt(ctx, insert("kept", nil)); err != nil {
			return err
		}
		if err := tx.Attempt(ctx, insert("undone", fault)); !errors.Is(err, fault) {
			t.Errorf("got %v", err)
		}
		if err := tx.Attempt(ctx, insert("KEPT", nil)); err == nil { // a fault of the database's own
			t.Error("a group was inserted twice")
		}
		err := tx.Attempt(ctx, func() error {
			if err := tx.Attempt(ctx, insert("inner", nil)); err != nil {
				return err
			}
			return fault
		})
		if !errors.Is(err, fault) {
			t.Errorf("got %v", err)
		}
		return tx.InsertGroup(ctx, "after")
	})
	expect(t, s, []string{"after", "before", "kept"}, names)
}

// A transaction that ended under an attempt is nothing to go on with.
func TestAttempt_TransactionGone(t *testing.T) {
	s, _ := newStore(t)
	fault := errors.New("refused")
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Write(ctx, entry("x"), func(tx *store.Tx) error {
		err := tx.Attempt(ctx, func() error { cancel(); return fault })
		if err == nil || errors.Is(err, fault) {
			t.Errorf("got %v", err)
		}
		return err
	})
	if err == nil {
		t.Error("the transaction was kept")
	}
}
