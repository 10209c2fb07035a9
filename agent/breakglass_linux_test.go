package agent_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestBreakGlass is requirement R144's rhythm: a fault is known within a day, its end
// within an hour, and looking is no reason to report again.
func TestBreakGlass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		var (
			mu    sync.Mutex
			fault error // guarded by mu
			looks int   // guarded by mu
		)
		fails := func(err error) { mu.Lock(); defer mu.Unlock(); fault = err }
		looked := func() int { mu.Lock(); defer mu.Unlock(); return looks }
		stop := w.runWith(func(a *agent.Agent) {
			a.Interval = time.Hour
			a.BreakGlass = func(_ context.Context, owned plan.Ledger) error {
				mu.Lock()
				defer mu.Unlock()
				looks++
				if len(owned.Accounts) != 1 {
					t.Errorf("the ledger has %d accounts", len(owned.Accounts))
				}
				return fault
			}
		})
		said := func(want string, refused int) {
			t.Helper()
			status, err := w.dir.Status()
			if err != nil || !strings.Contains(status.BreakGlass, want) || codes(status.Report.Refused)["break_glass"] != refused {
				t.Errorf("status %q, %s, %v", status.BreakGlass, faults(status.Report), err)
			}
		}
		later(time.Hour)
		said("in order at 2000-01-01T00:", 0)
		w.source.received()
		fails(&authz.Refusal{Code: "break_glass", Text: "the key has ended"})
		later(24 * time.Hour)
		said("the key has ended", 1)
		if reports := w.source.received(); len(reports) != 1 || codes(reports[0].Refused)["break_glass"] != 1 {
			t.Errorf("the reports are %+v", reports)
		}
		if n := looked(); n < 2 || n > 3 { // at the start, when it was found, and perhaps an hour later
			t.Errorf("%d looks in a day", n)
		}
		later(3 * time.Hour)
		if n := looked(); n < 5 || n > 7 {
			t.Errorf("%d looks after three hours of trouble", n)
		}
		fails(nil)
		later(2 * time.Hour)
		said("in order at", 0)
		stop()
		// Who starts it without an account to look at is told so by an empty word.
		stop = w.run()
		later(interval)
		if status, err := w.dir.Status(); err != nil || status.BreakGlass != "" {
			t.Errorf("status %q, %v", status.BreakGlass, err)
		}
		stop()
	})
}

// TestBreakGlass_Apply: what is done by hand does not forget what the agent that runs
// found.
func TestBreakGlass_Apply(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, newUser("alice", 20001, true)))
	a := w.agent()
	a.BreakGlass = func(context.Context, plan.Ledger) error { return nil }
	must(t, a.Load())
	_, err := a.Pass(t.Context())
	must(t, err)
	_, err = w.once()
	must(t, err)
	if status, err := w.dir.Status(); err != nil || !strings.HasPrefix(status.BreakGlass, "in order") {
		t.Errorf("status %q, %v", status.BreakGlass, err)
	}
}
