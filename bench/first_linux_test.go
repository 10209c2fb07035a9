package main

import (
	"os"
	"testing"

	"latchkey/e2e/machine"
)

// TestMain works in namespaces of its own, as the program does: one figure mounts.
func TestMain(m *testing.M) { os.Exit(machine.Enter(m.Run)) }

// TestFirstField takes a round of the measurement itself, with fewer users. It checks
// by itself that all of them are there.
func TestFirstField(t *testing.T) {
	if err := machine.CanBoot(t.Context()); err != nil {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	f, err := newFirstField(t.Context(), 20, firstPort)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	floor, ours, err := f.round(t.Context(), 2)
	if err != nil || floor <= 0 || ours <= 0 {
		t.Errorf("round = %v, %v, %v", floor, ours, err)
	}
}

// TestOneField takes two rounds of that measurement, which checks by itself that each
// writes the one new key.
func TestOneField(t *testing.T) {
	if err := machine.CanBoot(t.Context()); err != nil {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	f, err := newOneField(t.Context(), 3, onePort)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for round := range 2 {
		if took, err := f.change(t.Context(), round); err != nil || took <= 0 {
			t.Errorf("change = %v, %v", took, err)
		}
	}
}
