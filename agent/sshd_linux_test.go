package agent_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

func TestEnableSSHD(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, three()...))
	a := w.agent()
	must(t, a.Load())
	results, err := a.EnableSSHD(t.Context())
	if err != nil || len(results) != 1 || results[0].What != "write file /etc/ssh/sshd_config.d/10-latchkey.conf, reload sshd" {
		t.Fatalf("EnableSSHD = %+v, %v", results, err)
	}
	if results, err := a.EnableSSHD(t.Context()); err != nil || len(results) != 0 {
		t.Errorf("a second time: %+v, %v", results, err)
	}
	w.machine.change(func(s *plan.State) { delete(s.Files, layout.SSHD) })
	if report, err := a.Pass(t.Context()); err != nil || faults(report) != "" || len(report.Steps) != 1 {
		t.Errorf("the pass after it was removed by hand: %+v, %v", report, err)
	}
	if results, err := a.DisableSSHD(t.Context()); err != nil || len(results) != 1 {
		t.Errorf("DisableSSHD = %+v, %v", results, err)
	}
	if _, found := w.machine.copy().Files[layout.SSHD]; found {
		t.Error("the drop-in is still there")
	}
	if results, err := a.DisableSSHD(t.Context()); err != nil || len(results) != 0 {
		t.Errorf("a second time: %+v, %v", results, err)
	}
	w.wantAll(map[string]string{"alice": "open keys sudo", "bob": "open keys sudo", "carol": "open keys"})
}

// TestEnableSSHD_Fails: when sshd does not use the drop-in it is not put in later
// by a pass unasked. What it needed may stay: it is in the ledger. When it is in, and
// something else failed, the ledger says so.
func TestEnableSSHD_Fails(t *testing.T) {
	for situation, op := range map[string]plan.Op{
		"drop-in": plan.OpWriteSSHD, "group": plan.OpCreateGroup, "hook-user": plan.OpCreateHookUser, "folder": plan.OpMakeFolder,
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.machine.breaks(onStep(op, ""))
			a := w.agent()
			if _, err := a.EnableSSHD(t.Context()); err == nil || !strings.Contains(err.Error(), errInjected.Error()) {
				t.Errorf("EnableSSHD = %v", err)
			}
			if owned, err := w.dir.Ledger(); err != nil || owned.SSHD == (op == plan.OpWriteSSHD) || owned.SSHD != owned.SSHDLoaded {
				t.Errorf("the ledger says of the drop-in: %+v, %v", owned, err)
			}
			w.machine.breaks(nil)
			w.machine.take()
			w.issue(newBundle(7, three()...))
			must(t, a.Fetch(t.Context()))
			if _, err := a.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, step := range w.machine.take() {
				if op == plan.OpWriteSSHD && strings.Contains(step, layout.SSHD) {
					t.Errorf("a pass did %q unasked", step)
				}
			}
			if results, err := a.EnableSSHD(t.Context()); err != nil {
				t.Errorf("after the fault: %+v, %v", results, err)
			}
		})
	}
}

