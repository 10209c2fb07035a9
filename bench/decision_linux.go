package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// peersProgram is bench/peers, as make bench builds it.
const peersProgram = "bin/bench-peers"

// decision measures P8. The peers are in a module of their own, so the measurement
// is a program of its own too; it prints no times of engines that decide differently.
func decision(ctx context.Context) ([]Row, error) {
	if _, err := os.Stat(peersProgram); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New(peersProgram + " is not there: run make bench, which builds it, in the repository's own folder")
	}
	cmd := exec.CommandContext(ctx, peersProgram)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %s", err, strings.TrimSpace(stderr.String()))
	}
	return parseDecision(out)
}

// parseDecision makes rows of what the program prints.
func parseDecision(out []byte) ([]Row, error) {
	var got struct {
		Allocations *int
		Samples     map[string]Times
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return nil, fmt.Errorf("%s printed %q", peersProgram, out)
	}
	for _, engine := range []string{"latchkey", "scan", "cedar-go", "opa"} {
		if len(got.Samples[engine]) == 0 || got.Allocations == nil {
			return nil, fmt.Errorf("%s printed no times of %s or no allocations", peersProgram, engine)
		}
	}
	ours := got.Samples["latchkey"]
	return []Row{
		{ID: "P8", What: "one decision, 10 statements with wildcards", Target: Target{Ratio: 1},
			Floor: "glob scan by hand", FloorTimes: got.Samples["scan"], Times: ours},
		{ID: "P8", What: "its allocations", Target: Target{Count: new(0)}, Counts: []int{*got.Allocations}},
		{ID: "P8", What: "the same decision, another engine", Target: Target{Ratio: 1.0 / 10},
			Floor: "cedar-go", FloorTimes: got.Samples["cedar-go"], Times: ours},
		{ID: "P8", What: "the same decision, another engine", Target: Target{Ratio: 1.0 / 400},
			Floor: "OPA, prepared query", FloorTimes: got.Samples["opa"], Times: ours},
	}, nil
}
