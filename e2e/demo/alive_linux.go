package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// lockAlive holds a lock on a file for as long as the demonstration lives.
func (d *demo) lockAlive() (err error) {
	if d.alive, err = os.OpenFile(filepath.Join(d.dir, "alive"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	return syscall.Flock(int(d.alive.Fd()), syscall.LOCK_EX)
}
