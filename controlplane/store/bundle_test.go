package store_test

import (
	"context"
	"errors"
	"testing"

	"latchkey/controlplane/store"
)

func TestObservation_PutBundle(t *testing.T) {
	s, path := newStore(t)
	stack := insertStack(t, s, 1)
	put := func(epoch, serial int64, text string) (first bool) {
		t.Helper()
		err := s.Observe(t.Context(), func(o store.Observation) (err error) {
			first, err = o.PutBundle(t.Context(), store.Bundle{Stack: stack, Epoch: epoch, Serial: serial, Note: []byte(text)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	expect := func(epoch, serial int64, want string) {
		t.Helper()
		mustRead(t, s, func(ctx context.Context, v store.View) error {
			got, err := v.Bundle(ctx, stack, epoch, serial)
			if string(got) != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("bundle %d.%d is %q, %v, want %q", epoch, serial, got, err, want)
			}
			return nil
		})
	}
	expect(1, 1, "")
	if !put(1, 1, "one") || put(1, 1, "other") {
		t.Error("the first was not kept, or the second was")
	}
	expect(1, 1, "one")
	put(1, 3, "three")
	expect(1, 1, "")
	if put(1, 1, "again") {
		t.Error("a serial got other bytes after its text was dropped")
	}
	put(1, 2, "late") // a slower process, one behind
	expect(1, 3, "three")
	put(2, 1, "new epoch")
	expect(1, 3, "")
	expect(2, 1, "new epoch")
	var hashes int
	if err := raw(t, path).QueryRow(`SELECT count(DISTINCT note_hash) FROM bundles`).Scan(&hashes); err != nil || hashes != 4 {
		t.Errorf("%d hashes kept, %v, want one for every bundle ever signed", hashes, err)
	}
}
