package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrOther is returned for the backup of another control plane than the present
// database is of: its instances trust other keys.
var ErrOther = errors.New("backup is of another control plane")

// Restore puts a backup in the place of a database. The caller sees to it that no
// server and no backup of this program has the database until Close: of programs
// that do not ask, Commit finds out most.
type Restore struct {
	// Database is the path of the database. Its folder must be there, it itself not.
	Database string
	// Point, if it is not nil, is told the name of each step that was done. It is
	// there for tests that end the process in the middle.
	Point func(step string)
}

// Restoration is a backup that was checked and only waits to be put in place.
type Restoration struct {
	// Backup and Present are what the two databases hold. Present is nil when there
	// is none, or none that can be read: Fault then says why.
	Backup  Contents
	Present *Contents
	Fault   error
	// Changes compares the two; nil without Present.
	Changes []Tally

	restore Restore
	copy    *Store // of the backup, at staging; nil: closed
	uids    []allocation
}

// Restored says what Commit did.
type Restored struct {
	Epoch int64
	// Kept is where the database from before is now; "": there was none.
	Kept string
}

// Names beside the database's own.
const (
	stagingSuffix = ".restoring"
	keptSuffix    = ".before-restore-"
)

// beside are the endings of the files that SQLite keeps beside a database. They
// belong to that one file: read with another they would destroy it.
func beside() []string { return []string{"-wal", "-shm", "-journal"} }

// Prepare copies a backup to beside the database, checks the copy in every way,
// brings it up to this version's schema and compares it with the present database,
// which it leaves as it is. Close must be called on what it returns.
func (r Restore) Prepare(ctx context.Context, file string) (_ *Restoration, err error) {
	if r.Database, err = filepath.Abs(r.Database); err != nil {
		return nil, err
	}
	// A link would be replaced, and not what it leads to.
	if real, err := filepath.EvalSymlinks(r.Database); err == nil {
		r.Database = real
	}
	if err := r.sweep(); err != nil {
		return nil, err
	}
	p := &Restoration{restore: r}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := r.stage(file); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r.point("received")
	if p.Backup, err = inspect(ctx, r.staging(), "ro"); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if p.copy, err = Open(ctx, r.staging()); err != nil {
		return nil, err
	}
	if err := p.compare(ctx); err != nil {
		return nil, err
	}
	r.point("compared")
	return p, nil
}

func (r Restore) staging() string { return r.Database + stagingSuffix }

// sweep removes what a restore that was killed has left.
func (r Restore) sweep() error {
	dir, base := filepath.Split(r.Database)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var left []string
	for _, e := range entries {
		ours := strings.HasPrefix(e.Name(), base+stagingSuffix) || strings.HasPrefix(e.Name(), base+".") && strings.Contains(e.Name(), partial)
		if ours {
			left = append(left, filepath.Join(dir, e.Name()))
		}
	}
	return remove(left...)
}

// stage copies the database in a backup: what is checked after that is what will
// be used.
func (r Restore) stage(file string) error {
	return place(r.staging(), os.Rename, func(temp string) error { return copyTo(temp, file) })
}

func copyTo(to, from string) error {
	f, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(readBackup(from, f), f.Close())
}

// compare says how the backup differs from the present database.
func (p *Restoration) compare(ctx context.Context) error {
	exists, err := p.restore.exists()
	if err != nil || !exists {
		return err
	}
	present, now, uids, err := p.readPresent(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist): // what is beside it is there alone
		p.Fault = fmt.Errorf("%s: %w", p.restore.Database, fs.ErrNotExist)
		return nil
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrForeign), errors.Is(err, ErrNewerSchema):
		p.Fault = err
		return nil
	case err != nil:
		return fmt.Errorf("present database: %w", err)
	case present.ControlPlane != p.Backup.ControlPlane:
		return fmt.Errorf("%w (%s, the present one is %s)", ErrOther, p.Backup.ControlPlane, present.ControlPlane)
	}
	then, _, err := readAll(ctx, p.copy)
	if err != nil {
		return err
	}
	p.Present, p.uids, p.Changes = &present, uids, compare(then, now)
	return nil
}

// exists reports whether there is a database, or a part of one.
func (r Restore) exists() (bool, error) {
	for _, suffix := range append([]string{""}, beside()...) {
		_, err := os.Lstat(r.Database + suffix)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
	}
	return false, nil
}

