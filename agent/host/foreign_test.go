package host

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/authz/wire"
)

// TestSummary: what the control plane is told of each kind of access, in words of ours
// alone: what a user wrote into his key file or his rule is not in it (requirement R28
// in part and T-U13 in part).
func TestSummary(t *testing.T) {
	const evil = "\x1b[2J;rm -rf /\u202e"
	in := Inventory{
		Keys: []UnmanagedKey{
			{Account: "bob", InHome: true, File: "/home/bob/.ssh/authorized_keys", Line: 3, Type: "ssh-ed25519", Fingerprint: usedPrint,
				Options: `from="10.0.0.0/8,x",command="` + evil + `\" a,b",NO-pty,` + evil + `,` + evil + "2"},
			{Account: "alice", Managed: true, InHome: true, File: "/home/alice/.ssh/authorized_keys2", Type: evil, Fingerprint: usedPrint, Ignored: evil},
			{Account: "alice", Managed: true, File: "/etc/ssh/keys/alice", Type: "ssh-rsa", Fingerprint: usedPrint},
			{Account: evil, File: "/home/" + evil, Type: "ssh-rsa", Fingerprint: usedPrint},
		},
		Rules: []SudoRule{
			{"/etc/sudoers", 3, "root", "ALL=(ALL:ALL) ALL"},
			{"/etc/sudoers", 4, "ADMINS (bob, eve" + evil + ")", "ALL =    NOPASSWD: ALL"},
			{"/etc/sudoers.d/x", 1, "%docker, bob", "ALL=(ALL) /bin/ls, /bin/" + evil + " : web=/bin/cat"},
			{"/etc/sudoers.d/x", 2, evil, "ALL=(root) NOEXEC: ALL"},
			{"", 0, "#1001", "found by cvtsudoers, which names no line"},
		},
		Members: []Member{{"docker", "bob"}}, Roots: []string{"toor"}, Passwords: []Password{{"bob", false}, {"mallory", true}},
		Unread: []Unread{{"/home/x/.ssh/authorized_keys", evil}, {evil, evil}}, Notes: []string{evil, evil},
	}
	const want = `uid_0|toor||
privileged_member|bob||group docker
sudo_rule|ADMINS|/etc/sudoers|everything, without a password
sudo_rule|%docker, bob|/etc/sudoers.d/x|some commands
sudo_rule|(odd characters)|/etc/sudoers.d/x|everything
sudo_rule|#1001||found by cvtsudoers
key|bob|/home/bob/.ssh/authorized_keys|ssh-ed25519 ` + usedPrint + ` with from, command, no-pty, other
key|alice|/home/alice/.ssh/authorized_keys2|of another type ` + usedPrint + `, which sshd ignores
key|alice|/etc/ssh/keys/alice|ssh-rsa ` + usedPrint + `
key|(odd characters)|(odd characters)|ssh-rsa ` + usedPrint + `
password|bob||
password|mallory||empty
not_read||/home/x/.ssh/authorized_keys|
not_read||(odd characters)|
not_read|||2 notes of latchkey-agent inventory
`
	now := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	said := func(allowed bool) string {
		out := summary(in, allowed, now)
		if out.At != "2026-11-22T04:00:00Z" || out.More != 0 {
			t.Errorf("it gives %+v", out)
		}
		var b strings.Builder
		for _, e := range out.Entries {
			fmt.Fprintf(&b, "%s|%s|%s|%s\n", e.Kind, e.Account, e.Place, e.What)
		}
		return b.String()
	}
	if got := said(false); got != want {
		t.Errorf("it says\n%swant\n%s", got, want)
	}
	home := "key|alice|/home/alice/.ssh/authorized_keys2|of another type " + usedPrint + ", which sshd ignores\n"
	if got := said(true); got != strings.Replace(want, home, "", 1) {
		t.Errorf("with keys in managed homes allowed it says\n%s", got)
	}
	in.Roots = make([]string, 5000)
	if out := summary(in, false, now); len(out.Entries) != wire.MaxUnmanaged || out.More != 4014 {
		t.Errorf("of very many: %d and %d more", len(out.Entries), out.More)
	}
}

func FuzzSummary(f *testing.F) {
	f.Add("a,b=\"c\"", "ALL = NOPASSWD: ALL")
	f.Fuzz(func(t *testing.T, options, rule string) {
		in := Inventory{Keys: []UnmanagedKey{{Options: options, Type: options}}, Rules: []SudoRule{{Who: rule, Rule: rule}}}
		for _, e := range summary(in, false, time.Time{}).Entries {
			if plain(e.What) == odd && e.What != "" && !strings.HasPrefix(e.What, "of another type") {
				t.Errorf("%q and %q give %+v", options, rule, e)
			}
		}
	})
}
