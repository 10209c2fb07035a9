package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"latchkey/agent/cache"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// ErrForked is an alarm: one serial must never have two contents.
var ErrForked = name.Refuse("forked", "the control plane sent other content under a serial that was already accepted")

// Load opens the stored bundle. For one that does not open the last good one serves if it
// is as new. Otherwise there is no bundle, which is not an empty one: the machine stays as
// it is until a good one comes. An error does not mean that there is none; see Ready.
func (a *Agent) Load() error {
	a.recall()
	if !a.breaker.armed {
		a.readTrial()
	}
	err := a.loadStored()
	return errors.Join(err, a.loadHeld())
}

func (a *Agent) loadStored() error {
	sealed, err := a.Cache.Bundle()
	hash := hashOf(sealed)
	if err == nil && hash == a.breaker.trial.Quarantined {
		return a.loadGood()
	}
	seen, seenErr := a.Cache.Seen()
	if seenErr != nil || errors.Is(err, fs.ErrNotExist) && seen == (cache.Seen{}) {
		return seenErr
	}
	if err != nil {
		return a.loadOther(seen, err)
	}
	a.begin(hash)
	o, err := a.open(sealed, seen)
	if err != nil {
		return a.loadOther(seen, err)
	}
	a.use(o, sealed)
	if version := (cache.Seen{Epoch: a.bundle.Epoch, Serial: a.bundle.Serial}); version != seen {
		if err := a.Cache.SaveSeen(version); err != nil {
			a.Log.Warn("the stored bundle's version is not stored", "reason", err)
		}
	}
	return nil
}

// loadOther works from the last good bundle when the stored one is damaged: most of the time
// they are the same (requirement R104). One that is older than what was seen gives back what
// was taken since, and is not used. The agent that runs makes the stored one good again.
func (a *Agent) loadOther(seen cache.Seen, damage error) error {
	damage = fmt.Errorf("stored bundle: %w", damage)
	if a.breaker.armed {
		a.end(false)
	}
	sealed, err := a.Cache.GoodBundle()
	if err != nil || hashOf(sealed) == a.breaker.trial.Quarantined {
		return damage
	}
	o, err := a.open(sealed, seen)
	if err != nil {
		return damage
	}
	a.use(o, sealed)
	if a.breaker.armed {
		err = a.Cache.SaveBundle(sealed, seen.Or(a.version()))
	}
	return errors.Join(damage, err)
}

// use makes an open bundle the one to work from: none is aside for which there is another.
func (a *Agent) use(o wire.Opened, sealed []byte) {
	b := o.Bundle()
	a.breaker.aside = false
	a.opened, a.bundle, a.sealed, a.breaker.hash = o, &b, sealed, hashOf(sealed)
	a.access, a.rejected = o.Access()
}

// open proves a bundle, which must not be older than what was seen.
func (a *Agent) open(sealed []byte, seen cache.Seen) (wire.Opened, error) {
	trusted, err := a.Identity.Trusted()
	if err != nil {
		return wire.Opened{}, err
	}
	return wire.OpenAfter(a.opened, sealed, trusted, wire.Target{
		ControlPlane: a.Identity.ControlPlane, Stack: a.Identity.Stack, Epoch: seen.Epoch, Serial: seen.Serial,
	})
}

// accept opens a bundle that came and stores it before anything is done with it, or
// holds it. It reports whether it is another one than before: a held one too may
// confirm removals.
func (a *Agent) accept(sealed []byte) (newer bool, err error) {
	hash := hashOf(sealed)
	if hash == a.breaker.trial.Quarantined {
		a.breaker.aside = true
		return false, ErrQuarantined
	}
	a.begin(hash)
	newer, err = a.take(sealed)
	if !newer || err != nil {
		a.end(false)
	}
	return newer, err
}

// take does that with a bundle that is marked as being worked with.
func (a *Agent) take(sealed []byte) (newer bool, err error) {
	seen, err := a.Cache.Seen()
	if err != nil {
		return false, err
	}
	seen = seen.Or(a.version()) // it may not be stored
	if a.held != nil {
		// What it confirms is made and lasts over restarts, so that none before it may come.
		seen = seen.Or(a.held.Epoch, a.held.Serial)
	}
	o, err := a.open(sealed, seen)
	if err != nil {
		return false, err
	}
	b := o.Bundle()
	if a.bundle != nil && a.bundle.Epoch == b.Epoch && a.bundle.Serial == b.Serial {
		if !bytes.Equal(sealed, a.sealed) {
			return false, ErrForked
		}
		return false, nil
	}
	stored, err := a.Cache.Bundle()
	if err == nil && a.forks(stored, sealed, b) {
		return false, ErrForked
	}
	if err != nil || !bytes.Equal(stored, sealed) { // the stored one was taken by apply
		a.useTaken(stored)
		before := a.held
		if err := a.hold(o, sealed); err != nil {
			return before == nil || before.Serial != b.Serial || before.Epoch != b.Epoch, err
		}
	}
	if err := a.Cache.SaveBundle(sealed, cache.Seen{Epoch: b.Epoch, Serial: b.Serial}); err != nil {
		return false, err
	}
	a.use(o, sealed)
	a.held = nil
	a.Log.Info("bundle accepted", "epoch", b.Epoch, "serial", b.Serial, "users", len(b.Users), "keys_proved", o.Proved())
	return true, nil
}

