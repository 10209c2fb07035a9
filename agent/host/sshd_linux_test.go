package host

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testHook holds R58 and T-H1: what sshd would refuse to run is found before
// sshd does.
func testHook(t *testing.T, s *space) {
	const folder, hook = "/var/lib/latchkey/bin", "/var/lib/latchkey/bin/hook"
	s.Layout.Hook = hook
	must(t, os.Mkdir("/var/open", 0o755))
	must(t, os.Chmod("/var/open", 0o777))
	must(t, os.Mkdir("/var/noexec", 0o755))
	must(t, unix.Mount("tmpfs", "/var/noexec", "tmpfs", unix.MS_NOEXEC, "mode=755"))
	t.Cleanup(func() { must(t, unix.Unmount("/var/noexec", unix.MNT_DETACH)) })
	s.write("/var/noexec/hook", "#!/bin/sh\n", 0o755)
	for situation, c := range map[string]struct {
		spoil func()
		fine  bool
	}{
		"good":            {func() {}, true},
		"read-only":       {func() { must(t, os.Chmod(hook, 0o555)) }, true},
		"missing":         {func() { must(t, os.Remove(hook)) }, false},
		"group-writable":  {func() { must(t, os.Chmod(hook, 0o775)) }, false},
		"world-writable":  {func() { must(t, os.Chmod(hook, 0o757)) }, false},
		"of-another":      {func() { must(t, os.Chown(hook, 1234, 0)) }, false},
		"not-executable":  {func() { must(t, os.Chmod(hook, 0o644)) }, false},
		"root-alone":      {func() { must(t, os.Chmod(hook, 0o700)) }, false},
		"folder":          {func() { must(t, os.Remove(hook)); must(t, os.Mkdir(hook, 0o755)) }, false},
		"folder-writable": {func() { must(t, os.Chmod(folder, 0o775)) }, false},
		"folder-sticky":   {func() { must(t, os.Chmod(folder, 0o777|os.ModeSticky)) }, false},
		"folder-of-other": {func() { must(t, os.Chown(folder, 1234, 0)) }, false},
		"above-writable":  {func() { must(t, os.Chmod(filepath.Dir(folder), 0o777)) }, false},
		"link":            {func() { must(t, os.Rename(hook, hook+"2")); must(t, os.Symlink(hook+"2", hook)) }, true},
		"link-elsewhere":  {func() { must(t, os.Rename(hook, "/var/open/hook")); must(t, os.Symlink("/var/open/hook", hook)) }, false},
		"link-dangling":   {func() { must(t, os.Remove(hook)); must(t, os.Symlink("/nowhere", hook)) }, false},
		"not-to-be-run":   {func() { must(t, os.Remove(hook)); must(t, os.Symlink("/var/noexec/hook", hook)) }, false},
	} {
		t.Run(situation, func(t *testing.T) {
			must(t, os.RemoveAll(folder))
			must(t, os.Chmod(filepath.Dir(folder), 0o755))
			must(t, os.Mkdir(folder, 0o755))
			s.write(hook, "#!/bin/sh\n", 0o755)
			c.spoil()
			err := s.checkHook()
			if (err == nil) != c.fine || err != nil && !errors.Is(err, errHook) {
				t.Errorf("it gives %v", err)
			}
			have, err := s.Observe(t.Context(), nil, s.owned)
			if err != nil || (have.Hook == nil) != c.fine {
				t.Errorf("a pass sees %v, %v", have.Hook, err)
			}
		})
	}
}

// testHookUser holds R59 in part: the user that sshd runs the hook as is one of its own,
// made by the real tools. Nobody logs in as it, it is in no group but its own and the
// marker, may do nothing by sudo, and of all that is ours only the keys are for it.
func testHookUser(t *testing.T, s *space) {
	s.become(named(t, "alice", 20001, true))
	user, group := s.Layout.HookUser, s.Layout.MarkerGroup
	a, found, err := account(user)
	if err != nil || !found || a.UID == 0 || a.UID >= 1000 || a.Password != "!" || a.Home != "/nonexistent" || filepath.Base(a.Shell) != "nologin" {
		t.Fatalf("it is %+v, %t, %v", a, found, err)
	}
	for what, want := range map[string]string{"-Gn": user + " " + group + "\n", "-gn": user + "\n"} {
		if out, err := s.command("id", what, user); err != nil || out != want {
			t.Errorf("id %s gives %q, %v, want %q", what, out, err, want)
		}
	}
	if out, err := s.command("getent", "group", user); err != nil || !strings.HasSuffix(out, ":\n") {
		t.Errorf("its group is %q, %v: the keys are for it alone", out, err)
	}
	if out, err := s.command("sudo", "-l", "-U", user); !strings.Contains(out, "is not allowed to run sudo") {
		t.Errorf("sudo says %s, %v", out, err)
	}
	for _, folder := range []string{"/etc", "/home", "/run", "/var"} {
		must(t, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			must(t, err)
			if info, err := e.Info(); err != nil || ownerOf(info) == a.UID {
				t.Errorf("%s belongs to it, %v", path, err)
			}
			return nil
		}))
	}
}

