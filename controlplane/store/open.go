package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // also registers the driver named "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema/sqlite/*.sql
var schema embed.FS

const (
	// busyMillis is how long one process waits for another that is writing.
	busyMillis = 10_000
	// openTime is how long Open goes on while others have the file, and openPause
	// how long it stands back each time.
	openTime  = time.Minute
	openPause = 20 * time.Millisecond
	// readers is how many views can be open at once; more wait.
	readers = 8
)

// Open opens the SQLite database in a file, creating it with mode 0600 if it is
// not there, and brings its schema up to date. Before anything is written it
// checks the version of SQLite (requirement R131), that the file is sound (R132,
// PRAGMA quick_check) and that no newer program has used it (R137). More than one
// process may have the file open.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	s := &Store{}
	if s.write, err = connect(path, 1, append(durable(), "_txlock=immediate")...); err != nil {
		return nil, err
	}
	if s.read, err = connect(path, readers, append(durable(), "_pragma=query_only(1)")...); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.Close())
	}
	return s, nil
}

// createPrivate makes the file before SQLite would, whatever the umask is; SQLite
// gives the files beside it the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// connect makes a pool. Pragmas stand in the data source name, because there they
// reach every connection of the pool.
func connect(path string, connections int, settings ...string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn(path, settings))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(keeping{connector})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// durable is how a database in use is kept (requirement R130).
func durable() []string { return []string{"_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)"} }

func dsn(path string, settings []string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/x becomes file:///C:/x
	}
	settings = append(settings,
		"_busy_timeout="+strconv.Itoa(busyMillis),
		"_pragma=foreign_keys(1)",
		"_pragma=trusted_schema(0)",
		"_defensive=1",
		"_dqs=0",
	)
	u := url.URL{Scheme: "file", Path: slashed, RawQuery: strings.Join(settings, "&")}
	return u.String()
}

// prepare checks the file and brings its schema up to date. While another process
// does the same, SQLite refuses the change to WAL without waiting, since waiting
// could be for ever (its busy handler is not asked), so the whole is begun again.
func (s *Store) prepare(ctx context.Context) error {
	for deadline := time.Now().Add(openTime); ; {
		err := checkSound(ctx, s.write)
		if err == nil {
			err = s.migrate(ctx)
		}
		if !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(openPause):
		}
	}
}

// checkSound refuses a version of SQLite that loses data (requirement R131) and a
// file that is damaged (R132).
func checkSound(ctx context.Context, db *sql.DB) error {
	var version, sound string
	if err := db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return damage(err)
	}
	if err := checkSQLite(version); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&sound); err != nil {
		return damage(err)
	}
	if sound != "ok" {
		return fmt.Errorf("%w: %s", ErrCorrupt, strings.TrimPrefix(sound, "*** in database main ***\n"))
	}
	return nil
}

// damage turns SQLite's own word for a damaged file into ErrCorrupt.
func damage(err error) error {
	var fault *sqlite.Error
	if errors.As(err, &fault) {
		switch fault.Code() & 0xff { // the primary result code
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
	}
	return err
}

// isBusy reports whether SQLite refused because somebody else has the database.
func isBusy(err error) bool {
	var fault *sqlite.Error
	return errors.As(err, &fault) && fault.Code()&0xff == sqlite3.SQLITE_BUSY
}

// checkSQLite accepts 3.51.3 and later, but not the withdrawn 3.52.0: before it, a
// race at the reset of the write-ahead log could lose commits.
func checkSQLite(version string) error {
	var n [3]int
	parts := strings.Split(version, ".")
	for i := range min(len(parts), len(n)) {
		v, err := strconv.Atoi(parts[i])
		if err != nil || v < 0 || v > 999 {
			return fmt.Errorf("%w: %q", ErrSQLite, version)
		}
		n[i] = v
	}
	number := n[0]*1_000_000 + n[1]*1_000 + n[2]
	if len(parts) < 3 || number < 3_051_003 || number == 3_052_000 {
		return fmt.Errorf("%w: %s; 3.51.3 or later is, but not 3.52.0", ErrSQLite, version)
	}
	return nil
}

// migrate brings the schema up to date, each step in a transaction. When another
// process does the same at the same time, one of the two finds a step already
// taken and looks again.
func (s *Store) migrate(ctx context.Context) error {
	p, err := steps(s.write)
	if err != nil {
		return err
	}
	for range 3 + 2*len(p.ListSources()) { // each step can be lost to another process
		if err = up(ctx, p); err == nil || errors.Is(err, ErrNewerSchema) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// steps are the schema's, to be taken by a database.
func steps(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(schema, "schema/sqlite")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

func up(ctx context.Context, p *goose.Provider) error {
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if has > knows {
		return newerSchema(has, knows)
	}
	_, err = p.Up(ctx)
	return err
}

func newerSchema(has, knows int64) error {
	return fmt.Errorf("%w: schema %d, this program knows %d", ErrNewerSchema, has, knows)
}
