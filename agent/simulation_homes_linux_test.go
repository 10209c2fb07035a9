//go:build !race

package agent_test

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// simHomes is what lies in homes, and where it came to when it was taken out.
type simHomes struct {
	keys        map[string]string   // key files, by path
	quarantined map[uint32][]string // lines that were taken out of the homes of a uid
	archived    map[uint32][]string // lines of homes that were packed
	going       map[string]bool     // homes that were renamed to be removed
	adopted     map[uint32][]string // keys that the agent made an account's, by uid
}

func newSimHomes() simHomes {
	return simHomes{keys: map[string]string{"/home/deby/.ssh/authorized_keys": simPlanted[0] + " deby\n"}, quarantined: map[uint32][]string{},
		archived: map[uint32][]string{}, going: map[string]bool{}, adopted: map[uint32][]string{}}
}

// cutHome takes a key file of a home apart: the lines between our marks and all others.
// It is not ok, and all of it is its user's, where the marks are not one whole pair or the
// file has no plain lines.
func cutHome(text string) (ours, own []string, ok bool) {
	marks := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch mark := strings.HasPrefix(line, "# latchkey"); {
		case mark && marks == 0 && line == "# latchkey begin: latchkey-agent writes the lines from here to the end, and undoes changes",
			mark && marks == 1 && line == "# latchkey end":
			marks++
		case mark:
			marks = 9
		case marks == 1:
			ours = append(ours, line)
		case line != "":
			own = append(own, line)
		}
	}
	if marks != 0 && marks != 2 || strings.Contains(text, "\r") {
		return nil, slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return l == "" }), false
	}
	return ours, own, true
}

// lines are all that is not ours in the key files of each uid's homes, wherever it is by
// now.
func (h *simHost) lines() map[uint32][]string {
	out := map[uint32][]string{}
	for file, text := range h.homes.keys {
		home, found := h.state.Homes[path.Dir(path.Dir(file))]
		if _, own, _ := cutHome(text); found && !h.homes.going[path.Dir(path.Dir(file))] {
			out[home.UID] = append(out[home.UID], own...)
		}
	}
	for _, kept := range []map[uint32][]string{h.homes.quarantined, h.homes.archived} {
		for uid, lines := range kept {
			out[uid] = append(out[uid], lines...)
		}
	}
	return out
}

// missing is a line that was there before and is nowhere any more, empty when there is none.
func missing(before, after map[uint32][]string) string {
	for uid, lines := range before {
		left := slices.Clone(after[uid])
		for _, line := range lines {
			i := slices.Index(left, line)
			if i < 0 {
				return fmt.Sprintf("%q of uid %d", line, uid)
			}
			left = slices.Delete(left, i, i+1)
		}
	}
	return ""
}

// blockFacts reads our lines in the homes as sshd does in home mode.
func (h *simHost) blockFacts(out map[fact]bool) {
	for file, text := range h.homes.keys {
		home := path.Dir(path.Dir(file))
		name := path.Base(home)
		if !h.ours(name) || h.state.Homes[home].UID != h.state.Accounts[name].UID || path.Base(file) != "authorized_keys" {
			continue
		}
		ours, _, _ := cutHome(text)
		for _, line := range ours {
			if what, ok := keyLine(line, name); ok {
				out[fact{factBlock, name, fmt.Sprint(h.state.Homes[home].UID) + " " + what}] = true
			}
		}
	}
}

// blocks is what agent/host observes of them.
func (h *simHost) blocks(owned plan.Ledger) map[authz.Username]plan.Block {
	out := map[authz.Username]plan.Block{}
	for user, own := range owned.Accounts {
		if !own.Block {
			continue
		}
		var b plan.Block
		if home, found := h.state.Homes[layout.Home(user)]; !found || home.UID != uint32(own.UID) {
			b.Err = plan.ErrHomeKeys
		} else {
			b.Lines, b.Found, b.Err = plan.ReadBlock([]byte(h.homes.keys[layout.InHome(user)]))
		}
		out[user] = b
	}
	return out
}

// foreignKeys is what agent/host reads of the keys in homes.
func (h *simHost) foreignKeys(owned plan.Ledger) map[authz.Username][]plan.ForeignFile {
	out := map[authz.Username][]plan.ForeignFile{}
	for user, own := range owned.Accounts {
		for _, name := range plan.ForeignNames() {
			f := plan.ForeignFile{Path: layout.Home(user) + "/" + name}
			text, found := h.homes.keys[f.Path]
			if home := h.state.Homes[layout.Home(user)]; !found || home.UID != uint32(own.UID) {
				continue
			}
			f.Lines, f.Err = plan.ReadForeign([]byte(text))
			out[user] = append(out[user], f)
		}
	}
	return out
}

// foreign are the lines in an account's home that may be keys, and whether they can be
// told.
func (h *simHost) foreign(name string) (keys []string, ok bool) {
	ok = true
	for _, file := range plan.ForeignNames() {
		_, own, whole := cutHome(h.homes.keys["/home/"+name+"/"+file])
		ok = ok && whole
		for _, line := range own {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				keys = append(keys, line)
			}
		}
	}
	return keys, ok
}

