package host

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// session is a shell of somebody's that stays open and asks sudo when it is told to.
type session struct {
	ask    io.WriteCloser
	answer *bufio.Reader
}

func (s *space) session(uid uint32) session {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", `while read x; do sudo -n id -u 2>/dev/null || echo refused; done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setpgid: true}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	ask, err := cmd.StdinPipe()
	must(s.t, err)
	answer, err := cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	return session{ask, bufio.NewReader(answer)}
}

func (s session) sudo(t *testing.T) string {
	t.Helper()
	if _, err := io.WriteString(s.ask, "\n"); err != nil {
		t.Fatal(err)
	}
	line, err := s.answer.ReadString('\n')
	must(t, err)
	return strings.TrimSpace(line)
}

// testSudoAgain holds T-S10: sudo is given and taken again and again while sessions are
// open. Each time they get what is meant, and whoever reads our file meanwhile, as sudo
// does, reads one of the two files that were meant, or none.
func testSudoAgain(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, true)
	plain := named(t, "alice", 20001, false)
	s.become(alice, bob)
	hers, his := s.session(20001), s.session(20002)
	if got := hers.sudo(t) + his.sudo(t); got != "00" {
		t.Fatalf("before it all, sudo says %q", got)
	}
	rule := func(u authz.Username) plan.Rule { return plan.Rule{User: u} }
	meant := map[string]bool{
		string(plan.SudoersFile([]plan.Rule{rule(alice.Username), rule(bob.Username)})): true,
		string(plan.SudoersFile([]plan.Rule{rule(bob.Username)})):                       true,
	}
	stop, reads := make(chan struct{}), 0
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			text, err := os.ReadFile(s.Layout.Sudoers)
			if reads++; err != nil || !meant[string(text)] {
				t.Errorf("somebody reads %q, %v", text, err)
				return
			}
		}
	})
	const times = 10
	for range times {
		s.become(plain, bob)
		if got := hers.sudo(t) + " " + his.sudo(t); got != "refused 0" {
			t.Fatalf("without it, sudo says %q", got)
		}
		s.become(alice, bob)
		if got := hers.sudo(t) + " " + his.sudo(t); got != "0 0" {
			t.Fatalf("with it again, sudo says %q", got)
		}
	}
	close(stop)
	reader.Wait()
	if reads < times {
		t.Errorf("the file was read %d times", reads)
	}
}

// testRevokedAgain holds T-U15 in part: revoked and granted again, over and over, what
// is in the home stays, and each time all is as it is meant.
func testRevokedAgain(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	s.become(alice, bob)
	must(t, os.WriteFile("/home/alice/note", []byte("mine"), 0o600))
	must(t, os.Chown("/home/alice/note", 20001, 20001))
	before := files(t, "/home") + s.etc()["/etc/passwd"] + s.etc()["/etc/group"]
	for range 15 {
		open := s.start(20001, "echo; exec sleep 60")
		s.become(bob)
		if a, _, err := account("alice"); err != nil || !a.Locked() || open.alive() {
			t.Fatalf("revoked alice is %+v, %v, her session goes on: %t", a, err, open.alive())
		}
		s.become(alice, bob)
		if a, _, err := account("alice"); err != nil || a.Locked() {
			t.Fatalf("granted again, alice is %+v, %v", a, err)
		}
	}
	if after := files(t, "/home") + s.etc()["/etc/passwd"] + s.etc()["/etc/group"]; after != before {
		t.Errorf("before it was\n%s\nafter\n%s", before, after)
	}
}
