//go:build !race

package agent_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// The oracle of the simulation. It knows what was granted when, and reads access from
// the machine as sshd and sudo would, with nothing of agent/plan but the form of the
// state. What it holds the agent to, by the names of the requirements' invariants:
//
//	I1  no access without a grant: no step gives what the bundle in use does not, and a
//	    pass leaves nothing of the kind behind, but where the very step that takes it
//	    away went wrong
//	I2  no lock-out: whose grant stands and whose things were right keeps his access
//	    through every step, also his keys in every mode by which sshd may be letting
//	    somebody in at that moment; accounts of others are as they were
//	I3  revocation is bounded: it comes before anybody is given anything, is done at the
//	    end of the pass, with processes and jobs, and so is what a stale policy takes
//	I4  the bundle in use never becomes older, but for one the agent crashed on three
//	    times, is one the control plane made, and removed no mass without a word for it
//	I5  what the agent stored can be read after every kill, and its steps leave files whole
//	I6  what the agent did not make is untouched, and the stored ledger names all it made;
//	    it takes over no account that root did not name, and removes none of those; no
//	    line that is a user's own is lost, and no home or account but of somebody whom
//	    the newest bundle does not name in any way, as the stack's settings say
//	I7  no byte of a bundle becomes a name, a path or a rule but through its grammar
//
// and, as Z8: what can be done is done in one pass, a second has nothing to do, and
// the report says what is so.

// fact is one thing somebody can do on the machine.
type fact struct{ kind, who, what string }

func (f fact) String() string { return f.kind + " " + f.who + " " + f.what }

// Kinds of facts.
const (
	factOpen  = "open"    // the account can be logged in to; what: uid
	factKey   = "key"     // what: uid, end, key, restricted or not
	factBlock = "block"   // the same in a home
	factSudo  = "sudo"    // what: the rule
	factGroup = "group"   // a group beyond its own
	factProc  = "process" // what: uid
	factJob   = "job"     // cron, at, linger
)

// simTime prints an end as sshd and sudo read it.
func simTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("20060102150405Z")
}

// facts reads the machine.
func (h *simHost) facts() map[fact]bool {
	out := map[fact]bool{}
	for name, a := range h.state.Accounts {
		if !h.ours(name) {
			continue
		}
		if !(strings.HasPrefix(a.Password, "!") && a.Expires == 1) {
			out[fact{factOpen, name, fmt.Sprint(a.UID)}] = true
		}
		for _, g := range a.Groups {
			if g != name && g != layout.MarkerGroup {
				out[fact{factGroup, name, g}] = true
			}
		}
	}
	for path, f := range h.state.Files {
		if name, key := strings.CutPrefix(path, layout.KeysDir+"/"); key {
			keyFacts(out, name, f)
		}
	}
	h.blockFacts(out)
	for line := range strings.Lines(string(h.state.Files[layout.Sudoers].Content)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			name, rule, _ := strings.Cut(line, " ")
			out[fact{factSudo, name, rule}] = true
		}
	}
	for uid, n := range h.state.Processes {
		if name := h.uids[uid]; name != "" && n > 0 && !h.lost(uid) {
			out[fact{factProc, name, uid.String()}] = true
		}
	}
	for name, j := range h.state.Scheduled {
		if h.ours(name.String()) && (j.Linger || len(j.Crontabs)+len(j.AtJobs) > 0) {
			out[fact{factJob, name.String(), ""}] = true
		}
	}
	return out
}

// lost reports whether a uid of ours now is somebody else's.
func (h *simHost) lost(uid authz.UID) bool {
	for name, a := range h.state.Accounts {
		if a.UID == uint32(uid) && !h.ours(name) {
			return true
		}
	}
	return false
}

// keyFacts reads a key file as the login hook does: one line that is not of its form
// spoils the file.
func keyFacts(out map[fact]bool, name string, f plan.File) {
	lines := strings.Split(strings.TrimSuffix(string(f.Content), "\n"), "\n")
	uid, ours := strings.CutPrefix(lines[0], "# latchkey 1 uid=")
	if f.Folder || f.Odd || !ours || !strings.HasSuffix(string(f.Content), "\n") {
		return
	}
	found := map[fact]bool{}
	for _, line := range lines[1:] {
		what, ok := keyLine(line, name)
		if !ok {
			return
		}
		found[fact{factKey, name, uid + " " + what}] = true
	}
	maps.Copy(out, found)
}

