//go:build !race

package agent_test

import (
	"fmt"
	"slices"
	"time"

	"latchkey/agent/plan"
)

// simSSHD is what sshd works by: what it was told last, and for logins that had begun
// by then, what it was told before.
type simSSHD struct {
	mode plan.KeysMode // "": it knows nothing of us
	late []lateMode
}

type lateMode struct {
	mode plan.KeysMode
	till time.Time
}

// loginGrace is how long sshd lets a login take (sshd_config(5), LoginGraceTime).
const loginGrace = 2 * time.Minute

// load is what a reload of sshd does.
func (d *simSSHD) load(mode plan.KeysMode) {
	if mode != d.mode {
		d.late = append(d.late, lateMode{d.mode, time.Now().Add(loginGrace)})
	}
	d.mode = mode
}

// serving are the modes by which somebody may be logging in at this moment.
func (d *simSSHD) serving() []plan.KeysMode {
	d.late = slices.DeleteFunc(d.late, func(l lateMode) bool { return l.mode == "" || !time.Now().Before(l.till) })
	if d.mode == "" {
		return nil
	}
	modes := []plan.KeysMode{d.mode}
	for _, l := range d.late {
		modes = append(modes, l.mode)
	}
	return modes
}

// boot has sshd read what there is.
func (h *simHost) boot() {
	clear(h.state.Processes)
	h.sshd = simSSHD{}
	for _, mode := range simModes {
		if h.dropIn(mode) == "" {
			h.sshd.mode = mode
		}
	}
}

var simModes = []plan.KeysMode{plan.KeysCommand, plan.KeysDirectory, plan.KeysHome}

func (h *simHost) hasDropIn() bool {
	return slices.ContainsFunc(simModes, func(m plan.KeysMode) bool { return h.dropIn(m) == "" })
}

// dropIn says what is wrong with our part of sshd's configuration, empty when nothing is.
// What it has to say, agent/plan's own tests prove.
func (h *simHost) dropIn(mode plan.KeysMode) string {
	f, found := h.state.Files[layout.SSHD]
	if !found {
		return "no drop-in"
	}
	if string(f.Content) != string(plan.SSHDFile(layout, mode)) || f.UID != 0 || f.GID != 0 || f.Mode != 0o644 {
		return fmt.Sprintf("a drop-in that is %+v: %s", f, f.Content)
	}
	return ""
}

// lacksKeys says what of a user's keys is not where sshd may be looking for it, empty when
// nothing.
func (h *simHost) lacksKeys(u simUser, facts map[fact]bool) string {
	for _, mode := range h.sshd.serving() {
		if lack := h.lacksIn(mode, u, facts); lack != "" {
			return lack
		}
	}
	return ""
}

// lacksIn says what sshd does not find of a user's keys in a mode, empty when nothing.
func (h *simHost) lacksIn(mode plan.KeysMode, u simUser, facts map[fact]bool) string {
	folder, hook := h.state.Files[layout.KeysDir], h.state.Groups[layout.HookUser].GID
	switch {
	case mode == plan.KeysCommand && !(folder.Folder && folder.GID == hook && folder.Mode&0o050 != 0),
		mode == plan.KeysDirectory && !(folder.Folder && folder.Mode&0o001 != 0):
		return fmt.Sprintf("no way into the folder of keys in mode %s", mode)
	case mode != plan.KeysHome:
		return ""
	}
	for _, k := range u.keys {
		if f := u.keyFact(factBlock, simKeys[k]); !facts[f] {
			return "no " + f.String()
		}
	}
	return ""
}