// TestDisableSSHD_Fails: what should be out and is not is still in the ledger.
func TestDisableSSHD_Fails(t *testing.T) {
	w := newWorld(t)
	a := w.agent()
	if _, err := a.EnableSSHD(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.machine.breaks(onStep(plan.OpRemoveSSHD, ""))
	if _, err := a.DisableSSHD(t.Context()); err == nil {
		t.Error("DisableSSHD says nothing")
	}
	if owned, err := w.dir.Ledger(); err != nil || !owned.SSHD {
		t.Errorf("the ledger is %+v, %v", owned, err)
	}
	w.machine.breaks(nil)
	if results, err := a.DisableSSHD(t.Context()); err != nil || len(results) != 1 {
		t.Errorf("after the fault: %+v, %v", results, err)
	}
}

// busy is a machine with everything on it that a revert has to undo.
func busy(t *testing.T) *world {
	w := newWorld(t)
	w.settle(newBundle(7, append(three(), newUser("dave", 20004, false))...))
	if _, err := w.agent().EnableSSHD(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.issue(newBundle(8, three()...)) // dave's account is closed
	if _, err := w.once(); err != nil {
		t.Fatal(err)
	}
	w.machine.change(func(s *plan.State) { s.Processes[20002] = 2 })
	w.machine.take()
	return w
}

func TestRevert(t *testing.T) {
	w := busy(t)
	a := w.agent()
	p, err := a.RevertPlan(t.Context())
	must(t, err)
	if steps := w.machine.take(); len(steps) != 0 {
		t.Errorf("the plan did %q", steps)
	}
	results, homes, err := a.Revert(t.Context())
	must(t, err)
	if diff := cmp.Diff([]string{"/home/alice", "/home/bob", "/home/carol", "/home/dave"}, homes); diff != "" {
		t.Errorf("homes (-want +got):\n%s", diff)
	}
	if got := strings.Join(w.machine.take(), "\n") + "\n"; got != p.String() || len(results) != len(p.Steps) {
		t.Errorf("it did\n%sthe plan said\n%s", got, p)
	}
	w.wantGivenBack()
}

// wantGivenBack: of ours there is only the homes.
func (w *world) wantGivenBack() {
	w.t.Helper()
	got, want := w.machine.copy(), fresh()
	for home := range want.Homes {
		delete(got.Homes, home)
	}
	delete(got.Files, layout.StateDir) // the folder above the agent's own, which goes with that
	want.Homes, got.Homes = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("the machine (-before +after):\n%s", diff)
	}
	if _, err := os.Lstat(filepath.Dir(w.path)); !errors.Is(err, fs.ErrNotExist) {
		w.t.Errorf("the agent's folder is still there: %v", err)
	}
}

// TestRevert_OneStepFails: any step of a revert may go wrong: it is said, the
// ledger stays, and the next revert finishes.
func TestRevert_OneStepFails(t *testing.T) {
	p, err := busy(t).agent().RevertPlan(t.Context())
	must(t, err)
	if len(p.Steps) < 15 {
		t.Fatalf("only %d steps:\n%s", len(p.Steps), p)
	}
	for i := range p.Steps {
		t.Run(strings.ReplaceAll(p.Steps[i].String(), "/", "\u2215"), func(t *testing.T) {
			w := busy(t)
			n := 0
			w.machine.breaks(func(plan.Step) error {
				if n++; n == i+1 {
					return errInjected
				}
				return nil
			})
			results, _, err := w.agent().Revert(t.Context())
			if err == nil || !strings.Contains(err.Error(), errInjected.Error()) || len(results) != len(p.Steps) {
				t.Errorf("Revert = %d results, %v", len(results), err)
			}
			if _, err := w.dir.Ledger(); err != nil {
				t.Errorf("the ledger: %v", err)
			}
			w.machine.breaks(nil)
			_, homes, err := w.agent().Revert(t.Context())
			must(t, err)
			if !slices.IsSorted(homes) {
				t.Errorf("homes are %v", homes)
			}
			w.wantGivenBack()
		})
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	users := append(three(), newUser("mallory", 0, true), until(newUser("dave", 20004, false), time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)))
	users[2].Keys = []string{}
	w.settleSome(newBundle(7, users...))
	a := w.agent()
	must(t, a.Load())
	must(t, second(a.EnableSSHD(t.Context())))
	w.machine.change(func(s *plan.State) { delete(s.Files, layout.KeysDir+"/bob") })
	w.machine.take()
	tests := map[string]string{
		"alice": `in=true sudo=true
the stack gives arn:aws:iam::123456789012:user/alice SSH as alice (uid 20001)
the stack gives sudo
key ssh-ed25519 SHA256:KEY
the account is open, made by us
so: logs in with one of these keys
`,
		"bob": `in=false sudo=false
the stack gives arn:aws:iam::123456789012:user/bob SSH as bob (uid 20002)
the stack gives sudo
key ssh-ed25519 SHA256:KEY
the account is open, made by us
so: latchkey does not let this user in
still to be done: write file /var/lib/latchkey/authorized_keys/bob
`,
		"carol": `in=false sudo=false
the stack gives arn:aws:iam::123456789012:user/carol SSH as carol (uid 20003)
there is no SSH key: nobody can log in with this name
the account is open, made by us
so: latchkey does not let this user in
`,
		"dave": `in=false sudo=false
the stack gives arn:aws:iam::123456789012:user/dave SSH as dave (uid 20004)
key ssh-ed25519 SHA256:KEY
until 2001-01-01 00:00:00 UTC
the permission has ended
there is no such account on this machine
so: latchkey does not let this user in
`,
		"mallory": `in=false sudo=false
the bundle names this user, but holds what was refused: uid is outside 1000-59999
the stack gives no SSH
there is no such account on this machine
so: latchkey does not let this user in
this machine leaves something out: uid is outside 1000-59999
`,
		"deby": `in=false sudo=false
the stack gives no SSH
the account was not made by us: latchkey does not decide about it
so: latchkey does not let this user in
`,
	}
	for user, want := range tests {
		t.Run(user, func(t *testing.T) {
			e, err := a.Explain(t.Context(), name(t, user))
			must(t, err)
			got := "in=" + yes(e.LogsIn) + " sudo=" + yes(e.Sudo) + "\n"
			for _, fact := range e.Facts {
				if strings.HasPrefix(fact, "key ") {
					fact = fact[:strings.Index(fact, "SHA256:")] + "SHA256:KEY"
				}
				got += fact + "\n"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("explanation (-want +got):\n%s", diff)
			}
		})
	}
	if steps := w.machine.take(); len(steps) != 0 {
		t.Errorf("explaining did %q", steps)
	}
}

// TestExplain_MachineSaysNo: what the stack gives counts only as far as the
// machine lets it.
func TestExplain_MachineSaysNo(t *testing.T) {
	tests := map[string]struct {
		change   func(*plan.State)
		in, sudo bool
		fact     string
	}{
		"nothing-wrong": {func(*plan.State) {}, true, true, "so: logs in with one of these keys"},
		"locked-by-hand": {func(s *plan.State) { a := s.Accounts["alice"]; a.Password, a.Expires = "!", 1; s.Accounts["alice"] = a },
			false, false, "the account is closed"},
		"account-gone": {func(s *plan.State) { delete(s.Accounts, "alice") }, false, false, "there is no such account on this machine"},
		"account-of-another": {func(s *plan.State) { a := s.Accounts["alice"]; a.UID = 1001; s.Accounts["alice"] = a },
			false, false, "the account was not made by us: latchkey does not decide about it"},
		"sudo-rule-gone": {func(s *plan.State) { delete(s.Files, layout.Sudoers) }, true, false, "so: logs in with one of these keys"},
		"hook-unsafe":    {func(s *plan.State) { s.Hook = errInjected }, false, false, "sshd refuses to run the login hook: no space left on device"},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.settle(newBundle(7, three()...))
			a := w.agent()
			must(t, a.Load())
			must(t, second(a.EnableSSHD(t.Context())))
			w.machine.change(test.change)
			e, err := a.Explain(t.Context(), name(t, "alice"))
			must(t, err)
			if e.LogsIn != test.in || e.Sudo != test.sudo || !slices.Contains(e.Facts, test.fact) {
				t.Errorf("in=%t sudo=%t %q; want in=%t sudo=%t %q", e.LogsIn, e.Sudo, e.Facts, test.in, test.sudo, test.fact)
			}
		})
	}
}

func yes(b bool) string { return map[bool]string{true: "true", false: "false"}[b] }

// settleSome is settle for a bundle that is refused in part.
func (w *world) settleSome(b wire.Bundle) {
	w.t.Helper()
	w.issue(b)
	if _, err := w.once(); err != nil {
		w.t.Fatal(err)
	}
}
