//go:build !race

package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// simHost is the machine of a simulation: the one in memory, on which every call can
// go wrong, the agent can be killed at every point, and others work too, between the
// steps of a pass as well.
type simHost struct {
	*machine
	s *sim
	// What the agent made: the accounts there are, by name, and every uid there was.
	made map[string]uint32
	uids map[authz.UID]string
	// The accounts that others had made and that were adopted, and those that root asked
	// to be, with their uids.
	adopted map[string]bool
	asked   map[string]uint32
	homes   simHomes
	sshd    simSSHD
	// What is not the agent's, as it has to stay.
	others plan.State
	faults []*simFault
	blind  int // how often looking at the machine goes wrong
	dirty  int // how often cleaning does
	// Others made a rule that goes before ours: sudo does not agree with what we write.
	overrides  bool
	hookBroken bool       // the login hook answers nothing
	late       *plan.Step // its tool goes on after the agent that started it was killed
}

func newSimHost(s *sim) *simHost {
	state := fresh()
	state.SudoEndless = s.one(6)
	return &simHost{machine: &machine{t: s, stored: s.ledger, state: state}, s: s,
		made: map[string]uint32{}, uids: map[authz.UID]string{}, adopted: map[string]bool{}, asked: map[string]uint32{}, homes: newSimHomes(), others: fresh()}
}

// simFault is a rule by which steps go wrong.
type simFault struct {
	op   plan.Op // OpNone: every one
	user string  // "": everybody's
	how  string  // refuse, lie, half, after
	err  error
	left int // how often it still happens; -1: until the faults end
}

var simErrors = []error{errInjected, syscall.EIO, syscall.EROFS, syscall.EMFILE, fs.ErrPermission, context.DeadlineExceeded,
	errors.New("usermod: cannot lock /etc/passwd; try again later"), plan.ErrSudoUnproved}

// randomFault is any of them.
func (s *sim) randomFault() *simFault {
	f := &simFault{how: pick(s, "refuse", "refuse", "lie", "half", "half", "after"), err: pick(s, simErrors...), left: pick(s, 1, 1, 2, 5, -1)}
	if s.one(2) {
		f.op = plan.Op(1 + s.rng.IntN(int(plan.OpDeleteAccount)))
	}
	if s.one(2) {
		f.user = pick(s, simNames...)
	}
	return f
}

func (h *simHost) faultOf(step plan.Step) *simFault {
	for _, f := range h.faults {
		if f.left != 0 && (f.op == plan.OpNone || f.op == step.Op) && (f.user == "" || f.user == step.User.String()) {
			f.left--
			return f
		}
	}
	if h.s.noise > 0 && h.s.rng.Float64() < h.s.noise {
		return &simFault{how: pick(h.s, "refuse", "half", "after", "lie"), err: pick(h.s, simErrors...)}
	}
	return nil
}

// Observe looks, or does not see.
func (h *simHost) Observe(_ context.Context, _ []authz.Grant, owned plan.Ledger) (plan.State, error) {
	h.s.point("observe")
	if h.blind > 0 {
		h.blind--
		h.s.pass.blind = true
		return plan.State{}, fmt.Errorf("read account file: %w", errInjected)
	}
	h.s.pass.observed()
	state := h.copy()
	state.Blocks = h.blocks(owned)
	h.s.bug.observe(h, &state, owned)
	return state, nil
}

// Clean is never needed by the agent.
func (h *simHost) Clean() error {
	h.s.point("clean")
	if h.dirty > 0 {
		h.dirty--
		return errInjected
	}
	return nil
}

// Apply makes a step true as well as the faults let it, and has everything checked
// before and after.
func (h *simHost) Apply(_ context.Context, step plan.Step) error {
	if h.s.mischief > 0 && h.s.rng.Float64() < h.s.mischief {
		h.s.otherTool() // between the agent's look and its step
	}
	h.toolEnds()
	h.begins(step)
	if !h.s.pass.disturbed && !h.s.pass.faulty {
		h.promised(step)
	}
	h.applied = append(h.applied, step.String())
	before := h.s.before(step)
	err := h.s.bug.apply(h, step, h.try)
	h.s.say("  step %s: %v", step, err)
	h.s.after(step, before, err)
	if step.Op == plan.OpCreateAccount && err != nil && step.String() == h.s.pass.late && !h.s.pass.faulty && h.s.mischief == 0 {
		h.s.violate("Z8: %s: %v, and a tool that outlived its agent had done it", step, err)
	}
	h.s.point("after the step")
	return err
}

// begins is where the tool of a step starts. If the agent is killed there, one that makes an
// account goes on.
func (h *simHost) begins(step plan.Step) {
	if step.Op == plan.OpCreateAccount && !h.s.toolsEnd {
		h.late = &step
		if h.s.killTool && h.s.loop != nil {
			h.s.killIn, h.s.killTool = 1, false
		}
	}
	h.s.point("before the step")
	h.late = nil
}