// readPresent reads the present database in a copy of its files: what is damaged
// shall stay as it is, and what is sound must have this version's schema to be
// read. Nobody writes to them meanwhile; who does all the same is found out when
// Commit makes a copy in the proper way.
func (p *Restoration) readPresent(ctx context.Context) (c Contents, h map[Kind][]string, uids []allocation, err error) {
	path := p.restore.staging() + "-present"
	defer func() { err = errors.Join(err, remove(path), remove(sides(path)...)) }()
	if err := keepFiles(p.restore.Database, path); err != nil {
		return c, nil, nil, err
	}
	if c, err = inspect(ctx, path, "rw"); err != nil {
		return c, nil, nil, err
	}
	s, err := Open(ctx, path)
	if err != nil {
		return c, nil, nil, err
	}
	h, uids, err = readAll(ctx, s)
	return c, h, uids, errors.Join(err, s.Close())
}

func sides(path string) []string {
	var all []string
	for _, suffix := range beside() {
		all = append(all, path+suffix)
	}
	return all
}

// Close gives up what was not committed and removes the copy.
func (p *Restoration) Close() error {
	var err error
	if p.copy != nil {
		err = p.copy.Close()
		p.copy = nil
	}
	staging := p.restore.staging()
	return errors.Join(err, remove(staging), remove(sides(staging)...))
}

// Commit raises the backup's epoch above every epoch that was in use, so that
// instances take its bundles although their serials are lower (requirement R101),
// writes e with what was restored into its audit log, keeps the present database
// under another name, and puts the backup in its place. Stopped at any moment, by
// an error, a kill or a loss of power, it leaves the one database or the other,
// whole; where the present one could not be read, it may also leave a file that no
// server starts with, and then is to be done again.
func (p *Restoration) Commit(ctx context.Context, e Entry) (Restored, error) {
	r := p.restore
	kept, err := r.keptName()
	if err != nil {
		return Restored{}, err
	}
	done := Restored{Epoch: p.nextEpoch(e.At)}
	if p.Present != nil || p.Fault != nil {
		done.Kept = kept
	}
	if err := p.copy.Write(ctx, e, func(tx *Tx) error { return p.adopt(ctx, tx, done) }); err != nil {
		return Restored{}, err
	}
	err, p.copy = p.copy.Close(), nil
	if err == nil {
		err = settle(ctx, r.staging())
	}
	if err != nil {
		return Restored{}, err
	}
	r.point("staged")
	if err := p.retire(ctx, done.Kept); err != nil {
		return Restored{}, err
	}
	if err := os.Rename(r.staging(), r.Database); err != nil {
		return Restored{}, err
	}
	r.point("replaced")
	return done, syncDir(filepath.Dir(r.Database))
}

func (r Restore) point(step string) {
	if r.Point != nil {
		r.Point(step)
	}
}

// keptName is the first of its kind that no file has or belongs to.
func (r Restore) keptName() (string, error) {
	entries, err := os.ReadDir(filepath.Dir(r.Database))
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, e := range entries {
		if rest, found := strings.CutPrefix(e.Name(), filepath.Base(r.Database)+keptSuffix); found {
			number, _, _ := strings.Cut(rest, "-")
			taken[number] = true
		}
	}
	n := 1
	for taken[strconv.Itoa(n)] {
		n++
	}
	return r.Database + keptSuffix + strconv.Itoa(n), nil
}

// nextEpoch is above both databases' epochs, and never below the minute it was
// made in, counted from 1970: so it is also above what instances have seen from
// databases that are lost (requirement R140).
func (p *Restoration) nextEpoch(now time.Time) int64 {
	known := p.Backup.Epoch
	if p.Present != nil {
		known = max(known, p.Present.Epoch)
	}
	return max(known+1, min(now.Unix()/60, known+maxEpochStep))
}

// maxEpochStep keeps a wrong clock from making an epoch that instances refuse as
// too far ahead: they allow twice as much (authz/wire, requirement R99).
const maxEpochStep = 1 << 27

// adopt makes the backup the newest state: what must not come back does not.
func (p *Restoration) adopt(ctx context.Context, tx *Tx, done Restored) error {
	if err := tx.setEpoch(ctx, done.Epoch); err != nil {
		return err
	}
	// One of them may have been used since, and each is good for one machine (R83).
	tokens, err := tx.exec(ctx, `DELETE FROM join_tokens WHERE used_at IS NULL`)
	if err != nil {
		return fmt.Errorf("forget unused join tokens: %w", err)
	}
	// Files of those who got a uid since are still on the machines.
	added, err := tx.keepAllocations(ctx, p.uids)
	if err != nil {
		return err
	}
	detail := map[string]string{
		"epoch":                strconv.FormatInt(done.Epoch, 10),
		"backup_epoch":         strconv.FormatInt(p.Backup.Epoch, 10),
		"backup_log":           p.Backup.Log.String(),
		"join_tokens_dropped":  strconv.FormatInt(tokens, 10),
		"uids_kept_from_since": strconv.FormatInt(added, 10),
		"present":              "none",
	}
	if p.Fault != nil {
		detail["present"] = "unreadable"
	}
	if p.Present != nil {
		detail["present"] = "compared"
		detail["present_epoch"] = strconv.FormatInt(p.Present.Epoch, 10)
		detail["present_log"] = p.Present.Log.String()
	}
	if done.Kept != "" {
		detail["kept"] = filepath.Base(done.Kept)
	}
	tx.Record(p.Backup.ControlPlane, detail)
	return nil
}

