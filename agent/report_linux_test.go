package agent_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// TestReport_Troubles holds R154 in part, the agent's half of it together with
// TestRun_Fight, TestReport_LastingFault and TestForeign_Told: whatever is wrong with one
// user, with the bundle, with the silence or with the machine itself is in a report to the
// control plane under a code of its own, and in the status, with the agent's version and
// the serial it works from, and it is told too when it is over. What could not be told
// while it lasted is told afterwards. Nobody else is concerned.
func TestReport_Troubles(t *testing.T) {
	alice, bob, carol := newUser("alice", 20001, true), newUser("bob", 20002, false), newUser("carol", 20003, false)
	var clock atomic.Int64
	var glass atomic.Bool
	with := func(users ...wire.User) func(*world) {
		return func(w *world) { w.issue(newBundle(8, append(users, alice, bob)...)) }
	}
	root := newUser("root", 20003, true)
	second := newUser("alice", 20003, false)
	restricted := carol
	restricted.Keys = []string{"ssh-ed25519 AAAA"}
	account := func(w *world, there bool) {
		w.machine.change(func(s *plan.State) {
			delete(s.Accounts, "carol")
			if there {
				s.Accounts["carol"] = plan.Account{UID: 1000, GID: 1000, Home: "/home/carol", Shell: "/bin/sh"}
			}
		})
	}
	for _, c := range []struct {
		name, code, what string
		serial           int64 // that it works from meanwhile
		begin, end       func(w *world)
		lasts            time.Duration
		cut              bool // the control plane is away meanwhile
	}{
		{"users-name", "", "root", 8, with(root), nil, hour, false},
		{"users-key", "", "carol", 8, with(restricted), nil, hour, false},
		{"users-name-of-another", "twice", "alice", 8, with(second), nil, hour, false},
		{"users-name-taken-here", "name_taken", "carol", 8, func(w *world) { account(w, true); with(carol)(w) }, func(w *world) { account(w, false) }, hour, false},
		{"bundle-held", "mass_removal", "bundle 8", 7, func(w *world) { w.issueAsIs(newBundle(8)) }, nil, hour, false},
		{"frozen", "frozen", "every change", 7, func(w *world) { must(t, w.dir.Freeze("")) }, func(w *world) { must(t, w.dir.Unfreeze()) }, hour, false},
		{"clock", "clock_unknown", "clock", 7, func(*world) { clock.Store(int64(-year)) }, func(*world) { clock.Store(0) }, hour, false},
		{"break-glass", "break_glass", "break-glass account", 7, func(*world) { glass.Store(true) }, func(*world) { glass.Store(false) }, 25 * hour, false},
		{"silence", "stale", "control plane", 7, func(w *world) {
			w.source.answers(away)
			w.source.takes(func(context.Context, wire.Report) error { return errors.New("no route to host") })
		}, func(w *world) {
			w.source.answers(nil)
			w.source.takes(nil)
		}, 3 * hour, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				first := newBundle(7, alice, bob)
				first.Settings.Stale = "drop-sudo:2h"
				w.settle(first)
				facts := wire.Facts{Hostname: "web-1", OS: "linux", Agent: "1.2.3"}
				stop := w.runWith(func(a *agent.Agent) {
					a.Facts, a.Interval = facts, 10*time.Minute
					a.Now = func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
					a.BreakGlass = func(context.Context, plan.Ledger) error {
						if glass.Load() {
							return &authz.Refusal{Code: "break_glass", Text: "the key has ended"}
						}
						return nil
					}
				})
				defer stop()
				later(time.Minute)
				told := func(r wire.Report) bool {
					return slices.ContainsFunc(r.Refused, func(f wire.Result) bool {
						return f.What == c.what && f.Error != "" && (f.Code == c.code || c.code == "" && f.Code != "")
					})
				}
				quiet := w.source.received()
				if len(quiet) == 0 || faults(quiet[len(quiet)-1]) != "" {
					t.Fatalf("before, the reports are %+v", quiet)
				}
				c.begin(w)
				later(c.lasts)
				status, err := w.dir.Status()
				if err != nil || !told(status.Report) {
					t.Errorf("the status says\n%s%v", faults(status.Report), err)
				}
				if got := w.machine.may("bob"); got != "open keys" {
					t.Errorf("bob has %q", got)
				}
				during := w.source.received()
				if c.end != nil {
					c.end(w)
				}
				w.issue(newBundle(9, alice, bob))
				later(hour + time.Minute) // as often is an account for emergencies looked at that is wrong
				all := append(during, w.source.received()...)
				at := slices.IndexFunc(all, told)
				if at < 0 || (at >= len(during)) != c.cut || all[at].Serial != c.serial {
					t.Fatalf("%d reports came meanwhile, of all it is in number %d: %+v", len(during), at, all)
				}
				if last := all[len(all)-1]; faults(last) != "" || last.Serial != 9 {
					t.Errorf("when it is over the report of serial %d says\n%s", last.Serial, faults(last))
				}
				for _, r := range all {
					if r.Facts != facts || r.Epoch != first.Epoch || r.At == "" {
						t.Errorf("a report is of epoch %d, at %q, of %+v", r.Epoch, r.At, r.Facts)
					}
				}
				if strings.Contains(w.log.String(), "not taken") {
					t.Errorf("the log says\n%s", w.log)
				}
			})
		})
	}
}