// testSSHD holds R28 in part, R66 in part, R148 in part and T-H9 in part: a drop-in
// that sshd does not take, or takes and does not use, leaves what was there before.
func testSSHD(t *testing.T, s *space) {
	must(t, os.RemoveAll("/etc/ssh"))
	must(t, os.MkdirAll("/etc/ssh/sshd_config.d", 0o755))
	s.write("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n", 0o644)
	must(t, os.Mkdir("/var/lib/latchkey/bin", 0o755))
	s.Layout.Hook = "/var/lib/latchkey/bin/hook"
	s.write(s.Layout.Hook, "#!/bin/sh\n", 0o755)
	ours := "authorizedkeyscommand " + plan.HookCommand(s.Layout) + "\nauthorizedkeyscommanduser latchkey-keys\nauthorizedkeysfile none\n"
	step := plan.Step{Op: plan.OpWriteSSHD, Path: s.Layout.SSHD, Attr: plan.Attr{Owner: "root", Group: "root", Mode: 0o644}}
	bad := &exitError{tool: "sshd", code: 255, stderr: "bad configuration"}
	tests := map[string]struct {
		test, show error // what sshd -t and sshd -T end with
		settings   string
		fails      string
	}{
		"used":              {nil, nil, ours, ""},
		"used-first-counts": {nil, nil, ours + "authorizedkeyscommand /usr/bin/other\n", ""},
		"not-taken":         {bad, nil, ours, "bad configuration"},
		"not-shown":         {nil, bad, ours, "bad configuration"},
		"not-included":      {nil, nil, "authorizedkeyscommand none\nauthorizedkeysfile .ssh/authorized_keys\n", "is there an Include"},
		"another-hook":      {nil, nil, strings.Replace(ours, s.Layout.Hook, "/usr/bin/other", 1), "is there an Include"},
		"another-user":      {nil, nil, strings.Replace(ours, "user latchkey-keys", "user root", 1), "is there an Include"},
		"keys-of-homes":     {nil, nil, strings.Replace(ours, "none", ".ssh/authorized_keys", 1), "is there an Include"},
		"nothing-shown":     {nil, nil, "", "is there an Include"},
	}
	for situation, test := range tests {
		for before, content := range map[string]string{"fresh": "", "damaged": "# old\n"} {
			t.Run(situation+"/"+before, func(t *testing.T) {
				must(t, os.RemoveAll(s.Layout.SSHD))
				if content != "" {
					s.write(s.Layout.SSHD, content, 0o644)
				}
				s.Run = func(_ context.Context, input, tool string, args ...string) (string, error) {
					switch {
					case tool != "sshd":
						t.Errorf("%s was run", tool)
					case args[0] == "-t":
						staged, err := os.ReadFile(args[len(args)-1])
						if err != nil || !strings.HasSuffix(string(staged), "\nInclude /etc/ssh/sshd_config.d/*.conf\n") {
							t.Errorf("sshd was shown %q, %v", staged, err)
						}
						return "", test.test
					}
					return test.settings, test.show
				}
				defer func() { s.Run = nil }()
				err := s.Apply(t.Context(), step)
				now, _ := os.ReadFile(s.Layout.SSHD) // a missing file is empty here
				want := content
				if test.fails == "" {
					want = string(plan.SSHDFile(s.Layout, plan.KeysCommand))
				}
				if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) || string(now) != want {
					t.Errorf("it gives %v, the file is %q", err, now)
				}
				if left, err := os.ReadDir(s.Layout.AgentDir); err != nil || len(left) != 0 {
					t.Errorf("left is %v, %v", left, err)
				}
			})
		}
	}
}

