package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// protect gives a directory the mode 0700.
func protect(dir string) error { return os.Chmod(dir, 0o700) }

// ours reports whether the user who runs this program owns the file.
func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// checkPrivate refuses what another user owns, or may read, write or enter.
func checkPrivate(path string, info fs.FileInfo) error {
	if !ours(info) || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s (mode %04o) %w", path, info.Mode().Perm(), ErrNotPrivate)
	}
	return nil
}

// syncDir makes the names in a directory durable (fsync(2)).
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
