package main

import (
	"os"
	"os/exec"
	"testing"
)

func needRootAnd(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); os.Geteuid() == 0 && err == nil {
		return
	}
	if os.Getenv("LATCHKEY_NO_SKIP") != "" {
		t.Fatal("needs root and " + tool)
	}
	t.Skip("needs root and " + tool)
}

// TestTimeHook runs the measurement itself, a few rounds of it: both programs
// answer, each run is counted, and cold means cold.
func TestTimeHook(t *testing.T) {
	t.Parallel()
	needRootAnd(t, "gcc")
	for _, mode := range []string{"warm", "cold"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			floor, ours, err := timeHook(t.Context(), mode, 2, 3)
			if err != nil || len(floor) != 3 || len(ours) != 3 || floor.Percentile(1) <= 0 || ours.Percentile(1) <= 0 {
				t.Errorf("timeHook = %v, %v, %v", floor, ours, err)
			}
		})
	}
}

func TestParseTimes(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"2 100\n", "-1 100\n", "x\n", "0\n"} {
		if _, _, err := parseTimes([]byte(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
	floor, ours, err := parseTimes([]byte("0 100\n1 200\n0 300\n"))
	if err != nil || len(floor) != 2 || len(ours) != 1 || ours[0] != 200 {
		t.Errorf("parseTimes = %v, %v, %v", floor, ours, err)
	}
}