// editHome changes a file in a home as agent/host does.
func (h *simHost) editHome(step plan.Step) error {
	switch step.Op {
	case plan.OpWriteBlock, plan.OpTakeBlock:
		text, err := plan.SetBlock([]byte(h.homes.keys[step.Path]), step.Keys)
		if err == nil {
			h.homes.keys[step.Path] = string(text)
		}
		return err
	case plan.OpQuarantine:
		left, taken, err := plan.TakeForeign([]byte(h.homes.keys[step.Path]))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(taken)) {
			h.homes.quarantined[uint32(step.UID)] = append(h.homes.quarantined[uint32(step.UID)], strings.TrimSuffix(line, "\n"))
		}
		h.homes.keys[step.Path] = string(left)
	case plan.OpAdopt:
		h.homes.adopted[uint32(step.UID)] = append(h.homes.adopted[uint32(step.UID)], string(step.Keys))
	}
	return nil
}

// moveHome gives a home another name; an empty one removes it.
func (h *simHost) moveHome(from, to string) {
	home := h.state.Homes[from]
	delete(h.state.Homes, from)
	if to != "" {
		h.state.Homes[to] = home
	}
	for _, file := range plan.ForeignNames() {
		text, found := h.homes.keys[from+"/"+file]
		if delete(h.homes.keys, from+"/"+file); found && to != "" {
			h.homes.keys[to+"/"+file] = text
		}
	}
}

// freeName is where a home is kept whose user may have had one before.
func (h *simHost) freeName(planned string) string {
	name := planned
	for n := 1; ; n++ {
		if _, taken := h.state.Homes[name]; !taken {
			return name
		}
		name = fmt.Sprintf("%s.%d", planned, n)
	}
}

// removeHome packs and removes a home, or is ended when it has only got its other name.
func (h *simHost) removeHome(step plan.Step, whole bool) error {
	if step.Path != "" {
		for _, file := range plan.ForeignNames() {
			_, own, _ := cutHome(h.homes.keys[step.Home+"/"+file])
			h.homes.archived[uint32(step.UID)] = append(h.homes.archived[uint32(step.UID)], own...)
		}
	}
	gone := layout.GoneHome(step.User, step.UID)
	if step.Home != gone {
		if _, found := h.state.Homes[gone]; found {
			return errTool
		}
		h.moveHome(step.Home, gone)
		h.homes.going[gone] = true
	}
	if whole {
		h.moveHome(gone, "")
		delete(h.homes.going, gone)
	}
	return nil
}

// closedHome is what agent/host proves before it removes a home.
func (h *simHost) closedHome(step plan.Step) error {
	home, found := h.state.Homes[step.Home]
	switch {
	case !found && step.Home == layout.GoneHome(step.User, step.UID):
		return nil
	case !found || home.UID != uint32(step.UID):
		return plan.ErrHomeKept
	case step.Home == layout.GoneHome(step.User, step.UID):
		return nil
	}
	for name, a := range h.state.Accounts {
		own := name == step.User.String() && a.UID == uint32(step.UID)
		if own && !a.Locked() || !own && (name == step.User.String() || a.UID == uint32(step.UID)) {
			return plan.ErrHomeOpen
		}
	}
	if h.state.Processes[step.UID] > 0 {
		return plan.ErrHomeOpen
	}
	return nil
}

// homeLines lets somebody work on the keys in a home: its user, or another tool.
func (s *sim) homeLines(name string) {
	h := s.host
	home, found := h.state.Homes["/home/"+name]
	if !found || h.uids[authz.UID(home.UID)] == "" {
		return
	}
	file := "/home/" + name + "/" + pick(s, plan.ForeignNames()[0], plan.ForeignNames()[0], plan.ForeignNames()[0], plan.ForeignNames()[1])
	text := h.homes.keys[file]
	line := pick(s, simPlanted[s.rng.IntN(len(simPlanted))]+" "+name+"@laptop", simPlanted[s.rng.IntN(len(simPlanted))], "# my keys",
		simKeys[s.rng.IntN(len(simKeys))]+" copied", `command="/bin/true" `+simPlanted[0], "ssh-rsa AAAA")
	switch what := s.rng.IntN(12); {
	case what < 5:
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += line + pick(s, "\n", "\n", "")
	case what < 8:
		text = line + "\n" + text
	case what == 8:
		delete(h.homes.keys, file)
		s.say("%s removes %s", name, file)
		return
	case what == 9:
		text = text[:s.rng.IntN(len(text)+1)]
	case what == 10:
		text = strings.Replace(text, "\n", "\r\n", 1)
	default: // what is between our marks
		if ours, _, ok := cutHome(text); ok && len(ours) > 0 {
			text = strings.Replace(text, ours[0]+"\n", "", 1)
		}
	}
	s.say("%s has in %s: %q", name, file, text)
	h.homes.keys[file] = text
}

// mendHomes has everybody do what the agent asks of who damaged its marks.
func (h *simHost) mendHomes() {
	for file, text := range h.homes.keys {
		if _, _, ok := cutHome(text); ok {
			continue
		}
		text = strings.ReplaceAll(text, "\r", "")
		if left, err := plan.SetBlock([]byte(text), nil); err == nil {
			text = string(left)
		} else {
			_, own, _ := cutHome(text)
			text = strings.Join(slices.DeleteFunc(own, func(l string) bool { return strings.HasPrefix(l, "# latchkey") }), "\n") + "\n"
		}
		h.homes.keys[file] = text
	}
}
