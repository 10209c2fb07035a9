package host

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// switchable is a machine whose sshd says what our drop-in says.
func (s *space) switchable() {
	s.t.Helper()
	must(s.t, os.RemoveAll("/etc/ssh"))
	must(s.t, os.MkdirAll("/etc/ssh/sshd_config.d", 0o755))
	s.write("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n", 0o644)
	must(s.t, os.MkdirAll("/var/lib/latchkey/bin", 0o755))
	s.Layout.Hook = "/var/lib/latchkey/bin/hook"
	s.write(s.Layout.Hook, "#!/bin/sh\n", 0o755)
	s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
		switch {
		case tool != "sshd":
			return runTool(ctx, input, tool, args...)
		case args[0] == "-t":
			return "", nil
		}
		content, err := os.ReadFile(s.Layout.SSHD)
		var shown strings.Builder
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			shown.WriteString(strings.ToLower(key) + " " + value + "\n")
		}
		return shown.String(), err
	}
}

// turn makes the machine what the grants and the mode say, some minutes passing between
// each two plans.
func (s *space) turn(mode plan.KeysMode, grants ...authz.Grant) plan.Plan {
	s.t.Helper()
	var p plan.Plan
	for range 3 {
		s.owned.SSHDModes = s.owned.SSHDModes[:min(1, len(s.owned.SSHDModes))]
		have, err := s.Observe(s.t.Context(), grants, s.owned)
		must(s.t, err)
		p = plan.Diff(have, plan.Desired{Grants: grants, SSHD: true, KeysMode: mode}, s.owned, s.Layout)
		s.do(p)
	}
	if !p.Empty() {
		s.t.Fatalf("%s: still to be done:\n%s", mode, p)
	}
	return p
}

// testKeysModes holds R28 in part, R33 in part, R41 in part, R148 in part and T-F15 in
// part: the machine goes through the modes, a home's own lines stay to the byte, and a
// home that is in no state for ours is left alone.
func testKeysModes(t *testing.T, s *space) {
	s.switchable()
	alice, bob := named(t, "alice", 20001, false), named(t, "bob", 20002, false)
	const path, own = "/home/alice/.ssh/authorized_keys", "# mine\nssh-rsa x"
	s.turn(plan.KeysCommand, alice, bob)
	must(t, os.Mkdir("/home/alice/.ssh", 0o700))
	must(t, os.Chown("/home/alice/.ssh", 20001, 20001))
	s.write(path, own, 0o644)
	must(t, os.Chown(path, 20001, 20001))
	line := authz.AuthorizedKeysLine(alice, alice.Keys[0]) + "\n"
	with, err := plan.SetBlock([]byte(own), []byte(line))
	must(t, err)

	wantFile := func(path, want string, uid, mode uint32) {
		t.Helper()
		content, err := os.ReadFile(path)
		var st unix.Stat_t
		must(t, errors.Join(err, unix.Stat(path, &st)))
		if string(content) != want || st.Uid != uid || st.Mode&0o7777 != mode {
			t.Errorf("%s is %04o of %d: %q, want %04o of %d: %q", path, st.Mode&0o7777, st.Uid, content, mode, uid, want)
		}
	}
	prove := func(mode plan.KeysMode) {
		t.Helper()
		if err := s.ProveKeys(t.Context(), mode, alice); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	s.turn(plan.KeysDirectory, alice, bob)
	prove(plan.KeysDirectory)
	if err := s.ProveKeys(t.Context(), plan.KeysHome, alice); err == nil {
		t.Error("her keys are proved to be in her home")
	}
	s.turn(plan.KeysHome, alice, bob)
	prove(plan.KeysHome)
	if err := s.ProveKeys(t.Context(), plan.KeysDirectory, alice); err == nil {
		t.Error("a folder that only the hook may enter is proved to be read by her")
	}
	wantFile(path, string(with), 20001, 0o644)
	wantFile("/home/bob/.ssh/authorized_keys", strings.ReplaceAll(strings.TrimPrefix(string(with), own+"\n"), " alice\n", " bob\n"), 20002, 0o600)

	until := alice
	until.NotAfter = time.Date(2099, 11, 22, 0, 0, 0, 0, time.UTC)
	s.turn(plan.KeysHome, until, bob) // she gets an end: the line without goes
	sooner, err := plan.SetBlock([]byte(own), []byte(authz.AuthorizedKeysLine(until, until.Keys[0])+"\n"))
	must(t, err)
	wantFile(path, string(sooner), 20001, 0o644)
	s.turn(plan.KeysHome, bob) // alice is revoked
	wantFile(path, own+"\n", 20001, 0o644)
	s.turn(plan.KeysHome, alice, bob)
	wantFile(path, own+"\n"+strings.TrimPrefix(string(with), own+"\n"), 20001, 0o644)
	testHomesRefused(t, s, alice, bob)
	s.turn(plan.KeysCommand, alice, bob)
	wantFile(path, own+"\n", 20001, 0o644)
}

// testHomesRefused: whatever alice does to her file, she alone is told of.
func testHomesRefused(t *testing.T, s *space, alice, bob authz.Grant) {
	const path = "/home/alice/.ssh/authorized_keys"
	good, err := os.ReadFile(path)
	must(t, err)
	for situation, c := range map[string]struct {
		spoil func()
		err   error
	}{
		"damaged": {func() { s.write(path, strings.Replace(string(good), "# latchkey end\n", "", 1), 0o600) }, plan.ErrBlock},
		"returns": {func() { s.write(path, strings.ReplaceAll(string(good), "\n", "\r\n"), 0o600) }, plan.ErrBlockForm},
		"link":    {func() { must(t, os.Remove(path)); must(t, os.Symlink("/etc/shadow", path)) }, plan.ErrHomeKeys},
		"fifo":    {func() { must(t, os.Remove(path)); must(t, unix.Mkfifo(path, 0o666)) }, plan.ErrHomeKeys},
		"long":    {func() { must(t, os.Truncate(path, 10<<20)) }, plan.ErrHomeKeys},
		"for-all": {func() { must(t, os.Chmod("/home/alice", 0o777)) }, plan.ErrHomeKeys},
		"no-home": {func() { must(t, os.Rename("/home/alice", "/home/away")) }, plan.ErrHomeKeys},
	} {
		t.Run(situation, func(t *testing.T) {
			c.spoil()
			have, err := s.Observe(t.Context(), []authz.Grant{alice, bob}, s.owned)
			must(t, err)
			p := plan.Diff(have, plan.Desired{Grants: []authz.Grant{alice, bob}, SSHD: true, KeysMode: plan.KeysHome}, s.owned, s.Layout)
			if !p.Empty() || len(p.Refused) != 1 || p.Refused[0].Name != "alice" || !errors.Is(p.Refused[0].Reason, c.err) {
				t.Errorf("plan is\n%s, want alice refused: %v", p, c.err)
			}
			if situation != "no-home" {
				err := s.Apply(t.Context(), plan.Step{Op: plan.OpTakeBlock, User: alice.Username, UID: alice.UID, Path: path})
				if !errors.Is(err, c.err) {
					t.Errorf("taking them out gives %v, want %v", err, c.err)
				}
			}
			_ = os.Rename("/home/away", "/home/alice") // where it went
			must(t, os.Chmod("/home/alice", 0o755))
			must(t, os.Remove(path))
			s.write(path, string(good), 0o644)
			must(t, os.Chown(path, 20001, 20001))
		})
	}
}
