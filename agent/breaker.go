package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"latchkey/agent/cache"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// The crash-loop breaker (requirement R145). A bundle that was never completed is
// begun with a mark on the disk, which goes when the pass has ended, well or not. A
// start that finds the mark knows that the agent before it was killed or panicked on
// that bundle. After the third time the bundle is set aside: the agent goes back to
// the last one it completed, says so, and takes the next one that comes. Only the
// agent that runs keeps count: what is called by hand does not start again by itself.
//
// The mark serves the work and never prevents it: one that cannot be read or written
// is told and passed over.

const (
	// maxCrashes on one bundle set it aside.
	maxCrashes = 3
	// mostCrashed is of how many bundles crashes are remembered: each is counted for itself,
	// whatever else came between two of them.
	mostCrashed = 8
)

// ErrQuarantined is an alarm: the newest bundle is not worked with.
var ErrQuarantined = name.Refuse("quarantined", "the newest bundle is set aside, because the agent crashed on it again and again")

// breaker is the agent's memory of its trials.
type breaker struct {
	armed bool // this agent runs: it keeps count
	trial cache.Trial
	aside bool   // the newest bundle is set aside
	hash  string // of the bundle in use
}

// hashOf names a sealed bundle.
func hashOf(sealed []byte) string {
	sum := sha256.Sum256(sealed)
	return hex.EncodeToString(sum[:])
}

// readTrial takes in what earlier agents of this version left.
func (a *Agent) readTrial() {
	t, err := a.Cache.Trial()
	if err != nil {
		a.Log.Warn("crashes of before are not known", "reason", err)
	}
	if t.Agent != a.Facts.Agent {
		t = cache.Trial{Agent: a.Facts.Agent}
	}
	a.breaker.trial = t
}

// arm begins to keep count, with the end of the agent before this one.
func (a *Agent) arm() {
	a.readTrial()
	a.breaker.armed = true
	t := &a.breaker.trial
	if !t.Working {
		return
	}
	t.Working = false
	var times int
	*t, times = t.Crashed(t.Bundle, mostCrashed)
	a.Log.Error("the agent before ended while it worked with a bundle", "bundle", t.Bundle, "crashes", times)
	if times >= maxCrashes {
		t.Quarantined = t.Bundle
	}
	a.saveTrial()
}

func (a *Agent) saveTrial() {
	if err := a.Cache.SaveTrial(a.breaker.trial); err != nil {
		a.Log.Warn("a crash on this bundle would not be counted", "reason", err)
	}
}

// begin marks a bundle as being worked with.
func (a *Agent) begin(hash string) {
	t := &a.breaker.trial
	if !a.breaker.armed || hash == t.Good || hash == t.Bundle && t.Working {
		return
	}
	t.Bundle, t.Working = hash, true
	a.saveTrial()
}

// end takes the mark away. It is called and not deferred: a panic must leave it.
func (a *Agent) end(completed bool) {
	t := &a.breaker.trial
	if !t.Working {
		return
	}
	t.Working = false
	if completed {
		*t = t.Completed(t.Bundle)
		if !a.breaker.aside { // the last good one says nothing of the one that is set aside
			t.Quarantined = ""
		}
		if err := a.Cache.SaveGoodBundle(a.sealed); err != nil {
			a.Log.Warn("the last good bundle is an older one", "reason", err)
		} else {
			t.Good = t.Bundle
		}
	}
	a.saveTrial()
}

// completed reports whether a pass did everything it had to.
func completed(r wire.Report, err error) bool {
	return err == nil && firstError(r.Steps) == nil
}

// loadGood goes back to the last good bundle. It is older than the newest one seen,
// which is right here and nowhere else: it was accepted in its time.
func (a *Agent) loadGood() error {
	defer func() { a.breaker.aside = true }()
	sealed, err := a.Cache.GoodBundle()
	if errors.Is(err, fs.ErrNotExist) || err == nil && hashOf(sealed) == a.breaker.trial.Quarantined {
		return ErrQuarantined // and there is none before it: the machine stays as it is
	}
	if err != nil {
		return err
	}
	o, err := a.open(sealed, cache.Seen{})
	if err != nil {
		return fmt.Errorf("last good bundle: %w", err)
	}
	a.use(o, sealed)
	return nil
}

// asideResult is the line of a report about a bundle that is set aside.
func (a *Agent) asideResult() wire.Result {
	return result("newest bundle", fmt.Errorf("%w (sha256 %.12s)", ErrQuarantined, a.breaker.trial.Quarantined))
}
