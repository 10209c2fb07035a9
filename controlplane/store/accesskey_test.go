package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/controlplane/store"
)

func TestAccessKeys(t *testing.T) {
	s, _ := newStore(t)
	insertUser(t, s, 1)
	insertUser(t, s, 2)
	later := noon.Add(time.Hour)
	writeAt(t, s, later, func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertAccessKey(ctx, store.AccessKey{ID: "a", User: userID(1), Secret: []byte("s1")})
	})
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.InsertAccessKey(ctx, store.AccessKey{ID: "b", User: userID(1), Secret: []byte("s2")}),
			tx.InsertAccessKey(ctx, store.AccessKey{ID: "c", User: userID(2), Secret: []byte("s3")}),
			tx.SetAccessKeyActive(ctx, "b", false),
		)
	})
	a := store.AccessKey{ID: "a", User: userID(1), ARN: arn(1), Secret: []byte("s1"), Active: true, CreatedAt: later}
	b := store.AccessKey{ID: "b", User: userID(1), ARN: arn(1), Secret: []byte("s2"), CreatedAt: noon}
	of1 := func(ctx context.Context, v store.View) ([]store.AccessKey, error) {
		return v.AccessKeysOf(ctx, userID(1))
	}
	key := func(id string) func(ctx context.Context, v store.View) (store.AccessKey, error) {
		return func(ctx context.Context, v store.View) (store.AccessKey, error) { return v.AccessKey(ctx, id) }
	}
	expect(t, s, []store.AccessKey{b, a}, of1)
	expect(t, s, b, key("b"))

	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.SetAccessKeyActive(ctx, "b", true), tx.DeleteAccessKey(ctx, "a"))
	})
	b.Active = true
	expect(t, s, []store.AccessKey{b}, of1)
	expectNotFound(t, s, "read", func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.AccessKey(ctx, "a")
		return err
	})
	expectNotFound(t, s, "set", func(ctx context.Context, tx *store.Tx) error { return tx.SetAccessKeyActive(ctx, "a", true) })
	expectNotFound(t, s, "delete", func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAccessKey(ctx, "a") })
}
