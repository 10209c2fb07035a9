package safefile

import (
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func read(path string, limit int64) ([]byte, Attr, error) {
	return readBy(openFolder, path, limit)
}

func readSpooled(path string, limit int64) ([]byte, Attr, error) {
	return readBy(openSpool, path, limit)
}

func readBy(open opener, path string, limit int64) ([]byte, Attr, error) {
	f, err := open(filepath.Dir(path))
	if err != nil {
		return nil, Attr{}, err
	}
	defer f.close()
	return f.read(filepath.Base(path), limit)
}

func (f folder) read(name string, limit int64) ([]byte, Attr, error) {
	file, st, err := f.open(name)
	if err != nil {
		return nil, Attr{}, err
	}
	defer file.Close()
	content, err := readAll(file, st.Size, limit)
	return content, attrOf(st), err
}

// open opens a regular file with at most one name.
func (f folder) open(name string) (*os.File, unix.Stat_t, error) {
	// Looked at before it is opened, because opening a device can set it going.
	st, err := f.stat(name)
	if err == nil {
		err = regular(st)
	}
	if err != nil {
		return nil, st, err
	}
	fd, err := openat(f.fd(), name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err == unix.ELOOP {
		err = ErrNotRegular
	}
	if err != nil {
		return nil, st, err
	}
	file := os.NewFile(uintptr(fd), filepath.Join(f.path, name))
	err = unix.Fstat(fd, &st)
	if err == nil {
		err = regular(st)
	}
	if err != nil {
		file.Close()
		return nil, st, err
	}
	return file, st, nil
}

// regular refuses what is not a plain file. No name at all is not refused: it is
// a file that was replaced just now, and whole.
func regular(st unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return ErrNotRegular
	case st.Nlink > 1:
		return ErrNames
	}
	return nil
}

// readAll reads to the end. The size is what the file said of itself; a file of
// /proc says 0 and is read all the same.
func readAll(file *os.File, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, ErrTooLong
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(content)) > limit:
		return nil, ErrTooLong
	}
	return content, nil
}
