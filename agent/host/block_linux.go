package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/name"
)

// homeOf is the home of an account of ours, as safefile is to find it.
func (h *Host) homeOf(u authz.Username, uid authz.UID) safefile.Home {
	return safefile.Home{Path: h.Layout.Home(u), UID: int(uid), GID: int(uid)}
}

// setBlock puts our lines into the user's own key file, or takes them out when the
// step has none.
func (h *Host) setBlock(s plan.Step) error {
	_, err := h.Files.EditHome(h.homeOf(s.User, s.UID), plan.KeysInHome, func(old []byte) ([]byte, error) {
		return plan.SetBlock(old, s.Keys)
	})
	return homeError(err)
}

// writeBlock is setBlock for an account that is still ours.
func (h *Host) writeBlock(s plan.Step) error {
	if err := ours(s); err != nil {
		return err
	}
	return h.setBlock(s)
}

// inHome is what was read of a file in a home.
type inHome struct {
	content []byte
	err     error
}

func readInHome(home safefile.Home, name string) (r inHome) {
	r.content, _, r.err = safefile.ReadHome(home, name)
	return r
}

// spotInHome is where a file in a home lies.
func spotInHome(home safefile.Home, name string) spot {
	return spot{kind: "keys", path: filepath.Join(home.Path, name), base: filepath.Dir(home.Path)}
}

// observeBlocks reads our lines in the homes of the accounts that have some by the
// ledger. What is in the way in one home is a fact about that one.
func (h *Host) observeBlocks(owned plan.Ledger, homes map[string]plan.Folder) (map[authz.Username]plan.Block, error) {
	blocks := map[authz.Username]plan.Block{}
	var users []authz.Username
	var in []safefile.Home
	var spots []spot
	for user, own := range owned.Accounts {
		if own.Block {
			home := h.homeOf(user, own.UID)
			users, in, spots = append(users, user), append(in, home), append(spots, spotInHome(home, plan.KeysInHome))
		}
	}
	var short error
	read := func(i int) inHome {
		return readInHome(in[i], plan.KeysInHome)
	}
	askEach(&h.stuck, spots, read, func(i int, r inHome, silent error) {
		err := errors.Join(r.err, silent)
		if _, home := homes[h.Layout.Home(users[i])]; home && errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if shortage(err) {
			short = fmt.Errorf("read keys in a home: %w", err)
		}
		var b plan.Block
		if err == nil {
			b.Lines, b.Found, err = plan.ReadBlock(r.content)
		}
		b.Err = homeError(err)
		blocks[users[i]] = b
	})
	if short != nil {
		return nil, short
	}
	return blocks, nil
}

// homeError gives a code to what was in the way in a home.
func homeError(err error) error {
	var known *name.Refusal
	if err == nil || errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("%w: %w", plan.ErrHomeKeys, err)
}
