package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// writeAt is mustWrite at another time than noon.
func writeAt(t *testing.T, s *store.Store, at time.Time, f func(context.Context, *store.Tx) error) {
	t.Helper()
	err := s.Write(t.Context(), store.Entry{At: at, Actor: "tester", Action: "test"}, func(tx *store.Tx) error { return f(t.Context(), tx) })
	if err != nil {
		t.Fatal(err)
	}
}

// expectNotFound makes a change that must find nothing to change.
func expectNotFound(t *testing.T, s *store.Store, what string, f func(context.Context, *store.Tx) error) {
	t.Helper()
	err := s.Write(t.Context(), entry("x"), func(tx *store.Tx) error { return f(t.Context(), tx) })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: got %v", what, err)
	}
}

// expect reads one thing and compares it.
func expect[T any](t *testing.T, s *store.Store, want T, read func(context.Context, store.View) (T, error)) {
	t.Helper()
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		got, err := read(ctx, v)
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(authz.UserID{}, authz.ARN{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		return err
	})
}

func who(n int) store.Identity { return store.Identity{ID: userID(n), ARN: arn(n)} }

func inline(name, document string) store.InlinePolicy {
	return store.InlinePolicy{Name: name, Document: []byte(document)}
}

func TestManagedPolicies(t *testing.T) {
	s, _ := newStore(t)
	later := noon.Add(time.Hour)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.PutManagedPolicy(ctx, "Deploy", []byte(`{"a":1}`)), tx.PutManagedPolicy(ctx, "audit", []byte(`{}`)))
	})
	writeAt(t, s, later, func(ctx context.Context, tx *store.Tx) error {
		return tx.PutManagedPolicy(ctx, "DEPLOY", []byte(`{"a":2}`))
	})
	deploy := store.ManagedPolicy{Name: "Deploy", Document: []byte(`{"a":2}`), CreatedAt: noon, UpdatedAt: later}
	expect(t, s, deploy, func(ctx context.Context, v store.View) (store.ManagedPolicy, error) {
		return v.ManagedPolicy(ctx, "deploy")
	})
	expect(t, s, []store.ManagedPolicy{{Name: "audit", Document: []byte(`{}`), CreatedAt: noon, UpdatedAt: noon}, deploy},
		func(ctx context.Context, v store.View) ([]store.ManagedPolicy, error) { return v.ManagedPolicies(ctx) })
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteManagedPolicy(ctx, "dEPLOY") })
	expectNotFound(t, s, "read", func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ManagedPolicy(ctx, "Deploy")
		return err
	})
	expectNotFound(t, s, "delete", func(ctx context.Context, tx *store.Tx) error { return tx.DeleteManagedPolicy(ctx, "Deploy") })
}

func TestView_PolicyUse(t *testing.T) {
	s, _ := newStore(t)
	for n := range 3 {
		insertUser(t, s, n)
	}
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.PutManagedPolicy(ctx, "Deploy", []byte(`{}`)),
			tx.PutManagedPolicy(ctx, "Unused", []byte(`{}`)),
			tx.InsertGroup(ctx, "Ops"),
			tx.AttachPolicy(ctx, store.HeldByUser(userID(1)), "deploy"),
			tx.AttachPolicy(ctx, store.HeldByUser(userID(0)), "DEPLOY"),
			tx.AttachPolicy(ctx, store.HeldByUser(userID(0)), "BuiltIn"),
			tx.AttachPolicy(ctx, store.HeldByGroup("ops"), "Deploy"),
			tx.SetBoundary(ctx, userID(2), "dEPLOY"),
		)
	})
	for _, tt := range []struct {
		policy string
		want   store.PolicyUse
	}{
		{"Deploy", store.PolicyUse{Users: []store.Identity{who(0), who(1)}, Groups: []string{"Ops"}, Bounded: []store.Identity{who(2)}}},
		{"builtin", store.PolicyUse{Users: []store.Identity{who(0)}}},
		{"Unused", store.PolicyUse{}},
	} {
		t.Run(tt.policy, func(t *testing.T) {
			expect(t, s, tt.want, func(ctx context.Context, v store.View) (store.PolicyUse, error) { return v.PolicyUse(ctx, tt.policy) })
		})
	}
	expect(t, s, map[string]int{"Deploy": 4, "BuiltIn": 1},
		func(ctx context.Context, v store.View) (map[string]int, error) { return v.PolicyUses(ctx) })
}

