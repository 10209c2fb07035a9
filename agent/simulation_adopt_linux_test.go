//go:build !race

package agent_test

import (
	"maps"
	"slices"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// legacy is how accounts that others made long ago, each as one of ours would look, come
// over: somebody of the stack gets the very uid, and then root adopts them.
func (s *sim) legacy() {
	h := s.host
	if s.using != nil && len(s.adoptableNow()) > 0 {
		s.adoptByHand()
		return
	}
	for _, name := range simNames[:7] {
		a, theirs := h.others.Accounts[name]
		u := s.plane.users[name]
		another := a.UID != uint32(u.uid)
		u.name, u.uid = name, int64(a.UID)
		// A uid that somebody has or had is nobody else's.
		if theirs && another && !s.plane.confirmable[u.id()] {
			s.plane.confirmable[u.id()], s.plane.users[name] = true, u
			s.say("%s is imported with uid %d", name, u.uid)
			s.plane.issue(all)
			s.arrives()
			return
		}
	}
	s.foreignHome(pick(s, simNames[:7]...))
}

// foreignHome is such an account, where nothing is in its way.
func (s *sim) foreignHome(name string) {
	h := s.host
	_, taken := h.state.Accounts[name]
	_, group := h.state.Groups[name]
	if _, home := h.state.Homes["/home/"+name]; taken || group || home {
		return
	}
	s.plane.nextUID++
	uid := uint32(s.plane.nextUID)
	a := plan.Account{Name: name, UID: uid, GID: 100, Home: "/home/" + name, Shell: pick(s, "/bin/bash", "/bin/sh"), Password: "set",
		Groups: pick(s, nil, nil, []string{"games"}, []string{"docker"})}
	home := plan.Folder{Real: true, UID: uid}
	h.state.Accounts[name], h.others.Accounts[name] = a, a
	h.state.Homes[a.Home], h.others.Homes[a.Home] = home, home
	h.homes.keys[a.Home+"/"+plan.KeysInHome] = simPlanted[s.rng.IntN(len(simPlanted))] + " " + name + "@old\n"
	s.say("others made %s with uid %d", name, uid)
}

// locals is what agent/host reads of the account files.
func (h *simHost) locals(string) (map[string]plan.Local, []string, error) {
	all := map[string]plan.Local{}
	for name, a := range h.state.Accounts {
		l := plan.Local{Account: a, Before: plan.Before{Passwd: name, Groups: a.Groups}}
		if slices.Contains(a.Groups, "docker") {
			l.Privileged = []string{"docker"}
		}
		all[name] = l
	}
	return all, nil, nil
}

// adoptByHand is `adopt` for everybody, beside the agent that runs.
func (s *sim) adoptByHand() {
	if s.loop == nil || s.using == nil || s.using != s.plane.newest || s.held != nil || s.heldUnsure || s.using.stale != "" || !s.clockSure || s.full || s.frozen {
		return
	}
	asked := s.adoptableNow()
	s.say("adopt: %v may be", asked)
	maps.Copy(s.host.asked, asked)
	a, err := s.newAgent(), errInjected
	s.command(func() {
		if a.Load() == nil {
			_, _, err = a.Adopt(s.t.Context(), simNames[:7], "")
		}
	})
	s.adoptions()
	for name, uid := range asked {
		// Where others removed it meanwhile, an account is made as for anybody.
		theirs, still := s.host.others.Accounts[name]
		if err == nil && still && theirs.UID == uid && !s.host.adopted[name] {
			s.violate("Z8: adopt went well, and %s is not adopted", name)
		}
	}
	s.wakes()
}

// adoptableNow are the accounts of others whose very uid the bundle lets in, and in whose
// way nothing is.
func (s *sim) adoptableNow() map[string]uint32 {
	may, _ := s.grants()
	h, out := s.host, map[string]uint32{}
	for name, a := range h.others.Accounts {
		u, granted := may[name]
		group, grouped := h.state.Groups[name]
		if home := h.state.Homes[a.Home]; !granted || name == "deby" || uint32(u.uid) != a.UID || a.Home != "/home/"+name || home.UID != a.UID ||
			slices.Contains(a.Groups, "docker") || grouped && group.GID != a.UID {
			continue
		}
		shared := false
		for other, b := range h.state.Accounts {
			shared = shared || other != name && b.UID == a.UID
		}
		for other, g := range h.state.Groups {
			shared = shared || other != name && g.GID == a.UID
		}
		if !shared {
			out[name] = a.UID
		}
	}
	return out
}

// adoptions sees which accounts the stored ledger took over, and whether that was asked
// for (requirement R15).
func (s *sim) adoptions() {
	owned, err := s.ledger()
	if err != nil {
		s.violate("I5: ledger: %v", err)
	}
	h := s.host
	for user, own := range owned.Accounts {
		name, home := user.String(), layout.Home(user)
		_, theirs := h.others.Accounts[name]
		if !theirs && h.others.Homes[home].UID == uint32(own.UID) {
			delete(h.others.Homes, home) // his by his uid, and nobody else's any more
		}
		if own.Before == nil || h.adopted[name] || !theirs {
			continue
		}
		if h.asked[name] != uint32(own.UID) {
			s.violate("I6: %s is adopted, and nobody asked for it", name)
		}
		delete(h.others.Accounts, name)
		delete(h.others.Homes, home)
		h.made[name], h.uids[own.UID], h.adopted[name] = uint32(own.UID), name, true
	}
}

// madeAnew forgets that an account was adopted: there is one now that the agent made.
func (h *simHost) madeAnew(name string, uid authz.UID) {
	delete(h.adopted, name)
	h.made[name], h.uids[uid] = uint32(uid), name
}
