package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 8

// folder is a folder held open. Everything is done relative to its descriptor,
// so it does not matter what becomes of its name.
type folder struct {
	dir  *os.File
	path string
}

func (f folder) fd() int { return int(f.dir.Fd()) }

func (f folder) close() { f.dir.Close() }

// openFolder walks to a folder from the root, one name at a time, and holds it.
func openFolder(path string) (folder, error) {
	w := walk{fd: -1}
	defer w.close()
	if err := w.root(); err != nil {
		return folder{}, &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	rest := parts(path)
	for len(rest) > 0 {
		var err error
		if rest, err = w.step(rest); err != nil {
			return folder{}, &fs.PathError{Op: "open", Path: w.at, Err: err}
		}
	}
	// The walk needs no right to read folders, but syncing this one does.
	fd, err := openat(w.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return folder{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if w.mode&othersWrite != 0 { // sticky is not enough here
		unix.Close(fd)
		return folder{}, &fs.PathError{Op: "open", Path: path, Err: ErrUnsafe}
	}
	return folder{os.NewFile(uintptr(fd), path), path}, nil
}

// opener holds a folder, by one rule or another for whose it may be.
type opener func(path string) (folder, error)

// openSpool holds a folder that may be of others, in one that is safe. No link in
// its place is followed.
func openSpool(path string) (folder, error) {
	above, err := openFolder(filepath.Dir(path))
	if err != nil {
		return folder{}, err
	}
	defer above.close()
	fd, err := openat(above.fd(), filepath.Base(path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return folder{}, &fs.PathError{Op: "open", Path: path, Err: refusal(err)}
	}
	return folder{os.NewFile(uintptr(fd), path), path}, nil
}

const othersWrite = 0o022

// walk is a place in the tree, all of whose ancestors are safe.
type walk struct {
	fd    int // O_PATH
	mode  uint32
	at    string // for messages
	links int
}

func (w *walk) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}

func (w *walk) root() error {
	fd, err := openat(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	w.at = "/"
	return w.enter(fd)
}

// step goes to the first of the names and returns the others, or, when it is a
// symbolic link, the names the link stands for and the others.
func (w *walk) step(rest []string) ([]string, error) {
	name, rest := rest[0], rest[1:]
	w.at = filepath.Join(w.at, name)
	fd, err := openat(w.fd, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return rest, w.enter(fd)
	case unix.S_IFLNK:
		defer unix.Close(fd)
		target, err := w.follow(fd, st)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(target, "/") {
			if err := w.root(); err != nil {
				return nil, err
			}
		} else {
			w.at = filepath.Dir(w.at)
		}
		return append(parts(target), rest...), nil
	}
	unix.Close(fd)
	return nil, ErrNotFolder
}

// enter takes over the descriptor of a folder if it is safe to be in.
func (w *walk) enter(fd int) error {
	w.close()
	w.fd = fd
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	w.mode = st.Mode
	if !trusted(st.Uid) || st.Mode&othersWrite != 0 && st.Mode&unix.S_ISVTX == 0 {
		return ErrUnsafe
	}
	return nil
}

// follow returns the target of a symbolic link that root made where only root
// can make one.
func (w *walk) follow(fd int, st unix.Stat_t) (string, error) {
	w.links++
	if w.links > maxLinks || !trusted(st.Uid) || w.mode&othersWrite != 0 {
		return "", ErrLinks
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", target)
	if err == nil && n == len(target) {
		err = unix.ENAMETOOLONG
	}
	return string(target[:max(n, 0)]), err
}

// trusted reports whether uid is root, or the one this process has.
func trusted(uid uint32) bool { return uid == 0 || int(uid) == unix.Geteuid() }

// parts splits a path into its names.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// openat opens a name in a held folder, never through a symbolic link.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// stat looks at a name without following it.
func (f folder) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// sync makes the folder's names permanent. A failed sync is not tried again: the
// kernel reports a lost write once (requirement R45).
func (f folder) sync() error { return unix.Fsync(f.fd()) }

// changeable refuses what an administrator froze or mounted over, before
// anything is made beside it. An old kernel that cannot tell will refuse the
// change itself.
func (f folder) changeable(name string) error {
	var st unix.Statx_t
	if unix.Statx(f.fd(), "", unix.AT_EMPTY_PATH, 0, &st) == nil && st.Attributes&frozen != 0 {
		return &fs.PathError{Op: "change", Path: f.path, Err: ErrImmutable}
	}
	err := unix.Statx(f.fd(), name, unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	switch {
	case err != nil:
		return nil
	case st.Attributes&frozen != 0:
		return ErrImmutable
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return ErrMount
	}
	return nil
}

const frozen = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND

// refusal says in our words what the kernel says of a name.
func refusal(err error) error {
	switch {
	case errors.Is(err, unix.ENOTEMPTY):
		return ErrNotEmpty
	case errors.Is(err, unix.EEXIST):
		return ErrExists
	case errors.Is(err, unix.EBUSY):
		return ErrMount
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return ErrNotFolder
	}
	return err
}
