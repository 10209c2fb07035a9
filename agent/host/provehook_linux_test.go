package host

import (
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
)

// testProveHook asks hooks that are wrong in one way each, as the hook's user.
func testProveHook(t *testing.T, s *space) {
	alice := named(t, "alice", 20001, false)
	line := authz.AuthorizedKeysLine(alice, alice.Keys[0])
	if out, err := s.command("useradd", "--system", "--no-create-home", s.Layout.HookUser); err != nil {
		t.Fatal(out)
	}
	must(t, os.Mkdir("/var/lib/latchkey/bin", 0o755))
	must(t, os.Chmod("/var/lib/latchkey", 0o711))
	s.Layout.Hook = "/var/lib/latchkey/bin/hook"
	for _, c := range []struct{ name, script, says string }{
		{"right", `test "$1 $2 $3 $4" = "alice 20001 ` + alice.Keys[0].String() + `" && test "$(id -un)" = latchkey-keys && echo "` + line + `"`, ""},
		{"silent", "exit 0", "another: 0 bytes"},
		{"another-key", "echo '" + strings.Replace(line, "AAAAI", "AAAAJ", 1) + "'", "its answer is another"},
		{"more-than-asked", "echo '" + line + "'; echo '" + line + "'", "its answer is another"},
		{"options-of-its-own", "echo 'no-pty " + line + "'", "its answer is another"},
		{"fails", "echo '" + line + "'; echo no such file >&2; exit 1", "ended with code 1: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.write(s.Layout.Hook, "#!/bin/sh\n"+c.script+"\n", 0o755)
			err := s.ProveHook(t.Context(), alice)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v", err)
			}
		})
	}
	t.Run("with-an-end", func(t *testing.T) {
		ends := alice
		ends.NotAfter = time.Now().Add(time.Hour)
		s.write(s.Layout.Hook, "#!/bin/sh\necho '"+line+"'\n", 0o755)
		if err := s.ProveHook(t.Context(), ends); err != nil {
			t.Error(err)
		}
		s.write(s.Layout.Hook, "#!/bin/sh\necho '"+authz.AuthorizedKeysLine(ends, ends.Keys[0])+"'\n", 0o755)
		if err := s.ProveHook(t.Context(), ends); err == nil {
			t.Error("a hook that leaves the end to sshd is taken for right")
		}
		s.write(s.Layout.Hook, "#!/bin/sh\n", 0o755)
		ends.NotAfter = time.Now()
		if err := s.ProveHook(t.Context(), ends); err != nil {
			t.Errorf("after the end: %v", err)
		}
	})
	must(t, os.Remove(s.Layout.Hook))
	if err := s.ProveHook(t.Context(), alice); err == nil {
		t.Error("a hook that is not there answers")
	}
	if out, err := s.command("userdel", s.Layout.HookUser); err != nil {
		t.Fatal(out)
	}
	if err := s.ProveHook(t.Context(), alice); err == nil || !strings.Contains(err.Error(), "there is no account latchkey-keys") {
		t.Errorf("without its user it says %v", err)
	}
}
