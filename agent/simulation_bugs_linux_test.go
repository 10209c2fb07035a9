//go:build !race

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// simBug is a bug planted on purpose: what the agent sees, has done or keeps is changed
// as if its code were wrong there. The zero value is none.
type simBug struct {
	name  string
	deaf  bool                                         // the control plane's silence counts as an answer
	start func(*sim, *agent.Agent)                     // called at every start
	see   func(*simHost, *plan.State, plan.Ledger)     // changes what a plan is made from
	do    func(h *simHost, s plan.Step, do step) error // stands for a step; nil: do(s)
	all   func(*simHost, []plan.Step)                  // changes what became of many steps at once
}

// step makes a step true.
type step func(plan.Step) error

func (b simBug) set(s *sim, a *agent.Agent) {
	if b.start != nil {
		b.start(s, a)
	}
}

func (b simBug) observe(h *simHost, state *plan.State, owned plan.Ledger) {
	if b.see != nil {
		b.see(h, state, owned)
	}
}

func (b simBug) apply(h *simHost, s plan.Step, do step) error {
	if b.do != nil {
		return b.do(h, s, do)
	}
	return do(s)
}

// plantedBugs returns them all; each carries what it remembers, so that a list is good for
// one go.
func plantedBugs() []simBug {
	return slices.Concat(bugsOfTaking(), bugsOfGiving(), bugsOfSeeing(), bugsOfMemory(), bugsOfTelling(),
		bugsOfModes(), bugsOfHomes(), bugsOfLeaving(), bugsOfGrants())
}

func bugsOfTaking() []simBug {
	return []simBug{
		{name: "additions-before-removals", do: additionsFirst()},
		{name: "revoke-keeps-keys", do: forgets(plan.OpRemoveFile)},
		{name: "changed-keys-keep-the-old-ones", do: forgets(plan.OpTakeKeys)},
		{name: "revoke-keeps-sudo", do: forgets(plan.OpTakeSudo, plan.OpRemoveSudo)},
		{name: "revoke-keeps-groups", do: forgets(plan.OpDropGroups)},
		{name: "revoke-keeps-jobs", do: forgets(plan.OpTakeJobs)},
		{name: "revoke-keeps-linger", do: forgets(plan.OpEndLinger)},
		{name: "revoke-keeps-the-account-open", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op != plan.OpLock {
				return do(s)
			}
			a := h.state.Accounts[s.User.String()]
			a.Password = "!"
			h.state.Accounts[s.User.String()] = a
			return nil
		}},
		{name: "sessions-live-on", do: func(h *simHost, s plan.Step, do step) error {
			n := h.state.Processes[s.UID]
			err := do(s)
			if s.Op == plan.OpEndSessions || s.Op == plan.OpLock {
				h.state.Processes[s.UID] = n
			}
			return err
		}},
		{name: "stops-at-the-first-failure", do: stopsAtFailure()},
	}
}

func bugsOfGiving() []simBug {
	return []simBug{
		{name: "keys-of-the-earlier-user-of-a-name", do: keepsOldKeys()},
		{name: "home-of-the-earlier-user-of-a-name", do: func(h *simHost, s plan.Step, do step) error {
			path := layout.Home(s.User)
			home, had := h.state.Homes[path]
			err := do(s)
			if s.Op == plan.OpRetire && had {
				h.state.Homes[path] = home
			}
			return err
		}},
		{name: "keys-without-an-end", do: func(_ *simHost, s plan.Step, do step) error {
			s.Keys = keyEnd.ReplaceAll(s.Keys, nil)
			return do(s)
		}},
		{name: "keys-half-written", do: func(_ *simHost, s plan.Step, do step) error {
			s.Keys = s.Keys[:len(s.Keys)*2/3]
			return do(s)
		}},
		{name: "sudo-for-everybody", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpGiveSudo {
				s.Rules = nil
				for name := range h.made {
					s.Rules = append(s.Rules, plan.Rule{User: simUsername(name)})
				}
			}
			return do(s)
		}},
		{name: "sudo-without-proof", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpGiveSudo && h.overrides {
				h.make(s)
				return nil
			}
			return do(s)
		}},
		{name: "touches-a-neighbour", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpRepair {
				a := h.state.Accounts["deby"]
				a.Shell = layout.Shell + "2"
				h.state.Accounts["deby"] = a
			}
			return do(s)
		}},
	}
}

