// Package store keeps everything the control plane must not forget, in SQL.
//
// It holds no rules: who may do what is decided by package controlplane. What it
// does promise is that an acknowledged change is on the disk (requirement R130),
// that changes happen one after the other (R132), and that a change and its audit
// row happen together or not at all (R136): the methods that change anything hang
// on Tx, and only Write makes one.
//
// Statements are written once, with $1, $2, so that another database can follow.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Faults that a caller may tell apart.
var (
	// ErrNotFound is returned when what was asked for is not there.
	ErrNotFound = errors.New("not in the store")
	// ErrUIDsUsedUp is returned when the range of uids has none left.
	ErrUIDsUsedUp = errors.New("no uid is left in the range")
	// ErrUIDUsed is returned for a uid that a user has or had.
	ErrUIDUsed = errors.New("is or was another user's, or this one's under another login name")
	// ErrCorrupt is returned by Open for a damaged database, and by VerifyAudit.
	ErrCorrupt = errors.New("database is damaged")
	// ErrNewerSchema is returned by Open for the database of a newer program.
	ErrNewerSchema = errors.New("database was written by a newer version of this program")
	// ErrSQLite is returned by Open when the SQLite linked in is one that loses data.
	ErrSQLite = errors.New("SQLite version is not safe to use")
)

// Store is an open database. It is safe for concurrent use.
type Store struct {
	write *sql.DB // one connection: changes wait here for each other
	read  *sql.DB
	keys  knownKeys
}

// Close waits for what is running and closes the database.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// View reads one unchanging state of the store. It ends with the function it was
// given to.
type View struct {
	tx   *sql.Tx
	keys *knownKeys
}

// Tx reads and changes the store, in one transaction with one audit row.
type Tx struct {
	View
	entry *Entry
}

// Now is the one instant of the transaction.
func (t *Tx) Now() time.Time { return t.entry.At }

// Record completes the audit entry with what was changed and how.
func (t *Tx) Record(target string, detail map[string]string) {
	t.entry.Target, t.entry.Detail = target, detail
}

// Observation writes down what was seen or issued: nothing in it gives or takes a
// right, so it has no audit row.
type Observation struct{ View }

// Read calls f with a view; all its reads see the same state.
func (s *Store) Read(ctx context.Context, f func(View) error) error {
	return inTx(ctx, s.read, func(tx *sql.Tx) error { return f(View{tx, &s.keys}) })
}

// Write calls f and then keeps its changes and the audit entry, both or neither:
// neither if f returns an error, which Write returns as it is. When Write returns
// nil the change survives a loss of power. f must not use the store otherwise: it
// would wait for itself.
func (s *Store) Write(ctx context.Context, e Entry, f func(*Tx) error) error {
	e.At = e.At.UTC().Truncate(time.Second)
	return inTx(ctx, s.write, func(tx *sql.Tx) error {
		t := &Tx{View: View{tx, &s.keys}, entry: &e}
		if err := f(t); err != nil {
			return err
		}
		return t.appendAudit(ctx)
	})
}

// Observe calls f and keeps what it wrote down, all or nothing.
func (s *Store) Observe(ctx context.Context, f func(Observation) error) error {
	return inTx(ctx, s.write, func(tx *sql.Tx) error { return f(Observation{View{tx, &s.keys}}) })
}

func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// scanner is what sql.Row and sql.Rows have in common.
type scanner interface{ Scan(...any) error }

// one reads the single row of a query; none is ErrNotFound.
func one[T any](ctx context.Context, v View, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	found, err := scan(v.tx.QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return found, err
}

// list reads all rows of a query.
func list[T any](ctx context.Context, v View, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := v.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		found, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	return all, rows.Err()
}

// exec runs a statement and returns how many rows it changed.
func (v View) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := v.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// count reads a single number.
func (v View) count(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := v.tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// instant reads an optional time; NULL is the zero time.
func instant(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(n.Int64, 0).UTC()
}

// seconds writes an optional time; the zero time is NULL.
func seconds(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.Unix(), Valid: !t.IsZero()}
}

// optional writes the empty string as NULL.
func optional(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
