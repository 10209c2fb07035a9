// Package safefile is the only code that writes files on an instance, and the
// way to read the ones it wrote.
//
// Its files decide who may log in and who is root, so a file is never half
// written, never has the wrong owner or mode for a moment, and never lands
// anywhere but under the name that was asked for, whatever links, pipes or
// mounts stand in the way (requirements R33 to R45). All work is done relative
// to a folder that is held open; owner and mode are set on the descriptor of
// what was just made; nothing is ever done twice by name.
//
// A folder is worked in when it and every folder above it belong to root and
// nobody else can write to them: the rule sshd has for key files (StrictModes).
// Above the last one a sticky folder such as /tmp will do. A process that is not
// root accepts its own folders too. Symbolic links on the way are followed only
// when root made them where only root can, as /var/run is.
package safefile

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

// Reasons for not touching or not trusting what is there. They come wrapped in a
// *fs.PathError that names the file or folder, and so do the errors of the
// system: fs.ErrNotExist, syscall.ENOSPC and the like.
var (
	ErrPath       = errors.New("not an absolute path in its shortest form")
	ErrAttr       = errors.New("no owner, or a mode that is more than permission bits or lets group or others write")
	ErrUnsafe     = errors.New("folder may be changed by others than root")
	ErrLinks      = errors.New("symbolic link that root did not make, or too many of them")
	ErrNotFolder  = errors.New("not a folder")
	ErrNotRegular = errors.New("not a regular file")
	ErrNames      = errors.New("file has more than one name")
	ErrImmutable  = errors.New("immutable or append-only")
	ErrMount      = errors.New("something is mounted on it")
	ErrTooLong    = errors.New("file is longer than the limit")
	ErrNotEmpty   = errors.New("folder is not empty")
	ErrExists     = errors.New("name is taken")
	ErrChanged    = errors.New("changed by somebody else meanwhile")
	ErrOwner      = errors.New("belongs to neither root nor the user, or may be changed by others")
)

// Attr is the owner, the group and the mode that a file or folder must have, and
// that it has got from no access control list beside them. Mode is permission
// bits alone, without write for group and others; the zero Mode lets nobody but
// root in.
type Attr struct {
	UID, GID int
	Mode     fs.FileMode
}

func (a Attr) check() error {
	// The highest id is no id: it means "leave as it is" to chown(2).
	const highest = 1<<32 - 2
	if a.UID < 0 || a.GID < 0 || int64(a.UID) > highest || int64(a.GID) > highest || a.Mode&^0o755 != 0 {
		return ErrAttr
	}
	return nil
}

// Writer writes. The zero value is ready for use, also by several goroutines as
// long as they write different files.
type Writer struct {
	// Point, if set, is called after each step with its name, so that a test can
	// end the process there. The names are those of the calls to it.
	Point func(step string)
}

func (w Writer) point(step string) {
	if w.Point != nil {
		w.Point(step)
	}
}

// Replace makes the file at path hold exactly content, with exactly attr. When
// it does already, nothing is touched and changed is false.
//
// The content goes to a new file in the same folder under a random name that
// neither sudo nor sshd would read; then it is synced and shown to check, which
// may be nil; then it takes the name, and the folder is synced. Whoever opens
// path finds the old file or the new one, whole. The old file's SELinux label is
// carried over; a first file gets the one the folder gives. Last, the file is
// opened again and compared.
//
// On any error before the rename the old file stands as it was and the new one
// is removed. When changed is true beside an error, the new file has the name
// but its permanence is not proved.
//
// A target that is not a regular file with one name is refused, with
// ErrNotRegular or ErrNames, and so is a folder that is missing (fs.ErrNotExist)
// or not safe (ErrUnsafe). A sync that failed is not tried again: call Replace
// again and it starts from content.
func (w Writer) Replace(path string, content []byte, attr Attr, check func(tempPath string) error) (changed bool, err error) {
	if err := errors.Join(checkPath(path), attr.check()); err != nil {
		return false, pathError("replace", path, err)
	}
	changed, err = w.replace(path, content, attr, check)
	return changed, pathError("replace", path, err)
}

// File is one of the files that ReplaceAll writes: its name in the folder, what it
// must hold and whose it must be.
type File struct {
	Name    string
	Content []byte
	Attr    Attr
}

// ReplaceAll is Replace, without a check, for many files of one folder. All new files
// are made permanent by one sync of the file system before the first of them takes
// its name, which is several times faster than one by one. The errors are those of
// Replace, one for each file.
//
// A Linux older than 5.8 does not say when that sync lost a write (syncfs(2)).
func (w Writer) ReplaceAll(folder string, files []File) []error {
	errs := make([]error, len(files))
	for i, f := range files {
		errs[i] = errors.Join(checkName(folder, f.Name), f.Attr.check())
	}
	w.replaceAll(folder, files, errs)
	for i, f := range files {
		errs[i] = pathError("replace", filepath.Join(folder, f.Name), errs[i])
	}
	return errs
}

// Folder is one of the folders that MakeCopies makes: its name, and whose it and all
// in it is to be. Its mode is the folder's own.
type Folder struct {
	Name string
	Attr Attr
}

