package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/authz/name"
)

// TestMain lets the test binary be its own child: inside a private machine, and
// as a hook whose read never ends.
func TestMain(m *testing.M) {
	if os.Getenv("LATCHKEY_TEST_CHILD") == "hanging-read" {
		os.Exit(hangingRead())
	}
	os.Exit(m.Run())
}

// hangingRead is main with a read that blocks in the kernel for ever.
func hangingRead() int {
	if err := armDeadline(); err != nil {
		return exitFault
	}
	return run([]string{"alice", "20001", typ, keyA}, func(name.Username) ([]byte, error) {
		var ends [2]int
		if err := syscall.Pipe(ends[:]); err != nil {
			return nil, err
		}
		_, err := syscall.Read(ends[0], make([]byte, 1))
		return []byte(fileOfA), err
	}, nothing, os.Stdout, os.Stderr)
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

// TestDeadline_hanging_read holds R61 in part and T-H4 in part.
func TestDeadline_hanging_read(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_CHILD=hanging-read", "GORACE=atexit_sleep_ms=0")
	start := time.Now()
	out, err := cmd.Output()
	took := time.Since(start)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || len(out) != 0 {
		t.Fatalf("output %q, %v; want no output and a non-zero end", out, err)
	}
	if took < 400*time.Millisecond || took > 3*time.Second {
		t.Errorf("ended after %v, want about %d ms", took, deadline)
	}
}

// TestMachine runs the real program, and the real sshd around it, where no file
// of this machine can be touched: in a mount namespace with its own /var/lib,
// /run and account files. The program is the one that ships, key folder and all.
func TestMachine(t *testing.T) {
	if os.Getenv("LATCHKEY_TEST_CHILD") == "machine" {
		inMachine(t)
		return
	}
	t.Parallel()
	need(t, os.Getuid() == 0, "root, to make a mount namespace")
	for _, tool := range []string{"sshd", "ssh", "ssh-keygen", "ssh-agent", "ip", "strace"} {
		need(t, lookTool(tool) != "", tool+" (package openssh-server, openssh-client, iproute2 or strace)")
	}
	program := filepath.Join(t.TempDir(), "latchkey-keys")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestMachine$", "-test.v")
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_CHILD=machine", "GORACE=atexit_sleep_ms=0", "LATCHKEY_TEST_PROGRAM="+program)
	// With its own process ids, nothing started inside outlives it.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	t.Logf("inside:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out, []byte("--- PASS: TestMachine/login")) || !bytes.Contains(out, []byte("--- PASS: TestMachine/restricted")) {
		t.Error("the inner tests did not run")
	}
}

// lookTool finds a program also where only root's PATH leads.
func lookTool(tool string) string {
	for _, dir := range []string{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"} {
		if st, err := os.Stat(dir + tool); err == nil && st.Mode().IsRegular() {
			return dir + tool
		}
	}
	return ""
}

// Inside the machine.
const (
	program = "/var/lib/hook/latchkey-keys"
	hookUID = 20900
)

func inMachine(t *testing.T) {
	shipped, err := os.ReadFile(os.Getenv("LATCHKEY_TEST_PROGRAM"))
	must(t, err)
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	for _, dir := range []string{"/var/lib", "/run"} {
		must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	}
	must(t, syscall.Mount("proc", "/proc", "proc", 0, ""))
	for _, dir := range []string{keyFolder, "/run/sshd", "/var/lib/hook", "/var/lib/etc", "/var/lib/home"} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	must(t, os.WriteFile(program, shipped, 0o755))
	for file, content := range map[string]string{
		"passwd": fmt.Sprintf("root:x:0:0::/root:/bin/sh\nsshd:x:20901:20901::/run/sshd:/usr/sbin/nologin\n"+
			"latchkey-keys:x:%d:%d::/nonexistent:/usr/sbin/nologin\nalice:x:20001:20001::/var/lib/home:/bin/sh\n", hookUID, hookUID),
		"group":  fmt.Sprintf("root:x:0:\nsshd:x:20901:\nlatchkey-keys:x:%d:\nalice:x:20001:\n", hookUID),
		"shadow": "root:*:::::::\nsshd:*:::::::\nlatchkey-keys:*:::::::\nalice:*:::::::\n",
	} {
		must(t, os.WriteFile("/var/lib/etc/"+file, []byte(content), 0o644))
		must(t, syscall.Mount("/var/lib/etc/"+file, "/etc/"+file, "", syscall.MS_BIND, ""))
	}
	t.Run("program", inMachineProgram)
	t.Run("trace", inMachineTrace)
	t.Run("restricted", inMachineRestricted)
	t.Run("daemon", inMachineDaemon)
	t.Run("login", inMachineLogin)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// putKeys makes alice's key file hold content, as the agent would leave it.
func putKeys(t *testing.T, content string) {
	t.Helper()
	path := keyFolder + "/alice"
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if content == "" {
		return
	}
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 0, hookUID); err != nil {
		t.Fatal(err)
	}
}

