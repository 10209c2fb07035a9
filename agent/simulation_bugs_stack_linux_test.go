//go:build !race

package agent_test

import (
	"bytes"
	"slices"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz"
)

// Bugs in what the stack's settings and the finer points of a grant ask for.

func bugsOfModes() []simBug {
	return []simBug{
		{name: "switches-before-the-keys-are-there", do: forgets(plan.OpWriteBlock)},
		{name: "lines-stay-in-homes", do: forgets(plan.OpTakeBlock)},
		{name: "block-eats-the-users-own-lines", do: func(h *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpWriteBlock {
				h.homes.keys[s.Path] = ""
			}
			return do(s)
		}},
		{name: "logins-under-way-are-forgotten", do: func(h *simHost, s plan.Step, do step) error {
			err := do(s)
			if s.Op == plan.OpWriteSSHD && s.Switch && s.Mode != plan.KeysHome {
				for file, text := range h.homes.keys {
					left, _ := plan.SetBlock([]byte(text), nil)
					h.homes.keys[file] = string(left)
				}
			}
			return err
		}},
	}
}

func bugsOfHomes() []simBug {
	return []simBug{
		{name: "quarantine-deletes", do: func(h *simHost, s plan.Step, do step) error {
			kept := h.homes.quarantined[uint32(s.UID)]
			err := do(s)
			if s.Op == plan.OpQuarantine {
				h.homes.quarantined[uint32(s.UID)] = kept
			}
			return err
		}},
		{name: "quarantine-looks-away", do: forgets(plan.OpQuarantine)},
		{name: "adopted-keys-outlive-the-grant", see: remembersAdopted()},
		{name: "adopts-from-the-homes-of-others", start: func(s *sim, a *agent.Agent) {
			a.ForeignKeys = func(owned plan.Ledger) map[authz.Username][]plan.ForeignFile {
				found, all := map[authz.Username][]plan.ForeignFile{}, []plan.ForeignFile{}
				for _, files := range s.host.foreignKeys(owned) {
					all = append(all, files...)
				}
				for user := range owned.Accounts {
					found[user] = all
				}
				return found
			}
		}},
	}
}

func bugsOfLeaving() []simBug {
	return []simBug{
		{name: "home-goes-with-the-access", do: func(h *simHost, s plan.Step, do step) error {
			err := do(s)
			if s.Op == plan.OpLock {
				h.moveHome(layout.Home(s.User), "")
			}
			return err
		}},
		{name: "deletes-instead-of-packing", do: func(_ *simHost, s plan.Step, do step) error {
			if s.Op == plan.OpRemoveHome {
				s.Path = ""
			}
			return do(s)
		}},
		{name: "accounts-of-who-left-stay", do: forgets(plan.OpDeleteAccount)},
		{name: "adopted-accounts-are-removed", see: func(_ *simHost, _ *plan.State, owned plan.Ledger) {
			for user, own := range owned.Accounts {
				own.Before = nil
				owned.Accounts[user] = own
			}
		}},
	}
}

func bugsOfGrants() []simBug {
	return []simBug{
		{name: "list-of-commands-is-forgotten", do: func(_ *simHost, s plan.Step, do step) error {
			s.Rules = slices.Clone(s.Rules)
			for i := range s.Rules {
				s.Rules[i].Commands = authz.Commands{}
			}
			return do(s)
		}},
		{name: "restriction-is-forgotten", do: func(_ *simHost, s plan.Step, do step) error {
			for _, after := range []string{",", " "} {
				s.Keys = bytes.ReplaceAll(s.Keys, []byte(simRestricted+after), nil)
			}
			return do(s)
		}},
		{name: "many-at-once-lack-a-home", all: func(h *simHost, steps []plan.Step) { h.moveHome(layout.Home(steps[len(steps)-1].User), "") }},
	}
}

// remembersAdopted never forgets a key that was found in a home.
func remembersAdopted() func(*simHost, *plan.State, plan.Ledger) {
	old := map[authz.Username][]string{}
	return func(_ *simHost, _ *plan.State, owned plan.Ledger) {
		for user, own := range owned.Accounts {
			if len(own.Adopted) > 0 {
				old[user] = own.Adopted
			}
			own.Adopted = old[user]
			owned.Accounts[user] = own
		}
	}
}
