package safefile

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lock takes the lock and reports whether the file still has its name: whoever
// held it before may have removed it, and then the lock is on nothing.
func lock(f *os.File, wait bool) (current bool, err error) {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == unix.EWOULDBLOCK {
			return false, ErrLocked
		}
		if err != unix.EINTR {
			var st unix.Stat_t
			if err == nil {
				err = unix.Fstat(int(f.Fd()), &st)
			}
			return st.Nlink > 0, err
		}
	}
}

func openLock(path string) (*os.File, error) {
	dir, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.close()
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(dir.fd(), filepath.Base(path), flags, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// lockRecord locks for the open file and not for the process (fcntl(2)): another file
// that is closed would end that.
func lockRecord(f *os.File) error {
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		switch err {
		case unix.EINTR:
		case unix.EAGAIN, unix.EACCES:
			return ErrLocked
		default:
			return err
		}
	}
}
