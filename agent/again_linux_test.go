package agent_test

import (
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent/plan"
)

// TestRun_RevokedAgain holds T-U15: a user is revoked and granted again within a
// second, a hundred times, while the agent runs and is started again, with steps that
// fail on the way. What was meant last is so in the end.
func TestRun_RevokedAgain(t *testing.T) {
	for situation, last := range map[string]bool{"granted-in-the-end": true, "revoked-in-the-end": false} {
		t.Run(situation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.settle(newBundle(7, three()...))
				stop := w.run()
				serial := int64(7)
				for n := range 101 {
					there := three()
					if granted := n%2 == 0 == last; !granted {
						there = there[1:]
					}
					serial++
					w.issue(newBundle(serial, there...))
					time.Sleep(time.Duration(n*37%1000) * time.Millisecond)
					switch {
					case n%10 == 3:
						stop()
						stop = w.run()
					case n%10 == 5:
						w.machine.breaks(func(s plan.Step) error {
							if s.User.String() == "alice" {
								return errInjected
							}
							return nil
						})
					case n%10 == 7:
						w.machine.breaks(nil)
					}
				}
				w.machine.breaks(nil)
				later(2 * interval)
				want := map[string]string{"alice": "open keys sudo", "bob": "open keys sudo", "carol": "open keys"}
				if !last {
					want["alice"] = "locked"
				}
				w.wantAll(want)
				if got := w.stored(); got != serial {
					t.Errorf("the stored bundle is %d, want %d", got, serial)
				}
				stop()
			})
		})
	}
}
