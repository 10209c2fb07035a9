package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
)

// How much of a home is looked through, and for how long.
const (
	maxWalked = 1_000_000 // files
	walkTime  = 30 * time.Second
)

var (
	errTooMany = fmt.Errorf("only the first %d files were looked at", maxWalked)
	errTooLong = fmt.Errorf("it was not looked through within %s", walkTime)
)

// SetIDs lists the programs in the homes of our accounts, closed ones too, that run with
// other rights than those of whoever starts them: who had sudo once can have left one,
// to be root again. It changes nothing. What could not be looked through is in unread.
func (h *Host) SetIDs(owned plan.Ledger) (found []SetID, unread []Unread, err error) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return nil, nil, err
	}
	accounts, _ := readAccounts(text[0], text[1], text[2])
	users := make([]string, 0, len(owned.Accounts))
	for user, own := range owned.Accounts {
		if a, exists := accounts[user.String()]; exists && a.UID == uint32(own.UID) {
			users = append(users, user.String())
		}
	}
	slices.Sort(users)
	for _, user := range users {
		home := accounts[user].Home
		some, err := walkSoon(home)
		for _, s := range some {
			s.Account = user
			found = append(found, s)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			unread = append(unread, Unread{home, err.Error()})
		}
	}
	return found, unread, nil
}

// walkSoon looks through a home, whose file system may not answer.
func walkSoon(home string) ([]SetID, error) {
	type answer struct {
		found []SetID
		err   error
	}
	walked := make(chan answer, 1)
	go func() {
		found, err := walkSetIDs(home)
		walked <- answer{found, err}
	}()
	select {
	case a := <-walked:
		return a.found, a.err
	case <-time.After(walkTime):
		return nil, errTooLong
	}
}

// walkSetIDs looks through a home and never leaves it, whatever links its user makes.
func walkSetIDs(home string) (found []SetID, err error) {
	root, err := os.OpenRoot(home)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	walked := 0
	var first error // of what was not looked at; the rest was
	err = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if walked++; walked > maxWalked {
			return errTooMany
		}
		rights := ""
		if err == nil && e.Type().IsRegular() {
			rights, err = setRights(root, path)
		}
		if err != nil && first == nil && !errors.Is(err, fs.ErrNotExist) {
			first = err
		}
		if rights != "" {
			found = append(found, SetID{File: filepath.Join(home, path), Rights: rights})
		}
		return nil
	})
	return found, errors.Join(err, first)
}

// setRights says what a file gives to who runs it: inode(7), capabilities(7).
func setRights(root *os.Root, path string) (string, error) {
	info, err := root.Lstat(path)
	if err != nil || info.Mode()&0o111 == 0 {
		return "", err
	}
	var rights []string
	if info.Mode()&fs.ModeSetuid != 0 {
		rights = append(rights, fmt.Sprintf("uid %d", ownerOf(info)))
	}
	if info.Mode()&fs.ModeSetgid != 0 {
		rights = append(rights, fmt.Sprintf("gid %d", info.Sys().(*syscall.Stat_t).Gid))
	}
	f, err := root.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return strings.Join(rights, ", "), err
	}
	defer f.Close()
	if n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), "security.capability", make([]byte, 64)); err == nil && n > 0 {
		rights = append(rights, "capabilities")
	}
	return strings.Join(rights, ", "), nil
}
