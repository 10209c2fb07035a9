package host

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
)

const (
	aKey      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	aKeyPrint = "SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8"
)

// testInventory finds, on a real userland, each kind of access that is not ours, and
// reads nothing that a user put in the way (requirements R28 in part, R67 in part,
// T-U13 in part and T-S11 in part).
func testInventory(t *testing.T, s *space) {
	s.become(named(t, "alice", 20001, true))
	must(t, os.RemoveAll("/etc/ssh"))
	must(t, os.MkdirAll("/etc/ssh/keys", 0o755))
	s.write("/etc/ssh/sshd_config", "AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/keys/%u %q\nMatch User x\nAuthorizedKeysCommand /usr/bin/ssm %u\n", 0o644)
	s.write("/etc/ssh/keys/daemon", aKey+" of daemon\n", 0o644)
	s.write("/etc/passwd", passwdLines, 0o644)
	s.write("/etc/shadow", "root:*:1:::::: \nalice:*:1::::::\nbob:$y$hash:1::::::\ntoor:!$y$hash:1::::::\nmallory::1::::::\n", 0o600)
	s.write("/etc/group", "root:x:0:\nsudo:x:27:bob\ndocker:x:998:bob,alice\nlatchkey:x:990:alice\nmallory:x:20009:\n", 0o644)
	s.write("/etc/nsswitch.conf", "passwd: files sss # both\ngroup: files systemd\nsudoers: files ldap\n", 0o644)
	for _, home := range []string{"/home/bob", "/home/mallory"} {
		must(t, os.MkdirAll(home+"/.ssh", 0o755))
	}
	must(t, os.MkdirAll("/home/alice/.ssh", 0o755))
	ours, err := plan.SetBlock(nil, []byte(aKey+" alice\n"))
	must(t, err)
	s.write("/home/alice/.ssh/authorized_keys", string(ours)+aKey+"\n", 0o600)
	must(t, os.Chown("/home/alice/.ssh/authorized_keys", 20001, 20001))
	s.write("/home/bob/.ssh/authorized_keys", "# mine\n\n"+`from="10.0.0.0/8",command="echo \"a b\"" `+aKey+" bob\nnonsense\n", 0o600)
	must(t, os.Chown("/home/bob/.ssh/authorized_keys", 1001, 1001))
	s.write("/home/bob/.ssh/authorized_keys2", aKey+"\n", 0o666)
	must(t, os.Symlink("/etc/shadow", "/home/mallory/.ssh/authorized_keys"))
	must(t, unix.Mkfifo("/home/mallory/.ssh/authorized_keys2", 0o666))
	s.write("/etc/sudoers", "Defaults env_reset\nUser_Alias ADMINS = bob, eve\nroot ALL=(ALL:ALL) ALL\nADMINS ALL = \\\n  NOPASSWD: ALL # yes\n@includedir /etc/sudoers.d\n", 0o440)
	s.write("/etc/sudoers.d/90-cloud", "%docker, bob ALL=(ALL) ALL\n#1001 ALL=/bin/ls\n", 0o440)
	s.write("/etc/sudoers.d/x.bak", "mallory ALL=(ALL) ALL\n", 0o440)
	before := s.etc()
	got, err := s.Inventory(t.Context(), s.owned)
	must(t, err)
	for path, now := range s.etc() {
		if before[path] != now {
			t.Errorf("looking changed %s", path)
		}
	}
	want := Inventory{
		Keys: []UnmanagedKey{
			{Account: "alice", Managed: true, InHome: true, File: "/home/alice/.ssh/authorized_keys", Line: 4, Type: "ssh-ed25519", Fingerprint: aKeyPrint},
			{Account: "bob", InHome: true, File: "/home/bob/.ssh/authorized_keys", Line: 3, Type: "ssh-ed25519", Fingerprint: aKeyPrint,
				Options: `from="10.0.0.0/8",command="echo \"a b\""`},
			{Account: "bob", InHome: true, File: "/home/bob/.ssh/authorized_keys2", Line: 1, Type: "ssh-ed25519", Fingerprint: aKeyPrint, Ignored: "others can write to it"},
			{Account: "daemon", File: "/etc/ssh/keys/daemon", Line: 1, Type: "ssh-ed25519", Fingerprint: aKeyPrint},
		},
		Rules: []SudoRule{
			{"/etc/sudoers", 3, "root", "ALL=(ALL:ALL) ALL"},
			{"/etc/sudoers", 4, "ADMINS (bob, eve)", "ALL =    NOPASSWD: ALL"},
			{"/etc/sudoers.d/90-cloud", 1, "%docker, bob", "ALL=(ALL) ALL"},
			{"/etc/sudoers.d/90-cloud", 2, "#1001", "ALL=/bin/ls"},
		},
		Members:   []Member{{"root", "toor"}, {"sudo", "bob"}, {"docker", "alice"}, {"docker", "bob"}},
		Roots:     []string{"toor"},
		Passwords: []Password{{"bob", false}, {"mallory", true}},
	}
	seen := got
	seen.Unread, seen.Notes = nil, nil
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	unread, notes := lines(t, got.Unread), lines(t, got.Notes)
	for _, part := range []string{`"/home/bob/.ssh/authorized_keys","reason":"1 lines are no keys`, `"/home/mallory/.ssh/authorized_keys","reason":"openat .ssh/authorized_keys: path escapes`,
		`"/home/mallory/.ssh/authorized_keys2","reason":"read /home/mallory/.ssh/authorized_keys2: not a regular file`, `"%q","reason":"no path for the account bob"`} {
		if !strings.Contains(unread, part) {
			t.Errorf("not read is %s, want %s", unread, part)
		}
	}
	for _, part := range []string{"/etc/ssh/sshd_config line 3: sshd lets in who authorizedkeyscommand /usr/bin/ssm %u says", "passwd also comes from sss", "sudoers also comes from ldap"} {
		if !strings.Contains(notes, part) {
			t.Errorf("notes are %s, want %s", notes, part)
		}
	}
	if strings.Contains(notes, "group also") || strings.Contains(notes, "by us alone") {
		t.Errorf("notes are %s", notes)
	}
	testWays(t, s)
	testInventoryAlone(t, s)
}

