package agent

import (
	"cmp"
	"slices"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// What is remembered of logins: it must fit into the agent's folder, whatever happens.
const (
	maxKeysOfOne = 16 // of each account, the newest
	maxSeenUses  = 20000
)

// remember takes logins of accounts of ours in and keeps the newest of each account and
// key. It reports whether any is newer than what was known.
func remember(u *cache.Uses, found []wire.Use, owned plan.Ledger) bool {
	type key struct{ name, fingerprint string }
	at := make(map[key]int, len(u.Seen))
	for i, s := range u.Seen {
		at[key{s.Name, s.Fingerprint}] = i
	}
	changed := false
	for _, f := range found {
		login, err := name.ParseUsername(f.Name)
		if _, ours := owned.Accounts[login]; err != nil || !ours {
			continue
		}
		i, known := at[key{f.Name, f.Fingerprint}]
		switch {
		case !known:
			at[key{f.Name, f.Fingerprint}] = len(u.Seen)
			u.Seen = append(u.Seen, cache.SeenUse{Use: f})
		case f.At > u.Seen[i].At: // instants of one form and zone sort as text
			u.Seen[i] = cache.SeenUse{Use: f}
		default:
			continue
		}
		changed = true
	}
	u.Seen = bounded(u.Seen)
	return changed
}

// bounded keeps the newest, sorted by name and fingerprint.
func bounded(seen []cache.SeenUse) []cache.SeenUse {
	slices.SortFunc(seen, func(a, b cache.SeenUse) int {
		return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	count := map[string]int{}
	seen = slices.DeleteFunc(seen, func(s cache.SeenUse) bool { count[s.Name]++; return count[s.Name] > maxKeysOfOne })
	seen = seen[:min(len(seen), maxSeenUses)]
	slices.SortFunc(seen, func(a, b cache.SeenUse) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return seen
}

// untold are uses that the control plane has not acknowledged, as many as one report
// holds.
func untold(u cache.Uses) []wire.Use {
	var out []wire.Use
	for _, s := range u.Seen {
		if !s.Told && len(out) < wire.MaxUses {
			out = append(out, s.Use)
		}
	}
	return out
}

// acknowledge marks uses as told, but not one that is newer by now.
func acknowledge(u *cache.Uses, told []wire.Use) {
	known := make(map[wire.Use]bool, len(told))
	for _, t := range told {
		known[t] = true
	}
	for i, s := range u.Seen {
		u.Seen[i].Told = s.Told || known[s.Use]
	}
}

// uses adds when the user's keys were last seen to be used here.
func (e *Explanation) uses(dir *cache.Dir, user authz.Username) {
	seen, err := dir.Uses()
	if err != nil {
		e.fact("last logins are not known: " + err.Error())
	}
	for _, s := range seen.Seen {
		if s.Name == user.String() {
			e.fact("last login with " + cmp.Or(s.Fingerprint, "no key that is known") + ": " + s.At + unproved(s.Use))
		}
	}
}

// unproved says of what a log file tells that it may be anybody's word.
func unproved(u wire.Use) string {
	if u.Proved {
		return ""
	}
	return ", as a log file says, in which others can write too"
}
