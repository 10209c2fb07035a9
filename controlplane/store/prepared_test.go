package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// A statement is prepared once, and what was kept is let go of with the store: as
// long as one statement is open, SQLite leaves the write-ahead log where it is.
func TestKeeper_Close(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latchkey.db")
	s := must(store.Open(t.Context(), path))
	stack := insertStack(t, s, 1)
	raise := func(ctx context.Context, tx *store.Tx) error { return tx.RaiseSerial(ctx, stack) }
	mustWrite(t, s, raise)
	kept := s.Kept(t.Context(), t)
	for range 20 {
		mustWrite(t, s, raise)
	}
	if now := s.Kept(t.Context(), t); now != kept || kept == 0 {
		t.Errorf("%d statements kept, then %d", kept, now)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("write-ahead log of a closed database: %v", err)
	}
}

// Somebody else's change of the schema, and a statement that went wrong, leave the
// kept ones usable.
func TestKeeper_Again(t *testing.T) {
	s, path := newStore(t)
	p := insertUser(t, s, 1)
	insert := func(ctx context.Context, tx *store.Tx) error { return tx.SetMeta(ctx, "a", "1") }
	mustWrite(t, s, insert)
	if err := s.Write(t.Context(), entry("twice"), func(tx *store.Tx) error { return insert(t.Context(), tx) }); err == nil {
		t.Error("stated a fact twice")
	}
	look := func(ctx context.Context, v store.View) error {
		found, err := v.UserByARN(ctx, p.ARN)
		if found.ID != p.ID {
			t.Errorf("found %+v", found)
		}
		return err
	}
	mustRead(t, s, look)
	mustExec(t, raw(t, path), `ALTER TABLE users ADD COLUMN more TEXT; DELETE FROM meta; UPDATE users SET self_management = 1`)
	mustRead(t, s, look)
	mustWrite(t, s, insert)
}

// Two queries of one text at once, one inside of the other, do not meet.
func TestKeeper_Nested(t *testing.T) {
	s, _ := newStore(t)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.SetMeta(ctx, "a", "1"), tx.SetMeta(ctx, "b", "2"), tx.SetMeta(ctx, "c", "3"))
	})
	tx, err := s.Writing().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var seen []string
	for range 2 { // first with statements that are prepared, then with kept ones
		eachKey(t, tx, func(outer string) {
			eachKey(t, tx, func(inner string) { seen = append(seen, outer+inner) })
		})
	}
	want := []string{"aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc"}
	if !slices.Equal(seen, append(want, want...)) {
		t.Errorf("seen %v", seen)
	}
}

func eachKey(t *testing.T, tx *sql.Tx, f func(string)) {
	t.Helper()
	rows, err := tx.QueryContext(t.Context(), `SELECT key FROM meta WHERE key IN ('a', 'b', 'c') ORDER BY key`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			t.Fatal(err)
		}
		f(key)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// Once the context has ended, a change goes no further and leaves nothing.
func TestKeeper_Cancelled(t *testing.T) {
	s, _ := newStore(t)
	for situation, more := range map[string]bool{"before-a-statement": true, "before-the-end": false} {
		t.Run(situation, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			err := s.Write(ctx, entry("cancelled"), func(tx *store.Tx) error {
				err := tx.SetMeta(ctx, "a", "1")
				if err != nil {
					return err
				}
				cancel()
				if more {
					err = tx.SetMeta(ctx, "b", "2")
				}
				return err
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled change: %v", err)
			}
			expectAudit(t, s, 0)
			mustRead(t, s, func(ctx context.Context, v store.View) error {
				if _, err := v.Meta(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("what was cancelled: %v", err)
				}
				return nil
			})
		})
	}
}

func TestKeeper_Bounded(t *testing.T) {
	s, _ := newStore(t)
	for i := range store.MaxKept + 50 {
		var n int
		if err := s.Writing().QueryRowContext(t.Context(), `SELECT `+strconv.Itoa(i)).Scan(&n); err != nil || n != i {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if kept := s.Kept(t.Context(), t); kept != store.MaxKept {
		t.Errorf("%d statements kept", kept)
	}
}

// Readers beside each other and beside a writer each see one user whole.
func TestKeeper_Concurrent(t *testing.T) {
	s, _ := newStore(t)
	p := insertUser(t, s, 1)
	p.Keys = []authz.Key{must(authz.ParseKey(keyOne, authz.KeyPolicy{}))}
	change := func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, p) }
	mustWrite(t, s, change)
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for range 20 {
				err := s.Read(t.Context(), func(v store.View) error {
					found, err := v.UserByARN(t.Context(), p.ARN)
					if err == nil && (found.ID != p.ID || len(found.Keys) != 1 || found.Keys[0] != p.Keys[0]) {
						err = fmt.Errorf("found %+v", found)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		mustWrite(t, s, change)
	}
	readers.Wait()
}
