package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Faults of a file that is to be backed up or restored, beside ErrCorrupt and
// ErrNewerSchema.
var (
	// ErrForeign is returned for a file that this program did not make.
	ErrForeign = errors.New("not the database of a control plane")
	// ErrInUse is returned for a database that another program may be using: what
	// belongs to it stands in other files too, so a copy of it is worth nothing.
	ErrInUse = errors.New("database is in use")
)

// Contents is what a database holds, in short.
type Contents struct {
	ControlPlane  string // its id, as in every bundle
	Epoch         int64
	Stacks, Users int64
	Log           LogHead
}

// Backup copies the database of a control plane. It is safe to use while servers
// write to the database, and never reads the file behind SQLite's back
// (requirement R133).
type Backup struct {
	// Database is the path of the database.
	Database string
	// Point, if it is not nil, is told the name of each step that was done. It is
	// there for tests that end the process in the middle.
	Point func(step string)
}

// To writes the copy to a file with the mode 0600 and returns what it holds: the
// state of one instant between the call and the return. A file that is there is
// fs.ErrExist and stays as it is. The copy is opened again and checked, its audit
// log too, before it gets its name; until then its name contains ".partial-". When
// To returns nil the copy survives a loss of power.
func (b Backup) To(ctx context.Context, file string) (Contents, error) {
	database, err := filepath.Abs(b.Database)
	if err != nil {
		return Contents{}, err
	}
	if file, err = filepath.Abs(file); err != nil {
		return Contents{}, err
	}
	if err := vacant(file); err != nil {
		return Contents{}, err
	}
	var c Contents
	err = place(file, nameNew, func(temp string) (err error) {
		if err := copyDatabase(ctx, database, temp); err != nil {
			return err
		}
		b.point("copied")
		if err := seal(temp); err != nil {
			return err
		}
		b.point("sealed")
		if c, err = examine(ctx, temp); err != nil {
			return fmt.Errorf("copy of %s: %w", database, err)
		}
		b.point("checked")
		return nil
	})
	if err != nil {
		return Contents{}, err
	}
	b.point("named")
	return c, nil
}

func (b Backup) point(step string) {
	if b.Point != nil {
		b.Point(step)
	}
}

