package controlplane_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
)

// TestWatch holds T-L14: of forty instances one falls silent and one goes on asking but
// no longer follows. Both are told within fifteen minutes, once, nobody else is, and so
// is it when they are back. What cannot be known after a start is not told.
func TestWatch(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	const silent, stuck, number = 7, 9, 40
	var ids []authz.InstanceID
	for range number {
		name, _ := p.instance(t, stack)
		ids = append(ids, must(authz.ParseInstanceID(name)))
	}
	p.instance(t, stack) // it has joined and was never started
	fallen := false
	var told []string
	look := func(w *controlplane.Watch) {
		t.Helper()
		turns, err := w.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, turn := range turns {
			at := time.Unix(p.clock.Load(), 0).Sub(noon).Round(time.Minute)
			for n, id := range ids {
				if id == turn.Instance && turn.Hostname == facts.Hostname && turn.Stack.String() == stack {
					told = append(told, fmt.Sprintf("%v: %d %q", at, n, turn.Standing))
				}
			}
		}
	}
	minutes := func(w *controlplane.Watch, n int) {
		t.Helper()
		_, newest := p.bundle(t, stack)
		for range n {
			p.pass(time.Minute)
			for n, id := range ids {
				if fallen && n == silent {
					continue
				}
				if err := p.Seen(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if fallen && n == stuck {
					continue
				}
				if err := p.Report(t.Context(), id, wire.Report{Epoch: 1, Serial: newest.Serial, Facts: facts}); err != nil {
					t.Fatal(err)
				}
			}
			look(w)
		}
	}
	w := p.Watch()
	minutes(w, 20)
	fallen = true
	p.user(t, "alice", keyOne)
	p.grant(t, stack, "alice", "iam_only", true, false)
	minutes(w, 30)
	p.ControlPlane = p.another(t) // it was away for an hour, so nobody could be seen
	p.pass(time.Hour)
	w = p.Watch()
	look(w)
	minutes(w, 12)
	fallen = false
	minutes(w, 2)
	want := []string{"24m0s: 7 \"lost\"", "31m0s: 9 \"behind\"", "1h54m0s: 7 \"lost\"", "2h0m0s: 9 \"behind\"", "2h3m0s: 7 \"\"", "2h3m0s: 9 \"\""}
	slices.Sort(want)
	slices.Sort(told)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told is (-want +got):\n%s", diff)
	}
}
