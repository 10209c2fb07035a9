package agent_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/authz/wire"
)

const (
	hour = time.Hour
	year = 365 * 24 * time.Hour
)

// TestClock is the table of requirement R150 (R100 in part, T-L9 in part). Everything
// starts 20 minutes after an agent began with a right clock: gone ended 10 minutes ago,
// soon ends in 100.
func TestClock(t *testing.T) {
	const silent = time.Duration(1 << 62) // the control plane does not say what time it is
	const every = 2 * time.Minute         // fewer looks than usual
	type step struct {
		wall    time.Duration // how far this machine's clock is off
		server  time.Duration // how far the control plane's is
		restart bool
		wait    time.Duration
		soon    bool // soon can still log in
		wrong   string
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"right", []step{{0, silent, false, hour, true, ""}, {0, 0, true, hour, false, ""}}},
		{"1970-and-right-again", []step{{-30 * year, silent, false, 3 * hour, true, "jumped"}, {0, silent, false, hour, false, ""}}},
		{"1970-at-start", []step{{-30 * year, silent, true, 3 * hour, true, "went back"}, {0, silent, false, hour, false, ""}}},
		{"1970-at-start-server-says-no", []step{{-30 * year, 0, true, 3 * hour, true, "the control plane's"}, {0, 0, false, hour, false, ""}}},
		{"50-years-ahead-and-back", []step{{50 * year, silent, false, hour, true, "jumped"}, {0, silent, false, 5 * time.Minute, true, ""}, {0, silent, false, hour, false, ""}}},
		{"50-years-ahead-server-says-no", []step{{50 * year, 0, false, hour, true, "the control plane's"}, {0, 0, false, 5 * time.Minute, true, ""}}},
		// Nobody can tell at first. What ended too early comes back when two clocks agree.
		{"50-years-ahead-at-start-and-back", []step{
			{50 * year, silent, true, 5 * time.Minute, false, ""},
			{0, silent, false, 5 * time.Minute, false, "jumped"},
			{0, silent, true, 5 * time.Minute, false, "went back"},
			{0, 0, false, 5 * time.Minute, true, ""},
			{0, 0, false, 2 * hour, false, ""},
		}},
		{"an-hour-back-each-hour", []step{{-hour, silent, false, hour, true, "jumped"}, {-2 * hour, silent, false, hour, true, "jumped"},
			{-3 * hour, silent, false, hour, true, "jumped"}, {0, silent, false, hour, false, ""}}},
		{"five-minutes-back", []step{{-5 * time.Minute, silent, false, 0, true, "went back"}, {-5 * time.Minute, silent, false, 10 * time.Minute, true, ""}}},
		{"a-second-back", []step{{-time.Second, silent, false, 0, true, ""}}},
		{"suspended-30-days", []step{{year / 12, silent, false, hour, true, "jumped"}, {year / 12, year / 12, false, 5 * time.Minute, false, ""}}},
		{"off-for-30-days", []step{{year / 12, silent, true, 0, false, ""}}},
		{"server-ten-minutes-off", []step{{0, 10 * time.Minute, false, 5 * time.Minute, true, ""}, {0, -10 * time.Minute, false, 2 * hour, false, ""}}},
		{"server-a-year-off", []step{{0, year, false, 2 * hour, true, "the control plane's"}, {0, 0, false, hour, false, ""}}},
		{"both-an-hour-back", []step{{-hour, -hour, false, 5 * time.Minute, true, ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				start := time.Now()
				w.settle(newBundle(7, until(newUser("gone", 20001, true), start.Add(10*time.Minute)), until(newUser("soon", 20002, true), start.Add(2*hour))))
				var off atomic.Int64
				set := func(a *agent.Agent) {
					a.Interval = every
					a.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
				}
				stop := w.runWith(set)
				later(20 * time.Minute)
				for n, s := range c.steps {
					if s.restart {
						stop()
					}
					off.Store(int64(s.wall))
					w.source.tells(func() time.Time { return time.Now().Add(s.server) })
					if s.server == silent {
						w.source.tells(nil)
					}
					if s.restart {
						stop = w.runWith(set)
					}
					later(s.wait + every)
					// Where both clocks agree that it is earlier, gone's end is still to come.
					gone := map[bool]string{true: "open keys sudo", false: "locked"}[c.name == "both-an-hour-back"]
					if got := w.machine.may("gone"); got != gone {
						t.Errorf("step %d: gone has %q, want %q", n, got, gone)
					}
					if got := w.machine.may("soon"); (got == "open keys sudo") != s.soon || !s.soon && got != "locked" {
						t.Errorf("step %d: soon has %q", n, got)
					}
					if got := clockSaid(t, w); !strings.Contains(got, s.wrong) || s.wrong == "" && got != "" {
						t.Errorf("step %d: the report says %q of the clock, want %q", n, got, s.wrong)
					}
				}
				stop()
			})
		})
	}
}

// clockSaid is what the status says of the clock.
func clockSaid(t *testing.T, w *world) string {
	t.Helper()
	status, err := w.dir.Status()
	must(t, err)
	for _, r := range status.Report.Refused {
		if r.Code == "clock_unknown" {
			return r.Error
		}
	}
	return ""
}

// TestClock_Built: no time before the program was made is believed, not even the first
// (requirement R150).
func TestClock_Built(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issue(newBundle(7, until(newUser("alice", 20001, true), time.Now().Add(hour))))
		stop := w.runWith(func(a *agent.Agent) { a.Built = time.Now().Add(3 * hour) })
		defer stop()
		later(2 * hour)
		if got := w.machine.may("alice"); got != "open keys sudo" {
			t.Errorf("alice has %q", got)
		}
		if got := clockSaid(t, w); !strings.Contains(got, "when this program was made") {
			t.Errorf("the report says %q", got)
		}
		later(2 * hour)
		if got := w.machine.may("alice"); got != "locked" || clockSaid(t, w) != "" {
			t.Errorf("with a right clock alice has %q, the report says %q", got, clockSaid(t, w))
		}
	})
}

// TestClock_Waits: a clock that jumps about neither makes the agent spin nor stand
// still, and is no news again and again (requirement R150 and T-L9 in part).
func TestClock_Waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, until(newUser("alice", 20001, true), time.Now().Add(2*hour))))
		var off atomic.Int64
		stop := w.runWith(func(a *agent.Agent) {
			a.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
		})
		later(interval)
		w.machine.looks()
		w.source.received()
		const minutes = 60
		for n := range minutes {
			off.Store(int64(year) * int64(n%7-3))
			later(time.Minute)
		}
		stop()
		if looks := w.machine.looks(); looks < minutes || looks > 3*minutes {
			t.Errorf("%d looks in %d minutes", looks, minutes)
		}
		if reports := w.source.received(); len(reports) > 2*minutes/7+2 {
			t.Errorf("%d reports", len(reports))
		}
	})
}

var _ agent.Timed = (*source)(nil)

// TestClock_Stored: what an agent believed is on the disk.
func TestClock_Stored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		status, err := w.dir.Status()
		if err != nil || status.Seen != wire.FormatTime(time.Now()) {
			t.Errorf("stored is %q, %v", status.Seen, err)
		}
	})
}