// MakeCopies makes many folders in one, each a copy of the model. A folder appears
// under its name whole: it is filled where only root can be, given away last, and
// takes its name then. A name that is taken is refused with ErrExists. What lies in
// the folder was made permanent when MakeCopies returns. The errors are one for each
// folder. What a process that is ended leaves is removed by Clean. Some copies are made
// at once, unless Point is set.
func (w Writer) MakeCopies(folder string, model Model, copies []Folder) []error {
	errs := make([]error, len(copies))
	taken := make(map[string]bool, len(copies))
	for i, c := range copies {
		errs[i] = errors.Join(checkName(folder, c.Name), c.Attr.check())
		if taken[c.Name] {
			errs[i] = ErrExists
		}
		taken[c.Name] = true
	}
	w.makeCopies(folder, model, copies, errs)
	for i, c := range copies {
		errs[i] = pathError("make folder", filepath.Join(folder, c.Name), errs[i])
	}
	return errs
}

// Model is what is in a folder to be copied; the zero value is an empty one.
type Model struct{ entries []entry }

// entry is a file, a folder or a symbolic link of a model. Folders stand before what
// is in them.
type entry struct {
	path    string // below the folder
	kind    uint32 // the type bits of a mode (inode(7))
	mode    uint32 // permission bits
	content []byte // of a file; the target of a link
}

// ReadModel reads the folder at path, which like all above it only root may change.
// More than limit bytes or maxEntries entries give ErrTooLong; what is neither a plain
// file of one name, nor a folder, nor a symbolic link, ErrNotRegular; a mode beyond
// permission bits or an access control list ErrAttr: a copy would not be one.
func ReadModel(path string, limit int64) (Model, error) {
	var m Model
	err := on("read", path, func(path string) (err error) {
		m, err = readModel(path, limit)
		return err
	})
	return m, err
}

// maxEntries bounds a model.
const maxEntries = 200

// checkName refuses a name that is not exactly one of the folder's.
func checkName(folder, name string) error {
	path := filepath.Join(folder, name)
	if filepath.Dir(path) != folder || filepath.Base(path) != name {
		return ErrPath
	}
	return checkPath(path)
}

// Remove removes the file at path and syncs its folder. A file or folder that is
// not there is no error. What is not a regular file with one name is refused.
func (w Writer) Remove(path string) error {
	return on("remove", path, w.remove)
}

// Mkdir makes the folder at path, in one that exists, and makes sure of its
// owner and mode whatever the umask and the folder above say. The mode is never
// wider than the one asked for. An existing folder has owner and mode corrected;
// anything else under the name is refused with ErrNotFolder.
func (w Writer) Mkdir(path string, attr Attr) error {
	if err := attr.check(); err != nil {
		return pathError("make folder", path, err)
	}
	return on("make folder", path, func(path string) error { return w.mkdir(path, attr) })
}

// RemoveDir removes the folder at path if it is empty, else gives ErrNotEmpty. A
// folder that is not there is no error.
func (w Writer) RemoveDir(path string) error {
	return on("remove folder", path, w.removeDir)
}

// Rename gives the file or folder at from the name to, in the same file system,
// and syncs the folders of both. A name that is taken is refused with ErrExists.
func (w Writer) Rename(from, to string) error {
	if err := checkPath(to); err != nil {
		return pathError("rename", to, err)
	}
	return on("rename", from, func(from string) error { return w.rename(from, to) })
}

// Sync makes permanent what other programs did to the names in a folder: the account
// tools sync the files that they rename, and not the folder (requirement R46).
func (w Writer) Sync(dir string) error {
	return on("sync", dir, w.sync)
}

// Clean removes from a folder the new files and folders that were left behind when
// the process was ended in the middle of a Replace or of a MakeCopies. Nothing else
// is touched, and a missing folder is no error. The caller holds the lock that keeps a
// second writer away (Lock).
func (w Writer) Clean(dir string) error {
	return on("clean", dir, w.clean)
}

// Read returns the content and the attributes of the regular file with one name
// at path, which may be at most limit bytes long (ErrTooLong). It obeys the rules
// of Replace for the path and never blocks on a fifo. A missing file or folder
// gives fs.ErrNotExist.
func Read(path string, limit int64) ([]byte, Attr, error) {
	var content []byte
	var attr Attr
	err := on("read", path, func(path string) (err error) {
		content, attr, err = read(path, limit)
		return err
	})
	return content, attr, err
}

// ReadSpooled is Read for a file in a spool: a folder that others than root may
// change, as those of cron and at, and that lies in one that only root may. What
// is read was written by others.
func ReadSpooled(path string, limit int64) ([]byte, Attr, error) {
	var content []byte
	var attr Attr
	err := on("read", path, func(path string) (err error) {
		content, attr, err = readSpooled(path, limit)
		return err
	})
	return content, attr, err
}

// RemoveSpooled is Remove for a file in a spool; see ReadSpooled. Whatever others
// do there meanwhile, nothing outside that folder is touched.
func (w Writer) RemoveSpooled(path string) error {
	return on("remove", path, w.removeSpooled)
}

// on does one thing to one path, and says so in the error.
func on(op, path string, do func(string) error) error {
	if err := checkPath(path); err != nil {
		return pathError(op, path, err)
	}
	return pathError(op, path, do(path))
}

// pathError names the operation and the path, unless err names a path already.
func pathError(op, path string, err error) error {
	var named *fs.PathError
	if err == nil || errors.As(err, &named) {
		return err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// maxPath is Linux's PATH_MAX without the closing zero byte.
const maxPath = 4095

// checkPath refuses what could mean two things, before any system call: a path
// that is relative, ends in a separator, or holds empty, . or .. parts.
func checkPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || filepath.Dir(path) == path ||
		len(path) > maxPath || strings.ContainsRune(path, 0) {
		return ErrPath
	}
	return nil
}
