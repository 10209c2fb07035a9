package safefile

import (
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func (w Writer) mkdir(path string, attr Attr) error {
	parent, err := openFolder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.close()
	name := filepath.Base(path)
	// Only the owner's bits, until the owner is the right one.
	err = unix.Mkdirat(parent.fd(), name, uint32(attr.Mode.Perm()&0o700))
	if err != nil && err != unix.EEXIST {
		return err
	}
	made := err == nil
	if made {
		w.point("mkdir")
	}
	fd, err := openat(parent.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return refusal(err)
	}
	defer unix.Close(fd)
	changed, err := w.correct(fd, attr)
	if err != nil || !made && !changed {
		return err
	}
	if err := unix.Fsync(fd); err != nil {
		return err
	}
	if err := parent.sync(); err != nil {
		return err
	}
	w.point("syncdir")
	return nil
}

// correct gives a folder its owner and mode if it has not got them.
func (w Writer) correct(fd int, attr Attr) (changed bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	right, err := hasAttr(fd, st, attr)
	if err != nil || right {
		return false, err
	}
	if err := setAttr(fd, attr); err != nil {
		return false, err
	}
	w.point("attr")
	return true, nil
}

func (w Writer) sync(path string) error {
	f, err := openFolder(path)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.sync(); err != nil {
		return err
	}
	w.point("syncdir")
	return nil
}

func (w Writer) rename(from, to string) error {
	source, err := openFolder(filepath.Dir(from))
	if err != nil {
		return err
	}
	defer source.close()
	target, err := openFolder(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer target.close()
	if err := source.changeable(filepath.Base(from)); err != nil {
		return err
	}
	err = unix.Renameat2(source.fd(), filepath.Base(from), target.fd(), filepath.Base(to), unix.RENAME_NOREPLACE)
	if err != nil {
		return renamed(to, err)
	}
	w.point("rename")
	// The new name first: a power loss between the two leaves both, not neither.
	for _, f := range []folder{target, source} {
		if err := f.sync(); err != nil {
			return err
		}
	}
	w.point("syncdir")
	return nil
}

// renamed names the new path where the error is about that.
func renamed(to string, err error) error {
	if err == unix.EEXIST {
		return &fs.PathError{Op: "rename", Path: to, Err: ErrExists}
	}
	return refusal(err)
}
