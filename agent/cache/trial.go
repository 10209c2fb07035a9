package cache

import (
	"errors"
	"io/fs"
	"path/filepath"

	"latchkey/agent/safefile"
	"latchkey/authz/wire"
)

// Trial is what is remembered of bundles that the agent began to work with
// (requirement R145). Bundles are named by the SHA-256 of their sealed bytes, in hex.
type Trial struct {
	Agent   string `json:"agent"`   // the program that tried: another one tries anew
	Bundle  string `json:"bundle"`  // the newest one begun
	Working bool   `json:"working"` // it is being worked with at this moment
	Crashes int    `json:"crashes"` // how often the agent ended while it was
	Good    string `json:"good"`    // the newest one that was completed: GoodBundle
	// Quarantined is one that is not tried any more, empty when there is none.
	Quarantined string `json:"quarantined"`
}

// Trial returns what is remembered, nothing before the first bundle.
func (d *Dir) Trial() (Trial, error) {
	var t Trial
	err := d.load(trialFile, maxIdentity, &t)
	if errors.Is(err, fs.ErrNotExist) {
		return Trial{}, nil
	}
	return t, err
}

// SaveTrial stores it durably.
func (d *Dir) SaveTrial(t Trial) error { return d.store(trialFile, t) }

// GoodBundle returns the last bundle with which a pass was completed without an
// error, still sealed, or fs.ErrNotExist.
func (d *Dir) GoodBundle() ([]byte, error) {
	content, _, err := safefile.Read(filepath.Join(d.path, goodFile), wire.MaxBundle)
	return content, err
}

// SaveGoodBundle keeps a bundle as the last good one.
func (d *Dir) SaveGoodBundle(sealed []byte) error { return d.put(goodFile, sealed) }
