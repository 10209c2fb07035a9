package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds what is read, in bytes; our largest file is under 4 kB.
const maxFile = 64 << 10

// makePrivate makes a directory that only its owner can enter, or checks that it
// is one. An empty directory that others can enter is made private.
func makePrivate(dir string) (isNew bool, err error) {
	err = os.Mkdir(dir, 0o700)
	if err == nil {
		return true, errors.Join(protect(dir), syncDir(filepath.Dir(dir)))
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, fmt.Errorf("%s is not a directory", dir)
	}
	if checkPrivate(dir, info) == nil {
		return false, nil
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	if len(left) == 0 && ours(info) {
		return true, protect(dir)
	}
	return false, checkPrivate(dir, info)
}

// readPrivate reads a file that only its owner may read: the open file is
// checked, not the name.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// createOnce makes a private file of what generate returns, unless it is there by
// now: then it returns what another process wrote. Both see the same content.
func createOnce(path string, generate func() ([]byte, error)) (content []byte, isNew bool, err error) {
	if content, err = generate(); err != nil {
		return nil, false, err
	}
	temp, err := writeTemp(path, content, 0o600)
	if err != nil {
		return nil, false, err
	}
	defer os.Remove(temp)
	// A link, unlike a rename, does not replace what another process made.
	err = os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) {
		content, err = readPrivate(path)
		return content, false, err
	}
	if err != nil {
		return nil, false, err
	}
	return content, true, syncDir(filepath.Dir(path))
}

// replace makes a file or takes the place of one.
func replace(path string, content []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, content, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes content to a new file beside path and to the disk. The mode is
// set before the content is there.
func writeTemp(path string, content []byte, mode fs.FileMode) (temp string, err error) {
	temp = filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+randomHex(8))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return "", err
	}
	if _, err := f.Write(content); err != nil {
		return "", err
	}
	return temp, f.Sync()
}
