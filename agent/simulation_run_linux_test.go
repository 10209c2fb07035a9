//go:build !race

package agent_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The simulation runs without the race detector, which sees nothing in it: a history is
// one goroutine, and would take five times as long. make test starts it a second time.

const (
	simDays  = 100 // of one history
	simCI    = 100 // histories in every run
	simLong  = 10_000
	simTries = 30 // histories in which a planted bug must be found
)

// TestSimulation holds T-Z8: the agent on a simulated host, for 10^4 days of it in every
// run, always the same ones, and 10^6 new ones under LATCHKEY_LONG. LATCHKEY_SEED tells
// one history. It holds T-L16 too, with the reboots of whole machines: more than a thousand
// times in every run the agent goes down in the middle of its work, and comes to what was
// meant when it is up again.
func TestSimulation(t *testing.T) {
	t.Parallel()
	needRoot(t)
	if text := os.Getenv("LATCHKEY_SEED"); text != "" {
		seed, err := seedOf(text)
		must(t, err)
		s := simulate(t, seed, simBug{}, simDays, true)
		t.Logf("%s\n%s", strings.Join(s.trace, "\n"), s.broken)
		if s.broken != "" {
			t.Fail()
		}
		return
	}
	first, count := uint64(1), uint64(simCI)
	if os.Getenv("LATCHKEY_LONG") != "" {
		first, count = uint64(time.Now().UnixNano()), simLong
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a history leaves much behind, and holds little
	start := time.Now()
	var next, passes, steps, kills, days atomic.Uint64
	t.Run("histories", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for n := next.Add(1) - 1; n < count && !t.Failed(); n = next.Add(1) - 1 {
					s := simulated(t, simSeed{seed: first + n})
					passes.Add(uint64(s.passes))
					steps.Add(uint64(s.steps))
					kills.Add(uint64(s.kills))
					days.Add(uint64(s.lived()))
				}
			})
		}
	})
	took := time.Since(start)
	t.Logf("%d host-days, %d passes, %d steps, killed %d times in %v: %.0f host-days a second", days.Load(), passes.Load(), steps.Load(), kills.Load(),
		took.Round(time.Second), float64(days.Load())/took.Seconds())
	if days.Load() < count*simDays && !t.Failed() {
		t.Errorf("%d host-days are too few", days.Load())
	}
	if kills.Load() < 1000 && !t.Failed() {
		t.Errorf("killed %d times is too seldom", kills.Load())
	}
}

// TestSimulation_Kept has histories that once showed a bug show none.
func TestSimulation_Kept(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, k := range keptSeeds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			if simulated(t, simSeed{k.seed, k.toolsEnd}); t.Failed() {
				t.Errorf("LATCHKEY_SEED=%s: it was kept because %s", k.name, k.why)
			}
		})
	}
}

// simulated makes one history that must be without a violation, and tells the end of it if
// it is not.
func simulated(t *testing.T, seed simSeed) *sim {
	t.Helper()
	s := simulate(t, seed, simBug{}, simDays, false)
	if s.broken != "" {
		const most = 60
		again := simulate(t, seed, simBug{}, simDays, true)
		t.Errorf("seed %d, day %d: %s\nits end:\n%s\nall of it: LATCHKEY_SEED=%d go test -run 'TestSimulation$' -v ./agent", seed.seed, s.lived()+1, s.broken,
			strings.Join(again.trace[max(0, len(again.trace)-most):], "\n"), seed.seed)
	}
	return s
}

// TestSimulation_Repeats has one seed be one history.
func TestSimulation_Repeats(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for seed := range uint64(3) {
		one, two := simulate(t, simSeed{seed: seed}, simBug{}, simDays, true), simulate(t, simSeed{seed: seed}, simBug{}, simDays, true)
		for i, line := range one.trace {
			if i >= len(two.trace) || line != two.trace[i] {
				t.Fatalf("seed %d, line %d: %s", seed, i, line)
			}
		}
		if len(one.trace) < 100 || len(two.trace) != len(one.trace) {
			t.Fatalf("seed %d: %d lines, and then %d", seed, len(one.trace), len(two.trace))
		}
	}
}

// TestSimulation_FindsBugs plants bugs, and each must be found.
func TestSimulation_FindsBugs(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, bug := range plantedBugs() {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			days := 0
			for seed := range uint64(simTries) {
				s := simulate(t, simSeed{seed: seed}, bug, simDays, false)
				days += s.lived()
				if s.broken != "" {
					t.Logf("found in history %d, after %d days: %s", seed+1, days, s.broken)
					return
				}
			}
			t.Errorf("not found in %d days", days)
		})
	}
}
