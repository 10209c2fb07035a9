// Command peers times one decision of authz/iam beside a hand-written scan of the
// same policy, cedar-go and the Open Policy Agent, for figure P8, and prints the
// samples as JSON, in nanoseconds a decision. It is a module of its own so that the
// peers stay out of the product's dependencies; make bench builds it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"
)

// rounds is how many samples are taken of every engine.
const rounds = 60

// Result is what the program prints.
type Result struct {
	// Allocations of one decision of ours, an average rounded down.
	Allocations int
	Samples     map[string][]time.Duration // by the engine's name
}

func main() {
	if err := run(os.Stdout, rounds); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// run measures only what answers alike.
func run(stdout io.Writer, rounds int) error {
	all, err := engines()
	if err != nil {
		return err
	}
	if err := agree(all, questions()); err != nil {
		return err
	}
	result, err := measure(all, rounds)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(result)
}

// agree asks every engine every question, and says where one differs from the first.
func agree(all []engine, asked []question) error {
	for _, q := range asked {
		var first bool
		for i, e := range all {
			decide, err := e.prepare(q)
			if err != nil {
				return fmt.Errorf("%s: %s on %s: %v", e.name, q.action, q.resource, err)
			}
			allowed := decide()
			if i == 0 {
				first = allowed
			} else if allowed != first {
				return fmt.Errorf("%s on %s: %s says %v, %s says %v", q.action, q.resource, all[0].name, first, e.name, allowed)
			}
		}
	}
	return nil
}

// timed is the question whose decision is timed: the last statement allows it and
// none denies it, so that every statement has to be looked at.
func timed() question { return question{"opsworks:StopInstance", stackInUSEast} }

// measure times the engines in turn, so that what disturbs the machine disturbs all.
func measure(all []engine, rounds int) (Result, error) {
	result := Result{Samples: map[string][]time.Duration{}}
	decide := make([]func() bool, len(all))
	for i, e := range all {
		var err error
		if decide[i], err = e.prepare(timed()); err != nil {
			return result, err
		}
		if e.name == latchkey {
			result.Allocations = int(testing.AllocsPerRun(1000, func() { decide[i]() }))
		}
	}
	for range rounds {
		for i, e := range all {
			runtime.GC() // nobody pays for what another left behind
			start := time.Now()
			for range e.decisions {
				if !decide[i]() {
					return result, fmt.Errorf("%s changed its mind", e.name)
				}
			}
			result.Samples[e.name] = append(result.Samples[e.name], time.Since(start)/time.Duration(e.decisions))
		}
	}
	return result, nil
}