// testDisplaced holds R58's part for the command that ours displaces.
func testDisplaced(t *testing.T, s *space) {
	const program = "/var/lib/latchkey/eic"
	for situation, c := range map[string]struct {
		says    string
		spoil   func()
		command string
		fine    bool
	}{
		"one":          {"authorizedkeyscommand " + program + " %u  %f\nauthorizedkeyscommanduser eic\n", func() {}, program + " %u %f", true},
		"by-a-link":    {"authorizedkeyscommand /run/eic\nauthorizedkeyscommanduser eic\n", func() { must(t, os.Symlink(program, "/run/eic")) }, program, true},
		"none":         {"authorizedkeyscommand none\nauthorizedkeyscommanduser none\n", func() {}, "", true},
		"nothing-said": {"", func() {}, "", true},
		"for-all":      {"authorizedkeyscommand " + program + "\n", func() { must(t, os.Chmod(program, 0o777)) }, "", false},
		"missing":      {"authorizedkeyscommand /nowhere/x %u\n", func() {}, "", false},
		"no-path":      {"authorizedkeyscommand %u\n", func() {}, "", false},
	} {
		t.Run(situation, func(t *testing.T) {
			must(t, os.RemoveAll("/run/eic"))
			s.write(program, "#!/bin/sh\n", 0o755)
			c.spoil()
			s.Run = func(context.Context, string, string, ...string) (string, error) { return "port 22\n" + c.says, nil }
			defer func() { s.Run = nil }()
			command, user, err := s.Displaced(t.Context())
			if command != c.command || (err == nil) != c.fine || command != "" && user != "eic" {
				t.Errorf("it is %q as %q, %v", command, user, err)
			}
		})
	}
}

// TestGreets: an SSH server is known by its first line (RFC 4253, 4.2), and one
// that says too much or nothing does not hold the agent.
func TestGreets(t *testing.T) {
	t.Parallel()
	for situation, c := range map[string]struct {
		says string
		fine bool
	}{
		"openssh": {"SSH-2.0-OpenSSH_9.2p1\r\n", true}, "ssh-1": {"SSH-1.99-x\r\n", false}, "web": {"HTTP/1.0 400 Bad Request\r\n", false},
		"nothing": {"", false}, "no-line": {"SSH-2.0-x", false}, "endless": {strings.Repeat("SSH-2.0-", 1<<20), false},
	} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, c.says)
				_, _ = conn.Read(make([]byte, 1)) // until the other side goes
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := greets(ctx, l.Addr().String()); (err == nil) != c.fine {
				t.Errorf("it gives %v", err)
			}
		})
	}
	if err := greets(t.Context(), "127.0.0.1:1"); err == nil {
		t.Error("nobody greets")
	}
}

// testSSHDEnd holds R11 in part: whether sshd reads a line with an end is asked of the
// program that is there, once, and only where somebody has an end. What could not be
// looked at leaves the answer as it was.
func testSSHDEnd(t *testing.T, s *space) {
	ending := named(t, "alice", 20001, false)
	ending.NotAfter = time.Date(2030, 11, 22, 0, 0, 0, 0, time.UTC)
	const usage = "unknown option -- ?; OpenSSH_8.4p1 Debian-5+deb11u3, OpenSSL 1.1.1w  11 Sep 2023; usage: sshd"
	asked := 0
	say := func(err error) {
		s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
			if tool != "sshd" {
				return runTool(ctx, input, tool, args...)
			}
			asked++
			return "", err
		}
	}
	defer func() { s.Run, s.sshd = nil, seenTool{} }()
	want := func(situation string, endless bool, times int, grants ...authz.Grant) {
		t.Helper()
		have, err := s.Observe(t.Context(), grants, s.owned)
		must(t, err)
		if have.SSHDEndless != endless || asked != times {
			t.Errorf("%s: refuses an end: %t; asked %d times, want %t and %d", situation, have.SSHDEndless, asked, endless, times)
		}
	}
	say(errNoTool)
	want("not known", false, 1, ending)
	say(&exitError{tool: "sshd", code: 1, stderr: usage})
	want("nobody ends", false, 1, named(t, "bob", 20002, false))
	want("old", true, 2, ending)
	want("again", true, 2, ending)
	another, err := os.Stat("/etc/passwd")
	must(t, err)
	s.sshd.file = another
	say(context.DeadlineExceeded)
	want("another, which does not answer", true, 3, ending)
	say(&exitError{tool: "sshd", code: 1, stderr: "Segmentation fault"})
	want("another, which says nothing", true, 4, ending)
	say(&exitError{tool: "sshd", code: 1, stderr: strings.Replace(usage, "8.4", "9.1", 1)})
	want("a newer one", false, 5, ending)
	s.Run, s.sshd = nil, seenTool{}
	if _, err := s.sshdEndless(t.Context()); err != nil {
		t.Errorf("the real one: %v", err)
	}
}
