package safefile

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func (w Writer) remove(path string) error {
	return w.take(path, openFolder, 0, "remove", regular)
}

func (w Writer) removeSpooled(path string) error {
	return w.take(path, openSpool, 0, "remove", regular)
}

func (w Writer) removeDir(path string) error {
	return w.take(path, openFolder, unix.AT_REMOVEDIR, "rmdir", func(st unix.Stat_t) error {
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return ErrNotFolder
		}
		return nil
	})
}

// take unlinks one name if it stands for what fits says, and syncs the folder.
// The folder is synced also when the name is gone already: the run that removed
// it may have been ended before its own sync, and "removed" must stay true.
func (w Writer) take(path string, open opener, flags int, step string, fits func(unix.Stat_t) error) error {
	f, err := open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.close()
	name := filepath.Base(path)
	st, err := f.stat(name)
	if err == nil {
		if err := fits(st); err != nil {
			return err
		}
		if err := f.changeable(name); err != nil {
			return err
		}
		err = unix.Unlinkat(f.fd(), name, flags)
		w.point(step)
	}
	if err != nil && err != unix.ENOENT {
		return refusal(err)
	}
	if err := f.sync(); err != nil {
		return err
	}
	w.point("syncdir")
	return nil
}

func (w Writer) clean(path string) error {
	f, err := openFolder(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.close()
	names, err := f.dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range names {
		if !Leftover(name) {
			continue
		}
		st, err := f.stat(name)
		switch {
		case err != nil:
		case st.Mode&unix.S_IFMT == unix.S_IFREG:
			err = unix.Unlinkat(f.fd(), name, 0)
			w.point("clean")
		case nursery(st):
			err = f.removeNursery(name)
			w.point("clean")
		}
		if err != nil && err != unix.ENOENT {
			faults = append(faults, &fs.PathError{Op: "clean", Path: filepath.Join(path, name), Err: err})
		}
	}
	return errors.Join(faults...)
}