// toolEnds lets the tool that outlived its agent do its work.
func (h *simHost) toolEnds() {
	late := h.late
	if h.late = nil; late == nil {
		return
	}
	h.s.pass.disturbed, h.s.pass.unmade[late.User.String()] = true, true
	err := h.do(*late)
	h.s.say("  a tool outlived its agent: %s: %v", late, err)
	if err == nil {
		h.s.pass.late = late.String()
	}
}

// try is Apply without the checks.
func (h *simHost) try(step plan.Step) error {
	f := h.faultOf(step)
	if f != nil && f.how == "lie" && h.proved(step) {
		f.how = "refuse"
	}
	if f != nil {
		h.s.say("  fault: %s", f.how)
	}
	if f != nil || h.unproved(step) {
		h.s.pass.taint(step)
	}
	switch {
	case f == nil && h.overrides && (step.Op == plan.OpTakeSudo || step.Op == plan.OpRemoveSudo):
		return errors.Join(h.do(step), plan.ErrSudoUnproved)
	case f == nil:
		return h.do(step)
	case f.how == "lie":
		h.s.pass.noSudo = h.s.pass.noSudo || step.Op == plan.OpCreateAccount
		return nil
	case f.how == "after":
		return errors.Join(h.do(step), fmt.Errorf("%s: %w", step, f.err))
	case f.how == "half":
		return errors.Join(h.half(step), fmt.Errorf("%s: %w", step, f.err))
	}
	return fmt.Errorf("%s: %w", step, f.err)
}

// proved reports whether agent/host looks again itself: at an account that has to be gone,
// at one that was half made, at a folder, at what is in a home, and asks sshd itself.
func (h *simHost) proved(step plan.Step) bool {
	_, exists := h.state.Accounts[step.User.String()]
	switch step.Op {
	case plan.OpRetire, plan.OpDeleteAccount, plan.OpMakeFolder, plan.OpWriteBlock, plan.OpTakeBlock, plan.OpQuarantine, plan.OpAdopt, plan.OpRemoveHome,
		plan.OpWriteSSHD, plan.OpRemoveSSHD:
		return true
	}
	return step.Op == plan.OpCreateAccount && exists
}

// unproved reports whether sudo will not agree with a step.
func (h *simHost) unproved(step plan.Step) bool {
	return h.overrides && (step.Op == plan.OpTakeSudo || step.Op == plan.OpRemoveSudo || step.Op == plan.OpGiveSudo)
}

// half does what of a step may be done when it is cut short.
func (h *simHost) half(step plan.Step) error {
	user := step.User.String()
	if h.refuses(step) != nil {
		return nil
	}
	switch step.Op {
	case plan.OpCreateAccount:
		h.state.Groups[user] = plan.Group{Name: user, GID: uint32(step.UID)}
		if h.s.one(2) { // useradd was ended before it made the home
			_, kept := h.state.Homes[layout.Home(step.User)]
			h.do(step)
			if !kept {
				delete(h.state.Homes, layout.Home(step.User))
			}
		}
	case plan.OpRetire:
		if home, found := h.state.Homes[layout.Home(step.User)]; found && home.UID == uint32(step.UID) {
			h.moveHome(layout.Home(step.User), h.freeName(step.Home))
		}
	case plan.OpEndSessions:
		if n := h.state.Processes[step.UID]; n > 1 {
			h.state.Processes[step.UID] = n / 2
		}
	case plan.OpDropGroups:
		a := h.state.Accounts[user]
		a.Groups = slices.DeleteFunc(slices.Clone(a.Groups), func(g string) bool { return g == "docker" })
		h.state.Accounts[user] = a
	case plan.OpTakeSudo, plan.OpRemoveSudo:
		return h.do(step) // written, and sudo does not agree
	case plan.OpRemoveHome:
		return h.removeHome(step, false)
	}
	return nil
}