// asHook returns the program, run as sshd runs it.
func asHook(args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: hookUID, Gid: hookUID}}
	return cmd
}

// inMachineProgram holds T-H2 and T-H7.
func inMachineProgram(t *testing.T) {
	putKeys(t, fileOfA)
	question := []string{"alice", "20001", typ, keyA}
	t.Run("answers", func(t *testing.T) {
		if out, err := asHook(question...).CombinedOutput(); err != nil || string(out) != lineA {
			t.Errorf("output %q, %v", out, err)
		}
	})
	t.Run("answers-root", func(t *testing.T) {
		if out, err := exec.Command(program, question...).CombinedOutput(); err != nil || string(out) != lineA {
			t.Errorf("output %q, %v", out, err)
		}
	})
	t.Run("file-not-readable", func(t *testing.T) {
		cmd := asHook(question...)
		cmd.SysProcAttr.Credential.Gid = 20001
		wantFault(t, cmd, 1, "permission denied")
	})
	t.Run("argument-of-100-kib", func(t *testing.T) {
		wantFault(t, asHook("alice", "20001", typ, strings.Repeat("A", 100<<10)), 2, "key is not padded base64")
	})
	t.Run("stdout-closed-early", stdoutClosed)
	t.Run("stdout-never-read", stdoutNeverRead)
	t.Run("fifo-for-a-file", func(t *testing.T) {
		putKeys(t, "")
		if err := syscall.Mkfifo(keyFolder+"/alice", 0o644); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantFault(t, asHook(question...), 1, "not a regular file")
		if took := time.Since(start); took > 400*time.Millisecond {
			t.Errorf("took %v: refused by the deadline, not at once", took)
		}
	})
}

func wantFault(t *testing.T, cmd *exec.Cmd, status int, text string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != status || len(out) != 0 || !strings.Contains(stderr.String(), text) {
		t.Errorf("stdout %q, stderr %q, %v; want no output, %q, status %d", out, stderr.String(), err, text, status)
	}
}

// stdoutClosed gives the hook a pipe nobody reads from any more (R64, T-H7 in part).
func stdoutClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := asHook("alice", "20001", typ, keyA)
	cmd.Stdout = w
	if err := cmd.Run(); err == nil {
		t.Error("the hook called it an answer")
	}
}

// stdoutNeverRead gives the hook a full pipe that is never read (R61 in part, T-H7 in
// part). While it hangs there, it is seen to have dropped the groups it was given (R59
// in part, T-H2).
func stdoutNeverRead(t *testing.T) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(ends[0])
	if err := syscall.SetNonblock(ends[1], true); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		_, err := syscall.Write(ends[1], make([]byte, 4096))
		full = err == syscall.EAGAIN
	}
	if err := syscall.SetNonblock(ends[1], false); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(ends[1]), "pipe")
	defer w.Close()
	cmd := exec.Command(program, "alice", "20001", typ, keyA)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{4, 27}}}
	cmd.Stdout = w
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dropped := watchGroups(cmd.Process.Pid)
	err := cmd.Wait()
	took := time.Since(start)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Errorf("ended with %v, want the kernel's kill", err)
	}
	if took < 400*time.Millisecond || took > 3*time.Second {
		t.Errorf("ended after %v, want about %d ms", took, deadline)
	}
	if !dropped {
		t.Error("supplementary groups were kept")
	}
}

// watchGroups reads the groups of a process for as long as it lives, or until
// they are gone, and reports whether they were.
func watchGroups(pid int) bool {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || bytes.Contains(status, []byte("State:\tZ")) {
			return false
		}
		_, after, _ := bytes.Cut(status, []byte("\nGroups:"))
		line, _, found := bytes.Cut(after, []byte("\n"))
		if found && len(bytes.TrimSpace(line)) == 0 {
			return true
		}
	}
}
