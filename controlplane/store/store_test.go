package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newStore(t *testing.T) (*store.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "latchkey.db")
	return mustOpen(t, path), path
}

func mustOpen(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustWrite(t *testing.T, s *store.Store, f func(context.Context, *store.Tx) error) {
	t.Helper()
	err := s.Write(t.Context(), entry("test"), func(tx *store.Tx) error { return f(t.Context(), tx) })
	if err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, s *store.Store, f func(context.Context, store.View) error) {
	t.Helper()
	if err := s.Read(t.Context(), func(v store.View) error { return f(t.Context(), v) }); err != nil {
		t.Fatal(err)
	}
}

func entry(action string) store.Entry { return store.Entry{At: noon, Actor: "tester", Action: action} }

func uuid(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func userID(n int) authz.UserID         { return must(authz.ParseUserID(uuid(n))) }
func stackID(n int) authz.StackID       { return must(authz.ParseStackID(uuid(n))) }
func instanceID(n int) authz.InstanceID { return must(authz.ParseInstanceID(uuid(n))) }
func arn(n int) authz.ARN {
	return must(authz.ParseARN(fmt.Sprintf("arn:aws:iam::000000000000:user/u%d", n)))
}

func login(s string) authz.Username { return must(name.ParseUsername(s)) }

func insertUser(t *testing.T, s *store.Store, n int) authz.Profile {
	t.Helper()
	p := authz.Profile{ID: userID(n), ARN: arn(n), Username: login(fmt.Sprintf("u%d", n))}
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		if p.UID, err = tx.AllocateUID(ctx, p.ID, p.Username, 20000, 59999); err != nil {
			return err
		}
		return tx.InsertUser(ctx, p)
	})
	return p
}

func insertStack(t *testing.T, s *store.Store, n int) authz.StackID {
	t.Helper()
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertStack(ctx, store.Stack{ID: stackID(n), Name: fmt.Sprintf("s%d", n), Members: []byte(`{}`)})
	})
	return stackID(n)
}

// raw opens the file past the store, as somebody who can write to it would.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// TestStore_Write holds R136 in part and R169 in part.
func TestStore_Write(t *testing.T) {
	t.Run("keeps-change-and-entry", func(t *testing.T) {
		s, path := newStore(t)
		err := s.Write(t.Context(), store.Entry{
			At: noon.Add(time.Millisecond), Actor: "a", AccessKey: "k", SourceIP: "192.0.2.1", RequestID: "r", Action: "x",
		}, func(tx *store.Tx) error {
			tx.Record("target", map[string]string{"b": "2", "a": "1"})
			if !tx.Now().Equal(noon) {
				t.Errorf("now is %s, want %s", tx.Now(), noon)
			}
			return tx.SetMeta(t.Context(), store.Epoch, "7")
		})
		if err != nil {
			t.Fatal(err)
		}
		again := mustOpen(t, path)
		mustRead(t, again, func(ctx context.Context, v store.View) error {
			epoch, err := v.Meta(ctx, store.Epoch)
			if err != nil || epoch != "7" {
				t.Errorf("epoch %q, %v", epoch, err)
			}
			got, err := v.Audit(ctx, 0, 10)
			want := []store.Entry{{
				Seq: 1, At: noon, Actor: "a", AccessKey: "k", SourceIP: "192.0.2.1", RequestID: "r", Action: "x",
				Target: "target", Detail: map[string]string{"a": "1", "b": "2"},
			}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			return err
		})
	})
	t.Run("error-keeps-neither", func(t *testing.T) {
		s, _ := newStore(t)
		fault := errors.New("fault")
		err := s.Write(t.Context(), entry("x"), func(tx *store.Tx) error {
			return errors.Join(tx.SetMeta(t.Context(), store.Epoch, "7"), fault)
		})
		if !errors.Is(err, fault) {
			t.Fatalf("got %v", err)
		}
		expectEmpty(t, s)
	})
	t.Run("panic-keeps-neither", func(t *testing.T) {
		s, _ := newStore(t)
		func() {
			defer func() { _ = recover() }()
			_ = s.Write(t.Context(), entry("x"), func(tx *store.Tx) error {
				must(0, tx.SetMeta(t.Context(), store.Epoch, "7"))
				panic("fault")
			})
		}()
		expectEmpty(t, s)
	})
	t.Run("cancelled-keeps-neither", func(t *testing.T) {
		s, _ := newStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Write(ctx, entry("x"), func(tx *store.Tx) error {
			err := tx.SetMeta(ctx, store.Epoch, "7")
			cancel()
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		expectEmpty(t, s)
	})
	t.Run("view-cannot-write", func(t *testing.T) {
		_, path := newStore(t)
		db := raw(t, path) // the pool of views has the same pragma
		mustExec(t, db, `PRAGMA query_only = 1`)
		if _, err := db.Exec(`INSERT INTO meta VALUES ('a', 'b')`); err == nil {
			t.Error("query_only let a write through")
		}
	})
}

func expectEmpty(t *testing.T, s *store.Store) {
	t.Helper()
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		if _, err := v.Meta(ctx, store.Epoch); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("meta: got %v", err)
		}
		head, err := v.AuditHead(ctx)
		if head != (store.LogHead{}) {
			t.Errorf("audit head %+v", head)
		}
		return err
	})
	// The one writing connection is free again.
	mustWrite(t, s, func(context.Context, *store.Tx) error { return nil })
}

