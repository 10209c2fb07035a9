package store

import (
	"context"
	"database/sql/driver"
	"errors"
)

// maxKept bounds the statements that a connection keeps. The store has some 150.
const maxKept = 512

// keeping opens connections that keep the statements they have prepared, by their
// text: to prepare one costs more than to run it, and the store runs the same few
// all the time. SQLite prepares a kept one again by itself when the schema changes.
type keeping struct{ driver.Connector }

func (k keeping) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := opened.(sqliteConn)
	if !ok {
		return nil, errors.Join(errDriver, opened.Close())
	}
	return &keeper{sqliteConn: c, kept: map[string]sqliteStmt{}}, nil
}

var errDriver = errors.New("driver of SQLite lacks what the store needs")

// sqliteConn is what package sql asks of a connection of SQLite, but for running
// statements, which keeper does.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// keeper is a connection that keeps its statements. As of every connection, package
// sql uses it from one goroutine at a time.
type keeper struct {
	sqliteConn
	// kept holds those that are not running: one that is, is taken out, so that a
	// second query of the same text, inside of the first, gets another.
	kept map[string]sqliteStmt
	inTx bool
}

// BeginTx begins a transaction.
func (k *keeper) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := k.sqliteConn.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	k.inTx = true
	return keeperTx{tx, k}, nil
}

type keeperTx struct {
	driver.Tx
	on *keeper
}

// Commit ends the transaction.
func (t keeperTx) Commit() error {
	t.on.inTx = false
	return t.Tx.Commit()
}

// Rollback ends it too.
func (t keeperTx) Rollback() error {
	t.on.inTx = false
	return t.Tx.Rollback()
}

// unbroken takes from a context that it can end, inside of a transaction. To be able
// to interrupt a statement costs a goroutine, and package sql looks at the context
// before each, and rolls back when it has ended. A statement alone may take long (a
// copy, a check of the whole file) and can be interrupted.
func (k *keeper) unbroken(ctx context.Context) context.Context {
	if k.inTx {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// ExecContext runs a statement without rows.
func (k *keeper) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.ExecContext(k.unbroken(ctx), args)
	if err != nil {
		_ = s.Close() // could only say the same again
		return nil, err
	}
	return result, k.put(query, s)
}

// QueryContext runs a statement with rows.
func (k *keeper) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(k.unbroken(ctx), args)
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return &keptRows{rows, k, query, s}, nil
}

func (k *keeper) take(ctx context.Context, query string) (sqliteStmt, error) {
	if s, found := k.kept[query]; found {
		delete(k.kept, query)
		return s, nil
	}
	prepared, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := prepared.(sqliteStmt)
	if !ok {
		return nil, errors.Join(errDriver, prepared.Close())
	}
	return s, nil
}

func (k *keeper) put(query string, s sqliteStmt) error {
	if _, found := k.kept[query]; found || len(k.kept) == maxKept {
		return s.Close()
	}
	k.kept[query] = s
	return nil
}

// Close closes the statements and the connection.
func (k *keeper) Close() error {
	var faults []error
	for _, s := range k.kept {
		faults = append(faults, s.Close())
	}
	return errors.Join(append(faults, k.sqliteConn.Close())...)
}

// keptRows gives its statement back when it is closed, which package sql does once.
type keptRows struct {
	driver.Rows
	from  *keeper
	query string
	stmt  sqliteStmt
}

// Close ends the query.
func (r *keptRows) Close() error {
	if err := r.Rows.Close(); err != nil {
		_ = r.stmt.Close()
		return err
	}
	return r.from.put(r.query, r.stmt)
}
