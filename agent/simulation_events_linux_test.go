//go:build !race

package agent_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz"
)

// event lets one thing happen, and the agent notice it as it would.
func (s *sim) event() {
	s.host.toolEnds()
	switch what := s.rng.IntN(100); {
	case what < 25:
		for range 1 + s.rng.IntN(3) {
			s.plane.edit()
		}
		s.plane.issue(pick(s, all, all, all, all, all, some, none))
		s.arrives()
	case what < 28:
		if s.one(2) {
			s.plane.crowd()
		} else {
			s.plane.removeMany()
		}
		s.plane.issue(pick(s, all, some, none))
		s.arrives()
	case what < 33 && len(s.plane.all) > 0:
		for range 1 + s.rng.IntN(3) {
			s.plane.hostile = append(s.plane.hostile, s.plane.tamper())
		}
		s.say("the next answers are tampered with")
		s.arrives()
	case what < 37:
		s.plane.down = time.Now().Add(s.upTo(20 * 24 * time.Hour))
		s.say("control plane away until %v", s.plane.down)
	case what < 38:
		s.plane.tells = !s.plane.tells
	case what < 39 && len(s.plane.all) > 0:
		s.plane.rollBack()
		s.arrives()
	case what < 54:
		s.otherTool()
		s.wakes()
	case what < 58:
		s.homeLines(pick(s, simNames...))
		s.wakes()
	case what < 61:
		s.people()
	case what < 64:
		s.legacy()
	case what < 74:
		s.host.faults = append(s.host.faults, s.randomFault())
		s.say("fault: %+v", *s.host.faults[len(s.host.faults)-1])
	case what < 77:
		s.host.faults, s.noise = nil, 0
		s.say("faults end")
	case what < 79:
		s.host.blind, s.host.dirty = s.rng.IntN(3), s.rng.IntN(3)
	case what < 84:
		s.killIn = 1 + s.rng.IntN(60)
		s.killTool = s.killIn%2 == 0 && !s.toolsEnd
		s.say("will be killed in %d points, when an account is made: %t", s.killIn, s.killTool)
		s.wakes()
	case what < 85:
		s.killLoop = 1 + s.rng.IntN(5)
		s.say("will be killed at the next %d starts", s.killLoop)
	case what < 88:
		s.stop("agent stopped", s.upTo(time.Hour))
	case what < 91:
		s.host.boot()
		s.stop("reboot", s.upTo(5*24*time.Hour))
	case what < 93:
		s.setFull(!s.full)
		s.say("disk full: %t", s.full)
		s.wakes()
	case what < 95:
		s.setFrozen(!s.frozen)
		s.say("frozen: %t", s.frozen)
		s.wakes()
	case what < 96:
		s.skew = pick(s, 0, time.Second, -2*time.Minute, 10*time.Minute, -time.Hour, 3*time.Hour, -30*24*time.Hour, 10*365*24*time.Hour)
		s.clockSure = false
		s.host.sshd.late = nil // the ledger measures late logins by this clock
		s.say("clock off by %v", s.skew)
	case what < 97:
		s.takeByHand()
	case what < 98:
		s.host.overrides, s.host.hookBroken = s.one(2), s.one(2)
		s.say("sudo does not agree: %t, the hook is broken: %t", s.host.overrides, s.host.hookBroken)
	default:
		s.sshdByHand(s.one(4))
	}
}

// arrives lets a running agent hear of news at once.
func (s *sim) arrives() {
	if s.loop != nil {
		due := false
		if s.ask(&due); due && s.loop != nil {
			s.lookNow(true)
		}
	}
}

// wakes lets a running agent notice a change of files, mostly, before or after it asks
// the control plane again.
func (s *sim) wakes() {
	if s.loop == nil || s.one(4) {
		return
	}
	time.Sleep(time.Second)
	if s.one(2) {
		s.lookNow(false)
		return
	}
	s.look(false)
}

func (s *sim) stop(why string, long time.Duration) {
	s.say("%s", why)
	s.loop, s.startAt = nil, time.Now().Add(long)
}

