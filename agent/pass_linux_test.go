package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// three are users that a pass sets up from nothing.
func three() []wire.User {
	return []wire.User{newUser("alice", 20001, true), newUser("bob", 20002, true), newUser("carol", 20003, false)}
}

// TestPass_OneStepFails lets each step of setting three users up go wrong by itself:
// what does not hang on it is done, the report tells it, and when the fault is gone
// the next pass does the rest (requirements R44 and R147).
func TestPass_OneStepFails(t *testing.T) {
	all := map[string]string{"alice": "open keys sudo", "bob": "open keys sudo", "carol": "open keys"}
	without := func(user, has string) map[string]string {
		want := map[string]string{}
		for u, h := range all {
			want[u] = h
		}
		want[user] = has
		return want
	}
	plain := map[string]string{"alice": "open keys", "bob": "open keys", "carol": "open keys"}
	tests := map[string]struct {
		op   plan.Op
		user string
		want map[string]string
	}{
		"account-of-alice": {plan.OpCreateAccount, "alice", without("alice", "")},
		"account-of-bob":   {plan.OpCreateAccount, "bob", without("bob", "")},
		"account-of-carol": {plan.OpCreateAccount, "carol", without("carol", "")},
		"keys-of-alice":    {plan.OpWriteKeys, "alice", without("alice", "open sudo")},
		"keys-of-carol":    {plan.OpWriteKeys, "carol", without("carol", "open")},
		"sudo":             {plan.OpGiveSudo, "", plain},
		"every-account":    {plan.OpCreateAccount, "", map[string]string{"alice": "", "bob": "", "carol": ""}},
		"every-key-file":   {plan.OpWriteKeys, "", map[string]string{"alice": "open sudo", "bob": "open sudo", "carol": "open"}},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.machine.breaks(onStep(test.op, test.user))
			w.issue(newBundle(7, three()...))
			report, err := w.once()
			must(t, err)
			w.wantAll(test.want)
			told := false
			for _, s := range report.Steps {
				told = told || strings.Contains(s.Error, errInjected.Error())
				if s.Error == "" && !strings.Contains(test.want["alice"], "sudo") && strings.Contains(s.What, "sudo for alice") {
					t.Errorf("the report says that %q was done", s.What)
				}
			}
			if !told {
				t.Errorf("the report does not tell the fault: %+v", report.Steps)
			}
			if status, err := w.dir.Status(); err != nil || faults(status.Report) != faults(report) {
				t.Errorf("the status is %+v, %v", status, err)
			}
			w.machine.breaks(nil)
			report, err = w.once()
			must(t, err)
			w.wantAll(all)
			if bad := faults(report); bad != "" {
				t.Errorf("after the fault there is left\n%s", bad)
			}
		})
	}
}

func (w *world) wantAll(want map[string]string) {
	w.t.Helper()
	for user, has := range want {
		if got := w.machine.may(user); got != has {
			w.t.Errorf("%s has %q, want %q", user, got, has)
		}
	}
}

// TestPass_RemovalsGoFirst: whoever leaves has left although nobody who comes can
// be given anything, and although another's leaving goes wrong.
func TestPass_RemovalsGoFirst(t *testing.T) {
	gone := map[string]string{"alice": "locked", "bob": "locked"}
	tests := map[string]struct {
		fault func(plan.Step) error
		want  map[string]string
	}{
		"nothing-can-be-given": {func(s plan.Step) error {
			if s.Gives() || s.Op == plan.OpGiveSudo {
				return errInjected
			}
			return nil
		}, map[string]string{"alice": "locked", "bob": "locked", "dave": ""}},
		"sessions-do-not-end": {onStep(plan.OpEndSessions, "alice"), gone},
		"groups-stay":         {onStep(plan.OpDropGroups, "alice"), gone},
		"lock-of-alice":       {onStep(plan.OpLock, "alice"), map[string]string{"alice": "open", "bob": "locked"}},
		"key-file-of-alice": {func(s plan.Step) error {
			if s.Op == plan.OpRemoveFile && strings.HasSuffix(s.Path, "/alice") {
				return errInjected
			}
			return nil
		}, map[string]string{"alice": "locked keys", "bob": "locked"}},
		"sudoers-stay": {func(s plan.Step) error {
			if s.Op == plan.OpRemoveSudo {
				return errInjected
			}
			return nil
		}, map[string]string{"bob": "locked"}},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.settle(newBundle(7, three()...))
			w.machine.change(func(s *plan.State) {
				s.Processes[20001], s.Processes[20002] = 3, 1
				a := s.Accounts["alice"]
				a.Groups = append(slices.Clone(a.Groups), "docker")
				s.Accounts["alice"] = a
			})
			w.machine.breaks(test.fault)
			w.issue(newBundle(8, newUser("carol", 20003, false), newUser("dave", 20004, true)))
			report, err := w.once()
			must(t, err)
			w.wantAll(test.want)
			if !strings.Contains(faults(report), errInjected.Error()) {
				t.Errorf("the report does not tell the fault: %+v", report.Steps)
			}
			w.machine.breaks(nil)
			report, err = w.once()
			must(t, err)
			w.wantAll(map[string]string{"alice": "locked", "bob": "locked", "carol": "open keys", "dave": "open keys sudo"})
			if bad := faults(report); bad != "" {
				t.Errorf("after the fault there is left\n%s", bad)
			}
		})
	}
}

