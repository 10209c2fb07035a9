package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testMakers holds R24 and T-U9: while other tools make accounts of other names and of
// the same, and are killed holding the locks, nothing is there twice, every home is its
// account's, and in the end ours are made or their names are the others'.
func testMakers(t *testing.T, s *space) {
	strace, err := exec.LookPath("strace")
	need(t, err == nil, "strace (package strace)")
	s.become(named(t, "bob", 20000, false))
	var ours []authz.Grant
	for i := range 6 {
		ours = append(ours, named(t, fmt.Sprint("name", i), authz.UID(20001+i), i%2 == 0))
	}
	useradd := func(login string) []string { // with ids that are not ours
		return []string{"useradd", "-m", "-K", "UID_MIN=2000", "-K", "UID_MAX=2999", "-K", "GID_MIN=2000", "-K", "GID_MAX=2999", login}
	}
	var others sync.WaitGroup
	for i := range 12 {
		others.Go(func() { // name0 to name2 are ours too, and every name is made twice
			command := useradd(fmt.Sprint("name", []int{0, 1, 2, 10, 11, 12}[i/2]))
			out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
			if _, ended := err.(*exec.ExitError); err != nil && !ended {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	var killed atomic.Int32
	for i, call := range []string{"rename", "rename", "rename", "unlink", "unlink", "unlink"} {
		others.Go(func() {
			fault := fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, 1+i%3)
			err := exec.Command(strace, append([]string{"-f", "-qq", "-o", "/dev/null", "-e", fault}, useradd(fmt.Sprint("killed", i))...)...).Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == -1 {
				killed.Add(1)
			}
		})
	}
	grants := append(ours, named(t, "bob", 20000, false))
	s.try(s.plan(grants...))
	others.Wait()
	for range 3 {
		if p := s.plan(grants...); !p.Empty() {
			s.try(p)
		}
	}
	if left := s.plan(grants...); !left.Empty() {
		t.Errorf("still to be done:\n%s", left)
	}
	if killed.Load() == 0 {
		t.Error("nobody was killed holding a lock")
	}
	s.nothingTwice(t)
	p := s.plan(grants...)
	for _, g := range ours {
		if slices.ContainsFunc(p.Refused, func(r plan.Refused) bool { return r.Name == g.Username.String() }) {
			if g.Username.String() > "name2" {
				t.Errorf("%s is refused, which nobody else made:\n%s", g.Username, p)
			}
			continue
		}
		a, found, err := account(g.Username.String())
		info, homeErr := os.Stat("/home/" + g.Username.String())
		if err != nil || !found || a.UID != uint32(g.UID) || homeErr != nil || ownerOf(info) != a.UID {
			t.Errorf("%s is %+v, %v %v", g.Username, a, err, homeErr)
		}
	}
}

// nothingTwice looks at every name and id in the account files.
func (s *space) nothingTwice(t *testing.T) {
	t.Helper()
	for file, fields := range map[string][]int{"/etc/passwd": {0, 2}, "/etc/shadow": {0}, "/etc/group": {0, 2}, "/etc/gshadow": {0}} {
		text, err := os.ReadFile(file)
		must(t, err)
		seen := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			for _, n := range fields {
				key := fmt.Sprint(n, " ", strings.Split(strings.TrimSpace(line), ":")[n])
				if seen[key] {
					t.Errorf("%s is twice in %s", key, file)
				}
				seen[key] = true
			}
		}
	}
	for _, tool := range []string{"pwck", "grpck"} {
		if out, err := s.command(tool, "-q", "-r"); err != nil && strings.Contains(out, "duplicate") {
			t.Errorf("%s: %v %s", tool, err, out)
		}
	}
}

// testStaleLocks holds T-U9 in part: locks whose holder is dead stop nobody. One with
// the number of a process that has nothing to do with it keeps accounts from being
// made, which is told, and from nothing else; it ends with that process.
func testStaleLocks(t *testing.T, s *space) {
	alice, bob, carol := named(t, "alice", 20001, true), named(t, "bob", 20002, true), named(t, "carol", 20003, false)
	locks := []string{"/etc/passwd.lock", "/etc/shadow.lock", "/etc/group.lock", "/etc/gshadow.lock", "/etc/subuid.lock", "/etc/subgid.lock"}
	put := func(pid string) {
		for _, lock := range locks {
			s.write(lock, pid, 0o600)
		}
	}
	dead := exec.CommandContext(t.Context(), "true")
	must(t, dead.Run())
	put(fmt.Sprint(dead.Process.Pid))
	s.become(alice, bob)
	for _, lock := range locks {
		if _, err := os.Lstat(lock); err == nil {
			t.Errorf("%s is there", lock)
		}
	}

	holder := s.start(0, "echo; exec sleep 600")
	put(holder.String())
	undone := s.undone(s.plan(alice, carol))
	if why := strings.Join(undone, "\n"); len(undone) != 2 || !strings.Contains(why, "lock account bob") || !strings.Contains(why, "cannot lock /etc/group") {
		t.Errorf("not done: %q", undone)
	}
	if out, _ := s.command("sudo", "-l", "-U", "bob"); !strings.Contains(out, "is not allowed to run sudo") {
		t.Errorf("sudo says of bob: %s", out)
	}
	if _, err := os.Lstat(s.Layout.KeyFile(bob.Username)); err == nil {
		t.Error("bob has his keys")
	}
	must(t, syscall.Kill(holder.pid, syscall.SIGKILL))
	<-holder.ended
	s.become(alice, carol)
	s.nothingTwice(t)
}
