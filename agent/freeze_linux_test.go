package agent_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// TestFreeze_Pass is requirement R149 in part: while the file is there no step is taken
// and everything else goes on.
func TestFreeze_Pass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ends := time.Now().Add(10 * time.Minute)
		w.settle(newBundle(7, newUser("alice", 20001, true), until(newUser("bob", 20002, true), ends)))
		before := w.machine.String()
		must(t, w.dir.Freeze("moving house"))
		wake := make(chan struct{})
		stop := w.runWith(func(a *agent.Agent) { a.Wake = wake })
		w.issue(newBundle(8, newUser("carol", 20003, false)))
		later(20 * time.Minute) // bob's end is past
		if after := w.machine.String(); after != before {
			t.Errorf("the machine is\n%swas\n%s", after, before)
		}
		if steps := w.machine.take(); len(steps) != 0 {
			t.Errorf("it took the steps %q", steps)
		}
		if got := w.stored(); got != 8 {
			t.Errorf("stored is serial %d", got)
		}
		reports := w.source.received()
		if len(reports) == 0 {
			t.Fatal("there is no report")
		}
		last := reports[len(reports)-1]
		text := faults(last)
		for _, want := range []string{`refused "every change" frozen: changes are frozen on this machine since `, ": moving house\n",
			"step create account carol (uid 20003): create account carol (uid 20003): changes are frozen", "lock account alice (uid 20001): changes are frozen"} {
			if last.Serial != 8 || !strings.Contains(text, want) {
				t.Errorf("the report of serial %d does not say %q:\n%s", last.Serial, want, text)
			}
		}
		status, err := w.dir.Status()
		if err != nil || !strings.Contains(faults(status.Report), "moving house") {
			t.Errorf("status %+v, %v", status, err)
		}
		if said := strings.Count(w.log.String(), "nothing is changed"); said != 1 {
			t.Errorf("the log says it %d times", said)
		}
		must(t, w.dir.Unfreeze())
		wake <- struct{}{}
		synctest.Wait()
		for user, want := range map[string]string{"alice": "locked", "bob": "locked", "carol": "open keys"} {
			if got := w.machine.may(user); got != want {
				t.Errorf("after the freeze %s has %q, want %q", user, got, want)
			}
		}
		stop()
	})
}

// TestFreeze_ByName: root's explicit word counts more than his freeze, but not to
// give more access.
func TestFreeze_ByName(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, newUser("alice", 20001, true)))
	a := w.agent()
	must(t, a.Load())
	_, err := a.EnableSSHD(t.Context())
	must(t, err)
	must(t, w.dir.Freeze(""))
	if _, err := a.EnableSSHD(t.Context()); !errors.Is(err, agent.ErrFrozen) {
		t.Errorf("sshd enable gave %v", err)
	}
	w.machine.change(func(s *plan.State) { delete(s.Files, layout.Sudoers) })
	p, err := a.Plan(t.Context())
	if err != nil || !strings.Contains(p.String(), "sudo for alice") {
		t.Errorf("plan prints %q, %v", p, err)
	}
	if _, err := a.DisableSSHD(t.Context()); err != nil {
		t.Errorf("sshd disable: %v", err)
	}
	if _, _, err := a.Revert(t.Context()); err != nil {
		t.Errorf("revert: %v", err)
	}
	w.wantGivenBack()
}

// TestFreeze_Restart: an agent that starts frozen leaves a machine alone that it has
// never touched (T-L8 in part).
func TestFreeze_Restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		before := w.machine.String()
		must(t, w.dir.Freeze("not yet"))
		w.issue(newBundle(1, newUser("alice", 20001, true)))
		for range 2 {
			stop := w.run()
			later(2 * interval)
			stop()
		}
		if after := w.machine.String(); after != before {
			t.Errorf("the machine is\n%swas\n%s", after, before)
		}
		if reports := w.source.received(); len(reports) == 0 || codes(reports[0].Steps)["frozen"] == 0 {
			t.Errorf("the reports are %+v", reports)
		}
	})
}

// codes counts the codes of some results.
func codes(results []wire.Result) map[string]int {
	count := map[string]int{}
	for _, r := range results {
		count[r.Code]++
	}
	return count
}
