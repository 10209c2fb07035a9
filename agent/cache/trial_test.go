package cache_test

import (
	"fmt"
	"testing"

	"latchkey/agent/cache"
)

// TestTrial: so many crashes of so many bundles are remembered, the last ones.
func TestTrial(t *testing.T) {
	var trial cache.Trial
	for i, c := range []struct {
		bundle, want string
		times        int
	}{
		{"a", "[{a 1}]", 1}, {"a", "[{a 2}]", 2}, {"b", "[{a 2} {b 1}]", 1}, {"a", "[{b 1} {a 3}]", 3}, {"c", "[{b 1} {a 3} {c 1}]", 1}, {"d", "[{a 3} {c 1} {d 1}]", 1},
	} {
		var times int
		if trial, times = trial.Crashed(c.bundle, 3); times != c.times || fmt.Sprint(trial.Crashes) != c.want {
			t.Errorf("%d: %d times, %v, want %d, %s", i, times, trial.Crashes, c.times, c.want)
		}
	}
	if left := trial.Completed("a"); fmt.Sprint(left.Crashes) != "[{c 1} {d 1}]" || len(trial.Crashes) != 3 {
		t.Errorf("left are %v of %v", left.Crashes, trial.Crashes)
	}
}
