package agent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// The words of the bundle are those of the plan.
func TestKeysMode_words(t *testing.T) {
	want := []string{string(plan.KeysCommand), string(plan.KeysDirectory), string(plan.KeysHome)}
	if diff := cmp.Diff(wire.Choices()["keys_mode"], want); diff != "" {
		t.Errorf("modes (-bundle +plan):\n%s", diff)
	}
}

// TestKeysMode holds R148 in part: the stack's wish is followed, but sshd is not told
// to look where a key is missing that could not be written; and what the old mode
// needed goes some minutes later.
func TestKeysMode(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, three()...))
	now := time.Now()
	pass := func() wire.Report {
		t.Helper()
		a := w.agent()
		a.Now = func() time.Time { return now }
		must(t, a.Load())
		must(t, a.Fetch(t.Context()))
		report, err := a.Pass(t.Context())
		must(t, err)
		return report
	}
	a := w.agent()
	must(t, a.Load())
	_, err := a.EnableSSHD(t.Context())
	must(t, err)
	want := func(situation, dropIn string, blocks int) {
		t.Helper()
		s := w.machine.copy()
		found := 0
		for _, b := range s.Blocks {
			if b.Found {
				found++
			}
		}
		if !strings.Contains(string(s.Files[layout.SSHD].Content), dropIn) || found != blocks {
			t.Errorf("%s: %d homes have lines of ours, want %d, and the drop-in is\n%s", situation, found, blocks, s.Files[layout.SSHD].Content)
		}
	}
	b := newBundle(8, three()...)
	b.Settings.KeysMode = wire.KeysHome
	w.issue(b)
	w.machine.breaks(onStep(plan.OpWriteBlock, "bob"))
	if report := pass(); !strings.Contains(faults(report), "reload sshd: an earlier step that gives keys was not done") {
		t.Errorf("one home could not be written: %s", faults(report))
	}
	want("held", plan.HookCommand(layout), 2)
	w.machine.breaks(nil)
	if report := pass(); faults(report) != "" {
		t.Errorf("in home mode: %s", faults(report))
	}
	want("home", "AuthorizedKeysFile .ssh/authorized_keys\n", 3)
	b.Serial, b.Settings.KeysMode = 9, wire.KeysDirectory
	w.issue(b)
	if report := pass(); faults(report) != "" {
		t.Errorf("in directory mode: %s", faults(report))
	}
	want("logins may go on", "AuthorizedKeysFile "+layout.KeysDir+"/%u\n", 3)
	now = now.Add(5 * time.Minute)
	w.machine.take()
	if report := pass(); faults(report) != "" || len(report.Steps) != 3 {
		t.Errorf("later: %+v", report)
	}
	want("later", "AuthorizedKeysFile "+layout.KeysDir+"/%u\n", 0)
}

// TestKeysMode_sshdEnd holds R11 in part: where sshd is too old to read a key with an
// end itself, the report and explain say so of who has one, and of nobody else.
func TestKeysMode_sshdEnd(t *testing.T) {
	w := newWorld(t)
	w.machine.change(func(s *plan.State) { s.SSHDEndless = true })
	users := three()
	users[0] = until(users[0], time.Now().Add(time.Hour))
	b := newBundle(7, users...)
	w.settle(b)
	a := w.agent()
	must(t, a.Load())
	must(t, second(a.EnableSSHD(t.Context())))
	b.Serial, b.Settings.KeysMode = 8, wire.KeysDirectory
	w.issue(b)
	report, err := w.once()
	must(t, err)
	want := []wire.Result{{What: "alice", Code: "sshd_end", Error: plan.ErrSSHDEnd.Error()}}
	if diff := cmp.Diff(want, report.Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	a = w.agent()
	must(t, a.Load())
	for user, in := range map[string]bool{"alice": false, "bob": true} {
		e, err := a.Explain(t.Context(), name(t, user))
		must(t, err)
		if told := slices.Contains(e.Facts, "this machine leaves something out: "+plan.ErrSSHDEnd.Error()); e.LogsIn != in || told == in {
			t.Errorf("%s gets in: %t; %q", user, e.LogsIn, e.Facts)
		}
	}
}
