package agent

import (
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// A stack may want that the account of who left it is removed, and his home packed or
// deleted. What is deleted does not come back, so that is for those alone whom the newest
// bundle does not name in any way. Whose time is over, who is refused here, and everybody
// while the bundle is an older one, a newer one is held or the clock is not believed, is
// closed and no more.

// leave says which accounts of ours are removed.
func (a *Agent) leave(owned plan.Ledger) plan.Leave {
	set := a.bundle.Settings
	if set.OnRevoke != wire.RevokeRemove || a.held != nil || a.breaker.aside || a.clock.wrong != nil {
		return plan.Leave{}
	}
	leave := plan.Leave{Gone: map[authz.Username]bool{}}
	switch set.Homes {
	case wire.HomesArchive:
		leave.Homes = plan.ArchiveHomes
	case wire.HomesDelete:
		leave.Homes = plan.DeleteHomes
	}
	named := newNamed(*a.bundle)
	for user, own := range owned.Accounts {
		if !named.has(user, own) {
			leave.Gone[user] = true
		}
	}
	return leave
}

// named is everybody whom a bundle names, with access or without, well or badly.
type named struct {
	ids, logins map[string]bool
	uids        map[int64]bool
}

func newNamed(b wire.Bundle) named {
	n := named{map[string]bool{}, map[string]bool{}, map[int64]bool{}}
	for _, u := range b.Users {
		n.ids[u.ID], n.logins[u.Name], n.uids[u.UID] = true, true, true
	}
	return n
}

// has reports whether the account's user is named. A login name alone is somebody's
// else who got it later, unless nobody knows whose the account was.
func (n named) has(user authz.Username, own plan.Owned) bool {
	return n.ids[own.User.String()] || n.uids[int64(own.UID)] || own.User.IsZero() && n.logins[user.String()]
}

// massLeaving reports whether a bundle that removes accounts would remove so many, of the
// users given, that it has to be held, however few of them may enter at this moment.
func massLeaving(now []string, next wire.Bundle, confirmed map[authz.UserID]bool) bool {
	if next.Settings.OnRevoke != wire.RevokeRemove {
		return false
	}
	stay, left := newNamed(next), 0
	for _, text := range now {
		id, err := authz.ParseUserID(text)
		if !stay.ids[text] && !(err == nil && confirmed[id]) {
			left++
		}
	}
	return left >= holdCount && left*holdShare > len(now) || left > 0 && len(next.Users) == 0
}
