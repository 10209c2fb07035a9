package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func mustEngines(t testing.TB) []engine {
	t.Helper()
	all, err := engines()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAgree(t *testing.T) {
	if err := agree(mustEngines(t), questions()); err != nil {
		t.Error(err)
	}
}

// TestAgree_differs: an engine with another policy is found out, whichever
// statement it lacks, so the questions reach every statement of the policy.
func TestAgree_differs(t *testing.T) {
	all := mustEngines(t)
	for i := range statements {
		t.Run("statement-"+strconv.Itoa(i), func(t *testing.T) {
			lacking, err := newLatchkey(slices.Delete(slices.Clone(statements), i, i+1))
			if err != nil {
				t.Fatal(err)
			}
			err = agree([]engine{all[0], {"lacking", 1, lacking}}, questions())
			if err == nil || !strings.Contains(err.Error(), "scan says") || !strings.Contains(err.Error(), "lacking says") {
				t.Errorf("agree = %v", err)
			}
		})
	}
}

// TestRun takes a few samples: every engine has as many as were asked for, and ours
// allocates nothing.
func TestRun(t *testing.T) {
	var stdout bytes.Buffer
	if err := run(&stdout, 2); err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("printed %s: %v", &stdout, err)
	}
	if got.Allocations != 0 {
		t.Errorf("%v allocations a decision", got.Allocations)
	}
	for _, e := range mustEngines(t) {
		if times := got.Samples[e.name]; len(times) != 2 || times[0] <= 0 || times[1] <= 0 {
			t.Errorf("%s took %v", e.name, times)
		}
	}
}

// BenchmarkDecide is one decision of each engine by itself, for a profile.
func BenchmarkDecide(b *testing.B) {
	for _, e := range mustEngines(b) {
		b.Run(e.name, func(b *testing.B) {
			decide, err := e.prepare(timed())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				decide()
			}
		})
	}
}
