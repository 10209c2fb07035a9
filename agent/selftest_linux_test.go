package agent_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestSelfTest is the rest of requirement R148: after each pass that changed something
// the login hook is asked once, and as long as it is wrong; a fault is told and takes
// nothing from anybody.
func TestSelfTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issue(newBundle(7, newUser("alice", 20001, true)))
		var (
			mu    sync.Mutex
			asked string // guarded by mu
			fault error  // guarded by mu
		)
		fails := func(err error) { mu.Lock(); defer mu.Unlock(); fault = err }
		take := func() string { mu.Lock(); defer mu.Unlock(); who := asked; asked = ""; return who }
		stop := w.runWith(func(a *agent.Agent) {
			a.ProveKeys = func(_ context.Context, _ plan.KeysMode, g authz.Grant) error {
				mu.Lock()
				defer mu.Unlock()
				asked += g.Username.String() + " "
				return fault
			}
		})
		defer func() { stop() }()
		want := func(situation, who string, told int) {
			t.Helper()
			later(interval)
			status, err := w.dir.Status()
			if asked := take(); asked != who || err != nil || codes(status.Report.Refused)["self_test"] != told {
				t.Errorf("%s: asked for %q, want %q; the report says\n%s%v", situation, asked, who, faults(status.Report), err)
			}
		}
		want("sshd-does-not-ask-us", "", 0)
		a := w.agent()
		must(t, a.Load())
		_, err := a.EnableSSHD(t.Context())
		must(t, err)
		want("nothing-changed", "", 0)
		noKey := newUser("adam", 20000, false)
		noKey.Keys = []string{}
		w.issue(newBundle(8, noKey, newUser("alice", 20001, true), newUser("bob", 20002, false)))
		want("user-without-a-key-first", "alice ", 0)
		want("nothing-changed-again", "", 0)

		w.machine.breaks(onStep(plan.OpWriteKeys, "aaron"))
		w.issue(newBundle(9, newUser("aaron", 20003, false), newUser("alice", 20001, true)))
		want("a-step-fails-before-her", "alice ", 0)
		w.machine.breaks(nil)
		later(2 * interval)
		take()

		fails(errors.New("latchkey-keys ended with code 1"))
		w.issue(newBundle(10, newUser("alice", 20001, true)))
		later(interval)
		if asked := take(); asked == "" || w.machine.may("alice") != "open keys sudo" || w.machine.may("aaron") != "locked" {
			t.Errorf("asked for %q, alice has %q, aaron %q", asked, w.machine.may("alice"), w.machine.may("aaron"))
		}
		want("still-wrong", "alice ", 1)
		fails(nil)
		want("right-again", "alice ", 0)
		want("right", "", 0)
	})
}
