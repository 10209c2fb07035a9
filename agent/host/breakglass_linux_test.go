package host

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testBreakGlass is T-L4: whatever happens to the account for emergencies is seen, and
// looking changes nothing.
func testBreakGlass(t *testing.T, s *space) {
	const home, folder, file = "/home/rescue", "/home/rescue/.ssh", "/home/rescue/.ssh/authorized_keys"
	user, err := ParseLocalName("rescue")
	must(t, err)
	out, err := s.command("useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", "--password", "*", "rescue")
	if err != nil {
		t.Fatal(out)
	}
	a, _, err := account("rescue")
	must(t, err)
	const settings = "pubkeyauthentication yes\nusepam yes\nauthorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\n"
	for _, c := range []struct {
		name  string
		spoil func()
		sshd  string
		says  string
	}{
		{"good", func() {}, settings, ""},
		{"second-file", func() { must(t, os.Rename(file, file+"2")) }, settings, ""},
		{"file-missing", func() { must(t, os.Remove(file)) }, settings, "no such file"},
		{"key-cut-short", func() { must(t, os.Truncate(file, 30)) }, settings, "holds no key"},
		{"key-ended", func() { s.write(file, `expiry-time="20200101" `+glassKey, 0o600) }, settings, "holds no key"},
		{"home-open-to-all", func() { must(t, os.Chmod(home, 0o777)) }, settings, "may write to " + home},
		{"folder-of-another", func() { must(t, os.Chown(folder, 4242, 4242)) }, settings, "may write to " + folder},
		{"fifo", func() { must(t, os.Remove(file)); out, err := s.command("mkfifo", file); must(t, err); _ = out }, settings, "regular"},
		{"no-file-asked-for", func() {}, "pubkeyauthentication yes\nauthorizedkeysfile none\n", "reads no key file"},
		{"another-file", func() {}, "pubkeyauthentication yes\nauthorizedkeysfile /etc/ssh/keys/%u\n", "no such file"},
		{"keys-turned-off", func() {}, "pubkeyauthentication no\n", "takes no keys"},
		{"managed", func() {
			s.owned.Accounts = map[authz.Username]plan.Owned{named(t, "rescue", 20001, false).Username: {UID: 20001}}
		}, settings, "is managed by latchkey"},
		{"expired", func() { _, err := s.command("usermod", "-e", "2020-01-01", "rescue"); must(t, err) }, settings, "has expired"},
		{"gone", func() { _, err := s.command("userdel", "rescue"); must(t, err) }, settings, "there is no account rescue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.owned = plan.NewLedger()
			must(t, os.RemoveAll(folder))
			must(t, os.Chmod(home, 0o755))
			must(t, os.Mkdir(folder, 0o700))
			s.write(file, glassKey+"\n", 0o600)
			for _, p := range []string{folder, file} {
				must(t, os.Chown(p, int(a.UID), int(a.GID)))
			}
			c.spoil()
			before := s.etc()
			s.Run = func(_ context.Context, _, tool string, args ...string) (string, error) {
				if tool != "sshd" || !strings.Contains(strings.Join(args, " "), "-T -C user=rescue,") {
					t.Errorf("%s %q was run", tool, args)
				}
				return c.sshd, nil
			}
			err := s.BreakGlass(t.Context(), user, s.owned, time.Now())
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrBreakGlass) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("it says %v", err)
			}
			if after := s.etc(); len(after) != len(before) {
				t.Error("looking changed /etc")
			}
		})
	}
}