// do makes a step true, where the system does not refuse it.
func (h *simHost) do(step plan.Step) error {
	if err := h.refuses(step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	user := step.User.String()
	switch step.Op {
	case plan.OpWriteBlock, plan.OpTakeBlock, plan.OpQuarantine, plan.OpAdopt:
		return h.editHome(step)
	case plan.OpRemoveHome:
		return h.removeHome(step, true)
	case plan.OpRetire:
		if home := h.state.Homes[layout.Home(step.User)]; home.UID == uint32(step.UID) {
			h.moveHome(layout.Home(step.User), h.freeName(step.Home))
		}
	}
	h.make(step)
	switch step.Op {
	case plan.OpCreateAccount:
		h.madeAnew(user, step.UID)
		if home := h.state.Homes[layout.Home(step.User)]; home.UID != uint32(step.UID) {
			return plan.ErrHomeForeign
		}
	case plan.OpDeleteAccount, plan.OpRetire:
		delete(h.made, user)
	case plan.OpWriteSSHD:
		h.sshd.load(step.Mode)
	case plan.OpRemoveSSHD:
		h.sshd.load("")
	}
	return nil
}

var errTool = errors.New("the tool said no")

// refuses is what agent/host and shadow's tools check themselves before they change
// anything.
func (h *simHost) refuses(step plan.Step) error {
	user := step.User.String()
	account, exists := h.state.Accounts[user]
	group, hasGroup := h.state.Groups[user]
	switch step.Op {
	case plan.OpWriteBlock, plan.OpTakeBlock, plan.OpQuarantine, plan.OpAdopt, plan.OpRemoveHome:
		return h.refusesHome(step, account, exists)
	case plan.OpCreateAccount:
		again := exists && step.Again && account.UID == uint32(step.UID) && (h.finished(step, account) || h.state.Processes[step.UID] == 0)
		if !again && (exists || h.uidTaken(step.UID)) {
			return errTool
		}
		return h.groupFor(step, group, hasGroup)
	case plan.OpRepair:
		if exists && account.UID != uint32(step.UID) {
			return plan.ErrNameTaken
		}
		if !exists {
			return fs.ErrNotExist
		}
		return h.groupFor(step, group, hasGroup)
	case plan.OpLock, plan.OpDropGroups:
		if !exists {
			return fs.ErrNotExist
		}
		fallthrough
	case plan.OpRetire, plan.OpDeleteAccount:
		if exists && account.UID != uint32(step.UID) {
			return plan.ErrNameTaken
		}
		if step.Op != plan.OpLock && step.Op != plan.OpDropGroups && h.state.Processes[step.UID] > 0 {
			return errTool // used by processes, as userdel(8) says
		}
	case plan.OpTakeKeys, plan.OpWriteKeys:
		if !h.state.Files[layout.KeysDir].Folder {
			return fs.ErrNotExist
		}
	case plan.OpGiveSudo:
		if h.overrides {
			return plan.ErrSudoUnproved
		}
		for _, r := range step.Rules {
			if _, found := h.state.Accounts[r.User.String()]; !found {
				return plan.ErrSudoUnproved // the old file is back
			}
		}
	}
	return nil
}

// finished reports whether an account is as a step asks for, and is not made again.
func (h *simHost) finished(step plan.Step, a plan.Account) bool {
	return a.Password == "*" && a.Expires == 0 && a.Shell == step.Shell && a.Home == layout.Home(step.User) && a.GID == uint32(step.UID) &&
		slices.Contains(a.Groups, layout.MarkerGroup) && h.state.Homes[a.Home] == plan.Folder{Real: true, UID: uint32(step.UID)}
}

// refusesHome is refuses for what is done in a home.
func (h *simHost) refusesHome(step plan.Step, account plan.Account, exists bool) error {
	home, found := h.state.Homes[layout.Home(step.User)]
	switch {
	case step.Op == plan.OpRemoveHome:
		return h.closedHome(step)
	case step.Op != plan.OpTakeBlock && !exists:
		return fs.ErrNotExist
	case step.Op != plan.OpTakeBlock && account.UID != uint32(step.UID):
		return plan.ErrNameTaken
	case step.Op != plan.OpAdopt && (!found || home.UID != uint32(step.UID)):
		return plan.ErrHomeKeys
	}
	return nil
}

func (h *simHost) groupFor(step plan.Step, group plan.Group, found bool) error {
	if found && group.GID != uint32(step.UID) {
		return plan.ErrGroupTaken
	}
	for _, g := range h.state.Groups {
		if g.GID == uint32(step.UID) && g.Name != step.User.String() {
			return errTool
		}
	}
	return nil
}

func (h *simHost) uidTaken(uid authz.UID) bool {
	for _, a := range h.state.Accounts {
		if a.UID == uint32(uid) {
			return true
		}
	}
	return false
}

// ours reports whether the account is one that the agent made and nobody replaced.
func (h *simHost) ours(user string) bool {
	uid, made := h.made[user]
	a, found := h.state.Accounts[user]
	return made && found && a.UID == uid
}

// breakGlass is the daily look at deby, who is there for emergencies.
func (h *simHost) breakGlass(_ context.Context, owned plan.Ledger) error {
	h.s.point("break-glass account")
	h.s.glassAt = time.Now()
	a, found := h.state.Accounts["deby"]
	_, ours := owned.Accounts[simUsername("deby")]
	if h.s.glassWrong = !found || ours || strings.HasPrefix(a.Password, "!"); h.s.glassWrong {
		return errors.New("deby cannot log in")
	}
	return nil
}

// proveKeys asks the login hook as sshd does.
func (h *simHost) proveKeys(_ context.Context, _ plan.KeysMode, g authz.Grant) error {
	h.s.point("login hook")
	h.s.pass.proved = true
	found := map[fact]bool{}
	keyFacts(found, g.Username.String(), h.state.Files[layout.KeyFile(g.Username)])
	if h.hookBroken || len(found) == 0 {
		return errors.New("it answers nothing")
	}
	return nil
}
