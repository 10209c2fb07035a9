package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"latchkey/authz/wire"
)

// hostileNames are login names that would be something else to sudo, sshd, useradd
// or a shell. The whole catalogue is in authz/name; these are the ones that those
// programs were seen to take.
var hostileNames = []string{
	"", "root", "ALL", "#0", "#1000", "%wheel", `"%wheel"`, "%#0", "+ng", "!deby", "alice,bob", `a\x2cb`, "-alice", "alice$", "*", "al*ce",
	"[a-z]*", "a@b", "..", ".", "a/b", "../root", "1000", "é", "alice ALL=(ALL) NOPASSWD: ALL\nmallory", "alice ALL=ALL #", "a;id", "a`id`",
	"$(id)", "alice\x00bob", "alice\r", "alice bob", strings.Repeat("a", 33), "sudo", "systemd-resolve", "latchkey", "latchkey-keys", "deby", "hostile1",
}

const (
	keyA = "AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	keyB = "AAAAC3NzaC1lZDI1NTE5AAAAIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
)

var hostileKeys = []string{
	"ssh-ed25519 " + keyA + "\nssh-ed25519 " + keyB, `command="id" ssh-ed25519 ` + keyA, "cert-authority ssh-ed25519 " + keyA, "restrict " + keyA,
	"ssh-rsa " + keyA, "\ufeffssh-ed25519 " + keyA, "SSH-ED25519 " + keyA, "ssh-ed25519 " + keyA + "\x00",
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
	"-----BEGIN OPENSSH PRIVATE KEY-----", "",
}

var hostileUIDs = []int64{0, -1, 999, 1234, 60000, 65534, 61184, 1 << 32, 1<<32 + 20001}

// TestHostileBundle gives a real machine a bundle with a good signature and every
// hostile user in it, as a thief of the signing key would. Nothing of them reaches the
// machine, each is refused with his own reason, and the one honest user in between
// gets in (requirements R105, R147, T-U1 in part and T-S1).
func TestHostileBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8447, 14, "hostile1")
	c := &crash{world: w, name: "hostile1"}
	w.cli("stack", "create", "one")
	c.breakGlass()
	c.run(c.name, "useradd", "-u", "1234", "-M", "holder")
	c.install()
	w.grant("alice", true)
	c.enroll()
	w.run(c.name, "latchkey-agent", "sshd", "enable")
	w.run(c.name, "latchkey-agent", "apply")
	if err := w.server.Stop(); err != nil {
		t.Fatal(err)
	}

	accounts := w.run(c.name, "getent", "passwd")
	before := w.snapshot(c.name)
	want := w.plantBundle(c.name)
	out, err := w.machines[c.name].Run(t.Context(), "latchkey-agent", "apply")
	if err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}

	var status struct {
		Last struct {
			Report wire.Report `json:"report"`
		} `json:"last"`
	}
	w.decode(w.run(c.name, "latchkey-agent", "status", "--json"), &status)
	if got := len(status.Last.Report.Refused); got != want {
		t.Errorf("%d users were refused, want %d", got, want)
	}
	for _, r := range status.Last.Report.Refused {
		if r.Code == "" || r.Error == "" {
			t.Errorf("%q is refused without a reason: %+v", r.What, r)
		}
	}
	after := w.run(c.name, "getent", "passwd")
	added := strings.TrimPrefix(after, accounts)
	if !strings.HasPrefix(after, accounts) || strings.Count(added, "\n") != 1 || !strings.HasPrefix(added, "zoe:x:20077:20077::/home/zoe:/bin/bash\n") {
		t.Errorf("accounts were added or changed:\n%s", cmp.Diff(accounts, after))
	}
	for _, file := range []string{"/etc/ssh/sshd_config.d/10-latchkey.conf", "/etc/sudoers"} {
		if now := w.snapshot(c.name); now[file] != before[file] {
			t.Errorf("%s changed", file)
		}
	}
	sudoers := w.run(c.name, "cat", "/etc/sudoers.d/90-latchkey")
	if rules := strings.Split(strings.TrimSpace(sudoers), "\n")[1:]; len(rules) != 2 || !strings.HasPrefix(rules[0], "alice ALL=") || !strings.HasPrefix(rules[1], "zoe ALL=") {
		t.Errorf("sudoers are\n%s", sudoers)
	}
	if files := w.run(c.name, "ls", "-A", "/var/lib/latchkey/authorized_keys"); files != "alice\nzoe\n" {
		t.Errorf("key files are\n%s", files)
	}
	w.wantLogin(c.name, "zoe", "in, root")
	w.wantLogin(c.name, "alice", "in, root")
	w.wantLogin(c.name, "deby", "in, root")
}

// plantBundle replaces the machine's stored bundle by a newer one, signed with
// the control plane's own key, that also names everybody hostile. It returns how
// many must be refused.
func (w *world) plantBundle(name string) int {
	t := w.t
	t.Helper()
	skey, err := os.ReadFile(filepath.Join(w.server.Data, "keys", "signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(skey)))
	if err != nil {
		t.Fatal(err)
	}
	sealed := w.run(name, "cat", "/var/lib/latchkey/agent/bundle")
	text, _, _ := strings.Cut(sealed, "\n")
	var b wire.Bundle
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	honest := b.Users
	b.Serial += 5
	b.Users = nil
	add := func(name string, uid int64, key string) {
		b.Users = append(b.Users, wire.User{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(b.Users)), ARN: arn("x"), Name: name, UID: uid,
			Keys: []string{key}, SSH: true, Sudo: true})
	}
	for i, n := range hostileNames {
		add(n, 30000+int64(i), "ssh-ed25519 "+keyB)
	}
	for i, k := range hostileKeys {
		add(fmt.Sprintf("key%d", i), 31000+int64(i), k)
	}
	for i, uid := range hostileUIDs {
		add(fmt.Sprintf("uid%d", i), uid, "ssh-ed25519 "+keyB)
	}
	refused := len(b.Users)
	add("zoe", 20077, strings.Join(strings.Fields(w.key("zoe"))[:2], " "))
	b.Users = append(b.Users, honest...)
	planted, err := wire.Seal(b, signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.machines[name].WriteFile(t.Context(), "/var/lib/latchkey/agent/bundle", planted, 0o600); err != nil {
		t.Fatal(err)
	}
	return refused
}