// String is "SIZE HASH".
func (h LogHead) String() string { return strconv.FormatInt(h.Size, 10) + " " + h.Hash }

func (t *Tx) setEpoch(ctx context.Context, epoch int64) error {
	_, err := t.exec(ctx, `UPDATE meta SET value = $1 WHERE key = $2`, strconv.FormatInt(epoch, 10), string(Epoch))
	if err != nil {
		return fmt.Errorf("set epoch: %w", err)
	}
	return nil
}

func (t *Tx) keepAllocations(ctx context.Context, all []allocation) (added int64, err error) {
	for _, a := range all {
		n, err := t.exec(ctx, `
			INSERT INTO uids (uid, user_id, username, allocated_at) VALUES ($1, $2, $3, $4) ON CONFLICT (uid) DO NOTHING`,
			a.uid, a.user, a.login, a.at)
		if err != nil {
			return 0, fmt.Errorf("keep uid %d: %w", a.uid, err)
		}
		added += n
	}
	return added, nil
}

// retire keeps a copy of the present database and leaves one file of it in its
// place, with nothing beside it.
func (p *Restoration) retire(ctx context.Context, kept string) error {
	switch {
	case p.Present != nil:
		return p.retireSound(ctx, kept)
	case p.Fault != nil:
		return p.retireUnreadable(kept)
	}
	return nil
}

func (p *Restoration) retireSound(ctx context.Context, kept string) error {
	r := p.restore
	c, err := Backup{Database: r.Database, Point: r.Point}.To(ctx, kept)
	if err != nil {
		return err
	}
	if c != *p.Present {
		return errors.Join(fmt.Errorf("%s: %w: it changed after it was compared", r.Database, ErrInUse), remove(kept))
	}
	r.point("kept")
	if err := settle(ctx, r.Database); err != nil {
		return errors.Join(err, remove(kept))
	}
	r.point("settled")
	return nil
}

// settle takes a database out of write-ahead mode: then it is one file, whole, and
// nothing beside it. SQLite does so only if nobody else has it open.
func settle(ctx context.Context, path string) error {
	db, err := connect(path, 1, "mode=rw", "_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	var mode string
	err = db.QueryRowContext(ctx, `PRAGMA journal_mode = DELETE`).Scan(&mode)
	if err != nil && isBusy(err) || err == nil && mode != "delete" {
		err = ErrInUse
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, side := range sides(path) {
		if err := vacant(side); err != nil {
			return err
		}
	}
	// Also that there is nothing beside it has to be on the disk before another
	// file gets its name.
	return errors.Join(syncFile(path), syncDir(filepath.Dir(path)))
}

// unreadableText stands where a database is expected while there is none, so that
// a server that is started then refuses it instead of making a new one.
const unreadableText = "A restore was interrupted here. Run it again.\n"

// retireUnreadable copies the files as they are. The database is made unreadable
// beyond doubt before its log is removed: without the log it might become readable,
// in an older state.
func (p *Restoration) retireUnreadable(kept string) error {
	r := p.restore
	if err := keepFiles(r.Database, kept); err != nil {
		return err
	}
	r.point("kept")
	err := place(r.Database, os.Rename, func(temp string) error { return os.WriteFile(temp, []byte(unreadableText), 0) })
	if err != nil {
		return err
	}
	r.point("marked")
	if err := remove(sides(r.Database)...); err != nil {
		return err
	}
	r.point("cleared")
	return syncDir(filepath.Dir(r.Database))
}

// keepFiles copies a database that nobody has open with what is beside it; the
// database comes last, so it is not there without the rest. The index is left out:
// SQLite makes it anew.
func keepFiles(from, to string) error {
	for _, suffix := range []string{"-wal", "-journal", ""} {
		if err := keepFile(from+suffix, to+suffix); err != nil {
			return err
		}
	}
	return nil
}

// keepFile copies a file if it is there.
func keepFile(from, to string) error {
	f, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return place(to, nameNew, func(temp string) error {
		out, err := os.OpenFile(temp, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, f)
		return errors.Join(err, out.Close())
	})
}
