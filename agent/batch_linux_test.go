package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"latchkey/agent/plan"
)

// batching is a machine that takes steps at once.
type batching struct {
	*machine
	batches []string // who the steps of each were for
}

func (b *batching) ApplyAll(ctx context.Context, steps []plan.Step) []error {
	var users []string
	errs := make([]error, len(steps))
	for i, s := range steps {
		users = append(users, s.User.String())
		errs[i] = b.Apply(ctx, s)
	}
	b.batches = append(b.batches, strings.Join(users, " "))
	return errs
}

// TestPass_Batch: steps that are taken at once are each told and recorded by
// themselves, and what hangs on one that failed is left out.
func TestPass_Batch(t *testing.T) {
	w := newWorld(t)
	w.machine.breaks(onStep(plan.OpCreateAccount, "bob"))
	w.issue(newBundle(7, three()...))
	b := &batching{machine: w.machine}
	pass := func() []string {
		t.Helper()
		a := w.agent()
		a.Machine = b
		must(t, a.Load())
		must(t, a.Fetch(t.Context()))
		report, err := a.Pass(t.Context())
		must(t, err)
		var failed []string
		for _, s := range report.Steps {
			if strings.Contains(s.Error, errInjected.Error()) {
				failed = append(failed, s.What)
			}
		}
		return failed
	}
	if got := pass(); !slices.Equal(got, []string{"create account bob (uid 20002)"}) {
		t.Errorf("not done: %q", got)
	}
	if want := []string{"alice bob carol", "alice carol"}; len(b.batches) < 2 || !slices.Equal(b.batches[:2], want) {
		t.Errorf("at once were taken %q, want %q first", b.batches, want)
	}
	w.wantAll(map[string]string{"alice": "open keys sudo", "bob": "", "carol": "open keys"})
	owned, err := w.dir.Ledger()
	must(t, err)
	for user, own := range owned.Accounts {
		if want := map[bool]plan.AccountState{true: plan.Intended, false: plan.Present}[user.String() == "bob"]; own.State != want {
			t.Errorf("the ledger says that %s is %s, want %s", user, own.State, want)
		}
	}
	w.machine.breaks(nil)
	if got := pass(); len(got) != 0 {
		t.Errorf("not done when nothing is in the way: %q", got)
	}
	w.wantAll(map[string]string{"alice": "open keys sudo", "bob": "open keys sudo", "carol": "open keys"})
}
