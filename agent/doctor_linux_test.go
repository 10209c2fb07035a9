package agent_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// TestExamine: what doctor is told of the agent's folder, from before the first
// bundle to a damaged file, and that looking changes nothing.
func TestExamine(t *testing.T) {
	w := newWorld(t)
	instance, err := authz.ParseInstanceID("33333333-3333-4333-8333-333333333333")
	must(t, err)
	examine := func(instance authz.InstanceID) (doctor.Agent, doctor.Question) {
		a := w.agent()
		a.Identity.Instance = instance
		return a.Examine(t.Context())
	}
	f, q := examine(authz.InstanceID{})
	if diff := cmp.Diff(doctor.Agent{KeysMode: plan.KeysCommand}, f); diff != "" || len(q.Grants) != 0 {
		t.Errorf("before enrolment (-want +got):\n%s", diff)
	}
	f, _ = examine(instance)
	if diff := cmp.Diff(doctor.Agent{Enrolled: true, KeysMode: plan.KeysCommand}, f); diff != "" {
		t.Errorf("without a bundle (-want +got):\n%s", diff)
	}

	ended := until(newUser("carol", 20003, false), time.Now().Add(-time.Hour))
	b := newBundle(1, newUser("alice", 20001, true), ended)
	b.Issued = wire.FormatTime(time.Now())
	w.settle(b)
	f, q = examine(instance)
	if !f.Enrolled || !f.HasBundle || f.BundleErr != nil || f.Status == nil || f.Status.Contact.IsZero() || len(f.Pending) != 0 || wire.FormatTime(f.Issued) != b.Issued {
		t.Errorf("after a pass it gives %+v", f)
	}
	if diff := cmp.Diff([]string{"carol"}, f.Ended); diff != "" || len(q.Grants) != 1 || q.Grants[0].Username.String() != "alice" {
		t.Errorf("it asks for %v; ended (-want +got):\n%s", q.Grants, diff)
	}

	w.machine.mu.Lock()
	delete(w.machine.state.Files, layout.Sudoers)
	w.machine.mu.Unlock()
	f, _ = examine(instance)
	if diff := cmp.Diff([]string{"write file " + layout.Sudoers + ", prove it by sudo: sudo for alice"}, f.Pending); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if steps := w.machine.take(); len(steps) != 0 {
		t.Errorf("looking did %v", steps)
	}

	for file, of := range map[string]func(doctor.Agent) error{
		"status.json": func(f doctor.Agent) error { return f.StatusErr }, "ledger.json": func(f doctor.Agent) error { return f.LedgerErr },
		"bundle": func(f doctor.Agent) error { return f.BundleErr },
	} {
		path := filepath.Join(w.path, file)
		content, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte("x"), 0o600))
		if f, _ := examine(instance); of(f) == nil {
			t.Errorf("a damaged %s is not seen: %+v", file, f)
		}
		must(t, os.WriteFile(path, content, 0o600))
	}
}