func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		name              string
		holder, otherwise store.Holder // the same one, written in another way
	}{
		{"user", store.HeldByUser(userID(1)), store.HeldByUser(userID(1))},
		{"group", store.HeldByGroup("Ops"), store.HeldByGroup("ops")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newStore(t)
			insertUser(t, s, 1)
			insertUser(t, s, 2)
			mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.InsertGroup(ctx, "Ops"), tx.InsertGroup(ctx, "Dev"))
			})
			t.Run("inline", func(t *testing.T) { inlinePolicies(t, s, tt.holder, tt.otherwise) })
			t.Run("attached", func(t *testing.T) { attachedPolicies(t, s, tt.holder, tt.otherwise) })
			for _, other := range []store.Holder{store.HeldByUser(userID(2)), store.HeldByGroup("Dev")} {
				expect(t, s, nil, func(ctx context.Context, v store.View) ([]store.InlinePolicy, error) {
					return v.InlinePolicies(ctx, other)
				})
				expect(t, s, nil, func(ctx context.Context, v store.View) ([]string, error) { return v.AttachedPolicies(ctx, other) })
			}
		})
	}
}

func inlinePolicies(t *testing.T, s *store.Store, h, same store.Holder) {
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.PutInlinePolicy(ctx, h, inline("b", `{"n":1}`)), tx.PutInlinePolicy(ctx, h, inline("B", `{"n":2}`)),
			tx.PutInlinePolicy(ctx, h, inline("a", `{"n":3}`)), tx.PutInlinePolicy(ctx, same, inline("a", `{"n":4}`)),
		)
	})
	read := func(ctx context.Context, v store.View) ([]store.InlinePolicy, error) {
		return v.InlinePolicies(ctx, same)
	}
	expect(t, s, []store.InlinePolicy{inline("B", `{"n":2}`), inline("a", `{"n":4}`), inline("b", `{"n":1}`)}, read)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteInlinePolicy(ctx, same, "a") })
	expect(t, s, []store.InlinePolicy{inline("B", `{"n":2}`), inline("b", `{"n":1}`)}, read)
	expectNotFound(t, s, "delete", func(ctx context.Context, tx *store.Tx) error { return tx.DeleteInlinePolicy(ctx, h, "a") })
}

func attachedPolicies(t *testing.T, s *store.Store, h, same store.Holder) {
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.AttachPolicy(ctx, h, "LatchkeyReadOnly"), tx.AttachPolicy(ctx, h, "deploy"),
			tx.AttachPolicy(ctx, same, "latchkeyreadonly"), tx.PutManagedPolicy(ctx, "Deploy", []byte(`{}`)),
		)
	})
	read := func(ctx context.Context, v store.View) ([]string, error) { return v.AttachedPolicies(ctx, same) }
	expect(t, s, []string{"Deploy", "LatchkeyReadOnly"}, read)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DetachPolicy(ctx, same, "LATCHKEYREADONLY") })
	expect(t, s, []string{"Deploy"}, read)
	expectNotFound(t, s, "detach", func(ctx context.Context, tx *store.Tx) error { return tx.DetachPolicy(ctx, h, "LatchkeyReadOnly") })
}

func TestPolicies_NoHolder(t *testing.T) {
	for _, h := range []store.Holder{store.HeldByUser(userID(1)), store.HeldByGroup("none")} {
		s, _ := newStore(t)
		for name, give := range map[string]func(tx *store.Tx) error{
			"inline":   func(tx *store.Tx) error { return tx.PutInlinePolicy(t.Context(), h, inline("a", `{}`)) },
			"attached": func(tx *store.Tx) error { return tx.AttachPolicy(t.Context(), h, "a") },
		} {
			if err := s.Write(t.Context(), entry("x"), give); err == nil {
				t.Errorf("%s: %+v took a policy", name, h)
			}
		}
	}
}