// TestStore_Pragmas holds R130 and R132.
func TestStore_Pragmas(t *testing.T) {
	s, path := newStore(t)
	got := s.Pragmas(t.Context(), t)
	want := map[string][]string{
		"journal_mode": {"wal", "wal"}, "synchronous": {"2", "2"}, "foreign_keys": {"1", "1"},
		"busy_timeout": {"10000", "10000"}, "query_only": {"0", "1"}, "trusted_schema": {"0", "0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got, writer then every reader)\n%s", path, diff)
	}
}

// TestOpen holds R132 and R137 in part.
func TestOpen(t *testing.T) {
	t.Run("twice-at-once", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "latchkey.db")
		results := make(chan error, 4)
		for i := range 4 {
			go func() {
				s, err := store.Open(context.Background(), path)
				if err == nil {
					err = s.Write(context.Background(), entry(fmt.Sprint(i)), func(*store.Tx) error { return nil })
					err = errors.Join(err, s.Close())
				}
				results <- err
			}()
		}
		for range 4 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		expectAudit(t, mustOpen(t, path), 4)
	})
	t.Run("two-stores-see-each-other", func(t *testing.T) {
		a, path := newStore(t)
		b := mustOpen(t, path)
		insertUser(t, a, 1)
		insertUser(t, b, 2)
		mustRead(t, a, func(ctx context.Context, v store.View) error {
			users, err := v.Users(ctx)
			if len(users) != 2 || users[0].UID != 20000 || users[1].UID != 20001 {
				t.Errorf("users %+v", users)
			}
			return err
		})
		expectAudit(t, a, 2)
	})
	t.Run("newer-schema", func(t *testing.T) {
		s, path := newStore(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		mustExec(t, raw(t, path), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		if _, err := store.Open(t.Context(), path); !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not-a-database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "latchkey.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), path); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("damaged-page", func(t *testing.T) {
		s, path := newStore(t)
		for n := range 50 {
			insertUser(t, s, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		const page = 4096
		sound := must(os.ReadFile(path))
		for at := page; at < len(sound); at += page { // in the first page is the file's own header
			damaged := append([]byte{}, sound...)
			copy(damaged[at:], strings.Repeat("\xff", 8)) // the page's kind and its free space
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(t.Context(), path); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("page %d of %d: got %v", at/page+1, len(sound)/page, err)
			}
		}
	})
	t.Run("no-folder", func(t *testing.T) {
		if _, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "none", "latchkey.db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("odd-path", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a ?b#c%20&_txlock=x", "latchkey.db")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		insertUser(t, mustOpen(t, path), 1)
		if left := must(os.ReadDir(filepath.Dir(path))); len(left) < 1 || left[0].Name() != "latchkey.db" {
			t.Errorf("folder holds %v", left)
		}
	})
}

func expectAudit(t *testing.T, s *store.Store, size int64) {
	t.Helper()
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		head, err := v.VerifyAudit(ctx)
		if head.Size != size {
			t.Errorf("audit log has %d rows, want %d", head.Size, size)
		}
		return err
	})
}

// TestStore_FullDisk holds R138 in part.
func TestStore_FullDisk(t *testing.T) {
	s, path := newStore(t)
	insertUser(t, s, 1)
	s.LimitPages(t.Context(), t, 1) // to what it has
	big := strings.Repeat("x", 1<<20)
	err := s.Write(t.Context(), entry(big), func(*store.Tx) error { return nil })
	if err == nil {
		t.Fatal("a full database took a write")
	}
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		_, err := v.UserByARN(ctx, arn(1))
		return err
	})
	s.LimitPages(t.Context(), t, 1<<20)
	insertUser(t, s, 2)
	expectAudit(t, mustOpen(t, path), 2)
}
