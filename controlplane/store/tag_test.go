package store_test

import (
	"context"
	"errors"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

func TestTags_OfUser(t *testing.T) {
	s, _ := newStore(t)
	insertUser(t, s, 1)
	of := store.OfUser(userID(1))
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.SetTag(ctx, of, store.Tag{Key: "b", Value: "1"}), tx.SetTag(ctx, of, store.Tag{Key: "a", Value: "2"}),
			tx.SetTag(ctx, of, store.Tag{Key: "b", Value: "3"}), tx.SetTag(ctx, of, store.Tag{Key: "c", Value: "4"}),
			tx.DeleteTag(ctx, of, "c"))
	})
	expect(t, s, []store.Tag{{Key: "a", Value: "2"}, {Key: "b", Value: "3"}},
		func(ctx context.Context, v store.View) ([]store.Tag, error) { return v.Tags(ctx, of) })
}

func TestView_StackTags(t *testing.T) {
	s, _ := newStore(t)
	read := func(ctx context.Context, v store.View) (map[string][]store.Tag, error) {
		tags, err := v.StackTags(ctx)
		byText := map[string][]store.Tag{}
		for id, of := range tags {
			byText[id.String()] = of
		}
		return byText, err
	}
	expect(t, s, map[string][]store.Tag{}, read)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		var errs []error
		for n := range 3 { // and the third without a tag
			errs = append(errs, tx.InsertStack(ctx, store.Stack{ID: stackID(n), Name: "s", Members: []byte(`{}`)}))
		}
		set := func(of authz.StackID, key, value string) error {
			return tx.SetTag(ctx, store.OfStack(of), store.Tag{Key: key, Value: value})
		}
		return errors.Join(append(errs, set(stackID(0), "b", "1"), set(stackID(1), "b", "2"), set(stackID(0), "a", "3"))...)
	})
	expect(t, s, map[string][]store.Tag{uuid(0): {{Key: "a", Value: "3"}, {Key: "b", Value: "1"}}, uuid(1): {{Key: "b", Value: "2"}}}, read)
}
