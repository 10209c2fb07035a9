package machine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/e2e/machine"
)

// victimEnv makes this program do one thing instead of the tests:
//
//	waits   boot a machine, say so, wait to be killed
//	panics  boot a machine, say so, panic
//	asks    print what CanBoot says, and what Chroot says, if anything
const victimEnv = "E2E_VICTIM"

func victim(what string) int {
	ctx := context.Background()
	if what == "asks" {
		fmt.Println(machine.CanBoot(ctx))
		if _, err := machine.Chroot(ctx, machine.Options{Name: "asked"}); err != nil {
			fmt.Println(err)
		}
		return 0
	}
	tree, err := machine.Tree(ctx, "bookworm", "", nil)
	if err == nil {
		_, err = machine.Boot(ctx, machine.Options{Name: "victim", Tree: tree, Index: 50})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("booted")
	if what == "panics" {
		panic("as asked")
	}
	select {}
}

// TestEnter_LeavesNothing starts a run inside this one, ends it in every way a run
// can end, and looks for what it left: here, where the inner run is seen from
// outside.
func TestEnter_LeavesNothing(t *testing.T) {
	need(t)
	for name, end := range map[string]struct {
		victim string
		role   string // who is hit; empty for the program that was started
		signal syscall.Signal
		code   int
	}{
		"killed":      {"waits", "", syscall.SIGKILL, -1},
		"interrupted": {"waits", "", syscall.SIGINT, 130},
		"terminated":  {"waits", "", syscall.SIGTERM, 143},
		"init-killed": {"waits", "init", syscall.SIGKILL, 137},
		"main-killed": {"waits", "main", syscall.SIGKILL, 137},
		"panicked":    {"panics", "", 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), victimEnv+"="+end.victim, "TMPDIR="+temp)
			before := traces(t, temp)
			startVictim(t, cmd)
			if end.signal != 0 {
				mustShow(t, traces(t, temp), "folder", "group", "process")
				pid := cmd.Process.Pid
				if end.role != "" {
					pid = actor(t, temp, end.role)
				}
				if err := syscall.Kill(pid, end.signal); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != end.code {
				t.Errorf("exit code %d, want %d", got, end.code)
			}
			if end.signal == syscall.SIGKILL && end.role == "" { // only the sweeper is left to do it
				eventually(t, func() error { return absent("left", difference(traces(t, temp), before)) })
			}
			mustLeaveNothing(t, temp, before)
		})
	}
}

// mustShow fails when a search that should find something cannot.
func mustShow(t *testing.T, found []string, kinds ...string) {
	t.Helper()
	text := strings.Join(found, "\n")
	for _, kind := range kinds {
		if !strings.Contains(text, kind+" ") {
			t.Errorf("while it runs no %s is found, so this test cannot see one:\n%s", kind, text)
		}
	}
}

func mustLeaveNothing(t *testing.T, temp string, before []string) {
	t.Helper()
	if err := absent("left", difference(traces(t, temp), before)); err != nil {
		t.Error(err)
	}
}

// TestMachine_StopLeavesNothing looks from inside the run, where mounts and
// interfaces are seen.
func TestMachine_StopLeavesNothing(t *testing.T) {
	tree := need(t)
	before := traces(t, os.TempDir())
	type maker func(context.Context, machine.Options) (*machine.Machine, error)
	for name, make := range map[string]maker{"booted": machine.Boot, "chroot": machine.Chroot} {
		t.Run(name, func(t *testing.T) {
			m, err := make(t.Context(), machine.Options{Name: "brief", Tree: tree, Index: 60})
			if err != nil {
				t.Fatal(err)
			}
			mustShow(t, difference(traces(t, os.TempDir()), before), "mount", "interface", "process")
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
			if err := m.Stop(); err != nil {
				t.Errorf("second stop: %v", err)
			}
			mustLeaveNothing(t, os.TempDir(), before)
		})
	}
	t.Run("boot-fails", func(t *testing.T) {
		_, err := machine.Boot(t.Context(), machine.Options{Name: "broken", Tree: brokenTree(t), Index: 61})
		if err == nil || !strings.Contains(err.Error(), "console:\nexecv(") {
			t.Errorf("got %v", err)
		}
		mustLeaveNothing(t, os.TempDir(), before)
	})
	t.Run("context-ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for len(running("--machine=hasty")) == 0 {
				runtime.Gosched()
			}
			cancel()
		}()
		if _, err := machine.Boot(ctx, machine.Options{Name: "hasty", Tree: tree, Index: 62}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		mustLeaveNothing(t, os.TempDir(), before)
	})
}

// brokenTree is a system without a first process.
func brokenTree(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	for _, dir := range []string{"etc/ssh", "etc/systemd/system/multi-user.target.wants", "usr"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte("ID=debian\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return tree
}

// traces lists everything a machine or a run could leave: processes and mounts
// of its own, interfaces, control groups, folders.
func traces(t *testing.T, temp string) []string {
	t.Helper()
	var found []string
	for _, pid := range running("") {
		found = append(found, "process "+pid)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		found = append(found, "mount "+strings.Fields(line)[4])
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		found = append(found, "interface "+i.Name)
	}
	for kind, pattern := range map[string]string{
		"group": "/sys/fs/cgroup/latchkey-e2e-*", "member": "/sys/fs/cgroup/latchkey-e2e-*/*/", "folder": filepath.Join(temp, "latchkey-e2e-*"),
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			found = append(found, kind+" "+path)
		}
	}
	return found
}

// running lists the processes seen from here whose command line holds a text,
// with their command line.
func running(text string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		pid := filepath.Base(filepath.Dir(file))
		line, err := os.ReadFile(file)
		words := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		if err != nil || words == "" || pid == strconv.Itoa(os.Getpid()) {
			continue // gone, or dead and not yet waited for
		}
		if strings.Contains(words, text) {
			found = append(found, pid+" "+words)
		}
	}
	return found
}

func difference(list, without []string) []string {
	known := map[string]bool{}
	for _, s := range without {
		known[s] = true
	}
	var more []string
	for _, s := range list {
		if !known[s] {
			more = append(more, s)
		}
	}
	return more
}

func absent(what string, found []string) error {
	if len(found) > 0 {
		return fmt.Errorf("%s:\n%s", what, strings.Join(found, "\n"))
	}
	return nil
}

// startVictim starts it and waits until its machine is up.
func startVictim(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if !strings.HasPrefix(line, "booted") {
		t.Fatalf("victim says %q, %v", line, err)
	}
}

// actor returns the process that plays a role in the run whose folder is in temp.
func actor(t *testing.T, temp, role string) int {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, _ := os.ReadFile(file) // it may be gone by now
		vars := "\x00" + string(env)
		if strings.Contains(vars, "\x00E2E_MACHINE_ROLE="+role+"\x00") && strings.Contains(vars, "\x00TMPDIR="+temp+"\x00") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no process plays %s", role)
	return 0
}

// eventually waits for what happens in its own time, up to half a minute.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); ; {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatal(err)
		}
	}
}
