package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func (w Writer) replace(path string, content []byte, attr Attr, check func(string) error) (changed bool, err error) {
	f, err := openFolder(filepath.Dir(path))
	if err != nil {
		return false, err
	}
	defer f.close()
	name := filepath.Base(path)
	equal, label, err := f.compare(name, content, attr)
	if err != nil || equal {
		return false, err
	}
	return w.put(f, name, content, attr, label, check)
}

// put writes a new file and gives it the name.
func (w Writer) put(f folder, name string, content []byte, attr Attr, label []byte, check func(string) error) (changed bool, err error) {
	if err := f.changeable(name); err != nil {
		return false, err
	}
	t, err := w.create(f)
	if err != nil {
		return false, err
	}
	defer func() {
		if !changed {
			err = errors.Join(err, t.drop())
		}
	}()
	if err := t.fill(content, attr, label); err != nil {
		return false, err
	}
	if err := t.sync(); err != nil {
		return false, err
	}
	if check != nil {
		if err := check(filepath.Join(f.path, t.name)); err != nil {
			return false, err
		}
		w.point("check")
	}
	if err := t.take(name); err != nil {
		return false, err
	}
	w.point("rename")
	if err := f.sync(); err != nil {
		return true, err
	}
	w.point("syncdir")
	return true, t.settle(name, content, attr)
}

// compare reports whether the file is already as wanted. If not, it returns the
// SELinux label of the old one, nil when there is none.
func (f folder) compare(name string, content []byte, attr Attr) (equal bool, label []byte, err error) {
	file, st, err := f.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	defer file.Close()
	fd := int(file.Fd())
	if label, err = getxattr(fd, selinuxLabel); err != nil {
		return false, nil, err
	}
	equal, err = hasAttr(fd, st, attr)
	if err != nil || !equal || st.Size != int64(len(content)) {
		return false, label, err
	}
	old, err := readAll(file, st.Size, int64(len(content)))
	if errors.Is(err, ErrTooLong) {
		return false, label, nil // it grew as we looked
	}
	return bytes.Equal(old, content), label, err
}

// temp is a new file that has no name of its own yet.
type temp struct {
	w      Writer
	folder folder
	name   string
	file   *os.File // nil once closed
	st     unix.Stat_t
	taken  bool // it has the name of the target now; only ReplaceAll asks
}

// sync makes the content permanent and closes the file.
func (t *temp) sync() error {
	if err := unix.Fsync(int(t.file.Fd())); err != nil {
		return err
	}
	t.w.point("sync")
	return t.close()
}

// attempts bounds the search for a free random name. One is enough, unless
// somebody else can guess 128 bits.
const attempts = 8

func (w Writer) create(f folder) (*temp, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	var err error
	for range attempts {
		name := tempName()
		fd := -1
		if fd, err = unix.Openat(f.fd(), name, flags, 0o600); err == nil {
			t := &temp{w: w, folder: f, name: name, file: os.NewFile(uintptr(fd), filepath.Join(f.path, name))}
			w.point("create")
			return t, nil
		}
		if err != unix.EEXIST && err != unix.EINTR {
			break
		}
	}
	return nil, err
}

// fill gives the file its owner, mode and label before a byte is in it, and then
// the content. Nothing here is tried again.
func (t *temp) fill(content []byte, attr Attr, label []byte) error {
	fd := int(t.file.Fd())
	if err := setAttr(fd, attr); err != nil {
		return err
	}
	t.w.point("attr")
	if label != nil {
		if err := unix.Fsetxattr(fd, selinuxLabel, label, 0); err != nil {
			return err
		}
		t.w.point("label")
	}
	if _, err := t.file.Write(content); err != nil {
		return withoutPath(err)
	}
	t.w.point("write")
	return unix.Fstat(fd, &t.st)
}

func (t *temp) close() error {
	file := t.file
	t.file = nil
	return withoutPath(file.Close())
}

// withoutPath takes the random name off an error: it tells nobody anything.
func withoutPath(err error) error {
	if named, ok := err.(*fs.PathError); ok {
		return named.Err
	}
	return err
}

// take renames the file over the target, if it is still the file that was
// filled: check ran other programs meanwhile.
func (t *temp) take(name string) error {
	now, err := t.folder.stat(t.name)
	switch {
	case err != nil:
		return err
	case !same(now, t.st):
		return ErrChanged
	}
	return refusal(unix.Renameat(t.folder.fd(), t.name, t.folder.fd(), name))
}

// same reports whether two looks were at one file, unchanged between them.
func same(a, b unix.Stat_t) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid &&
		a.Nlink == b.Nlink && a.Size == b.Size && a.Mtim == b.Mtim
}

// drop removes the file. That it is gone already is no error.
func (t *temp) drop() error {
	if t.file != nil {
		t.close()
	}
	if err := unix.Unlinkat(t.folder.fd(), t.name, 0); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "remove", Path: filepath.Join(t.folder.path, t.name), Err: err}
	}
	return nil
}

// settle opens the file again by its name and compares everything (requirement R40).
func (t *temp) settle(name string, content []byte, attr Attr) error {
	st, err := t.folder.stat(name)
	if err != nil {
		return err
	}
	equal, _, err := t.folder.compare(name, content, attr)
	if err == nil && (!equal || st.Ino != t.st.Ino || st.Dev != t.st.Dev) {
		err = ErrChanged
	}
	t.w.point("compare")
	return err
}
