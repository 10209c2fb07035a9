package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// removeHome packs and removes a home, in such an order that a kill between any two
// steps loses nothing: the archive is whole and proved before the home gets another
// name, and only under that name it is taken apart. What has that name is removed by a
// later pass, whoever has the account by then.
func (h *Host) removeHome(ctx context.Context, s plan.Step) error {
	if old, found := h.homes.refused[s.UID]; found && time.Since(old.at) < homeAgain {
		return old.err
	}
	left := homeTime - h.homes.spent
	if left <= 0 {
		return plan.ErrHomeNext
	}
	start := time.Now()
	timed, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	packed, err := h.takeHome(timed, s)
	took := time.Since(start)
	h.homes.spent += took
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		if packed || took < homeTime {
			return plan.ErrHomeNext
		}
		err = plan.ErrHomeLong
	}
	err = fmt.Errorf("%w: %w", plan.ErrHomeKept, err)
	if took > homeSlow {
		if h.homes.refused == nil {
			h.homes.refused = map[authz.UID]refusedHome{}
		}
		h.homes.refused[s.UID] = refusedHome{start, err}
	}
	return err
}

// takeHome does it, and says whether the packing is behind it.
func (h *Host) takeHome(ctx context.Context, s plan.Step) (packed bool, err error) {
	home := safefile.Home{Path: s.Home, UID: int(s.UID)}
	gone := h.Layout.GoneHome(s.User, s.UID)
	if s.Home == gone {
		return true, h.Files.RemoveHome(ctx, home)
	}
	if err := h.closedHome(s); err != nil {
		return false, err
	}
	if s.Path != "" {
		if err := h.Files.Mkdir(h.Layout.ArchivedDir, safefile.Attr{Mode: 0o700}); err != nil {
			return false, err
		}
		if err := h.Files.Pack(ctx, home, s.Path); err != nil {
			return false, err
		}
	}
	h.point("home.packed")
	if err := h.Files.Rename(s.Home, gone); err != nil {
		return true, err
	}
	home.Path = gone
	return true, h.Files.RemoveHome(ctx, home)
}

// closedHome makes sure that nobody can be in a home: the account is closed or gone,
// its uid is nobody else's, nothing runs under it, and the home is the user's own
// folder and no link to one. Both are in root's own folder, so it stays so.
func (h *Host) closedHome(s plan.Step) error {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return err
	}
	accounts, _ := readAccounts(text[0], text[1], text[2])
	for _, a := range accounts {
		own := a.Name == s.User.String() && a.UID == uint32(s.UID)
		if own && !a.Locked() || !own && (a.Name == s.User.String() || a.UID == uint32(s.UID)) {
			return plan.ErrHomeOpen
		}
	}
	running, err := processesOf(map[authz.UID]bool{s.UID: true})
	if err != nil {
		return err
	}
	if n := running[s.UID]; n > 0 {
		return fmt.Errorf("%w: %d processes run", plan.ErrHomeOpen, n)
	}
	info, err := os.Lstat(s.Home)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return &fs.PathError{Op: "remove home", Path: s.Home, Err: safefile.ErrNotFolder}
	case ownerOf(info) != uint32(s.UID):
		return &fs.PathError{Op: "remove home", Path: s.Home, Err: safefile.ErrOwner}
	}
	return nil
}