// TestPass_NotProved: a step that says it was done and was not is no success
// (requirement R147).
func TestPass_NotProved(t *testing.T) {
	w := newWorld(t)
	w.machine.lie = func(s plan.Step) bool { return s.Op == plan.OpWriteKeys && s.User.String() == "alice" }
	w.issue(newBundle(7, three()...))
	report, err := w.once()
	must(t, err)
	want := "step write file /var/lib/latchkey/authorized_keys/alice: still to be done after the pass\n"
	if got := faults(report); got != want {
		t.Errorf("the report tells\n%swant\n%s", got, want)
	}
	w.wantAll(map[string]string{"alice": "open sudo", "bob": "open keys sudo", "carol": "open keys"})
}

// TestPass_HeirOfAName: in one pass the account of the earlier user goes and the one
// of the new user comes; the earlier home is kept (requirements R31, R32 in part and
// T-U16 in part).
func TestPass_HeirOfAName(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, three()...))
	w.issue(newBundle(8, newUser("alice", 20009, false)))
	report, err := w.once()
	must(t, err)
	if bad := faults(report); bad != "" {
		t.Errorf("not done:\n%s", bad)
	}
	w.wantAll(map[string]string{"alice": "open keys", "bob": "locked", "carol": "locked"})
	state := w.machine.copy()
	if state.Accounts["alice"].UID != 20009 || state.Homes["/home/alice.20001"].UID != 20001 {
		t.Errorf("alice is %+v, homes are %v", state.Accounts["alice"], state.Homes)
	}
}

// TestPass_CutShort: an account whose making was cut short by a kill is made again
// and stays ours.
func TestPass_CutShort(t *testing.T) {
	w := newWorld(t)
	w.machine.breaks(func(s plan.Step) error {
		if s.Op == plan.OpCreateAccount && s.User.String() == "alice" {
			w.machine.make(s)
			half := w.machine.state.Accounts["alice"]
			half.Password = ""
			w.machine.state.Accounts["alice"] = half
			return errInjected
		}
		return nil
	})
	w.issue(newBundle(7, three()[0]))
	if _, err := w.once(); err != nil {
		t.Fatal(err)
	}
	w.machine.breaks(nil)
	for range 2 {
		report, err := w.once()
		must(t, err)
		if bad := faults(report); bad != "" {
			t.Errorf("not done:\n%s", bad)
		}
		w.wantAll(map[string]string{"alice": "open keys sudo"})
	}
}

