package store

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"
)

// CheckSQLite is checkSQLite.
var CheckSQLite = checkSQLite

// Pragmas reads the settings of the writing connection, and of all reading ones
// at once, which must agree.
func (s *Store) Pragmas(ctx context.Context, t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, pragma := range []string{"journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only", "trusted_schema"} {
		found[pragma] = append(found[pragma], settingOf(ctx, t, s.write, 1, pragma), settingOf(ctx, t, s.read, readers, pragma))
	}
	return found
}

func settingOf(ctx context.Context, t *testing.T, db *sql.DB, connections int, pragma string) string {
	t.Helper()
	var first string
	for i := range connections {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var value string
		if err := c.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&value); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = value
		}
		if value != first {
			t.Errorf("%s is %s on one connection and %s on another", pragma, first, value)
		}
	}
	return first
}

// LimitPages bounds the size of the database as a full disk would.
func (s *Store) LimitPages(ctx context.Context, t *testing.T, pages int) {
	t.Helper()
	if _, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
}

// NextEpoch is the epoch of a restore at a minute since 1970.
func NextEpoch(backup int64, present *Contents, minute int64) int64 {
	p := Restoration{Backup: Contents{Epoch: backup}, Present: present}
	return p.nextEpoch(time.Unix(minute*60, 0))
}

// OpenAt opens a database as the version of this program did whose schema it was.
func OpenAt(ctx context.Context, t *testing.T, path string, schema int64) *Store {
	t.Helper()
	s := &Store{}
	var err error
	if s.write, err = connect(path, 1, append(durable(), "_txlock=immediate")...); err != nil {
		t.Fatal(err)
	}
	if s.read, err = connect(path, 1, durable()...); err != nil {
		t.Fatal(err)
	}
	p, err := steps(s.write)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, schema); err != nil {
		t.Fatal(err)
	}
	return s
}

// MaxKept is maxKept.
const MaxKept = maxKept

// Writing is the pool of the writing connection.
func (s *Store) Writing() *sql.DB { return s.write }

// Kept counts the statements that the writing connection keeps.
func (s *Store) Kept(ctx context.Context, t *testing.T) (n int) {
	t.Helper()
	c, err := s.write.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Raw(func(conn any) error {
		n = len(conn.(*keeper).kept)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