func bugsOfSeeing() []simBug {
	return []simBug{
		{name: "expired-keys-stay", see: func(_ *simHost, state *plan.State, _ plan.Ledger) {
			for path, f := range state.Files {
				if _, end, found := strings.Cut(string(f.Content), `expiry-time="`); found && end[:15] < simTime(time.Now()) {
					delete(state.Files, path)
				}
			}
		}},
		{name: "time-stands-still", start: func(s *sim, a *agent.Agent) { a.Now = func() time.Time { return s.started } }},
		{name: "blind-to-modes", see: func(h *simHost, state *plan.State, _ plan.Ledger) {
			for path, f := range state.Files {
				if !f.Folder && bytes.HasPrefix(f.Content, []byte("# latchkey")) {
					f.UID, f.GID, f.Mode = 0, h.state.Groups[layout.HookUser].GID, 0o644
					state.Files[path] = f
				}
			}
		}},
		{name: "blind-to-the-drop-in", see: func(_ *simHost, state *plan.State, owned plan.Ledger) {
			if owned.SSHDLoaded {
				state.Files[layout.SSHD] = plan.File{Content: plan.SSHDFile(layout, plan.KeysCommand), Mode: 0o644}
			}
		}},
		{name: "adopts-what-is-there", see: func(h *simHost, _ *plan.State, owned plan.Ledger) {
			for _, name := range simNames {
				if a, found := h.state.Accounts[name]; found && !h.ours(name) {
					owned.Accounts[simUsername(name)] = plan.Owned{UID: authz.UID(a.UID), State: plan.Present}
				}
			}
		}},
		{name: "never-stale", deaf: true},
		{name: "ignores-the-freeze", start: func(s *sim, a *agent.Agent) {
			l := layout
			l.AgentDir, l.Freeze = s.path, filepath.Join(simDisk, "no-freeze")
			a.Cache = cache.Open(l, safefile.Writer{Point: s.point})
		}},
	}
}

func bugsOfMemory() []simBug {
	return []simBug{
		{name: "ledger-after-the-step", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpCreateAccount {
				owned, err := h.s.dir.Ledger()
				delete(owned.Accounts, s.User)
				if err := errors.Join(err, h.s.dir.SaveLedger(owned)); err != nil {
					return err
				}
			}
			return do(s)
		}},
		{name: "forgets-what-was-begun", do: func(h *simHost, s plan.Step, do step) error {
			s.Again = s.Again && s.String() != h.s.pass.late
			return do(s)
		}},
		{name: "takes-a-rollback", start: loses("bundle", "seen.json")},
		{name: "forgets-what-it-holds", start: loses("bundle.held")},
		{name: "takes-what-is-to-be-held", start: func(_ *sim, a *agent.Agent) { a.TakeRemovals = true }},
		{name: "sets-nothing-aside", start: loses("trial.json")},
	}
}

func bugsOfTelling() []simBug {
	return []simBug{
		{name: "hides-what-went-wrong", do: func(_ *simHost, s plan.Step, do step) error { _ = do(s); return nil }},
		{name: "reports-nothing", start: func(s *sim, a *agent.Agent) { a.Source = muteSource{s.plane} }},
		{name: "asks-no-hook", start: func(_ *sim, a *agent.Agent) { a.ProveKeys = nil }},
		{name: "looks-at-no-break-glass-account", start: func(_ *sim, a *agent.Agent) { a.BreakGlass = nil }},
	}
}

// muteSource takes reports to nobody.
type muteSource struct{ *simPlane }

func (muteSource) Report(context.Context, wire.Report) error { return nil }

// forgets is a step that is said to be done and is not.
func forgets(ops ...plan.Op) func(*simHost, plan.Step, step) error {
	return func(_ *simHost, s plan.Step, do step) error {
		if slices.Contains(ops, s.Op) {
			return nil
		}
		return do(s)
	}
}

// loses removes files of the agent's folder at every start.
func loses(files ...string) func(*sim, *agent.Agent) {
	return func(s *sim, _ *agent.Agent) {
		for _, f := range files {
			_ = os.Remove(filepath.Join(s.path, f))
		}
	}
}

var keyEnd = regexp.MustCompile(`expiry-time="[0-9]*Z" `)

// keepsOldKeys writes a key file with what was in it when it was removed.
func keepsOldKeys() func(*simHost, plan.Step, step) error {
	old := map[string][]byte{}
	return func(h *simHost, s plan.Step, do step) error {
		switch s.Op {
		case plan.OpRemoveFile:
			_, old[s.Path], _ = bytes.Cut(h.state.Files[s.Path].Content, []byte("\n"))
		case plan.OpWriteKeys:
			s.Keys = slices.Concat(s.Keys, old[s.Path])
		}
		return do(s)
	}
}

// additionsFirst puts off what takes access away.
func additionsFirst() func(*simHost, plan.Step, step) error {
	var late []plan.Step
	return func(_ *simHost, s plan.Step, do step) error {
		if s.Op <= plan.OpRetire {
			late = append(late, s)
			return nil
		}
		err := do(s)
		for _, s := range late {
			err = errors.Join(err, do(s))
		}
		late = nil
		return err
	}
}

// stopsAtFailure does nothing more in a pass in which something went wrong.
func stopsAtFailure() func(*simHost, plan.Step, step) error {
	pass, failed := 0, false
	return func(h *simHost, s plan.Step, do step) error {
		if h.s.passes != pass {
			pass, failed = h.s.passes, false
		}
		if failed {
			return errInjected
		}
		err := do(s)
		failed = err != nil
		return err
	}
}
