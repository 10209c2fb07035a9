package agent_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// legacy puts accounts on the machine that somebody else made, in one group, and returns
// an agent that sees them.
func (w *world) legacy(users map[string]uint32) *agent.Agent {
	w.t.Helper()
	local := map[string]plan.Local{}
	var members []string
	w.machine.change(func(s *plan.State) {
		s.Groups["opsworks"] = plan.Group{Name: "opsworks", GID: 1500}
		for name, uid := range users {
			a := plan.Account{Name: name, UID: uid, GID: 1500, Home: "/home/" + name, Shell: "/bin/bash", Password: "set"}
			s.Accounts[name], s.Homes[a.Home] = a, plan.Folder{Real: true, UID: uid}
			local[name] = plan.Local{Account: a, Before: plan.Before{Passwd: name, Shadow: "secret", Groups: []string{}}}
			members = append(members, name)
		}
	})
	a := w.agent()
	a.Locals = func(group string) (map[string]plan.Local, []string, error) {
		if group != "opsworks" {
			return local, nil, nil
		}
		return local, members, nil
	}
	must(w.t, a.Load())
	must(w.t, a.Fetch(w.t.Context()))
	return a
}

// TestAdopt holds T-U2 in part: a plan changes nothing; adopting records first and then
// repairs; revert gives back and removes nothing (requirement R15 in part).
func TestAdopt(t *testing.T) {
	w := newWorld(t)
	w.issue(newBundle(7, newUser("alice", 2001, false), newUser("bob", 20002, false)))
	a := w.legacy(map[string]uint32{"alice": 2001, "bob": 2002, "carol": 2003})
	before := w.machine.String()
	got, err := a.PlanAdoption(t.Context(), []string{"bob"}, "opsworks")
	must(t, err)
	want := `{"take":[{"name":"alice","uid":2001}],` +
		`"refused":[{"name":"bob","code":"other_uid","reason":"the uid here is not the user's: it is 2002 here and 20002 there; import the user with uid 2002, or leave the account alone"}],` +
		`"left":[{"name":"carol","code":"not_granted","reason":"the stack lets nobody of that name in: give the user SSH first"}],` +
		`"steps":["repair account alice (uid 2001): password is not *, group is not its own, not in group latchkey",` +
		`"write file /var/lib/latchkey/authorized_keys/alice"],` +
		`"notes":["each account gets a primary group of its own; files keep the group they have",` +
		`"passwords stop working until the account is given back",` +
		`"sshd goes on reading keys from the homes of these accounts until  latchkey-agent sshd enable"]}`
	text, err := json.Marshal(got)
	must(t, err)
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("planned (-want +got):\n%s", diff)
	}
	if steps := w.machine.take(); len(steps) != 0 || w.machine.String() != before {
		t.Errorf("planning took the steps %q", steps)
	}

	got, report, err := a.Adopt(t.Context(), nil, "opsworks")
	must(t, err)
	if bad := faults(wire.Report{Steps: report.Steps}); bad != "" || len(got.Take) != 1 {
		t.Errorf("taken %v, not done:\n%s", got.Take, bad)
	}
	if got := w.machine.may("alice"); got != "open keys" {
		t.Errorf("alice has %q", got)
	}
	for _, name := range []string{"bob", "carol"} {
		if s := w.machine.copy(); s.Accounts[name].Password != "set" {
			t.Errorf("%s is %+v", name, s.Accounts[name])
		}
	}
	if log := w.log.String(); strings.Contains(log, "secret") || !strings.Contains(log, "account adopted") {
		t.Errorf("the log says\n%s", log)
	}
	if again, _, err := a.Adopt(t.Context(), nil, "opsworks"); err != nil || len(again.Take) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	results, _, err := a.Revert(t.Context())
	if s := w.machine.copy(); err != nil || s.Accounts["alice"].UID != 2001 {
		t.Errorf("Revert = %v, %v; alice is %+v", results, err, s.Accounts["alice"])
	}
}

// TestAdopt_NotNow: without a bundle, on a frozen machine or where the record cannot be
// stored, nothing is taken over.
func TestAdopt_NotNow(t *testing.T) {
	w := newWorld(t)
	a := w.legacy(map[string]uint32{"alice": 2001})
	if _, _, err := a.Adopt(t.Context(), []string{"alice"}, ""); !errors.Is(err, agent.ErrNoBundle) {
		t.Errorf("Adopt = %v", err)
	}
	w.issue(newBundle(7, newUser("alice", 2001, false)))
	must(t, a.Fetch(t.Context()))
	must(t, w.dir.Freeze("no"))
	if _, _, err := a.Adopt(t.Context(), []string{"alice"}, ""); !errors.Is(err, agent.ErrFrozen) {
		t.Errorf("Adopt = %v", err)
	}
	if steps := w.machine.take(); len(steps) != 0 {
		t.Errorf("steps were taken: %q", steps)
	}
}
