package agent

import (
	"errors"
	"fmt"
	"io/fs"

	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// A bundle that takes access from many at once is more often a fault of whoever
// made it than somebody's wish: an error or a lost page read as "nobody". What is
// wished is confirmed in the bundle, user by user, and the rest of such a bundle is
// held (requirement R143): the machine keeps its last good access until a bundle
// comes that is not like that, or somebody with root on the machine takes it. However
// many a bundle adds, it is not held for that: they take nothing from anybody, and a
// machine's second user is twice as many already.

// ErrHeld is an alarm: a bundle was not taken because of what it removes.
var ErrHeld = name.Refuse("mass_removal", "the newest bundle is held, because it takes away more than a fault may")

const (
	// holdCount and holdShare: so many, and more than one in so many, are a mass.
	holdCount = 3
	holdShare = 5
)

// losses are the users who would lose access, or sudo or a part of it, unconfirmed.
type losses struct{ access, sudo, of int }

// massRemoval says whether what next takes from now has to be held, and what it is.
func massRemoval(now, next authz.Access, confirmed map[authz.UserID]bool) (losses, bool) {
	l := losses{of: len(now.Grants)}
	after := make(map[authz.UserID]authz.Grant, len(next.Grants))
	sudoers := 0
	for _, g := range next.Grants {
		after[g.User] = g
		if g.Sudo {
			sudoers++
		}
	}
	for _, g := range now.Grants {
		kept, stays := after[g.User]
		if confirmed[g.User] {
			continue
		}
		if !stays {
			l.access++
		}
		if !g.KeepsSudo(kept) {
			l.sudo++
		}
		if kept.Sudo && !g.KeepsSudo(kept) {
			sudoers-- // what is left of it may be good for nothing
		}
	}
	empty := len(next.Grants) == 0 && l.access > 0
	many := l.access >= holdCount && l.access*holdShare > l.of
	noSudo := sudoers == 0 && l.sudo > 0
	return l, empty || many || noSudo
}

// hold decides about a bundle that came. A held one changes nothing but that the
// removals confirmed in it are made; ErrHeld says what it would do.
func (a *Agent) hold(o wire.Opened, sealed []byte) error {
	if a.TakeRemovals {
		return nil
	}
	b := o.Bundle()
	next, _ := o.Access()
	confirmed := confirmedIn(b)
	at := a.at()
	now, ids, err := a.before(next)
	if err != nil {
		return err
	}
	l, mass := massRemoval(now.At(at), next.At(at), confirmed)
	if !mass && !massLeaving(ids, b, confirmed) {
		return nil
	}
	a.held, a.holds = &b, next
	if err := a.Cache.SaveHeldBundle(sealed); err != nil {
		a.Log.Warn("what the held bundle confirms would not outlive the agent", "reason", err)
	}
	return fmt.Errorf("%w: serial %d would end the access of %d and the sudo of %d, of %d users; if that is right run  latchkey-agent apply --take-removals",
		ErrHeld, b.Serial, l.access, l.sudo, l.of)
}

// before is the access that one to come is compared with, and the users behind all accounts:
// those of the bundle in use. Where there is none, because it was set aside or does not open,
// they are those whom the ledger has an account for, of whose sudo it does not know.
func (a *Agent) before(next authz.Access) (now authz.Access, ids []string, err error) {
	if a.bundle != nil {
		for _, u := range a.bundle.Users {
			ids = append(ids, u.ID)
		}
		return a.access, ids, nil
	}
	owned, err := a.Cache.Ledger()
	if err != nil {
		return now, nil, err
	}
	known := make(map[authz.Username]authz.UserID, len(next.Grants))
	for _, g := range next.Grants {
		known[g.Username] = g.User
	}
	for user, own := range owned.Accounts {
		if own.User.IsZero() {
			own.User = known[user]
		}
		ids = append(ids, own.User.String())
		if own.State == plan.Present {
			now.Grants = append(now.Grants, authz.Grant{User: own.User, Username: user, UID: own.UID})
		}
	}
	return now, ids, nil
}

// loadHeld takes a bundle in that an earlier agent held: who was removed by it does not
// come back because the agent starts anew. Where it is damaged it is not known who was, and
// nothing is given until the control plane has answered (requirement R104).
func (a *Agent) loadHeld() error {
	a.lost = nil
	sealed, err := a.Cache.HeldBundle()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return a.lose(err)
	}
	seen, err := a.Cache.Seen()
	if err != nil {
		return err
	}
	if seen = seen.Or(a.version()); a.breaker.aside {
		seen.Epoch, seen.Serial = a.version() // what the held one confirms is no older than that
	}
	o, err := a.open(sealed, seen)
	b := o.Bundle()
	switch {
	case errors.Is(err, wire.ErrRollback): // a newer one was accepted since
		return nil
	case err != nil:
		return a.lose(err)
	case b.Epoch != seen.Epoch || b.Serial != seen.Serial:
		a.held = &b
		a.holds, _ = o.Access()
	}
	return nil
}

func (a *Agent) lose(damage error) error {
	a.lost = fmt.Errorf("held bundle: %w", damage)
	return a.lost
}

// confirmedIn is the set of a bundle's confirmed removals. What is no id confirms
// nothing.
func confirmedIn(b wire.Bundle) map[authz.UserID]bool {
	confirmed := make(map[authz.UserID]bool, len(b.Confirmed))
	for _, text := range b.Confirmed {
		if id, err := authz.ParseUserID(text); err == nil {
			confirmed[id] = true
		}
	}
	return confirmed
}

// wanted is the access to make true: the newest bundle's, less what has ended, what
// must not outlive the control plane's silence, and what a held one confirms to be
// removed, since removing never waits.
func (a *Agent) wanted() (authz.Access, []wire.Rejected) {
	access := a.access.At(a.at())
	if rule, why := a.stale(); why != nil {
		access = lessStale(access, rule)
	}
	if a.held == nil {
		return access, a.rejected
	}
	return withoutConfirmed(access, a.holds, confirmedIn(*a.held)), a.rejected
}

// withoutConfirmed takes from the grants what next confirms: the grant where next
// has none, sudo where next's has none.
func withoutConfirmed(access, next authz.Access, confirmed map[authz.UserID]bool) authz.Access {
	after := make(map[authz.UserID]authz.Grant, len(next.Grants))
	for _, g := range next.Grants {
		after[g.User] = g
	}
	left := authz.Access{Stack: access.Stack}
	for _, g := range access.Grants {
		kept, stays := after[g.User]
		if confirmed[g.User] && !stays {
			continue
		}
		if confirmed[g.User] {
			g = g.WithSudoOf(kept)
		}
		left.Grants = append(left.Grants, g)
	}
	return left
}
