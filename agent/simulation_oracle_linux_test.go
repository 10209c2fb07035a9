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
)

// The oracle of the simulation. It knows what was granted when, and reads access from
// the machine as sshd and sudo would, with nothing of agent/plan but the form of the
// state. What it holds the agent to, by the names of the requirements' invariants:
//
//	I1  no access without a grant: no step gives what the bundle in use does not, and a
//	    pass leaves nothing of the kind behind, but where the very step that takes it
//	    away went wrong
//	I2  no lock-out: whose grant stands and whose things were right keeps his access
//	    through every step; accounts of others are as they were
//	I3  revocation is bounded: it comes before anybody is given anything, is done at the
//	    end of the pass, with processes and jobs, and so is what a stale policy takes
//	I4  the bundle in use never becomes older, but for one the agent crashed on three
//	    times, is one the control plane made, and removed no mass without a word for it
//	I5  what the agent stored can be read after every kill, and its steps leave files whole
//	I6  what the agent did not make is untouched, and the stored ledger names all it made
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
	factKey   = "key"     // what: uid, end, key
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
		end := "-"
		if rest, limited := strings.CutPrefix(line, `expiry-time="`); limited {
			end, line, _ = strings.Cut(rest, `" `)
		}
		words := strings.Split(line, " ")
		if len(words) != 3 || words[2] != name || words[0] != "ssh-ed25519" {
			return
		}
		found[fact{factKey, name, uid + " " + end + " " + words[1]}] = true
	}
	maps.Copy(out, found)
}

// factsOf is what a grant gives.
func factsOf(u simUser) map[fact]bool {
	uid := fmt.Sprint(u.uid)
	out := map[fact]bool{{factOpen, u.name, uid}: true, {factProc, u.name, uid}: true, {factJob, u.name, ""}: true}
	for _, k := range u.keys {
		_, blob, _ := strings.Cut(simKeys[k], " ")
		out[fact{factKey, u.name, uid + " " + simTime(u.end) + " " + blob}] = true
	}
	switch {
	case u.sudo && u.end.IsZero():
		out[fact{factSudo, u.name, "ALL=(ALL:ALL) NOPASSWD: ALL"}] = true
	case u.sudo:
		out[fact{factSudo, u.name, "ALL=(ALL:ALL) NOTAFTER=" + simTime(u.end) + " NOPASSWD: ALL"}] = true
	}
	return out
}

// grants is who may have access by the bundle in use, and who surely must.
func (s *sim) grants() (may, must map[string]simUser) {
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
			u.sudo = u.sudo && h.sudo
		}
		u.sudo = u.sudo && !noSudo
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

// allowed is all facts that may be.
func allowed(may map[string]simUser) map[fact]bool {
	out := map[fact]bool{}
	for _, u := range may {
		maps.Copy(out, factsOf(u))
	}
	return out
}

// wrongful is what of the facts nobody granted.
func wrongful(facts, ok map[fact]bool, may map[string]simUser) []fact {
	var out []fact
	for f := range facts {
		if _, granted := may[f.who]; !ok[f] && !(f.kind == factGroup && granted) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b fact) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// blocked says why a user cannot be set up here, empty when he can.
func (h *simHost) blocked(u simUser) string {
	account, exists := h.state.Accounts[u.name]
	if exists && !h.ours(u.name) {
		return "name"
	}
	if exists && account.UID == uint32(u.uid) {
		return "" // it is his already
	}
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
	if found && !exists && h.uids[authz.UID(home.UID)] != u.name {
		return "home"
	}
	if g, found := h.state.Groups[u.name]; found && !exists && h.uids[authz.UID(g.GID)] != u.name {
		return "group"
	}
	return ""
}

// lacks says what of a user's access the machine does not have right, empty when
// nothing.
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
	for f := range factsOf(u) {
		if (f.kind == factKey || f.kind == factSudo) && !facts[f] {
			return "no " + f.String()
		}
	}
	return ""
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
