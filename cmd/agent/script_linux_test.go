package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// TestMain makes this test binary the program "latchkey-agent" for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"latchkey-agent": main})
}

// TestScripts runs testdata/script in a space of its own, as a child: private
// mounts in which /run and /var are empty and /etc and /home cannot be written,
// and a network without a way out. So no command can touch this machine. Beside
// testscript's own commands there are:
//
//	refused CODE PROG…   run; it must fail with this status, print nothing, say on
//	                     stderr one fact, a hint or none and no more, and leave
//	                     everything as it was
//	enrolled [SERIAL]    make the machine one that enrolled and, with a serial, has
//	                     a bundle that names alice and, for a bad reason, Mallory
//	etc                  let /etc be a copy that can be written, until the script ends
//	running              be another agent that runs, until the script ends
//	terminate            send SIGTERM to what runs in the background
func TestScripts(t *testing.T) {
	if os.Getenv("LATCHKEY_TEST_SPACE") == "" {
		outside(t)
		return
	}
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must(t, syscall.Mount("/home", "/home", "", syscall.MS_BIND, ""))
	must(t, syscall.Mount("", "/home", "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	// /etc with one more folder, in which alone can be written.
	above := t.TempDir()
	freeze := filepath.Dir(layout.Freeze)
	must(t, os.Mkdir(filepath.Join(above, filepath.Base(freeze)), 0o755))
	must(t, syscall.Mount("overlay", "/etc", "overlay", syscall.MS_RDONLY, "lowerdir="+above+":/etc"))
	must(t, syscall.Mount("tmpfs", freeze, "tmpfs", 0, "mode=755"))
	// And the login hook, which is not run here.
	beside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(beside, filepath.Base(layout.Hook)), []byte("#!/bin/sh\n"), 0o755))
	must(t, syscall.Mount("overlay", filepath.Dir(layout.Hook), "overlay", syscall.MS_RDONLY, "lowerdir="+beside+":"+filepath.Dir(layout.Hook)))
	for folder, inside := range map[string]string{"/var": "/var/lib", "/run": "/run/sshd"} {
		must(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=755"))
		must(t, os.Mkdir(inside, 0o755))
	}
	// The scripts start the program as the user nobody too.
	path, err := exec.LookPath("latchkey-agent")
	must(t, err)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Defer(func() { must(t, os.RemoveAll(layout.StateDir)) })
			return os.RemoveAll(layout.StateDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refused": refused, "enrolled": enrolled, "etc": etc, "running": running, "terminate": terminate,
		},
	})
}

var layout = plan.Linux()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outside starts the space.
func outside(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	// One after another: there is one /var for all.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestScripts$", "-test.v", "-test.parallel=1")
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_SPACE=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	scripts, err := filepath.Glob("testdata/script/*")
	must(t, err)
	if n := bytes.Count(out, []byte("--- PASS: TestScripts/")); n < len(scripts) || n == 0 {
		t.Errorf("%d of %d scripts ran:\n%s", n, len(scripts), out)
	}
}

func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refused CODE PROGRAM [ARGUMENT...]")
	}
	before := tree(ts)
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("ended with %v, want status %s", err, args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("printed %q", out)
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	if !strings.HasPrefix(lines[0], "latchkey-agent: ") || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "hint: ") {
		ts.Fatalf("said %q", lines)
	}
	if args[0] == "2" && len(lines) != 2 {
		ts.Fatalf("a wrong command line without a hint: %q", lines)
	}
	if after := tree(ts); after != before {
		ts.Fatalf("/var is\n%swas\n%s", after, before)
	}
}

// tree prints /var. Locks are empty files that say nothing.
func tree(ts *testscript.TestScript) string {
	var b strings.Builder
	ts.Check(filepath.WalkDir("/var", func(path string, e fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".lock") {
			return err
		}
		fmt.Fprint(&b, e.Type(), path)
		if e.Type().IsRegular() {
			content, err := os.ReadFile(path)
			fmt.Fprintf(&b, " %q %v", content, err)
		}
		b.WriteString("\n")
		return nil
	}))
	return b.String()
}

func enrolled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: enrolled [SERIAL]")
	}
	dir := cache.Open(layout, safefile.Writer{})
	ts.Check(dir.Make())
	secret, verifier, err := note.GenerateKey(nil, "cp-1")
	ts.Check(err)
	key, err := cache.NewKey()
	ts.Check(err)
	instance, err := authz.ParseInstanceID("33333333-3333-4333-8333-333333333333")
	ts.Check(err)
	stack, err := authz.ParseStackID("11111111-1111-4111-8111-111111111111")
	ts.Check(err)
	i := cache.Identity{Server: "https://127.0.0.1:1", Instance: instance, Stack: stack, StackName: "web\x1b[2J", ControlPlane: "cp-1", Keys: []string{verifier}}
	i.SetKey(key)
	i.SetPin(wire.Pin{})
	ts.Check(dir.SaveIdentity(i))
	if len(args) == 0 {
		return
	}
	serial, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	signer, err := note.NewSigner(secret)
	ts.Check(err)
	user := func(login string, uid int64) wire.User {
		return wire.User{ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", uid), ARN: "arn:aws:iam::123456789012:user/x", Name: login, UID: uid,
			Keys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"}, SSH: true}
	}
	sealed, err := wire.Seal(wire.Bundle{Format: wire.Format, ControlPlane: "cp-1", Stack: stack.String(), Epoch: 1, Serial: serial,
		Issued: "2026-11-22T12:00:00Z", Users: []wire.User{user("lk-alice", 29001), user("Mallory\x1b[2J", 29002)}, Settings: wire.DefaultSettings(),
		Log: wire.LogHead{Root: "00"}, Confirmed: []string{}}, signer)
	ts.Check(err)
	ts.Check(dir.SaveBundle(sealed, cache.Seen{Epoch: 1, Serial: serial}))
}

func etc(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: etc")
	}
	copied := ts.MkAbs("etc")
	ts.Check(ts.Exec("cp", "-a", "/etc", copied))
	ts.Check(syscall.Mount(copied, "/etc", "", syscall.MS_BIND, ""))
	ts.Defer(func() { ts.Check(syscall.Unmount("/etc", syscall.MNT_DETACH)) })
}

func running(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: running")
	}
	release, err := cache.Open(layout, safefile.Writer{}).LockRun()
	ts.Check(err)
	ts.Defer(func() { ts.Check(release()) })
}

func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}
