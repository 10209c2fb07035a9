package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"latchkey/agent/plan"
)

// BreakGlass says why the account for emergencies would not let anybody in, nil when it
// would: it is a local account, not one of the ledger's, open, and sshd would read a key
// file for it that holds a key that has not ended.
func (h *Host) BreakGlass(ctx context.Context, user LocalName, owned plan.Ledger, now time.Time) error {
	a, groups, found, err := login(user)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %v", ErrBreakGlass, err)
	case !found:
		return fmt.Errorf("%w: there is no account %s in %s", ErrBreakGlass, user, passwdFile)
	}
	for ours := range owned.Accounts {
		if ours.String() == user.String() {
			return fmt.Errorf("%w: account %s is managed by latchkey, and goes wrong with it", ErrBreakGlass, user)
		}
	}
	settings, err := h.runningSettings(ctx, user)
	if err == nil {
		err = closedAccount(a, groups, settings, now)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrBreakGlass, err)
	}
	patterns := strings.Fields(strings.Join(settings["authorizedkeysfile"], " "))
	why := ask(&h.stuck, "keys of "+a.Name, func() error { return anyOpens(patterns, a, now) })
	err, silent := within(why, time.After(silence))
	if silent != nil {
		return fmt.Errorf("%w: key files of account %s: %w", ErrBreakGlass, a.Name, silent)
	}
	return err
}

// login finds an account of the files, with all its groups.
func login(user LocalName) (a plan.Account, groups []string, found bool, err error) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return a, nil, false, err
	}
	accounts, all := readAccounts(text[0], text[1], text[2])
	account, groups := accountOf(user.String(), accounts, all)
	if account == nil {
		return a, nil, false, nil
	}
	return *account, groups, true, nil
}

// runningSettings asks sshd what it uses for a user, as the one that listens was
// started.
func (h *Host) runningSettings(ctx context.Context, user LocalName) (map[string][]string, error) {
	var options []string
	if running := listeningSSHD(); len(running) > 0 {
		options = running[0].Options
	}
	return h.settingsFor(ctx, user.String(), options)
}

// anyOpens says why sshd would take no key from any of the files that it is told to
// read: of a file that is there rather than of one that is not.
func anyOpens(patterns []string, a plan.Account, now time.Time) error {
	why := fmt.Errorf("sshd reads no key file for %s", a.Name)
	missing := true
	for _, pattern := range patterns {
		path, ok := keyPath(pattern, a.Name, a.Home, a.UID)
		if pattern == "none" || !ok {
			continue
		}
		fault := opensWith(path, a, now)
		if fault == nil {
			return nil
		}
		if missing {
			why, missing = fault, errors.Is(fault, fs.ErrNotExist)
		}
	}
	return fmt.Errorf("%w: %v", ErrBreakGlass, why)
}

// opensWith says why sshd would take no key from a file. StrictModes is looked at even
// where it is off: an account for emergencies is to work after somebody tidied up.
func opensWith(path string, a plan.Account, now time.Time) error {
	text, _, err := readForeign(path, a.Home)
	if err != nil {
		return err
	}
	if err := strictModes(path, a); err != nil {
		return err
	}
	if !usableKey(text, now) {
		return fmt.Errorf("%s holds no key that has not ended", path)
	}
	return nil
}

// strictModes looks at a key file as sshd does with StrictModes (sshd_config(5)): it and
// the folders above it, up to the home, belong to root or to the account, and nobody
// else may write there.
func strictModes(path string, a plan.Account) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	home, err := filepath.EvalSymlinks(a.Home)
	if err != nil {
		home = "/" // sshd then looks at everything above
	}
	for {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if owner := ownerOf(info); owner != 0 && owner != a.UID || info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("others than %s may write to %s, so sshd does not trust it", a.Name, path)
		}
		if path == home || path == "/" {
			return nil
		}
		path = filepath.Dir(path)
	}
}
