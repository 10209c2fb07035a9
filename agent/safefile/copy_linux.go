package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// makeCopies builds each folder in a nursery, a folder that only root can enter, and
// renames it out of there. errs gets what each met.
func (w Writer) makeCopies(path string, model Model, copies []Folder, errs []error) {
	f, err := openFolder(path)
	if err != nil {
		fault(errs, err)
		return
	}
	defer f.close()
	name, nest, err := f.makeNursery()
	if err != nil {
		fault(errs, err)
		return
	}
	defer nest.close()
	w.point("nursery")
	w.someAtOnce(len(copies), func(i int) {
		if errs[i] == nil {
			errs[i] = w.makeCopy(f, nest, model, copies[i])
		}
	})
	if err := errors.Join(f.removeNursery(name), unix.Syncfs(f.fd())); err != nil {
		fault(errs, err)
	}
	w.point("syncfs")
}

// someAtOnce does n things, some of them at once: to fill a folder takes the kernel's
// time, and it has more than one processor. Whoever watches the points sees them one
// after another.
func (w Writer) someAtOnce(n int, do func(int)) {
	if w.Point != nil {
		for i := range n {
			do(i)
		}
		return
	}
	const most = 4
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), most) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	all.Wait()
}

// makeNursery makes a folder for root alone, whatever list the folder above leaves
// to it: a new file takes its list from there.
func (f folder) makeNursery() (string, folder, error) {
	name := tempName()
	if err := unix.Mkdirat(f.fd(), name, 0o700); err != nil {
		return "", folder{}, err
	}
	fd, err := openat(f.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return "", folder{}, err
	}
	nest := folder{os.NewFile(uintptr(fd), filepath.Join(f.path, name)), filepath.Join(f.path, name)}
	if err := setAttr(fd, Attr{UID: unix.Geteuid(), GID: unix.Getegid(), Mode: 0o700}); err != nil {
		nest.close()
		return "", folder{}, err
	}
	return name, nest, nil
}

// nursery reports whether a folder under the name of a leftover is one.
func nursery(st unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && trusted(st.Uid) && st.Mode&0o077 == 0
}

// removeNursery removes a nursery and what was not finished in it.
func (f folder) removeNursery(name string) error {
	root, err := os.OpenRoot(f.path) // follows no link out of it
	if err != nil {
		return withoutPath(err)
	}
	defer root.Close()
	return withoutPath(root.RemoveAll(name))
}

// makeCopy fills a folder, gives all of it to its owner, the folder last, and moves
// it to its place.
func (w Writer) makeCopy(f, nest folder, model Model, c Folder) error {
	if err := unix.Mkdirat(nest.fd(), c.Name, 0o700); err != nil {
		return err
	}
	fd, err := openat(nest.fd(), c.Name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, e := range model.entries {
		if err := e.make(fd, c.Attr); err != nil {
			return &fs.PathError{Op: "make", Path: filepath.Join(f.path, c.Name, e.path), Err: err}
		}
	}
	// Folders keep root's mode until they are filled.
	for _, e := range slices.Backward(model.entries) {
		if e.kind != unix.S_IFDIR {
			continue
		}
		if err := give(fd, e.path, c.Attr, e.mode); err != nil {
			return &fs.PathError{Op: "make", Path: filepath.Join(f.path, c.Name, e.path), Err: err}
		}
	}
	if err := give(nest.fd(), c.Name, c.Attr, uint32(c.Attr.Mode.Perm())); err != nil {
		return err
	}
	w.point("copy")
	err = unix.Renameat2(nest.fd(), c.Name, f.fd(), c.Name, unix.RENAME_NOREPLACE)
	if err != nil {
		return refusal(err)
	}
	w.point("rename")
	return nil
}

// give gives what was made in a nursery, and is no link, its owner and mode.
func give(dir int, path string, attr Attr, mode uint32) error {
	if err := unix.Fchownat(dir, path, attr.UID, attr.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.Fchmodat(dir, path, mode, 0)
}

// make makes the entry in a folder in which only root can be, so that its path leads
// through nothing but what was made here.
func (e entry) make(dir int, attr Attr) error {
	switch e.kind {
	case unix.S_IFDIR:
		return unix.Mkdirat(dir, e.path, 0o700)
	case unix.S_IFLNK:
		if err := unix.Symlinkat(string(e.content), dir, e.path); err != nil {
			return err
		}
		return unix.Fchownat(dir, e.path, attr.UID, attr.GID, unix.AT_SYMLINK_NOFOLLOW)
	}
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, e.path, flags, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for rest := e.content; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && err != unix.EINTR {
			return err
		}
		rest = rest[max(n, 0):]
	}
	if err := unix.Fchown(fd, attr.UID, attr.GID); err != nil {
		return err
	}
	return unix.Fchmod(fd, e.mode)
}

func readModel(path string, limit int64) (Model, error) {
	f, err := openFolder(path)
	if err != nil {
		return Model{}, err
	}
	defer f.close()
	r := modelReader{left: limit}
	err = r.add(f, "")
	return r.Model, err
}

// modelReader reads a model of a bounded size.
type modelReader struct {
	Model
	left int64 // bytes
}

// add reads what is in a held folder, which is at a place of the model.
func (r *modelReader) add(f folder, at string) error {
	names, err := f.dir.Readdirnames(-1)
	if err != nil {
		return withoutPath(err)
	}
	slices.Sort(names)
	for _, name := range names {
		e, err := f.entry(name, r.left)
		e.path = filepath.Join(at, name)
		r.entries = append(r.entries, e)
		if r.left -= int64(len(e.content)); err == nil && (r.left < 0 || len(r.entries) > maxEntries) {
			err = ErrTooLong
		}
		if err == nil && e.kind == unix.S_IFDIR {
			err = r.addFolder(f, name, e.path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *modelReader) addFolder(f folder, name, at string) error {
	fd, err := openat(f.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return refusal(err)
	}
	below := folder{os.NewFile(uintptr(fd), at), at}
	defer below.close()
	return r.add(below, at)
}

// entry reads one thing of a folder; of a folder in it only the mode.
func (f folder) entry(name string, limit int64) (entry, error) {
	st, err := f.stat(name)
	e := entry{kind: st.Mode & unix.S_IFMT, mode: st.Mode & 0o777}
	switch {
	case err != nil:
		return e, err
	case !trusted(st.Uid):
		return e, ErrUnsafe
	case e.kind == unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(f.fd(), name, target)
		e.content = target[:max(n, 0)]
		return e, err
	case st.Mode&0o7000 != 0:
		return e, ErrAttr
	case e.kind == unix.S_IFDIR:
		return e, nil
	}
	file, st, err := f.open(name)
	if err != nil {
		return e, err
	}
	defer file.Close()
	if list, err := getxattr(int(file.Fd()), accessList); err != nil || list != nil {
		return e, errors.Join(ErrAttr, err)
	}
	e.content, err = readAll(file, st.Size, limit)
	return e, err
}
