package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testSessions holds R29 and T-U14 in part, for processes: all of one uid end, however
// they hold on, and no other's.
func testSessions(t *testing.T, s *space) {
	const alice, bob = 20001, 20002
	end := plan.Step{Op: plan.OpEndSessions, User: named(t, "alice", alice, false).Username, UID: alice}
	stay := []*process{s.start(bob, "echo; exec sleep 60"), s.start(0, "echo; exec sleep 60")}
	for situation, script := range map[string]string{
		"plain":            "echo; exec sleep 60",
		"ignores-signals":  "trap '' TERM HUP INT QUIT; echo; sleep 60 & wait",
		"forks-again":      "trap '(while :; do sleep 0.01; done) & (while :; do sleep 0.01; done) & wait' TERM; echo; while :; do sleep 0.01; done",
		"stopped":          "echo; kill -STOP $$; exec sleep 60",
		"nohup":            "setsid nohup sh -c 'trap \"\" HUP TERM; sleep 60' >/dev/null 2>&1 & echo; exec true",
		"detached":         "(setsid sleep 60 >/dev/null 2>&1 &) ; echo; exec sleep 60",
		"ends-when-told":   "trap 'exit 0' TERM; echo; while :; do sleep 0.01; done",
		"many":             "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; echo; wait",
		"nothing-in-there": "",
	} {
		t.Run(situation, func(t *testing.T) {
			inner := &space{Host: s.Host, t: t}
			var p *process
			if script != "" {
				p = inner.start(alice, script)
			}
			must(t, s.Apply(t.Context(), end))
			if n, err := signalAll(alice, 0); n != 0 || err != nil {
				t.Errorf("%d processes are left, %v", n, err)
			}
			if p != nil && p.alive() {
				t.Error("the first process is alive")
			}
			for _, other := range stay {
				if !other.alive() {
					t.Fatalf("process %s of somebody else was ended", other)
				}
			}
		})
	}

	// Where logind is, it is asked by the uid; that it knows no such user, or is not
	// there after all, is no fault, anything else is.
	must(t, os.MkdirAll("/run/systemd/seats", 0o755))
	for situation, c := range map[string]struct {
		answer error
		fails  bool
	}{
		"ended": {nil, false}, "no-such-user": {&exitError{tool: "loginctl", code: 1}, false}, "not-installed": {errNoTool, false},
		"hangs": {context.DeadlineExceeded, true}, "refuses": {&exitError{tool: "loginctl", code: 4}, true},
	} {
		t.Run("logind-"+situation, func(t *testing.T) {
			var asked []string
			s.Run = func(_ context.Context, input, tool string, args ...string) (string, error) {
				asked = append([]string{tool}, args...)
				return "", c.answer
			}
			defer func() { s.Run = nil }()
			p := (&space{Host: s.Host, t: t}).start(alice, "echo; exec sleep 60")
			err := s.Apply(t.Context(), end)
			if (err != nil) != c.fails || strings.Join(asked, " ") != "loginctl terminate-user 20001" {
				t.Errorf("it gives %v after %q", err, asked)
			}
			if p.alive() {
				t.Error("the process is alive")
			}
		})
	}
}

// testFleeing: a process that is never there when it is looked for, because it makes
// another of itself and ends, is ended all the same (T-U14 in part).
func testFleeing(t *testing.T, s *space) {
	const alice = 20001
	must(t, os.Mkdir("/run/trail", 0o777))
	must(t, os.Chmod("/run/trail", 0o777))
	s.start(alice, "trap '' TERM; flee() { : >/run/trail/seen; flee & }; flee >/dev/null 2>&1; echo; exec true")
	wait := func() (seen bool) { // for a sign of life
		must(t, os.RemoveAll("/run/trail/seen"))
		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
			if _, err := os.Stat("/run/trail/seen"); err == nil {
				return true
			}
		}
		return false
	}
	if !wait() {
		t.Fatal("it does not run")
	}
	must(t, s.Apply(t.Context(), plan.Step{Op: plan.OpEndSessions, User: named(t, "alice", alice, false).Username, UID: alice}))
	if wait() {
		t.Error("it is alive")
	}
}

// testProcesses: a process belongs to its real uid; one that has ended counts no
// more; and a cancelled agent does not go on for long.
func testProcesses(t *testing.T, s *space) {
	const alice, bob = 20001, 20002
	uids := map[authz.UID]bool{alice: true, bob: true}
	count := func() map[authz.UID]int {
		got, err := processesOf(uids)
		must(t, err)
		return got
	}
	if got := count(); len(got) != 0 {
		t.Errorf("before: %v", got)
	}
	s.start(alice, "echo; sleep 60 & wait")
	// Also while somebody else's grant bears the uid: it is refused, and must not
	// cover who leaves.
	s.owned.Accounts[named(t, "alice", alice, false).Username] = plan.Owned{UID: alice, State: plan.Present}
	for _, c := range []struct {
		grant authz.Grant
		found bool
	}{{named(t, "eve", alice, false), true}, {named(t, "alice", alice, false), false}, {named(t, "alice", 20009, false), true}} {
		have, err := s.Observe(t.Context(), []authz.Grant{c.grant}, s.owned)
		if err != nil || (have.Processes[alice] > 0) != c.found {
			t.Errorf("with a grant to %s (uid %s) her processes are seen as %v, %v", c.grant.Username, c.grant.UID, have.Processes, err)
		}
	}
	one := s.start(bob, "echo; exec sleep 60")
	if got := count(); got[alice] < 1 || got[bob] != 1 {
		t.Errorf("of two users there are %v", got)
	}
	must(t, syscall.Kill(one.pid, syscall.SIGKILL))
	<-one.ended
	if got := count(); got[bob] != 0 {
		t.Errorf("after one ended: %v", got)
	}
	if got, err := processesOf(nil); err != nil || len(got) != 0 {
		t.Errorf("of nobody: %v, %v", got, err)
	}

	zombie, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: bob, Gid: bob}}})
	must(t, err)
	for deadline := time.Now().Add(10 * time.Second); ; {
		status, err := os.ReadFile(filepath.Join("/proc", (&process{pid: zombie.Pid}).String(), "status"))
		must(t, err)
		if strings.Contains(string(status), "State:\tZ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
	if got := count(); got[bob] != 0 {
		t.Errorf("a process that has ended and was not waited for counts: %v", got)
	}
	_, err = zombie.Wait()
	must(t, err)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	end := plan.Step{Op: plan.OpEndSessions, User: named(t, "alice", alice, false).Username, UID: alice}
	s.start(alice, "trap '' TERM; echo; while :; do sleep 0.01; done")
	if err := s.Apply(cancelled, end); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	if signalProcess(1<<22-1, alice, 0) || signalProcess(os.Getpid(), alice, syscall.SIGKILL) {
		t.Error("a process that is not there, or not of the uid, counts")
	}
}

func TestPidIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	for text, want := range map[string]int{
		"123\n": 123, "123": 123, " 123 \n": 123, "": 0, "\n": 0, "0\n": 0, "1\n": 0, "-5\n": 0, "abc": 0, "12x": 0, "0x10": 0, "1.5": 0,
		strings.Repeat("1", 33): 0, "99999999999999999999": 0, "12\n13\n": 0,
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if got := pidIn(path); got != want {
			t.Errorf("%q gives %d, want %d", text, got, want)
		}
	}
	if got := pidIn(path + "2"); got != 0 {
		t.Errorf("without a file it gives %d", got)
	}
}
