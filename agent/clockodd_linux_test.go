package agent_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
)

// TestClock_Odd holds T-L9, with TestClock's jumps: a clock that goes back an hour each
// minute, one that is stepped over and over as a time server does it, a leap second at
// the very end of a grant, and zones and daylight saving, which are no time at all. Who
// has ended stays ended, who has not ends at his instant by a clock that is right, and
// the looks keep their pace.
func TestClock_Odd(t *testing.T) {
	zone := func(hours int) *time.Location { return time.FixedZone(fmt.Sprint(hours), hours*3600) }
	for _, c := range []struct {
		name string
		off  func(gone time.Duration) time.Duration // of the wall clock, so long after the start
		zone func(gone time.Duration) *time.Location
		late time.Duration // how long after its end a grant may still be there
	}{
		{"right", nil, nil, 0},
		{"back-an-hour-each-minute", func(gone time.Duration) time.Duration {
			return -hour * (gone.Truncate(time.Minute) / time.Minute)
		}, nil, year},
		{"back-an-hour-each-minute-then-right", func(gone time.Duration) time.Duration {
			if gone > hour {
				return 0
			}
			return -hour * (gone.Truncate(time.Minute) / time.Minute)
		}, nil, 0},
		{"stepped", func(gone time.Duration) time.Duration {
			return []time.Duration{400 * time.Millisecond, -30 * time.Second, 20 * time.Second, 0}[int(gone/(5*time.Minute))%4]
		}, nil, 31 * time.Second},
		{"leap-second", func(gone time.Duration) time.Duration {
			if gone >= 2*hour {
				return -time.Second
			}
			return 0
		}, nil, 0}, // its end has come once, and comes once more
		{"zones", nil, func(gone time.Duration) *time.Location { return zone(int(gone/time.Minute)%26 - 12) }, 0},
		{"daylight-saving-begins", nil, func(gone time.Duration) *time.Location {
			return zone(map[bool]int{false: 1, true: 2}[gone >= 2*hour-time.Minute])
		}, 0},
		{"daylight-saving-ends", nil, func(gone time.Duration) *time.Location {
			return zone(map[bool]int{false: 2, true: 1}[gone >= 2*hour-time.Minute])
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				start := time.Now()
				w.settle(newBundle(7, until(newUser("gone", 20001, true), start.Add(time.Second)), until(newUser("soon", 20002, true), start.Add(2*hour))))
				w.source.answers(away)
				stop := w.runWith(func(a *agent.Agent) {
					a.Now = func() time.Time {
						now := time.Now()
						if gone := now.Sub(start); c.off != nil {
							now = now.Add(c.off(gone))
						}
						if c.zone != nil {
							now = now.In(c.zone(time.Since(start)))
						}
						return now
					}
				})
				defer stop()
				later(2 * time.Second)
				const minutes = 180
				w.machine.looks()
				for range minutes {
					if got := w.machine.may("gone"); got != "locked" {
						t.Fatalf("after %v gone has %q", time.Since(start), got)
					}
					got, past := w.machine.may("soon"), time.Since(start)-2*hour
					if past < -30*time.Second && got != "open keys sudo" || past > c.late+interval && got != "locked" {
						t.Fatalf("after %v soon has %q", time.Since(start), got)
					}
					time.Sleep(time.Minute)
					synctest.Wait()
				}
				if looks := w.machine.looks(); looks < 2*minutes-2 || looks > 3*minutes {
					t.Errorf("%d looks in %d minutes", looks, minutes)
				}
			})
		})
	}
}