// TestPass_Ledger holds R46: with a ledger that cannot be read no step is applied.
func TestPass_Ledger(t *testing.T) {
	replace := func(content string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(content), 0o600)) }
	}
	tests := map[string]func(t *testing.T, path string){
		"empty":         replace(""),
		"cut-short":     replace(`{"accounts":{"alice":{"user":"00020001-0000-4000-8000-0000`),
		"no-newline":    replace(`{"accounts":{},"groups":{},"hook_user":false,"folders":false,"sudoers":false,"sshd":false,"sshd_loaded":false}`),
		"no-accounts":   replace(`{"groups":{},"hook_user":false,"folders":false,"sudoers":false,"sshd":false,"sshd_loaded":false}` + "\n"),
		"accounts-null": replace(`{"accounts":null,"groups":{},"hook_user":false,"folders":false,"sudoers":false,"sshd":false,"sshd_loaded":false}` + "\n"),
		"name-of-root": replace(`{"accounts":{"root":{"user":"00020001-0000-4000-8000-000000000000","uid":0,"state":"present"}},"groups":{},` +
			`"hook_user":false,"folders":false,"sudoers":false,"sshd":false,"sshd_loaded":false}` + "\n"),
		"folder": func(t *testing.T, path string) { must(t, os.Remove(path)); must(t, os.Mkdir(path, 0o700)) },
		"link": func(t *testing.T, path string) {
			must(t, os.Rename(path, path+".old"))
			must(t, os.Symlink(path+".old", path))
		},
		"second-name": func(t *testing.T, path string) { must(t, os.Link(path, path+".old")) },
	}
	for situation, damage := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.settle(newBundle(7, three()...))
			before := w.machine.String()
			damage(t, filepath.Join(w.path, "ledger.json"))
			w.issue(newBundle(8))
			if _, err := w.once(); err == nil || !strings.Contains(err.Error(), "ledger.json") {
				t.Errorf("Pass = %v, want an error that names the ledger", err)
			}
			if steps := w.machine.take(); len(steps) != 0 || w.machine.String() != before {
				t.Errorf("steps were applied: %q", steps)
			}
			a := w.agent()
			must(t, a.Load())
			for what, err := range map[string]error{
				"Plan":        second(a.Plan(t.Context())),
				"Explain":     second(a.Explain(t.Context(), name(t, "alice"))),
				"EnableSSHD":  second(a.EnableSSHD(t.Context())),
				"DisableSSHD": second(a.DisableSSHD(t.Context())),
				"RevertPlan":  second(a.RevertPlan(t.Context())),
			} {
				if err == nil {
					t.Errorf("%s goes on", what)
				}
			}
			if _, _, err := a.Revert(t.Context()); err == nil {
				t.Error("Revert goes on")
			}
			if steps := w.machine.take(); len(steps) != 0 {
				t.Errorf("steps were applied: %q", steps)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestPass_IntentNotStored: the disk is full, or worse, when the intent is to be
// stored: nothing is made then (requirement R46).
func TestPass_IntentNotStored(t *testing.T) {
	w := newWorld(t)
	w.issue(newBundle(7, three()...))
	w.machine.look = func() error {
		err := os.Mkdir(filepath.Join(w.path, "ledger.json"), 0o700)
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		return err
	}
	if _, err := w.once(); err == nil || !strings.Contains(err.Error(), "store intent") {
		t.Errorf("Pass = %v", err)
	}
	if steps := w.machine.take(); len(steps) != 0 {
		t.Errorf("steps were applied: %q", steps)
	}
}

// TestPass_NotObserved: what cannot be looked at is not touched.
func TestPass_NotObserved(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, three()...))
	w.machine.look = func() error { return errInjected }
	w.issue(newBundle(8))
	if _, err := w.once(); !errors.Is(err, errInjected) {
		t.Errorf("Pass = %v", err)
	}
	if steps := w.machine.take(); len(steps) != 0 {
		t.Errorf("steps were applied: %q", steps)
	}
}

// TestPass_NoBundle: nothing to make true is an error, not an empty wish.
func TestPass_NoBundle(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, three()...))
	before := w.machine.String()
	a := w.agent() // it has not loaded anything
	if _, err := a.Pass(t.Context()); !errors.Is(err, agent.ErrNoBundle) {
		t.Errorf("Pass = %v", err)
	}
	if _, err := a.Plan(t.Context()); !errors.Is(err, agent.ErrNoBundle) {
		t.Errorf("Plan = %v", err)
	}
	if w.machine.String() != before {
		t.Error("the machine was changed")
	}
}

// TestPlan_ChangesNothing: a plan says what a pass then does first.
func TestPlan_ChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.issue(newBundle(7, three()...))
	a := w.agent()
	must(t, a.Fetch(t.Context()))
	before := w.machine.String()
	p, err := a.Plan(t.Context())
	must(t, err)
	if steps := w.machine.take(); len(steps) != 0 || w.machine.String() != before {
		t.Errorf("steps were applied: %q", steps)
	}
	if _, err := os.Lstat(filepath.Join(w.path, "ledger.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a ledger was written: %v", err)
	}
	if _, err := a.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(w.machine.take(), "\n") + "\n"; got != p.String() {
		t.Errorf("the pass did\n%sthe plan said\n%s", got, p)
	}
}

func name(t *testing.T, s string) authz.Username {
	t.Helper()
	var u authz.Username
	must(t, u.UnmarshalText([]byte(s)))
	return u
}

// TestPass_UnmanagedStays holds I6: accounts, files and groups that the ledger does
// not name are the same after everything the agent can do (requirement R15 in part and
// T-U2 in part).
func TestPass_UnmanagedStays(t *testing.T) {
	w := newWorld(t)
	foreign := func() string {
		s := w.machine.copy()
		return fmt.Sprint(s.Accounts["root"], s.Accounts["deby"], s.Groups["root"], s.Groups["deby"], s.Homes["/home/deby"], s.Files["/etc/sudoers.d/deby"])
	}
	w.machine.change(func(s *plan.State) {
		s.Files["/etc/sudoers.d/deby"] = plan.File{Content: []byte("deby ALL=(ALL) ALL\n"), Mode: 0o440}
	})
	before := foreign()
	w.settle(newBundle(7, three()...))
	w.issue(newBundle(8, newUser("deby", 20005, true), newUser("eve", 1000, true)))
	report, err := w.once()
	must(t, err)
	want := `refused "deby" name_taken: an account of that name exists and is not ours
refused "eve" uid_taken: the uid belongs to another account of this machine
`
	if got := faults(report); got != want {
		t.Errorf("the report tells\n%swant\n%s", got, want)
	}
	a := w.agent()
	if _, _, err := a.Revert(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := foreign(); after != before {
		t.Errorf("what is not ours is\n%s\nwas\n%s", after, before)
	}
}
