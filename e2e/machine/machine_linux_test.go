package machine_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/e2e/machine"
)

func TestMain(m *testing.M) { os.Exit(machine.Enter(role(m))) }

// role runs what a test started this program for, or the tests.
func role(m *testing.M) func() int {
	if name := os.Getenv(victimEnv); name != "" {
		return func() int { return victim(name) }
	}
	return m.Run
}

// need returns the tree, or skips: no machine without root, tools and a mirror.
func need(t *testing.T) string {
	t.Helper()
	err := machine.CanBoot(t.Context())
	if err == nil {
		var tree string
		if tree, err = machine.Tree(t.Context(), "bookworm", "", progress(t)); err == nil {
			return tree
		}
	}
	if os.Getenv("LATCHKEY_NO_SKIP") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

func progress(t *testing.T) func(string) {
	return func(line string) { t.Log(line) }
}

func mustBoot(t *testing.T, make func(context.Context, machine.Options) (*machine.Machine, error), o machine.Options) *machine.Machine {
	t.Helper()
	m, err := make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func mustRun(t *testing.T, m *machine.Machine, argv ...string) string {
	t.Helper()
	out, err := m.Run(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// addUser makes an account with a new key, by hand, and returns the private key's file.
func addUser(t *testing.T, m *machine.Machine, name string) string {
	t.Helper()
	keyfile := filepath.Join(t.TempDir(), name)
	public, err := machine.NewKey(t.Context(), keyfile, name)
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, m, "useradd", "--create-home", "--shell", "/bin/bash", name)
	file := "/home/" + name + "/.ssh/authorized_keys"
	if err := m.WriteFile(t.Context(), file, []byte(public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, m, "chown", "-R", name+":", "/home/"+name+"/.ssh")
	return keyfile
}

func mustSSH(t *testing.T, m *machine.Machine, user, keyfile string, command ...string) machine.Result {
	t.Helper()
	result, err := machine.SSH(t.Context(), m, user, keyfile, command...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestBoot(t *testing.T) {
	m := mustBoot(t, machine.Boot, machine.Options{Name: "web1", Tree: need(t), Index: 1})

	t.Run("systemd-runs", func(t *testing.T) {
		if got := mustRun(t, m, "systemctl", "is-system-running"); got != "running" {
			t.Errorf("is-system-running: %s", got)
		}
	})
	t.Run("has-its-own-name-and-address", func(t *testing.T) {
		got := mustRun(t, m, "hostname") + " " + mustRun(t, m, "ip", "-o", "-4", "address", "show", "host0")
		if !strings.HasPrefix(got, "web1 ") || !strings.Contains(got, " 10.99.1.2/24 ") {
			t.Errorf("got %s", got)
		}
		if m.Addr().String() != "10.99.1.2:22" || !m.Booted() {
			t.Errorf("address %s, booted %v", m.Addr(), m.Booted())
		}
	})
	t.Run("reaches-this-side", func(t *testing.T) { testReach(t, m) })
	t.Run("command-fails", func(t *testing.T) { testCommandFails(t, m) })
	t.Run("command-ends-with-its-context", func(t *testing.T) { testCommandEnds(t, m) })
	t.Run("copies-files", func(t *testing.T) { testCopy(t, m) })
	t.Run("logs-in", func(t *testing.T) { testLogin(t, m) })
	t.Run("session-is-ended-by-the-machine", func(t *testing.T) {
		keyfile := addUser(t, m, "bob")
		session, err := machine.OpenSession(t.Context(), m, "bob", keyfile)
		if err != nil {
			t.Fatal(err)
		}
		mustRun(t, m, "loginctl", "terminate-user", "bob")
		awaitEnd(t, session)
		if got := session.Result(); got.Code != 255 {
			t.Errorf("ended with %+v, want 255", got)
		}
	})
	t.Run("snapshot-sees-changes", func(t *testing.T) { testSnapshot(t, m) })
}

func TestOptions(t *testing.T) {
	tree := need(t)
	for want, o := range map[string]machine.Options{
		`machine name "": not 1 to 11`:             {Tree: tree, Index: 1},
		`machine name "Web": not 1 to 11`:          {Name: "Web", Tree: tree, Index: 1},
		`machine name "1st": not 1 to 11`:          {Name: "1st", Tree: tree, Index: 1},
		`machine name "twelve-chars": not 1 to 11`: {Name: "twelve-chars", Tree: tree, Index: 1},
		`machine a: index 0 is not 1 to 254`:       {Name: "a", Tree: tree},
		`machine a: index 255 is not 1 to 254`:     {Name: "a", Tree: tree, Index: 255},
		`machine a: "" is no tree`:                 {Name: "a", Index: 1},
		`machine a: "/proc" is no tree`:            {Name: "a", Tree: "/proc", Index: 1},
	} {
		if _, err := machine.Boot(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s…", err, want)
		}
	}
}

func testReach(t *testing.T, m *machine.Machine) {
	l, err := net.Listen("tcp", net.JoinHostPort(m.HostAddr().String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			fmt.Fprintln(conn, "hello from outside")
			conn.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	if got := mustRun(t, m, "bash", "-c", fmt.Sprintf("cat </dev/tcp/%s/%d", m.HostAddr(), port)); got != "hello from outside" {
		t.Errorf("got %q", got)
	}
}

func testCommandFails(t *testing.T, m *machine.Machine) {
	_, err := m.Run(t.Context(), "sh", "-c", "echo no such thing >&2; exit 3")
	want := "sh -c echo no such thing >&2; exit 3 on " + m.Name() + ": exit status 3: no such thing"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func testCommandEnds(t *testing.T, m *machine.Machine) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := m.Command(ctx, "sh", "-c", "echo started; sleep 54321; :")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("no error from a killed command")
	}
	eventually(t, func() error {
		return absent("process in the machine", running("sleep 54321"))
	})
}

func testCopy(t *testing.T, m *machine.Machine) {
	file := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho \"tool says $1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Copy(t.Context(), file, "/opt/new/folder/tool", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := mustRun(t, m, "/opt/new/folder/tool", "a b"); got != "tool says a b" {
		t.Errorf("got %q", got)
	}
	if got := mustRun(t, m, "stat", "-c", "%a %U:%G", "/opt/new/folder/tool"); got != "755 root:root" {
		t.Errorf("got %q", got)
	}
	text, err := m.ReadFile(t.Context(), "/opt/new/folder/tool")
	if err != nil || !strings.Contains(string(text), "tool says") {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := m.ReadFile(t.Context(), "/no/such/file"); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("got %v", err)
	}
}

func testLogin(t *testing.T, m *machine.Machine) {
	keyfile := addUser(t, m, "alice")
	if got := mustSSH(t, m, "alice", keyfile, "id", "-un"); got != (machine.Result{Stdout: "alice\n"}) {
		t.Errorf("got %+v", got)
	}
	if got := mustSSH(t, m, "alice", keyfile, "exit", "7"); got.Code != 7 {
		t.Errorf("got %+v", got)
	}
	stranger := filepath.Join(t.TempDir(), "stranger")
	if _, err := machine.NewKey(t.Context(), stranger, "stranger"); err != nil {
		t.Fatal(err)
	}
	if got := mustSSH(t, m, "alice", stranger, "true"); !got.Refused() {
		t.Errorf("stranger's key: %+v", got)
	}
	if _, err := machine.OpenSession(t.Context(), m, "alice", stranger); err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("stranger's session: %v", err)
	}
	session, err := machine.OpenSession(t.Context(), m, "alice", keyfile)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-session.Ended():
		t.Error("session ended by itself")
	default:
	}
	if got := session.Close(); got.Code != 0 {
		t.Errorf("closed with %+v", got)
	}
}

func testSnapshot(t *testing.T, m *machine.Machine) {
	before, err := m.Snapshot("/etc/ssh", "/etc/passwd", "/etc/no-such-file")
	if err != nil {
		t.Fatal(err)
	}
	if len(before) < 5 || before["/etc/passwd"] == "" || before["/etc/no-such-file"] != "" {
		t.Errorf("got %v", before)
	}
	mustRun(t, m, "sh", "-c", "echo '# x' >>/etc/ssh/sshd_config; ln -s /etc/shadow /etc/ssh/link; chmod 600 /etc/passwd")
	after, err := m.Snapshot("/etc/ssh", "/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, path := range []string{"/etc/ssh/sshd_config", "/etc/ssh/link", "/etc/passwd", "/etc/ssh/ssh_config"} {
		if before[path] != after[path] {
			changed = append(changed, path)
		}
	}
	if got, want := strings.Join(changed, " "), "/etc/ssh/sshd_config /etc/ssh/link /etc/passwd"; got != want {
		t.Errorf("changed: %s\nwant:    %s", got, want)
	}
}

func TestBoot_Two(t *testing.T) {
	tree := need(t)
	machines := make([]*machine.Machine, 2)
	var wg sync.WaitGroup
	start := time.Now()
	for i, name := range []string{"left", "right"} {
		wg.Go(func() {
			m, err := machine.Boot(t.Context(), machine.Options{Name: name, Tree: tree, Index: 20 + i})
			if err != nil {
				t.Error(err)
				return
			}
			machines[i] = m
		})
	}
	wg.Wait()
	t.Logf("two machines in %v", time.Since(start).Round(time.Millisecond))
	for _, m := range machines {
		if m != nil {
			t.Cleanup(func() { m.Stop() })
		}
	}
	if t.Failed() {
		return
	}
	for _, file := range []string{"/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/hostname"} {
		if a, b := mustRun(t, machines[0], "cat", file), mustRun(t, machines[1], "cat", file); a == b || a == "" {
			t.Errorf("%s is %q on both", file, a)
		}
	}
	// A restart in one must not end a process in the other: each has its own
	// control groups.
	was := mustRun(t, machines[1], "systemctl", "show", "--value", "--property=MainPID", "ssh.service")
	mustRun(t, machines[0], "systemctl", "stop", "ssh.service")
	if is := mustRun(t, machines[1], "systemctl", "show", "--value", "--property=MainPID", "ssh.service"); is != was || is == "0" {
		t.Errorf("sshd of the other machine was process %s, is %s", was, is)
	}
	keyfile := addUser(t, machines[1], "alice")
	if got := mustSSH(t, machines[1], "alice", keyfile, "hostname"); got.Stdout != "right\n" {
		t.Errorf("got %+v", got)
	}
}

func TestMachine_Reboot(t *testing.T) {
	m := mustBoot(t, machine.Boot, machine.Options{Name: "phoenix", Tree: need(t), Index: 30})
	mustRun(t, m, "sh", "-c", "echo gone >/run/gone")
	id := mustRun(t, m, "cat", "/etc/machine-id")
	testReboot(t, m)
	if got := mustRun(t, m, "cat", "/etc/machine-id"); got != id {
		t.Errorf("machine id was %s, is %s", id, got)
	}
	if _, err := m.Run(t.Context(), "cat", "/run/gone"); err == nil {
		t.Error("/run outlived the reboot")
	}
	if got := mustRun(t, m, "systemctl", "is-system-running"); got != "running" {
		t.Errorf("is-system-running: %s", got)
	}
}

// testReboot holds for every kind of machine: processes end, files stay, the same
// key lets in.
func testReboot(t *testing.T, m *machine.Machine) {
	keyfile := addUser(t, m, "dora")
	session, err := machine.OpenSession(t.Context(), m, "dora", keyfile)
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Snapshot("/etc", "/home", "/root")
	if err != nil {
		t.Fatal(err)
	}
	was := m.PID()
	if err := m.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, session)
	if m.PID() == was {
		t.Error("the first process is the same")
	}
	after, err := m.Snapshot("/etc", "/home", "/root")
	if diff := cmp.Diff(before, after); diff != "" || err != nil {
		t.Errorf("files changed (-before +after), %v:\n%s", err, diff)
	}
	if got := mustSSH(t, m, "dora", keyfile, "id", "-un"); got.Stdout != "dora\n" {
		t.Errorf("got %+v", got)
	}
}

func awaitEnd(t *testing.T, s *machine.Session) {
	t.Helper()
	select {
	case <-s.Ended():
	case <-time.After(30 * time.Second):
		t.Fatal("the session is still open")
	}
}
