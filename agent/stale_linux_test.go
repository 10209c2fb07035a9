package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
)

func away(context.Context, int) ([]byte, bool, error) {
	return nil, false, errors.New("no route to host")
}

// TestStale is requirement R142 (T-L2): each policy a second before its limit and a
// second after it, over a restart and a clock that jumps; and everything comes back.
func TestStale(t *testing.T) {
	const limit = 2 * time.Hour
	const every = 5 * time.Minute
	policies := []struct {
		setting string
		after   string // what alice, who has sudo, has after the limit
	}{
		{"keep", "open keys sudo"}, {"drop-sudo:2h", "open keys"}, {"drop-all:2h", "locked"},
	}
	for _, c := range []struct {
		name string
		// meanwhile happens within the silence and lets half of it pass.
		meanwhile func(restart func(), off *atomic.Int64)
	}{
		{"running", func(func(), *atomic.Int64) { time.Sleep(limit / 2) }},
		{"restarted", func(restart func(), _ *atomic.Int64) { time.Sleep(limit / 2); restart() }},
		{"switched-off", func(restart func(), _ *atomic.Int64) {
			time.Sleep(every)
			restart()
			time.Sleep(limit/2 - every)
			restart()
		}},
		{"clock-a-year-ahead", func(_ func(), off *atomic.Int64) { off.Store(int64(year)); time.Sleep(limit / 2) }},
		{"clock-a-year-back", func(_ func(), off *atomic.Int64) { off.Store(int64(-year)); time.Sleep(limit / 2); off.Store(0) }},
	} {
		for _, p := range policies {
			t.Run(c.name+"-"+strings.ReplaceAll(p.setting, ":", "-"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					b := newBundle(7, newUser("alice", 20001, true))
					b.Settings.Stale = p.setting
					w.settle(b)
					foreign := w.machine.may("deby")
					var off atomic.Int64
					start := func() (stop func()) {
						return w.runWith(func(a *agent.Agent) {
							a.Interval = every
							a.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
						})
					}
					stop := start()
					later(10 * time.Minute)
					w.source.answers(away)
					cut := time.Now()
					later(every) // that the answer came is stored
					c.meanwhile(func() { stop(); stop = start() }, &off)
					time.Sleep(time.Until(cut.Add(limit - time.Second)))
					synctest.Wait()
					if got := w.machine.may("alice"); got != "open keys sudo" {
						t.Errorf("a second before the limit alice has %q", got)
					}
					time.Sleep(2 * time.Second)
					synctest.Wait()
					if got := w.machine.may("alice"); got != p.after {
						t.Errorf("a second after the limit alice has %q, want %q", got, p.after)
					}
					status, err := w.dir.Status()
					if told := codes(status.Report.Refused)["stale"]; err != nil || (told == 1) != (p.setting != "keep") {
						t.Errorf("the report says it %d times, %v", told, err)
					}
					stop()
					stop = start()
					later(hour)
					if got := w.machine.may("alice"); got != p.after {
						t.Errorf("after a restart alice has %q, want %q", got, p.after)
					}
					w.source.answers(nil)
					later(every) // the longest pause between two tries
					if got := w.machine.may("alice"); got != "open keys sudo" {
						t.Errorf("with the next answer alice has %q", got)
					}
					if got := w.machine.may("deby"); got != foreign {
						t.Errorf("the account that is not ours has %q, had %q", got, foreign)
					}
					stop()
				})
			})
		}
	}
}

// TestStale_StatusLost: what is stored of the last answer cannot be read, so the silence
// counts from the start, and nothing is taken away at once.
func TestStale_StatusLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := newBundle(7, newUser("alice", 20001, true))
		b.Settings.Stale = "drop-all:2h"
		w.settle(b)
		w.source.answers(away)
		must(t, os.WriteFile(filepath.Join(w.path, "status.json"), []byte("{"), 0o600))
		time.Sleep(3 * hour)
		stop := w.run()
		later(hour)
		if got := w.machine.may("alice"); got != "open keys sudo" {
			t.Errorf("after an hour alice has %q", got)
		}
		later(hour)
		if got := w.machine.may("alice"); got != "locked" {
			t.Errorf("after two hours alice has %q", got)
		}
		stop()
	})
}