func TestBoundary(t *testing.T) {
	s, _ := newStore(t)
	insertUser(t, s, 1)
	read := func(ctx context.Context, v store.View) (string, error) { return v.Boundary(ctx, userID(1)) }
	expect(t, s, "", read)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetBoundary(ctx, userID(1), "edge") })
	expect(t, s, "edge", read)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.PutManagedPolicy(ctx, "Edge", []byte(`{}`)) })
	expect(t, s, "Edge", read)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetBoundary(ctx, userID(1), "") })
	expect(t, s, "", read)
	expectNotFound(t, s, "set", func(ctx context.Context, tx *store.Tx) error { return tx.SetBoundary(ctx, userID(2), "Edge") })
	expectNotFound(t, s, "read", func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Boundary(ctx, userID(2))
		return err
	})
}

// Names are given in an order that is never the one asked for.
func TestView_Holdings(t *testing.T) {
	s, _ := newStore(t)
	insertUser(t, s, 1)
	insertUser(t, s, 2)
	u1 := store.HeldByUser(userID(1))
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		errs := []error{
			tx.PutManagedPolicy(ctx, "Known", []byte(`{"n":1}`)),
			tx.PutManagedPolicy(ctx, "Edge", []byte(`{"n":2}`)),
			tx.PutInlinePolicy(ctx, u1, inline("z", `{"n":3}`)), tx.PutInlinePolicy(ctx, u1, inline("y", `{"n":4}`)),
			tx.AttachPolicy(ctx, u1, "known"), tx.AttachPolicy(ctx, u1, "BuiltIn"),
			tx.SetBoundary(ctx, userID(1), "edge"),
			tx.SetTag(ctx, store.OfUser(userID(1)), store.Tag{Key: "b", Value: ""}),
			tx.SetTag(ctx, store.OfUser(userID(1)), store.Tag{Key: "a", Value: "1"}),
		}
		for n, group := range []string{"ops", "Dev", "elsewhere"} {
			h := store.HeldByGroup(group)
			errs = append(errs, tx.InsertGroup(ctx, group), tx.AttachPolicy(ctx, h, "Known"),
				tx.PutInlinePolicy(ctx, h, inline("x", fmt.Sprintf(`{"g":%d}`, n))))
		}
		return errors.Join(append(errs, tx.AddMember(ctx, "OPS", userID(1)), tx.AddMember(ctx, "dev", userID(1)))...)
	})
	known := []byte(`{"n":1}`)
	expect(t, s, store.Holdings{
		Policies: []store.Held{
			{Name: "y", Document: []byte(`{"n":4}`)},
			{Name: "z", Document: []byte(`{"n":3}`)},
			{Name: "BuiltIn", Managed: true},
			{Name: "Known", Managed: true, Document: known},
			{Name: "x", Group: "Dev", Document: []byte(`{"g":1}`)},
			{Name: "Known", Managed: true, Group: "Dev", Document: known},
			{Name: "x", Group: "ops", Document: []byte(`{"g":0}`)},
			{Name: "Known", Managed: true, Group: "ops", Document: known},
		},
		Boundary: &store.Held{Name: "Edge", Managed: true, Document: []byte(`{"n":2}`)},
		Groups:   []string{"Dev", "ops"},
		Tags:     []store.Tag{{Key: "a", Value: "1"}, {Key: "b"}},
	}, func(ctx context.Context, v store.View) (store.Holdings, error) { return v.Holdings(ctx, userID(1)) })

	t.Run("nothing", func(t *testing.T) {
		for n := 2; n <= 3; n++ { // the third is not in the store
			expect(t, s, store.Holdings{}, func(ctx context.Context, v store.View) (store.Holdings, error) { return v.Holdings(ctx, userID(n)) })
		}
	})
	t.Run("missing-is-no-document", func(t *testing.T) {
		mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.DeleteManagedPolicy(ctx, "Edge"), tx.PutManagedPolicy(ctx, "Known", nil))
		})
		mustRead(t, s, func(ctx context.Context, v store.View) error {
			h, err := v.Holdings(ctx, userID(1))
			if h.Boundary == nil || h.Boundary.Name != "edge" || h.Boundary.Document != nil {
				t.Errorf("boundary %+v", h.Boundary)
			}
			if len(h.Policies) != 8 || h.Policies[3].Document == nil {
				t.Error("an empty document reads as a missing one")
			}
			return err
		})
	})
}
