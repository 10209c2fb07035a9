package agent_test

import (
	"bytes"
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
)

// simBug is a bug planted on purpose: what the agent sees, has done or keeps is changed
// as if its code were wrong there. The zero value is none.
type simBug struct {
	name  string
	deaf  bool                                         // the control plane's silence counts as an answer
	start func(*sim, *agent.Agent)                     // called at every start
	see   func(*simHost, *plan.State, plan.Ledger)     // changes what a plan is made from
	do    func(h *simHost, s plan.Step, do step) error // stands for a step; nil: do(s)
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

// forgets is a step that does nothing.
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

// plantedBugs returns them all; each carries what it remembers.
func plantedBugs() []simBug {
	return []simBug{
		{name: "additions-before-removals", do: additionsFirst()},
		{name: "revoke-keeps-keys", do: forgets(plan.OpRemoveFile)},
		{name: "changed-keys-keep-the-old-ones", do: forgets(plan.OpTakeKeys)},
		{name: "revoke-keeps-sudo", do: forgets(plan.OpTakeSudo, plan.OpRemoveSudo)},
		{name: "revoke-keeps-groups", do: forgets(plan.OpDropGroups)},
		{name: "revoke-keeps-jobs", do: forgets(plan.OpTakeJobs)},
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
		{name: "intent-not-stored", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpCreateAccount {
				owned, err := h.s.dir.Ledger()
				delete(owned.Accounts, s.User)
				if err := errors.Join(err, h.s.dir.SaveLedger(owned)); err != nil {
					return err
				}
			}
			return do(s)
		}},
		{name: "forgets-what-it-accepted", start: loses("bundle", "seen.json")},
		{name: "forgets-what-it-holds", start: loses("bundle.held")},
		{name: "takes-what-is-to-be-held", start: func(_ *sim, a *agent.Agent) { a.TakeRemovals = true }},
		{name: "never-stale", deaf: true},
		{name: "ignores-the-freeze", start: func(s *sim, a *agent.Agent) {
			l := layout
			l.AgentDir, l.Freeze = s.path, filepath.Join(s.disk, "no-freeze")
			a.Cache = cache.Open(l, safefile.Writer{Point: s.point})
		}},
		{name: "expired-keys-stay", see: func(_ *simHost, state *plan.State, _ plan.Ledger) {
			for path, f := range state.Files {
				if _, end, found := strings.Cut(string(f.Content), `expiry-time="`); found && end[:15] < simTime(time.Now()) {
					delete(state.Files, path)
				}
			}
		}},
		{name: "keys-without-an-end", do: func(_ *simHost, s plan.Step, do step) error {
			s.Keys = keyEnd.ReplaceAll(s.Keys, nil)
			return do(s)
		}},
		{name: "keys-half-written", do: func(_ *simHost, s plan.Step, do step) error {
			s.Keys = s.Keys[:len(s.Keys)*2/3]
			return do(s)
		}},
		{name: "blind-to-modes", see: func(h *simHost, state *plan.State, _ plan.Ledger) {
			for path, f := range state.Files {
				if !f.Folder && bytes.HasPrefix(f.Content, []byte("# latchkey")) {
					f.UID, f.GID, f.Mode = 0, h.state.Groups[layout.HookUser].GID, 0o640
					state.Files[path] = f
				}
			}
		}},
		{name: "adopts-what-is-there", see: func(h *simHost, _ *plan.State, owned plan.Ledger) {
			for _, name := range simNames {
				if a, found := h.state.Accounts[name]; found && !h.ours(name) {
					owned.Accounts[simUsername(name)] = plan.Owned{UID: authz.UID(a.UID), State: plan.Present}
				}
			}
		}},
		{name: "touches-a-neighbour", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpRepair {
				a := h.state.Accounts["deby"]
				a.Shell = layout.Shell + "2"
				h.state.Accounts["deby"] = a
			}
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
		{name: "stops-at-the-first-failure", do: stopsAtFailure()},
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