// testWays: what lets one account in is told, with what keeps it out.
func testWays(t *testing.T, s *space) {
	bob, err := ParseLocalName("bob")
	must(t, err)
	got, err := s.Ways(t.Context(), bob, s.owned, time.Now())
	must(t, err)
	for _, part := range []string{"key ssh-ed25519 " + aKeyPrint + " in /home/bob/.ssh/authorized_keys:3 lets in", "it has a password",
		"sudo rule in /etc/sudoers.d/90-cloud:2: #1001 ALL=/bin/ls", "it is in the group sudo", "/home/mallory/.ssh/authorized_keys2: "} {
		if all := strings.Join(got, "\n"); !strings.Contains(all, part) {
			t.Errorf("ways are %s, want %s", all, part)
		}
	}
	nobody, err := ParseLocalName("nobody-here")
	must(t, err)
	if got, err := s.Ways(t.Context(), nobody, s.owned, time.Now()); err != nil || len(got) != 1 || got[0] != "there is no account nobody-here in /etc/passwd" {
		t.Errorf("ways of nobody: %q, %v", got, err)
	}
}

const passwdLines = `root:x:0:0::/root:/bin/bash
toor:x:0:0::/root-of-toor:/bin/bash
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
alice:x:20001:20001::/home/alice:/bin/bash
bob:x:1001:1001::/home/bob:/bin/bash
mallory:x:20009:20009::/home/mallory:/bin/bash
`

// testInventoryAlone: without cvtsudoers it is said so, and what cvtsudoers alone
// finds is in the list.
func testInventoryAlone(t *testing.T, s *space) {
	s.instead(map[string]error{"cvtsudoers": errNoTool})
	got, err := s.Inventory(t.Context(), s.owned)
	if notes := lines(t, got.Notes); err != nil || !strings.Contains(notes, "line by line, by us alone: not installed") {
		t.Errorf("notes are %s, %v", notes, err)
	}
	s.Run = nil
	s.write("/etc/sudoers.d/91-odd", "\\\n\\\nzoe\\\n ALL=(ALL) ALL\n", 0o440)
	got, err = s.Inventory(t.Context(), s.owned)
	if rules := lines(t, got.Rules); err != nil || strings.Count(rules, "zoe") != 1 {
		t.Errorf("rules are %s, %v", rules, err)
	}
	hostname, err := os.Hostname()
	must(t, err)
	short, _, _ := strings.Cut(hostname, ".")
	s.write("/etc/sudoers.d/92-host", "@include /etc/theirs.%h\n", 0o440)
	s.write("/etc/theirs."+short, "yves, %#77 ALL=(ALL) ALL\n", 0o440)
	got, err = s.Inventory(t.Context(), s.owned)
	want := []SudoRule{{Who: "%#77", Rule: "found by cvtsudoers, which names no line"}, {Who: "yves", Rule: "found by cvtsudoers, which names no line"}}
	if diff := cmp.Diff(want, got.Rules[max(0, len(got.Rules)-2):]); err != nil || diff != "" {
		t.Errorf("%v, what we do not follow (-want +got):\n%s", err, diff)
	}
	must(t, os.Remove("/etc/shadow"))
	if _, err := s.Inventory(t.Context(), plan.NewLedger()); err == nil {
		t.Error("without account files there is an inventory")
	}
}

func lines(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return string(text)
}
