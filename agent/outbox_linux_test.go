package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent/client"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// serials returns the serials of reports.
func serials(reports []wire.Report) []int64 {
	var all []int64
	for _, r := range reports {
		all = append(all, r.Serial)
	}
	return all
}

// TestReport_OncePerChange: what changed is told once; a machine on which nothing
// changes is silent (requirement R154 in part and T-F14).
func TestReport_OncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issue(newBundle(7, newUser("alice", 20001, true)))
		stop := w.run()
		defer stop()
		later(10 * time.Minute)
		first := w.source.received()
		if len(first) != 1 || first[0].Serial != 7 || len(first[0].Steps) == 0 || faults(first[0]) != "" {
			t.Fatalf("after the first bundle the reports are %+v", first)
		}
		w.issue(newBundle(8, newUser("alice", 20001, true)))
		later(10 * time.Minute)
		if again := w.source.received(); len(again) != 1 || again[0].Serial != 8 || len(again[0].Steps) != 0 {
			t.Errorf("after a bundle that changes nothing here the reports are %+v", again)
		}
		for range 2 { // the same damage again is a change again
			w.machine.change(func(s *plan.State) { delete(s.Files, layout.KeysDir+"/alice") })
			later(10 * time.Minute)
			repaired := w.source.received()
			if len(repaired) != 1 || len(repaired[0].Steps) != 1 || !strings.HasPrefix(repaired[0].Steps[0].What, "write file ") {
				t.Errorf("after a repair the reports are %+v", repaired)
			}
		}
	})
}

// TestReport_LastingFault: a step that goes wrong in every pass is told once, and that
// it went well in the end is told too (requirement R154 in part).
func TestReport_LastingFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("bob", 20002, true)))
		w.machine.breaks(onStep(plan.OpCreateAccount, "alice"))
		stop := w.run()
		defer stop()
		later(0)
		w.source.received()
		w.issue(newBundle(8, newUser("alice", 20001, true), newUser("bob", 20002, true)))
		later(10 * time.Minute)
		if reports := w.source.received(); len(reports) != 1 || !strings.Contains(faults(reports[0]), errInjected.Error()) {
			t.Errorf("of a lasting fault the reports are %+v", reports)
		}
		w.machine.breaks(nil)
		later(10 * time.Minute)
		if reports := w.source.received(); len(reports) != 1 || faults(reports[0]) != "" {
			t.Errorf("after the fault the reports are %+v", reports)
		}
		// One that somebody else mended: there is nothing left to do, and that is news.
		w.machine.breaks(onStep(plan.OpRepair, "alice"))
		shell := func(shell string) {
			w.machine.change(func(s *plan.State) { a := s.Accounts["alice"]; a.Shell = shell; s.Accounts["alice"] = a })
		}
		shell("/bin/false")
		later(10 * time.Minute)
		shell(layout.Shell)
		later(10 * time.Minute)
		reports := w.source.received()
		if len(reports) != 2 || faults(reports[0]) == "" || faults(reports[1]) != "" {
			t.Errorf("of a fault that somebody mended the reports are %+v", reports)
		}
	})
}

// TestReport_ControlPlaneAway: reports wait for the control plane, in order, and
// do not delay what they are about.
func TestReport_ControlPlaneAway(t *testing.T) {
	faults := map[string]func(ctx context.Context, r wire.Report) error{
		"unreachable": func(context.Context, wire.Report) error { return errors.New("connection refused") },
		"answers-503": func(context.Context, wire.Report) error { return &client.Refused{Status: 503, Message: "later"} },
		"answers-429": func(context.Context, wire.Report) error { return &client.Refused{Status: 429, Message: "slowly"} },
		"hangs": func(ctx context.Context, _ wire.Report) error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		},
	}
	for situation, fault := range faults {
		t.Run(situation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tries := 0
				w.source.takes(func(ctx context.Context, r wire.Report) error { tries++; return fault(ctx, r) })
				stop := w.run()
				defer stop()
				w.issue(newBundle(7, newUser("alice", 20001, true)))
				synctest.Wait()
				w.issue(newBundle(8))
				synctest.Wait()
				if got := w.machine.may("alice"); got != "locked" {
					t.Errorf("while reports go nowhere alice has %q after she was revoked", got)
				}
				later(time.Hour)
				if tries < 60 || tries > 1000 {
					t.Errorf("tried %d times in an hour", tries)
				}
				w.source.takes(nil)
				later(time.Minute)
				if got := serials(w.source.received()); len(got) != 2 || got[0] != 7 || got[1] != 8 {
					t.Errorf("reports of the serials %v arrived, want 7 and 8", got)
				}
			})
		})
	}
}

// TestReport_NotTaken: a report that the control plane will never take is let go,
// and the next is sent.
func TestReport_NotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.source.takes(func(_ context.Context, r wire.Report) error {
			if r.Serial == 7 {
				return &client.Refused{Status: 400, Message: "what is that?"}
			}
			return nil
		})
		stop := w.run()
		defer stop()
		w.issue(newBundle(7, newUser("alice", 20001, true)))
		later(time.Minute)
		w.issue(newBundle(8))
		later(time.Minute)
		if got := serials(w.source.received()); len(got) != 1 || got[0] != 8 {
			t.Errorf("reports of the serials %v arrived, want 8", got)
		}
		if !strings.Contains(w.log.String(), `report not taken`) {
			t.Errorf("the log does not say that the report was let go:\n%s", w.log)
		}
	})
}

// TestReport_ManyWaiting: of very many that wait the newest are kept.
func TestReport_ManyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.source.takes(func(context.Context, wire.Report) error { return errors.New("connection refused") })
		stop := w.run()
		defer stop()
		for serial := int64(1); serial <= 120; serial++ {
			w.issue(newBundle(serial))
			synctest.Wait()
		}
		w.source.takes(nil)
		later(time.Minute)
		got := serials(w.source.received())
		if len(got) != 101 || got[0] != 1 || got[1] != 21 || got[100] != 120 { // one was on its way
			t.Errorf("%d reports arrived, %v", len(got), got)
		}
	})
}
