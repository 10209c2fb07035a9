package cache

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"latchkey/agent/safefile"
	"latchkey/authz/wire"
)

// Trial is what is remembered of bundles that the agent began to work with
// (requirement R145). Bundles are named by the SHA-256 of their sealed bytes, in hex.
type Trial struct {
	Agent   string `json:"agent"`   // the program that tried: another one tries anew
	Bundle  string `json:"bundle"`  // the newest one begun
	Working bool   `json:"working"` // it is being worked with at this moment
	Good    string `json:"good"`    // the newest one that was completed: GoodBundle
	// Crashes are the bundles on which the agent ended and which it has not completed
	// since, the one of the last time last.
	Crashes []Crash `json:"crashes,omitempty"`
	// Quarantined is one that is not tried any more, empty when there is none.
	Quarantined string `json:"quarantined"`
}

// Crash says how often the agent ended while it worked with a bundle.
type Crash struct {
	Bundle string `json:"bundle"`
	Times  int    `json:"times"`
}

// Crashed returns what is remembered after one more crash on a bundle: of so many bundles
// at most, the last ones; and how often it was.
func (t Trial) Crashed(bundle string, most int) (Trial, int) {
	now := Crash{Bundle: bundle, Times: 1}
	for _, c := range t.Crashes {
		if c.Bundle == bundle {
			now.Times += c.Times
		}
	}
	t.Crashes = append(t.Completed(bundle).Crashes, now)
	t.Crashes = t.Crashes[max(0, len(t.Crashes)-most):]
	return t, now.Times
}

// Completed returns what is remembered of the others.
func (t Trial) Completed(bundle string) Trial {
	t.Crashes = slices.DeleteFunc(slices.Clone(t.Crashes), func(c Crash) bool { return c.Bundle == bundle })
	return t
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