// useTaken makes the stored bundle the one in use if apply took it meanwhile: what one to
// come removes is measured by it, and not by what was before.
func (a *Agent) useTaken(stored []byte) {
	epoch, serial := a.version()
	if a.bundle == nil || bytes.Equal(stored, a.sealed) || hashOf(stored) == a.breaker.trial.Quarantined {
		return
	}
	o, err := a.open(stored, cache.Seen{Epoch: epoch, Serial: serial})
	if err != nil { // it is older, or none
		return
	}
	a.use(o, stored)
	a.dropHeld()
}

// catchUp takes over a bundle that another program of ours took meanwhile, as apply
// does by hand: working from an older one would undo what that did.
func (a *Agent) catchUp() {
	if a.bundle == nil && !a.breaker.aside || !a.newerStored() {
		return
	}
	if err := a.Load(); err != nil {
		a.Log.Warn("a newer stored bundle is not used", "reason", err)
		return
	}
	a.dropHeld()
}

// newerStored reports whether the stored bundle is newer than the one in use, and not the
// one that is set aside.
func (a *Agent) newerStored() bool {
	seen, err := a.Cache.Seen()
	if err != nil || seen == (cache.Seen{}).Or(a.version()) || seen != seen.Or(a.version()) {
		return false
	}
	if !a.breaker.aside {
		return true
	}
	stored, err := a.Cache.Bundle()
	return err == nil && hashOf(stored) != a.breaker.trial.Quarantined
}

// dropHeld forgets a held bundle when the one in use is as new.
func (a *Agent) dropHeld() {
	if a.held != nil && (a.bundle.Epoch > a.held.Epoch || a.bundle.Epoch == a.held.Epoch && a.bundle.Serial >= a.held.Serial) {
		a.held = nil
	}
}

// forks reports whether the stored bundle, where it is not the one in use, is another
// one of the same serial.
func (a *Agent) forks(stored, sealed []byte, b wire.Bundle) bool {
	if bytes.Equal(stored, sealed) || bytes.Equal(stored, a.sealed) {
		return false
	}
	old, err := a.open(stored, cache.Seen{})
	if err != nil {
		return false
	}
	was := old.Bundle()
	return was.Epoch == b.Epoch && was.Serial == b.Serial
}

// version is what the source is asked to go beyond.
func (a *Agent) version() (epoch, serial int64) {
	if a.bundle == nil {
		return 0, 0
	}
	return a.bundle.Epoch, a.bundle.Serial
}

// Fetch asks once for a newer bundle without waiting for one to be made.
func (a *Agent) Fetch(ctx context.Context) error {
	epoch, serial := a.version()
	_, _, err := a.received(a.fetch(ctx, epoch, serial, 0))
	return err
}

type fetched struct {
	sealed  []byte
	changed bool
	err     error
	took    time.Duration
	told    time.Time // what time it was by the control plane, and when it said so
	heard   time.Time
}

func (a *Agent) fetch(ctx context.Context, epoch, serial int64, wait time.Duration) fetched {
	start := time.Now()
	sealed, changed, err := a.Source.Bundle(ctx, epoch, serial, wait)
	f := fetched{sealed: sealed, changed: changed, err: err, took: time.Since(start)}
	if timed, ok := a.Source.(Timed); ok && err == nil {
		f.told, f.heard = timed.Date()
	}
	return f
}

// received takes an answer in and reports whether it brought a newer bundle, and
// whether it gives back what the silence before it had taken away.
func (a *Agent) received(f fetched) (newer, back bool, err error) {
	err = f.err
	if err == nil {
		back = a.answer(f)
	}
	if err == nil && f.changed {
		newer, err = a.accept(f.sealed)
	}
	if a.lost != nil && (err == nil || errors.Is(err, ErrHeld)) { // what is newest is known again
		a.lost, back = nil, true
	}
	if err != nil && (a.trouble == nil || a.trouble.Error() != err.Error()) {
		a.Log.Warn("no newer bundle", "reason", err)
	}
	if err == nil && a.trouble != nil {
		a.Log.Info("control plane answers again")
	}
	a.trouble = err
	return newer, back, err
}