// copyDatabase writes the state of one instant into an empty file.
func copyDatabase(ctx context.Context, from, to string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	db, err := connect(from, 1, "mode=rw")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO $1`, to)
	if err = errors.Join(damage(err), db.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// examine checks a backup in every way there is.
func examine(ctx context.Context, file string) (Contents, error) {
	if err := readBackup(file, io.Discard); err != nil {
		return Contents{}, err
	}
	return inspect(ctx, file, "ro")
}

// inspect checks a database file and changes nothing in it: that it is sound, of
// this program, not newer, and that its audit log is whole. mode is SQLite's: ro,
// or rw for one whose last writer may have been killed.
func inspect(ctx context.Context, path, mode string) (c Contents, err error) {
	if _, err := os.Stat(path); err != nil {
		return c, err
	}
	db, err := connect(path, 1, "mode="+mode)
	if err != nil {
		return c, err
	}
	defer db.Close()
	if err := checkSound(ctx, db); err != nil {
		return c, err
	}
	if err := checkOurs(ctx, db); err != nil {
		return c, damage(err)
	}
	err = inTx(ctx, db, func(tx *sql.Tx) (err error) {
		c, err = View{tx, &knownKeys{}}.contents(ctx)
		return err
	})
	if err != nil {
		return Contents{}, damage(err)
	}
	return c, nil
}

// checkOurs refuses the database of another program, and of a newer version.
func checkOurs(ctx context.Context, db *sql.DB) error {
	var tables int
	err := db.QueryRowContext(ctx, `
		SELECT count(*) FROM sqlite_schema
		WHERE type = 'table' AND name IN ('goose_db_version', 'meta', 'users', 'stacks', 'audit')`).Scan(&tables)
	if err != nil {
		return err
	}
	if tables != 5 {
		return ErrForeign
	}
	var has int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&has); err != nil {
		return err
	}
	p, err := steps(db)
	if err != nil {
		return err
	}
	known := p.ListSources()
	if knows := known[len(known)-1].Version; has > knows {
		return newerSchema(has, knows)
	}
	return nil
}

func (v View) contents(ctx context.Context) (c Contents, err error) {
	c.ControlPlane, err = v.Meta(ctx, ControlPlaneID)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: no server has started with it yet", ErrForeign)
	}
	if err != nil {
		return c, err
	}
	if c.Epoch, err = v.epoch(ctx); err != nil {
		return c, err
	}
	if c.Stacks, err = v.count(ctx, `SELECT count(*) FROM stacks`); err != nil {
		return c, err
	}
	if c.Users, err = v.count(ctx, `SELECT count(*) FROM users`); err != nil {
		return c, err
	}
	c.Log, err = v.VerifyAudit(ctx)
	return c, err
}

func (v View) epoch(ctx context.Context) (int64, error) {
	text, err := v.Meta(ctx, Epoch)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	epoch, err := strconv.ParseInt(text, 10, 64)
	if err != nil || epoch < 1 {
		return 0, fmt.Errorf("%w: epoch is %q", ErrCorrupt, text)
	}
	return epoch, nil
}

// A backup is a database with one line after it: SQLite passes over the line, and
// has no checksums of its own, so without it a value that changed on a bad disk
// would come back as somebody's permission.
const (
	sealWord = "latchkey backup 1 sha256 "
	sealSize = len(sealWord) + 2*sha256.Size + len("\n")
)

// seal adds the line to a file without one.
func seal(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f) // leaves the file at its end
	if err == nil {
		_, err = f.WriteString(sealWord + hex.EncodeToString(sum.Sum(nil)) + "\n")
	}
	return errors.Join(err, f.Close())
}

// readBackup copies the database in a backup to w. An error says that what was
// copied is not to be used: it is damaged, or no backup. A database that another
// tool made, so without the line, is taken as it is.
func readBackup(path string, w io.Writer) error {
	// Looked at first, because to open a pipe would wait.
	if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", ErrForeign)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	page, err := readHeader(f)
	if err != nil {
		return err
	}
	size := info.Size()
	line := make([]byte, min(size, int64(sealSize)))
	if _, err := f.ReadAt(line, size-int64(len(line))); err != nil {
		return err
	}
	sealed := bytes.HasPrefix(line, []byte(sealWord))
	if sealed {
		size -= int64(sealSize)
	}
	if size%page != 0 {
		return fmt.Errorf("%w: its end is missing", ErrCorrupt)
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), io.NewSectionReader(f, 0, size)); err != nil {
		return err
	}
	if sealed && string(line) != sealWord+hex.EncodeToString(sum.Sum(nil))+"\n" {
		return fmt.Errorf("%w: content is not what was backed up", ErrCorrupt)
	}
	return nil
}

// readHeader reads the first bytes of a database file
// (https://www.sqlite.org/fileformat.html, 1.3) and returns the size of its pages.
// Of the two version bytes, 2 means write-ahead mode: only a database in use is in
// that mode.
func readHeader(r io.ReaderAt) (page int64, err error) {
	var head [20]byte
	if _, err := r.ReadAt(head[:], 0); err != nil && err != io.EOF {
		return 0, err
	}
	if !bytes.HasPrefix(head[:], []byte("SQLite format 3\x00")) {
		return 0, ErrForeign
	}
	if head[18] == 2 || head[19] == 2 {
		return 0, fmt.Errorf("%w: not a backup", ErrInUse)
	}
	if page = int64(binary.BigEndian.Uint16(head[16:])); page == 1 {
		page = 65536
	}
	if page < 512 {
		return 0, fmt.Errorf("%w: pages of %d bytes", ErrCorrupt, page)
	}
	return page, nil
}

const partial = ".partial-"

// place lets fill write a private file under another name, and gives it its own
// with name when it is whole and on the disk. Whatever happens, the other name is
// gone when place returns.
func place(file string, name func(temp, file string) error, fill func(temp string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+partial+"*")
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() { err = errors.Join(err, remove(temp)) }()
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil { // whatever the umask is
		return err
	}
	if err := fill(temp); err != nil {
		return err
	}
	if err := syncFile(temp); err != nil {
		return err
	}
	if err := name(temp, file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

// nameNew gives a file its name unless another has it.
func nameNew(temp, file string) error {
	// A link, unlike a rename, does not replace. Some file systems have none.
	if err := os.Link(temp, file); err == nil {
		return nil
	}
	if err := vacant(file); err != nil {
		return err
	}
	return os.Rename(temp, file)
}

// vacant is fs.ErrExist if something has the name.
func vacant(file string) error {
	_, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", file, fs.ErrExist)
}

// remove removes files that may be there.
func remove(files ...string) error {
	var errs []error
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncFile brings a file to the disk. No connection to it may be open in this
// process: to close a file lets go of SQLite's locks on it (fcntl(2)).
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes the names in a directory durable (fsync(2)). Windows, where NTFS
// journals names by itself, refuses it as not permitted, which fsync never does.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, fs.ErrPermission) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
