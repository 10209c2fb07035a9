package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"latchkey/authz/wire"
)

// hostileNames are the login names of the catalogue that no machine may see, and those of
// the machine itself.
var hostileNames = []string{
	"", "root", "Root", "ROOT", "ALL", "all", "0", "1000", "00", "4294967295", "-alice", "--help", "-R/", "alice-", "first.last", ".", "..", ".ssh",
	"a/b", "../root", `a\b`, "a:b", "a,b", "a b", "a\tb", "a\nb", "alice\nroot", "a\x00b", "a\r", "a$", "$", "a$(id)", "a`id`", "a;id", "a&b", "a|b",
	"a>b", "a'b", `a"b`, "*", "al*", "a?", "[a]", "{a,b}", "~alice", "%wheel", "%u", "#0", "#1000", "+ng", "!alice", "@admins", "a@b", "a=b", "a(b)",
	"User_Alias", "Defaults", "FOO", "A_1", "é", "аlice", "alice\u200b", "ＡＬＩＣＥ", "İ", strings.Repeat("a", 33), strings.Repeat("a", 256),
	strings.Repeat("a", 1<<20), "con", "nul", "com1", "lpt1", "aux", "administrator", "guest", "system", "none", "localhost", "alice.", "alice ",
	`"%wheel"`, "%#0", "!deby", "alice,bob", `a\x2cb`, "alice$", "al*ce", "[a-z]*", "alice ALL=(ALL) NOPASSWD: ALL\nmallory", "alice ALL=ALL #",
	"$(id)", "alice\x00bob", "alice\r", "alice bob", "sudo", "systemd-resolve", "latchkey", "latchkey-keys", "deby", "hostile1",
}

// onlyHere are names that are as they should be, but for this machine.
var onlyHere = []string{"deby", "hostile1"}

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
// gets in (requirements R105, R147, T-U1 and T-S1). Nor does any of the names get in by the
// API, by the import of users or by what sshd may say to the hook.
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
	w.hostileElsewhere(c.name)
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

// hostileElsewhere gives the names to the API, to the import and to the hook. What is no
// name is refused, or made one as the original did it: without what it may not hold.
func (w *world) hostileElsewhere(machine string) {
	t := w.t
	t.Helper()
	grammar := regexp.MustCompile(`^[a-z][a-z0-9_-]{0,30}$`)
	var all []any
	for i, n := range hostileNames {
		if n == "" {
			continue // there is none, and the ARN's name counts
		}
		var made struct{ SshUsername string }
		request := map[string]any{"IamUserArn": arn(fmt.Sprint("by-api", i)), "SshUsername": n}
		if len(n) > 100_000 {
			request["SshUsername"] = n[:100_000] // more does not go into a command line
		}
		err := w.server.Call(t.Context(), "CreateUserProfile", request, &made)
		if err == nil && (!grammar.MatchString(made.SshUsername) || made.SshUsername == n && !slices.Contains(onlyHere, n)) {
			t.Errorf("the API makes %q of %.70q", made.SshUsername, n)
		}
		all = append(all, map[string]any{"IamUserArn": arn(fmt.Sprint("by-import", i)), "SshUsername": request["SshUsername"]})
		if strings.Contains(n, "\x00") || len(n) > 100_000 {
			continue // no argument can be that
		}
		out, err := w.machines[machine].Run(t.Context(), "runuser", "-u", "latchkey-keys", "--", "/usr/bin/latchkey-keys", n, "20000", "ssh-ed25519", keyA)
		if out != "" || err == nil && !grammar.MatchString(n) {
			t.Errorf("for %.70q the hook prints %q, %v", n, out, err)
		}
	}
	body, err := json.Marshal(map[string]any{"Apply": true, "UserProfiles": all})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.dir, "import.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := w.server.CLI(t.Context(), "call", "ImportUsers", "--json", "@"+file); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	var users struct {
		UserProfiles []struct{ SshUsername string }
	}
	w.call("DescribeUserProfiles", map[string]any{}, &users)
	if len(users.UserProfiles) < 10 {
		t.Errorf("only %d were made", len(users.UserProfiles))
	}
	for _, u := range users.UserProfiles {
		if u.SshUsername != "" && (!grammar.MatchString(u.SshUsername) || slices.Contains(hostileNames, u.SshUsername) && !slices.Contains(onlyHere, u.SshUsername)) {
			t.Errorf("there is a user %q", u.SshUsername)
		}
	}
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
