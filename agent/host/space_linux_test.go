package host

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestSpace runs what changes accounts, sudoers and processes in a space of its
// own: this test again, as a child with private mounts and processes, in which
// /etc is a copy and /home, /run and /var are empty. The tools in it are the
// machine's own, and nothing they do is left.
func TestSpace(t *testing.T) {
	if dir := os.Getenv("LATCHKEY_TEST_SPACE"); dir != "" {
		inSpace(t, dir)
		return
	}
	for _, tool := range []string{"useradd", "usermod", "userdel", "groupadd", "groupdel", "getent", "sudo", "visudo", "cp"} {
		_, err := toolPath(tool)
		need(t, err == nil, tool)
	}
	need(t, os.Getuid() == 0, "root")
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSpace$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_SPACE="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := bytes.Count(out, []byte("--- PASS: TestSpace/")); n < len(spaceTests) {
		t.Errorf("only %d of the %d inner tests ran:\n%s", n, len(spaceTests), out)
	}
}

// need skips where the machine lacks something real; under LATCHKEY_NO_SKIP,
// which make test sets after installing everything, that is a failure.
func need(t *testing.T, have bool, what string) {
	t.Helper()
	if have {
		return
	}
	if os.Getenv("LATCHKEY_NO_SKIP") != "" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}

// spaceTests each get a space as it was at first.
var spaceTests = map[string]func(*testing.T, *space){
	"life":             testLife,
	"adopt":            testAdopt,
	"adopted-leaves":   testAdoptedLeaves,
	"adopt-killed":     testAdoptKilled,
	"opsworks-left":    testOpsWorksLeft,
	"leave":            testLeave,
	"leave-killed":     testLeaveKilled,
	"leave-refused":    testLeaveRefused,
	"lying-tools":      testLyingTools,
	"missing-tools":    testMissingTools,
	"account-of-other": testAccountOfAnother,
	"bulk":             testBulk,
	"bulk-alike":       testBulkAlike,
	"bulk-reverted":    testBulkReverted,
	"bulk-by-useradd":  testBulkByUseradd,
	"bulk-taken":       testBulkTaken,
	"bulk-killed":      testBulkKilled,
	"one-among-many":   testOneAmongMany,
	"edited":           testEdited,
	"home-of-other":    testHomeOfAnother,
	"homes-silent":     testHomesSilent,
	"homes-silent-all": testHomesSilentAll,
	"homes-led":        testHomesLed,
	"homes-gone":       testHomesGone,
	"homes-full":       testHomesFull,
	"home-own":         testHomeOwn,
	"retire":           testRetire,
	"odd-files":        testOddFiles,
	"unreadable":       testUnreadable,
	"shell":            testShell,
	"makers":           testMakers,
	"stale-locks":      testStaleLocks,
	"include-lines":    testIncludeLines,
	"sudoers":          testSudoers,
	"sudo-names":       testSudoNames,
	"sudoers-refused":  testSudoersRefused,
	"sudo-effective":   testSudoEffective,
	"sudo-proof":       testSudoProof,
	"sudo-taken":       testSudoTaken,
	"taken":            testTaken,
	"name-left":        testNameLeft,
	"groups":           testGroups,
	"next-user":        testNextUser,
	"sudo-exact":       testSudoExact,
	"sudo-spoiled":     testSudoSpoiled,
	"leftovers":        testLeftovers,
	"sudo-again":       testSudoAgain,
	"revoked-again":    testRevokedAgain,
	"sudo-scope":       testSudoScope,
	"sudo-scope-proof": testSudoScopeProof,
	"sessions":         testSessions,
	"fleeing":          testFleeing,
	"scheduled":        testScheduled,
	"scheduled-faults": testScheduledFaults,
	"linger":           testLinger,
	"lock":             testLock,
	"outlive":          testOutlive,
	"processes":        testProcesses,
	"hook":             testHook,
	"hook-user":        testHookUser,
	"sshd":             testSSHD,
	"sshd-real":        testSSHDReal,
	"neighbours":       testNeighbours,
	"keys-modes":       testKeysModes,
	"sshd-end":         testSSHDEnd,
	"homes-watched":    testHomesWatched,
	"homes-unwatched":  testHomesUnwatched,
	"displaced":        testDisplaced,
	"break-glass":      testBreakGlass,
	"prove-hook":       testProveHook,
	"doctor":           testDoctor,
	"doctor-looks":     testDoctorLooks,
	"inventory":        testInventory,
	"set-ids":          testSetIDs,
	"quarantine":       testQuarantine,
}

func inSpace(t *testing.T, dir string) {
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("proc", "/proc", "proc", 0, ""))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	must(t, os.Mkdir(dir+"/etc", 0o755))
	out, err := exec.CommandContext(t.Context(), "cp", "-a", "/etc/.", dir+"/etc").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, test := range spaceTests {
		t.Run(name, func(t *testing.T) { test(t, newSpace(t, dir)) })
	}
}

// space is a machine with an /etc of its own.
type space struct {
	*Host
	t     *testing.T
	owned plan.Ledger
}

