package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// otherOwner names the user who owns a directory, if it is not the one who runs
// this program: a server could not read what is made in it then.
func otherOwner(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("owner of %s is not known", dir)
	}
	if int(stat.Uid) == os.Geteuid() {
		return "", nil
	}
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username, nil
	}
	return id, nil
}
