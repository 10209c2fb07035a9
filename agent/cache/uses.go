package cache

import (
	"errors"
	"io/fs"

	"latchkey/authz/wire"
)

// Uses is when accounts of ours were last logged in to, as far as it is remembered, and
// what of it the control plane has not acknowledged.
type Uses struct {
	Mark string    `json:"mark"` // how far sshd's log was read
	Seen []SeenUse `json:"seen"` // the newest of each account and key, by name and fingerprint
}

// SeenUse is one of them.
type SeenUse struct {
	wire.Use
	Told bool `json:"told"`
}

// Uses returns what is remembered, nothing before the first.
func (d *Dir) Uses() (Uses, error) {
	var u Uses
	err := d.load(usesFile, maxStatus, &u)
	if errors.Is(err, fs.ErrNotExist) {
		return Uses{}, nil
	}
	return u, err
}

// SaveUses stores it durably.
func (d *Dir) SaveUses(u Uses) error { return d.store(usesFile, u) }

// Foreign is the last inventory of access that is not ours, and whether the control
// plane has acknowledged it.
type Foreign struct {
	Inventory wire.Inventory `json:"inventory"`
	Told      bool           `json:"told"`
}

// Foreign returns it, nothing before the first.
func (d *Dir) Foreign() (Foreign, error) {
	var f Foreign
	err := d.load(foreignFile, maxStatus, &f)
	if errors.Is(err, fs.ErrNotExist) {
		return Foreign{}, nil
	}
	return f, err
}

// SaveForeign stores it durably.
func (d *Dir) SaveForeign(f Foreign) error { return d.store(foreignFile, f) }
