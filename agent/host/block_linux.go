package host

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

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

// readInHome reads the key file of a home, which may lie on a file system that never
// answers.
func (h *Host) readInHome(home safefile.Home) ([]byte, error) {
	type answer struct {
		content []byte
		err     error
	}
	read := ask(&h.stuck, "keys in "+home.Path, func() (a answer) {
		a.content, _, a.err = safefile.ReadHome(home, plan.KeysInHome)
		return a
	})
	a, silent := within(read, time.After(silence))
	return a.content, errors.Join(a.err, silent)
}

// observeBlocks reads our lines in the homes of the accounts that have some by the
// ledger. What is in the way in one home is a fact about that one.
func (h *Host) observeBlocks(owned plan.Ledger, homes map[string]plan.Folder) (map[authz.Username]plan.Block, error) {
	blocks := map[authz.Username]plan.Block{}
	for user, own := range owned.Accounts {
		if !own.Block {
			continue
		}
		content, err := h.readInHome(h.homeOf(user, own.UID))
		if _, home := homes[h.Layout.Home(user)]; home && errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if shortage(err) {
			return nil, fmt.Errorf("read keys in a home: %w", err)
		}
		var b plan.Block
		if err == nil {
			b.Lines, b.Found, err = plan.ReadBlock(content)
		}
		b.Err = homeError(err)
		blocks[user] = b
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
