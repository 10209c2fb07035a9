//go:build !race

package agent_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// What may be done to the accounts of who goes, and to what lies in homes.

// leaves has an account be removed, and a home, only of somebody whom the newest bundle
// does not name in any way, as its settings say, and never an adopted one (requirements
// R15, R30, R32).
func (s *sim) leaves(step plan.Step) {
	user, h := step.User.String(), s.host
	switch step.Op {
	case plan.OpDeleteAccount, plan.OpRetire, plan.OpRemoveHome:
		if own := h.state.Accounts[user]; h.adopted[user] && own.UID == uint32(step.UID) {
			s.violate("I6: %s, which was adopted", step)
		}
	}
	if step.Op != plan.OpDeleteAccount && step.Op != plan.OpRemoveHome || h.homes.going[step.Home] {
		return
	}
	set := s.using.settings
	version := [2]int64{s.using.epoch, s.using.serial}
	switch {
	case set.OnRevoke != wire.RevokeRemove:
		s.violate("I6: %s where accounts are to be locked", step)
	case s.using.uids[int64(step.UID)] || s.using.named[newUser("", int64(step.UID), false).ID]:
		s.violate("I6: %s, and the bundle names him", step)
	case s.held != nil && !s.heldUnsure:
		s.violate("I6: %s while a newer bundle is held", step)
	case slices.Compare(version[:], s.newest[:]) < 0:
		s.violate("I6: %s by an older bundle", step)
	case step.Op == plan.OpDeleteAccount:
	case set.Homes == wire.HomesKeep, set.Homes == wire.HomesArchive && step.Path != layout.Archive(step.User, step.UID),
		set.Homes == wire.HomesDelete && step.Path != "":
		s.violate("I6: %s, and homes are: %s", step, set.Homes)
	}
}

// foreignStep has keys in homes be taken out and adopted only where the stack wants it,
// and none that is another user's.
func (s *sim) foreignStep(step plan.Step) {
	may, must := s.grants()
	user := step.User.String()
	u, granted := may[user]
	_, surely := must[user]
	switch wish := s.using.settings.Unmanaged; {
	case step.Op == plan.OpQuarantine && wish != wire.UnmanagedQuarantine && !(wish == wire.UnmanagedAdopt && !(surely && u.uid == int64(step.UID))):
		s.violate("I6: %s, and the stack wants: %s", step, wish)
	case step.Op != plan.OpAdopt:
		return
	case wish != wire.UnmanagedAdopt || !granted || u.uid != int64(step.UID):
		s.violate("I1: %s of %v, and the stack wants: %s", step, u, wish)
	}
	keys, _ := s.host.foreign(user)
	if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k+" ", string(step.Keys)+" ") }) && !s.pass.disturbed {
		s.violate("I1: %s, which is not in the home: %q", step, keys)
	}
	for name, other := range s.using.users {
		for _, k := range other.keys {
			if name != user && simKeys[k] == string(step.Keys) {
				if _, in := must[name]; in {
					s.violate("I1: %s, which is a key of %s", step, name)
				}
			}
		}
	}
}

// nothingLost has what people have in their homes be somewhere after a step, unless it is
// the stack's wish that it is deleted; and what is not ours in the files be as it was.
func (s *sim) nothingLost(step plan.Step, v stepView) {
	h := s.host
	if step.Op == plan.OpRemoveHome && step.Path == "" {
		delete(v.lines, uint32(step.UID))
		delete(v.homes, step.Home)
	}
	if _, packed := h.homes.archived[uint32(step.UID)]; step.Op == plan.OpRemoveHome && step.Path != "" && h.state.Homes[step.Home] != v.homes[step.Home] && !packed {
		s.violate("I6: after %s there is no such file", step)
	}
	if line := missing(v.lines, h.lines()); line != "" {
		s.violate("I6: after %s there is no line %s", step, line)
	}
	for home, was := range v.homes {
		now, there := h.state.Homes[home]
		moved := false
		for other, now := range h.state.Homes {
			moved = moved || now == was && strings.HasPrefix(other, home+"."+authz.UID(was.UID).String()) && v.homes[other] != was
		}
		if removed := step.Op == plan.OpRemoveHome && step.Home == home; !(there && now == was) && !moved && !removed {
			s.violate("I6: after %s there is no home %s of uid %d", step, home, was.UID)
		}
	}
}

