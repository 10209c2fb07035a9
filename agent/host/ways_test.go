package host

import (
	"strings"
	"testing"

	"latchkey/agent/plan"
)

// TestInventory_Ways: of all that is not ours, an account is told what lets it in.
func TestInventory_Ways(t *testing.T) {
	in := Inventory{
		Keys: []UnmanagedKey{
			{Account: "alice", Managed: true, File: "/home/alice/.ssh/authorized_keys", Line: 1, Type: "ssh-ed25519", Fingerprint: "SHA256:a"},
			{Account: "bob", File: "/home/bob/.ssh/authorized_keys", Line: 3, Type: "ssh-rsa", Fingerprint: "SHA256:b"},
			{Account: "bob", File: "/home/bob/.ssh/authorized_keys2", Line: 1, Type: "ssh-rsa", Fingerprint: "SHA256:c", Ignored: "others can write to it"},
		},
		Rules: []SudoRule{
			{"/etc/sudoers", 1, "%sudo", "ALL=(ALL) ALL"}, {"/etc/sudoers", 2, "ADMINS (bob, eve)", "ALL = ALL"}, {"/etc/sudoers", 3, "ALL, !bob", "ALL=/bin/ls"},
			{"/etc/sudoers", 4, "#1001", "ALL=/bin/a"}, {"/etc/sudoers", 5, "%#1001", "ALL=/bin/b"}, {"/etc/sudoers", 6, "bobby, %bob", "ALL=/bin/c"}, {"", 0, `b\ob`, "found"},
		},
		Members:   []Member{{"sudo", "bob"}, {"docker", "alice"}},
		Passwords: []Password{{"bob", false}, {"eve", true}},
	}
	for _, c := range []struct {
		account plan.Account
		groups  []string
		want    []string
	}{
		{plan.Account{Name: "alice", UID: 20001, GID: 20001}, []string{"alice", "latchkey", "docker"}, []string{
			"key ssh-ed25519 SHA256:a in /home/alice/.ssh/authorized_keys:1 is not of ours", "sudo rule in /etc/sudoers:3: ALL, !bob ALL=/bin/ls", "it is in the group docker"}},
		{plan.Account{Name: "bob", UID: 1001, GID: 1001}, []string{"bobs", "sudo"}, []string{
			"key ssh-rsa SHA256:b in /home/bob/.ssh/authorized_keys:3 lets in",
			"key ssh-rsa SHA256:c in /home/bob/.ssh/authorized_keys2:1 is not read: others can write to it", "it has a password",
			"sudo rule in /etc/sudoers:1: %sudo ALL=(ALL) ALL", "sudo rule in /etc/sudoers:2: ADMINS (bob, eve) ALL = ALL", "sudo rule in /etc/sudoers:3: ALL, !bob ALL=/bin/ls",
			"sudo rule in /etc/sudoers:4: #1001 ALL=/bin/a", "sudo rule in /etc/sudoers:5: %#1001 ALL=/bin/b", `sudo rule in sudo's policy: b\ob found`,
			"it is in the group sudo"}},
		{plan.Account{Name: "root"}, nil, []string{"sudo rule in /etc/sudoers:3: ALL, !bob ALL=/bin/ls", "it is root: its uid is 0"}},
		{plan.Account{Name: "eve", UID: 1002, GID: 1002}, nil, []string{"it needs no password",
			"sudo rule in /etc/sudoers:2: ADMINS (bob, eve) ALL = ALL", "sudo rule in /etc/sudoers:3: ALL, !bob ALL=/bin/ls"}},
	} {
		t.Run(c.account.Name, func(t *testing.T) {
			if got := in.Ways(c.account, c.groups); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("ways:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
