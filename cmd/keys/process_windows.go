package main

import (
	"os"
	"time"
)

// armDeadline ends this process non-zero when 500 ms have passed (requirement
// R61).
func armDeadline() error {
	time.AfterFunc(500*time.Millisecond, func() { os.Exit(exitFault) })
	return nil
}

// dropGroups has nothing to drop: Windows has no supplementary groups.
func dropGroups() error { return nil }