func newSpace(t *testing.T, dir string) *space {
	mount := func(source, target, kind string, flags uintptr, options string) {
		must(t, unix.Mount(source, target, kind, flags, options))
		t.Cleanup(func() { must(t, unix.Unmount(target, unix.MNT_DETACH)) })
	}
	mount("overlay", "/etc", "overlay", 0, "lowerdir="+dir+"/etc,upperdir="+upper(t, dir)+"/upper,workdir="+dir+"/"+filepath.Base(t.Name())+"/work")
	for _, empty := range []string{"/home", "/run", "/var"} {
		mount("tmpfs", empty, "tmpfs", 0, "mode=755")
	}
	for _, folder := range []string{"/var/lib/latchkey/agent", "/var/log", "/var/mail", "/run/sudo"} {
		must(t, os.MkdirAll(folder, 0o755))
	}
	must(t, os.Chmod("/var/lib/latchkey/agent", 0o700))
	must(t, os.WriteFile("/etc/sudoers", []byte("root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"), 0o440))
	must(t, os.RemoveAll("/etc/sudoers.d"))
	must(t, os.Mkdir("/etc/sudoers.d", 0o755))
	return &space{Host: &Host{Layout: plan.Linux()}, t: t, owned: plan.NewLedger()}
}

func upper(t *testing.T, dir string) string {
	at := filepath.Join(dir, filepath.Base(t.Name()))
	must(t, os.MkdirAll(at+"/upper", 0o755))
	must(t, os.Mkdir(at+"/work", 0o755))
	return at
}

// plan says what the machine needs for the grants.
func (s *space) plan(grants ...authz.Grant) plan.Plan {
	s.t.Helper()
	have, err := s.Observe(s.t.Context(), grants, s.owned)
	must(s.t, err)
	return plan.Diff(have, plan.Desired{Grants: grants}, s.owned, s.Layout)
}

// become makes the machine what the grants say, in at most two plans.
func (s *space) become(grants ...authz.Grant) {
	s.t.Helper()
	for range 2 {
		s.do(s.plan(grants...))
	}
	if left := s.plan(grants...); !left.Empty() {
		s.t.Fatalf("still to be done:\n%s", left)
	}
	have, err := s.Observe(s.t.Context(), grants, s.owned)
	must(s.t, err)
	s.owned.Settle(have)
}

func (s *space) do(p plan.Plan) {
	s.t.Helper()
	for step, err := range s.try(p) {
		s.t.Fatalf("%s: %v", step, err)
	}
}

// try applies a plan as the agent does and returns what went wrong, by step.
func (s *space) try(p plan.Plan) map[string]error {
	s.owned.Intend(p.Steps, nil)
	faults := map[string]error{}
	for rest := p.Steps; len(rest) > 0; {
		together := plan.Together(rest)
		rest = rest[len(together):]
		for i, err := range s.ApplyAll(s.t.Context(), together) {
			if err != nil {
				faults[together[i].String()] = err
				continue
			}
			s.owned.Done(together[i])
		}
	}
	return faults
}

// command runs a program as root would and returns what it printed.
func (s *space) command(name string, args ...string) (string, error) {
	out, err := exec.CommandContext(s.t.Context(), name, args...).CombinedOutput()
	return string(out), err
}

// etc prints every file of /etc but the copies that account tools keep.
func (s *space) etc() map[string]string {
	s.t.Helper()
	files := map[string]string{}
	must(s.t, filepath.WalkDir("/etc", func(path string, e fs.DirEntry, err error) error {
		must(s.t, err)
		if strings.HasSuffix(path, "-") || path == "/etc/.pwd.lock" {
			return nil
		}
		info, err := e.Info()
		must(s.t, err)
		st := info.Sys().(*syscall.Stat_t)
		text := ""
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			must(s.t, err)
			text = string(content)
		}
		files[path] = fmt.Sprintf("%s %d:%d %s", info.Mode(), st.Uid, st.Gid, text)
		return nil
	}))
	return files
}

func (s *space) write(path, content string, mode fs.FileMode) {
	s.t.Helper()
	must(s.t, os.WriteFile(path, []byte(content), mode))
	must(s.t, os.Chmod(path, mode))
}

// start runs a program as a uid, in the background, until the test ends or
// somebody else ends it. It is waited for at once when it does.
func (s *space) start(uid uint32, script string) *process {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setpgid: true}
	ready, err := cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		s.t.Fatalf("%q did not say that it started: %v", script, err)
	}
	p := &process{pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() { defer close(p.ended); _ = cmd.Wait() }()
	s.t.Cleanup(func() { _ = syscall.Kill(-p.pid, syscall.SIGKILL); <-p.ended })
	return p
}

type process struct {
	pid   int
	ended chan struct{}
}

func (p *process) alive() bool {
	_, alive := realUID(p.pid)
	return alive
}

func (p *process) String() string { return strconv.Itoa(p.pid) }

// named makes a grant with one key.
func named(t *testing.T, login string, uid authz.UID, sudo bool) authz.Grant {
	t.Helper()
	var u authz.Username
	must(t, u.UnmarshalText([]byte(login)))
	k, err := authz.ParseKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", authz.KeyPolicy{})
	must(t, err)
	return authz.Grant{Username: u, UID: uid, Sudo: sudo, Keys: []authz.Key{k}}
}

// instead answers for some tools and runs the others.
func (s *space) instead(answers map[string]error) (called *[]string) {
	called = new([]string)
	s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
		*called = append(*called, tool)
		if err, found := answers[tool]; found {
			return "", err
		}
		return runTool(ctx, input, tool, args...)
	}
	return called
}