// keyLine reads one line of it: its end, the key, whether it is restricted.
func keyLine(line, name string) (what string, ok bool) {
	end, restricted := "-", ""
	if rest, some := strings.CutPrefix(line, simRestricted); some {
		line, restricted = strings.TrimLeft(rest, ", "), " restricted"
	}
	if rest, limited := strings.CutPrefix(line, `expiry-time="`); limited {
		end, line, _ = strings.Cut(rest, `" `)
	}
	words := strings.Split(line, " ")
	ok = len(words) == 3 && words[2] == name && words[0] == "ssh-ed25519"
	return end + " " + words[min(1, len(words)-1)] + restricted, ok
}

// factsOf is what a grant gives.
func factsOf(u simUser) map[fact]bool {
	uid := fmt.Sprint(u.uid)
	out := map[fact]bool{{factOpen, u.name, uid}: true, {factProc, u.name, uid}: true, {factJob, u.name, ""}: true}
	for _, k := range u.keys {
		out[u.keyFact(factKey, simKeys[k])], out[u.keyFact(factBlock, simKeys[k])] = true, true
	}
	if u.hasSudo() {
		out[fact{factSudo, u.name, u.rule()}] = true
	}
	return out
}

// simMoment is all that decides who may have access, and who surely must.
type simMoment struct {
	now, silentSince                time.Time
	using, held                     *simBundle
	clockSure, silenceSure, endless bool
}

// grants is who may have access by the bundle in use, and who surely must. The caller
// must not change the maps.
func (s *sim) grants() (may, must map[string]simUser) {
	now := simMoment{time.Now(), s.silentSince, s.using, s.held, s.clockSure, s.silenceSure, s.host.state.SudoEndless}
	if s.memo.may == nil || s.memo.moment != now {
		s.memo.moment = now
		s.memo.may, s.memo.must = s.granted()
		s.memo.ok = map[fact]bool{}
		for _, u := range s.memo.may {
			maps.Copy(s.memo.ok, factsOf(u))
		}
	}
	return s.memo.may, s.memo.must
}

func (s *sim) granted() (may, must map[string]simUser) {
	may, must = map[string]simUser{}, map[string]simUser{}
	if s.using == nil {
		return may, must
	}
	noSudo, nobody, maybe := s.staleNow()
	for _, u := range s.using.users {
		if s.held != nil && s.held.confirms[u.id()] {
			h, stays := s.held.users[u.name]
			if !stays || h.uid != u.uid {
				continue
			}
			u = u.withSudoOf(h)
		}
		u.sudo = u.sudo && !noSudo && !(s.host.state.SudoEndless && !u.end.IsZero())
		ended := !u.end.IsZero() && !time.Now().Before(u.end)
		if !nobody && !(ended && s.clockSure) {
			may[u.name] = u
		}
		if !nobody && !ended && !maybe && (s.clockSure || u.end.IsZero()) {
			must[u.name] = u
		}
	}
	return may, must
}

// staleNow says what the stale policy takes away by now, and whether it is not known.
func (s *sim) staleNow() (noSudo, nobody, maybe bool) {
	what, after := s.using.stale, s.using.staleAfter
	if what == "" {
		return false, false, false
	}
	silent := time.Since(s.silentSince) >= after
	if near := time.Since(s.silentSince) - after; !s.silenceSure || -2*time.Second < near && near < 2*time.Second {
		return false, false, true // times are stored to the second
	}
	return silent, silent && what == "drop-all", false
}

