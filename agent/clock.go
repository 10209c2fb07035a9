package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// What the wall clock says decides who is let in, and a wall clock can be anything: a
// machine without a battery starts in 1970, a bad time server makes it 2050 (requirement
// R150). So it is believed only while nothing speaks against it. As long as it is not,
// nothing ends by the agent's hand, and what had ended stays ended: decisions are made
// for the last time that was believed. Key lines and sudo rules carry their own ends,
// which sshd and sudo go on to hold. All waits are measured by the monotonic clock.

// ErrClock is what a report says of a wall clock that is not believed.
var ErrClock = name.Refuse("clock_unknown", "this machine's clock is not believed, so nobody's access is ended by it")

const (
	// clockTolerance is how far the wall clock may be from where it should be.
	clockTolerance = 15 * time.Minute
	// clockStep is how far it may go back without a word: time servers do that.
	clockStep = time.Minute
)

// Timed is what a Source is that also tells the time.
type Timed interface {
	// Date returns what time the control plane said it was in its last good answer,
	// zero when it did not say, and when that was, with a monotonic reading.
	Date() (told, heard time.Time)
}

// clock judges readings of the wall clock. It is pure but for what it remembers.
type clock struct {
	built time.Time // it was never earlier than this; zero when that is not known
	seen  time.Time // the latest that was believed
	// What it was at a moment that is known by its monotonic reading: by the control
	// plane's word, else by the first wall time that was believed.
	then, heard time.Time
	fromServer  bool
	wrong       error // why the last reading was not believed
}

// told takes the control plane's word.
func (c *clock) told(then, heard time.Time) {
	if !then.IsZero() {
		c.then, c.heard, c.fromServer = then, heard, true
	}
}

// at turns a reading of the wall clock into the time to decide by. mono is the moment
// of the reading.
func (c *clock) at(wall, mono time.Time) time.Time {
	wall = wall.Round(0) // without its monotonic reading
	expected := c.then.Add(mono.Sub(c.heard))
	known := !c.heard.IsZero()
	if known && c.fromServer && wall.Sub(expected).Abs() <= clockTolerance && c.seen.After(expected.Add(clockTolerance)) {
		c.seen = wall // what was seen was wrong: two clocks say so
	}
	if c.wrong = c.doubt(wall, expected, known); c.wrong != nil {
		return c.seen
	}
	if !known {
		c.then, c.heard = wall, mono
	}
	if wall.After(c.seen) {
		c.seen = wall
	}
	return c.seen
}

// doubt says why a reading is not believed, nil when it is.
func (c *clock) doubt(wall, expected time.Time, known bool) error {
	switch off := wall.Sub(expected).Abs(); {
	case wall.Before(c.built):
		return fmt.Errorf("%w: it shows a time before %s, when this program was made", ErrClock, wire.FormatTime(c.built))
	case known && off > clockTolerance && c.fromServer:
		return fmt.Errorf("%w: it is not within %s of the control plane's", ErrClock, clockTolerance)
	case known && off > clockTolerance:
		return fmt.Errorf("%w: it jumped since the agent started", ErrClock)
	case wall.Before(c.seen.Add(-clockStep)):
		return fmt.Errorf("%w: it went back, from %s", ErrClock, wire.FormatTime(c.seen))
	}
	return nil
}

// at is the time to decide by; see clock.
func (a *Agent) at() time.Time {
	a.clock.built = a.Built
	return a.clock.at(a.Now(), time.Now())
}

// noteClock logs when the clock is no longer believed, or again.
func (a *Agent) noteClock() {
	a.at()
	switch wrong := a.clock.wrong; {
	case wrong != nil && !a.clockNoted:
		a.Log.Warn("nothing ends by the agent's hand", "reason", wrong)
	case wrong == nil && a.clockNoted:
		a.Log.Info("the clock is believed again")
	}
	a.clockNoted = a.clock.wrong != nil
}

// recall takes in the times that earlier agents stored. Without any, the control plane
// counts as silent from now on.
func (a *Agent) recall() {
	if !a.answered.IsZero() {
		return // this agent knows better
	}
	a.answered = time.Now()
	s, err := a.Cache.Status()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		a.Log.Warn("times of before are not known", "reason", err)
		return
	}
	a.glass.text = s.BreakGlass
	a.clock.seen, _ = time.Parse(time.RFC3339, s.Seen) // "" before the first
	if contact, err := time.Parse(time.RFC3339, s.Contact); err == nil {
		a.contact = contact
		a.answered = a.answered.Add(-max(0, a.at().Sub(contact)))
	}
}
