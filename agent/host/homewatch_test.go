package host

import (
	"testing"
	"time"
)

// TestWatchedHome: a user who changes his file all the time wakes the agent a few times,
// not for ever; one who changes it now and then always does.
func TestWatchedHome(t *testing.T) {
	start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for situation, c := range map[string]struct {
		every time.Duration
		wakes bool
		times int // until the home is spent; 0: it never is
	}{
		"all-the-time":       {time.Millisecond, true, 1 + 9*1000},
		"each-second":        {time.Second, true, homeWakes},
		"each-half-minute":   {30 * time.Second, true, homeWakes},
		"each-two-minutes":   {2 * time.Minute, true, 0},
		"other-files":        {time.Millisecond, false, homeEvents},
		"other-files-seldom": {time.Second, false, 0},
	} {
		t.Run(situation, func(t *testing.T) {
			var h watchedHome
			now, times := start, 0
			for i := range 10000 {
				now = start.Add(time.Duration(i) * c.every)
				if h.heard(c.wakes, now); h.spent(now) {
					times = i + 1
					break
				}
			}
			if want := min(c.times, max(homeEvents, homeWakes)); times != want {
				t.Errorf("spent after %d, want %d", times, want)
			}
			if times > 0 && (!h.spent(now) || h.spent(h.since.Add(homeWindow))) {
				t.Error("it does not rest for the rest of the window alone")
			}
		})
	}
}