// takeByHand is `apply --take-removals`, beside the agent that runs.
func (s *sim) takeByHand() {
	if s.loop == nil || s.held == nil {
		return
	}
	s.say("apply --take-removals")
	a := s.newAgent()
	a.TakeRemovals = true
	s.plane.newest.byHand = true
	before, _ := s.dir.Seen()
	held := s.held
	since, sure, answered := s.silentSince, s.silenceSure, s.plane.answered
	s.command(func() {
		if a.Load() == nil && a.Fetch(s.t.Context()) == nil {
			s.noteAnswer(answered)
			s.taken(before)
			_, _ = a.Pass(s.t.Context())
		}
	})
	s.stored()                                 // by an agent that starts it is known what apply heard
	s.silentSince, s.silenceSure = since, sure // of the agent that runs
	s.taken(before)                            // also where it was killed after that
	if s.using != nil && held.after(s.using) { // it may be one of a control plane that was rolled back
		s.held = held
	}
	s.wakes()
}

// taken is after a bundle was taken by hand, if one was: it may be an old one that came
// instead of the newest.
func (s *sim) taken(before cache.Seen) {
	seen, _ := s.dir.Seen()
	sealed, _ := s.dir.Bundle()
	b := s.plane.bundleOf(sealed)
	if b == nil {
		return
	}
	version := cache.Seen{Epoch: b.epoch, Serial: b.serial}
	aside := true
	if s.using != nil {
		using := cache.Seen{Epoch: s.using.epoch, Serial: s.using.serial}
		aside = using != using.Or(before.Epoch, before.Serial)
	}
	if seen == before && version != before && version == before.Or(b.epoch, b.serial) {
		// It was killed before the version was stored.
		b.byHand, s.halfTaken = true, b
		if !aside {
			return
		}
		seen = version // it is found by who does without the newest
	}
	if seen == before || version != seen {
		return
	}
	b.byHand = true
	s.using, s.held = b, nil
	s.newest, s.byHand = [2]int64{b.epoch, b.serial}, true
}

// sshdByHand is `sshd enable` or `sshd disable`. What was wanted, the ledger then says.
func (s *sim) sshdByHand(disable bool) {
	s.say("sshd disable: %t", disable)
	a, err := s.newAgent(), errInjected
	s.disabling = disable
	s.command(func() {
		if disable {
			_, err = a.DisableSSHD(s.t.Context())
		} else {
			_, err = a.EnableSSHD(s.t.Context())
		}
	})
	s.disabling = false
	owned, _ := s.ledger()
	if s.sshd = owned.SSHD; err == nil && s.sshd == disable {
		s.violate("Z8: sshd disable (%t) went well, and the ledger says %t", disable, s.sshd)
	}
	if there := s.host.hasDropIn(); err == nil && !s.pass.faulty && !s.pass.disturbed && there == disable {
		s.violate("Z8: sshd disable (%t) went well, and it is there: %t", disable, there)
	}
}

// command runs what somebody with root calls beside the agent.
func (s *sim) command(do func()) {
	s.pass, s.asked = newSimPass(), true
	at, wrong := s.glassAt, s.glassWrong // of the agent that runs
	if !s.alive(do) {
		s.killIn = 0 // it was that program, not the agent
		s.readable()
	}
	s.asked, s.glassAt, s.glassWrong = false, at, wrong
}

// people log in, start things, have jobs.
func (s *sim) people() {
	h, name := s.host, pick(s, simNames...)
	may, _ := s.grants()
	if u, granted := may[name]; !granted || len(u.keys) == 0 || h.lacks(u, h.facts()) != "" {
		return
	}
	uid, user := authz.UID(h.made[name]), simUsername(name)
	s.say("%s works", name)
	h.state.Processes[uid] += 1 + s.rng.IntN(3)
	if s.one(3) {
		h.state.Scheduled[user] = plan.Scheduled{Crontabs: []string{"/var/spool/cron/crontabs/" + name}, Linger: s.one(2)}
	}
}

