package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// seen prints uses, one a line.
func seen(uses []store.KeyUse) string {
	var b strings.Builder
	for _, u := range uses {
		on, _, _ := strings.Cut(u.Instance.String(), "-")
		fmt.Fprintf(&b, "%s %s %s %t\n", u.Fingerprint, on, u.At.Sub(noon), u.Proved)
	}
	return b.String()
}

// TestPutKeyUse: the newest of each key and instance is kept, and so many keys of each;
// what is known of an instance outlives it.
func TestPutKeyUse(t *testing.T) {
	s, _ := newStore(t)
	insertUser(t, s, 0)
	insertUser(t, s, 1)
	web, db := insertStack(t, s, 1), insertStack(t, s, 2)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		for n, stack := range map[int]authz.StackID{1: web, 2: web, 3: db} {
			err = errors.Join(err, tx.InsertInstance(ctx, store.Instance{
				ID: instanceID(n), Stack: stack, PublicKey: uuid(n), RegisteredBy: arn(0), Facts: store.Facts{Hostname: "host"},
			}))
		}
		return err
	})
	put := func(user, instance int, fingerprint string, at time.Duration) {
		t.Helper()
		err := s.Observe(t.Context(), func(o store.Observation) error {
			return o.PutKeyUse(t.Context(), store.KeyUse{User: userID(user), Instance: instanceID(instance), Fingerprint: fingerprint, At: noon.Add(at), Proved: at > time.Hour}, 2)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(0, 1, "a", time.Hour)
	put(0, 1, "a", 3*time.Hour)
	put(0, 1, "a", 2*time.Hour) // older than what is known
	put(0, 1, "", time.Hour)
	put(0, 1, "b", 2*time.Hour) // pushes the oldest out
	put(0, 2, "a", time.Minute)
	put(0, 3, "a", 4*time.Hour)
	put(1, 1, "c", time.Second)
	one, two, three := instanceID(1).String()[:8], instanceID(2).String()[:8], instanceID(3).String()[:8]
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		of, err := v.KeyUsesOf(ctx, userID(0))
		if got, want := seen(of), "a "+three+" 4h0m0s true\na "+one+" 3h0m0s true\nb "+one+" 2h0m0s true\na "+two+" 1m0s false\n"; got != want {
			t.Errorf("of the user\n%swant\n%s", got, want)
		}
		on, err2 := v.KeyUsesOn(ctx, web, authz.UserID{})
		if got, want := seen(on), "a "+one+" 3h0m0s true\nb "+one+" 2h0m0s true\na "+two+" 1m0s false\nc "+one+" 1s false\n"; got != want {
			t.Errorf("on the stack\n%swant\n%s", got, want)
		}
		both, err3 := v.KeyUsesOn(ctx, web, userID(1))
		if got, want := seen(both), "c "+one+" 1s false\n"; got != want {
			t.Errorf("of the other on the stack\n%swant\n%s", got, want)
		}
		return errors.Join(err, err2, err3)
	})
	for _, n := range []int{1, 2, 3} {
		mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteInstance(ctx, instanceID(n)) })
	}
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		of, err := v.KeyUsesOf(ctx, userID(0))
		if got, want := seen(of), "a  4h0m0s true\nb  2h0m0s true\n"; got != want {
			t.Errorf("after the instances\n%swant\n%s", got, want)
		}
		last, err2 := v.LastUses(ctx)
		if len(last) != 3 {
			t.Errorf("last uses\n%s", seen(last))
		}
		return errors.Join(err, err2)
	})
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, userID(0)) })
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		last, err := v.LastUses(ctx)
		if got := seen(last); got != "c  1s false\n" {
			t.Errorf("after the user\n%s", got)
		}
		return err
	})
}

func TestPutInventory(t *testing.T) {
	s, _ := newStore(t)
	insertUser(t, s, 0)
	web := insertStack(t, s, 1)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertInstance(ctx, store.Instance{ID: instanceID(1), Stack: web, PublicKey: uuid(1), RegisteredBy: arn(0)})
	})
	for n, body := range []string{"{}", `{"more":1}`} {
		err := s.Observe(t.Context(), func(o store.Observation) error {
			return o.PutInventory(t.Context(), store.Inventory{Instance: instanceID(1), TakenAt: noon.Add(time.Duration(n) * time.Hour), Body: []byte(body)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		i, err := v.Inventory(ctx, instanceID(1))
		if string(i.Body) != `{"more":1}` || !i.TakenAt.Equal(noon.Add(time.Hour)) || i.Instance != instanceID(1) {
			t.Errorf("kept is %+v", i)
		}
		return err
	})
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteInstance(ctx, instanceID(1)) })
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		if _, err := v.Inventory(ctx, instanceID(1)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("of an instance that is gone: %v", err)
		}
		return nil
	})
}