// forgetAdopted is what a pass that came to its end leaves of adopted keys.
func (s *sim) forgetAdopted(may map[string]simUser) {
	h := s.host
	for uid := range h.homes.adopted {
		name := h.uids[authz.UID(uid)]
		u, stays := may[name]
		a := h.state.Accounts[name]
		gone := !h.ours(name) || a.UID != uid || a.Locked()
		if s.using.settings.Unmanaged != wire.UnmanagedAdopt || gone && !(stays && u.uid == int64(uid)) {
			delete(h.homes.adopted, uid)
		}
	}
}

// removed has everybody be gone of whom the stack wants it, and nothing half removed.
func (s *sim) removed() {
	h := s.host
	if s.using.settings.OnRevoke == wire.RevokeRemove {
		for name, uid := range h.made {
			if !s.using.uids[int64(uid)] && h.ours(name) && !h.adopted[name] {
				s.violate("Z8: in quiet the account %s/%d is not removed", name, uid)
			}
			home, found := h.state.Homes["/home/"+name]
			if s.using.settings.Homes != wire.HomesKeep && h.ours(name) && found && !s.using.uids[int64(home.UID)] && h.uids[authz.UID(home.UID)] == name && !h.adopted[name] {
				s.violate("Z8: in quiet the home of %s/%d is not removed", name, home.UID)
			}
		}
	}
	for home := range h.homes.going {
		owned, _ := s.ledger()
		name, _, _ := strings.Cut(path.Base(home), ".")
		if own, ours := owned.Accounts[simUsername(name)]; ours && uint32(own.UID) == h.state.Homes[home].UID {
			s.violate("Z8: in quiet the home %s is half removed", home)
		}
	}
}

// unmanaged has done in quiet what the stack wants with keys in homes.
func (s *sim) unmanaged(must map[string]simUser, facts map[fact]bool) {
	h := s.host
	owned, _ := s.ledger()
	for name := range h.made {
		u, stays := must[name]
		keys, whole := h.foreign(name)
		if home := h.state.Homes["/home/"+name]; !h.ours(name) || !whole || len(keys) == 0 || home.UID != h.made[name] {
			continue
		}
		switch wish := s.using.settings.Unmanaged; {
		case wish == wire.UnmanagedQuarantine, wish == wire.UnmanagedAdopt && !s.using.uids[int64(h.made[name])]:
			s.violate("Z8: in quiet there still is %q in the home of %s", keys, name)
		case wish != wire.UnmanagedAdopt || !stays || u.uid != int64(h.made[name]) || len(keys) > 8 || len(owned.Accounts[simUsername(name)].Adopted) > 8:
			continue
		}
		for _, line := range keys {
			if key := s.adoptable(name, line); key != "" && !facts[u.keyFact(factKey, key)] {
				s.violate("Z8: in quiet %s has not the key %s of his home", name, key)
			}
		}
	}
}

// adoptable is the key of a line, TYPE BASE64, if it is one that nobody else has.
func (s *sim) adoptable(name, line string) string {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "ssh-ed25519" {
		return ""
	}
	key := words[0] + " " + words[1]
	if !slices.Contains(simPlanted, key) && !slices.Contains(simKeys, key) {
		return "" // cut short
	}
	owned, _ := s.ledger()
	for other := range maps.Keys(owned.Accounts) {
		lines, _ := s.host.foreign(other.String())
		if other.String() != name && (slices.Contains(owned.Accounts[other].Adopted, key) || slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, key) })) {
			return ""
		}
	}
	for other, u := range s.using.users {
		if other != name && slices.ContainsFunc(u.keys, func(k int) bool { return simKeys[k] == key }) {
			return ""
		}
	}
	return key
}

// outlived waits until nobody logs in by an earlier mode any more: then nothing of it is
// left.
func (s *sim) outlived() {
	time.Sleep(4 * time.Minute)
	s.look(false)
	_, must := s.grants()
	s.unmanaged(must, s.host.facts())
	mode := plan.KeysMode(s.using.settings.KeysMode)
	for f := range s.host.facts() {
		if f.kind == factBlock && !(s.sshd && mode == plan.KeysHome) {
			s.violate("Z8: in quiet, in mode %s, there still is %s", mode, f)
		}
	}
	if folder := s.host.state.Files[layout.KeysDir]; folder.Mode&0o001 != 0 && !(s.sshd && mode == plan.KeysDirectory) {
		s.violate("Z8: in quiet, in mode %s, everybody passes through the folder of keys", mode)
	}
}