// otherTool is another program with root that works on the machine, or a person.
func (s *sim) otherTool() {
	s.pass.disturbed = true
	h, name := s.host, pick(s, simNames...)
	st := h.state
	a, found := st.Accounts[name]
	keyFile, sudoers := layout.KeysDir+"/"+name, layout.Sudoers
	what := s.rng.IntN(21)
	s.say("other tool %d on %s", what, name)
	switch {
	case what < 6 && found && h.ours(name):
		s.editAccount(a)
	case what == 6 && found && h.ours(name): // deleted, the home stays
		delete(st.Accounts, name)
		if s.one(2) {
			delete(st.Groups, name)
		}
	case what == 7 && !found: // made by others, with a uid that may be wanted
		s.foreignAccount(name, uint32(1001+s.rng.IntN(50)))
	case what == 8 && !found:
		if uid := uint32(s.plane.nextUID + 1); !h.uidTaken(authz.UID(uid)) {
			s.foreignAccount(pick(s, "svc", "backup"), uid)
		}
	case what == 9 || what == 10: // others take theirs away again
		for _, other := range []string{"svc", "backup", name} {
			if other == "deby" {
				continue
			}
			s.removeForeign(other)
		}
	case what == 11:
		delete(st.Files, keyFile)
	case what == 12:
		s.editFile(keyFile, []byte(simKeys[0]+" "+name+"\n"))
	case what == 13 && !h.foreignSudo():
		s.editFile(sudoers, []byte("mallory ALL=(ALL) NOPASSWD: ALL\n"))
	case what == 14 && !h.foreignSudo():
		delete(st.Files, sudoers)
	case what == 15 && found && h.ours(name) && a.Locked(): // opened again
		a.Password, a.Expires = "*", 0
		st.Accounts[name] = a
	case what == 16:
		for path := range st.Files {
			if strings.HasPrefix(path, layout.KeysDir) {
				delete(st.Files, path)
			}
		}
	case what == 18 && s.one(2): // deby is closed, or open again
		d := st.Accounts["deby"]
		d.Password = pick(s, "set", "!set")
		st.Accounts["deby"], h.others.Accounts["deby"] = d, d
	case what == 19:
		s.editFile(layout.SSHD, []byte("AuthorizedKeysCommand /usr/bin/mallory\n"))
	case what == 20:
		delete(st.Files, layout.SSHD)
	case what == 17 && st.Files[layout.KeysDir].Folder: // a key file for anybody
		st.Files[layout.KeysDir+"/mallory"] = plan.File{Content: []byte("# latchkey 1 uid=20001\n" + simKeys[1] + " mallory\n"), Mode: 0o644}
	}
}

// editAccount changes a field of an account of ours.
func (s *sim) editAccount(a plan.Account) {
	switch s.rng.IntN(7) {
	case 0:
		a.Shell = "/bin/sh"
	case 1:
		a.Password = "set"
	case 2:
		a.Password, a.Expires = "!", 1
	case 3:
		a.Groups = append(slices.Clone(a.Groups), "docker")
	case 4:
		a.Groups = nil
	case 5:
		a.Home = "/srv/" + a.Name
	case 6: // another uid, of nobody: from now on it is somebody else's
		if uid := uint32(1100 + s.rng.IntN(50)); !s.host.uidTaken(authz.UID(uid)) {
			a.UID = uid
			s.host.others.Accounts[a.Name] = a
		}
	}
	s.host.state.Accounts[a.Name] = a
}

// editFile changes a file of ours: more in it, less, garbage, other attributes.
func (s *sim) editFile(path string, more []byte) {
	f, found := s.host.state.Files[path]
	if !found {
		return
	}
	switch s.rng.IntN(4) {
	case 0:
		f.Content = slices.Concat(f.Content, more)
	case 1:
		f.Content = bytes.Clone(f.Content[:s.rng.IntN(len(f.Content)+1)])
	case 2:
		f.Mode = 0o600
	case 3:
		f.UID = 1000
	}
	s.host.state.Files[path] = f
}

func (s *sim) foreignAccount(name string, uid uint32) {
	h := s.host
	_, found := h.state.Accounts[name]
	// With the uid that ours has it would be ours.
	if found || h.made[name] == uid || h.uidTaken(authz.UID(uid)) {
		return
	}
	a := plan.Account{Name: name, UID: uid, GID: 100, Home: "/srv/" + name, Shell: "/bin/sh", Password: "set"}
	h.state.Accounts[name], h.others.Accounts[name] = a, a
}

func (s *sim) removeForeign(name string) {
	h := s.host
	if _, known := h.others.Accounts[name]; known {
		delete(h.others.Accounts, name)
		delete(h.state.Accounts, name)
	}
}

// foreignSudo reports whether the file of our name is somebody else's.
func (h *simHost) foreignSudo() bool {
	_, foreign := h.others.Files[layout.Sudoers]
	return foreign
}

func simUsername(login string) (u authz.Username) {
	if err := u.UnmarshalText([]byte(login)); err != nil {
		panic(fmt.Sprintf("%s: %v", login, err))
	}
	return u
}