// wrongful is what of the facts nobody granted.
func (s *sim) wrongful(facts map[fact]bool, may map[string]simUser) []fact {
	var out []fact
	for f := range facts {
		if u, in := may[f.who]; !s.memo.ok[f] && !(in && (f.kind == factGroup || s.adoptedKey(u, f))) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b fact) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// adoptedKey reports whether a fact is a key of a user's that was found in his home.
func (s *sim) adoptedKey(u simUser, f fact) bool {
	return s.using.settings.Unmanaged == wire.UnmanagedAdopt && slices.ContainsFunc(s.host.homes.adopted[uint32(u.uid)], func(key string) bool {
		return f == u.keyFact(f.kind, key)
	})
}

// blocked says why a user cannot be set up here, empty when he can.
func (s *sim) blocked(u simUser) string {
	h := s.host
	account, exists := h.state.Accounts[u.name]
	switch {
	case exists && !h.ours(u.name):
		return "name"
	case s.damaged(u):
		return "keys in the home"
	case exists && account.UID == uint32(u.uid):
		return "" // it is his already
	case exists && h.adopted[u.name]:
		return "an adopted account"
	}
	owned, _ := s.ledger()
	own, ours := owned.Accounts[simUsername(u.name)]
	for name, a := range h.state.Accounts {
		if a.UID == uint32(u.uid) && name != u.name {
			return "uid"
		}
	}
	for name, g := range h.state.Groups {
		if g.GID == uint32(u.uid) && name != u.name {
			return "gid"
		}
	}
	home, found := h.state.Homes["/home/"+u.name]
	if found && !exists && home.UID != uint32(u.uid) && !(ours && home.UID == uint32(own.UID)) {
		return "home"
	}
	if g, found := h.state.Groups[u.name]; found && !exists && !(ours && h.uids[authz.UID(g.GID)] == u.name) {
		return "group"
	}
	return ""
}

// damaged reports whether sshd may read the keys in a user's home and the marks of ours
// in it are no pair: then he alone is told, and nobody waits for him.
func (s *sim) damaged(u simUser) bool {
	_, _, ok := cutHome(s.host.homes.keys["/home/"+u.name+"/"+plan.KeysInHome])
	return !ok && s.sshd && (s.using.settings.KeysMode == wire.KeysHome || slices.Contains(s.host.sshd.serving(), plan.KeysHome))
}

// lacks says what of a user's access, and of the ways in that sshd has, the machine does
// not have right, empty when nothing.
func (h *simHost) lacks(u simUser, facts map[fact]bool) string {
	a := h.state.Accounts[u.name]
	file := h.state.Files[layout.KeysDir+"/"+u.name]
	hook := h.state.Groups[layout.HookUser].GID
	switch home := h.state.Homes["/home/"+u.name]; {
	case hook == 0:
		return "nobody to run the hook"
	case home.UID != uint32(u.uid):
		return "no home"
	case !h.ours(u.name) || a.UID != uint32(u.uid):
		return "no account"
	case a.GID != a.UID || a.Home != "/home/"+u.name || a.Shell != "/bin/bash" || a.Password != "*" || a.Expires != 0 || !slices.Contains(a.Groups, "latchkey"):
		return fmt.Sprintf("account is %+v", a)
	case file.Mode != 0o644 || file.UID != 0 || file.GID != hook || file.Folder || file.Odd:
		return "key file has a wrong owner or mode"
	}
	for _, k := range u.keys {
		if f := u.keyFact(factKey, simKeys[k]); !facts[f] {
			return "no " + f.String()
		}
	}
	if f := (fact{factSudo, u.name, u.rule()}); u.hasSudo() && !facts[f] {
		return "no " + f.String()
	}
	return h.lacksKeys(u, facts)
}

// sameOthers compares what is not the agent's with what it has to be.
func (h *simHost) sameOthers() error {
	for name, a := range h.state.Accounts {
		if h.ours(name) || name == layout.HookUser {
			continue
		}
		if o, known := h.others.Accounts[name]; !known || !sameAccount(a, o) {
			return fmt.Errorf("account %+v, was %+v", a, o)
		}
	}
	for name := range h.others.Accounts {
		if _, still := h.state.Accounts[name]; !still {
			return fmt.Errorf("account %s is gone", name)
		}
	}
	for name, g := range h.others.Groups {
		if now, still := h.state.Groups[name]; !still || now.GID != g.GID {
			return fmt.Errorf("group %s is changed or gone", name)
		}
	}
	for path, home := range h.others.Homes {
		if h.state.Homes[path] != home {
			return fmt.Errorf("home %s is changed or gone", path)
		}
	}
	if text := h.homes.keys["/home/deby/.ssh/authorized_keys"]; text != simPlanted[0]+" deby\n" {
		return fmt.Errorf("the keys in deby's home are %q", text)
	}
	for path, f := range h.others.Files {
		if string(h.state.Files[path].Content) != string(f.Content) {
			return fmt.Errorf("file %s is changed or gone", path)
		}
	}
	return nil
}

func sameAccount(a, b plan.Account) bool {
	return a.Name == b.Name && a.UID == b.UID && a.GID == b.GID && a.Home == b.Home && a.Shell == b.Shell &&
		a.Password == b.Password && a.Expires == b.Expires && slices.Equal(a.Groups, b.Groups)
}
