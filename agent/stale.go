package agent

import (
	"fmt"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// A stack may want that access does not outlive its control plane for ever (requirement
// R142): after a stated silence sudo goes, or all that is managed. Accounts that are not
// managed, such as the one for emergencies, are not concerned, and with the next answer
// everything is as it was. The silence is measured by the monotonic clock, and over a
// restart by what is stored.

// ErrStale is what a report says when something was taken away for that.
var ErrStale = name.Refuse("stale", "the control plane has not answered for longer than the stack allows")

// silence is how long ago the last answer came.
func (a *Agent) silence() time.Duration { return time.Since(a.answered) }

// staleRule is what the stack wants; the zero value takes nothing away.
func (a *Agent) staleRule() wire.Stale {
	if a.bundle == nil {
		return wire.Stale{}
	}
	rule, err := wire.ParseStale(a.bundle.Settings.Stale)
	if err != nil { // wire.Open has let no such bundle through
		return wire.Stale{}
	}
	return rule
}

// stale says what is taken away at this moment and why; the zero value and nil when
// nothing is.
func (a *Agent) stale() (wire.Stale, error) {
	rule := a.staleRule()
	switch {
	case !rule.Sudo && !rule.All, a.silence() < rule.After:
		return wire.Stale{}, nil
	case rule.All:
		return rule, fmt.Errorf("%w, %s: all access is taken away until it does", ErrStale, rule.After)
	}
	return rule, fmt.Errorf("%w, %s: sudo is taken away until it does", ErrStale, rule.After)
}

// lessStale takes away what a stale machine may not give.
func lessStale(access authz.Access, rule wire.Stale) authz.Access {
	left := authz.Access{Stack: access.Stack}
	if rule.All {
		return left
	}
	for _, g := range access.Grants {
		g.Sudo = g.Sudo && !rule.Sudo
		left.Grants = append(left.Grants, g)
	}
	return left
}

// answer takes in that the control plane answered, and reports whether that gives back
// what was taken away.
func (a *Agent) answer(f fetched) (back bool) {
	_, was := a.stale()
	a.clock.told(f.told, f.heard)
	a.answered = time.Now()
	a.contact = a.at()
	if a.clock.wrong != nil && !f.told.IsZero() {
		a.contact = f.told
	}
	return was != nil
}

// staleIn is how long it is until something is taken away; false when nothing will be.
func (a *Agent) staleIn() (time.Duration, bool) {
	rule := a.staleRule()
	left := rule.After - a.silence()
	return left, rule != (wire.Stale{}) && left > 0
}
