package main

import (
	"fmt"
	"os"
)

// failpoint returns a function that ends the process as kill -9 would when it is
// called for the n-th time with the name in want, "rename#3". With want "trace" it
// prints each point that is reached instead. It exists for the tests of crashes
// on whole machines, is off unless root's own environment sets it, and is then
// nil.
func failpoint(want string) func(string) {
	if want == "" {
		return nil
	}
	count := map[string]int{}
	return func(name string) {
		count[name]++
		reached := fmt.Sprintf("%s#%d", name, count[name])
		if want == "trace" {
			fmt.Fprintln(os.Stderr, "failpoint "+reached)
		}
		if reached != want {
			return
		}
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill() // nothing is left to do if it does not work
		}
		select {}
	}
}
