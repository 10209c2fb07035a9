package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// testTaken holds R15, R16 and T-U2 in part: every name and id that the machine has
// already, in its files or from another source of names, is refused to whoever is to
// get it, with everything of its owner's left byte for byte.
func testTaken(t *testing.T, s *space) {
	must(t, os.MkdirAll("/etc/userdb", 0o755))
	s.write("/etc/userdb/elsewhere.user", `{"userName":"elsewhere","uid":30001,"gid":30001,"homeDirectory":"/home/elsewhere","shell":"/bin/sh"}`, 0o644)
	s.write("/etc/userdb/teams.group", `{"groupName":"teams","gid":30002}`, 0o644)
	for link, to := range map[string]string{"30001.user": "elsewhere.user", "30002.group": "teams.group"} {
		must(t, os.Symlink(to, "/etc/userdb/"+link))
	}
	s.write("/etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\nshadow: files\n", 0o644)
	if out, err := s.command("getent", "passwd", "elsewhere"); err != nil {
		need(t, false, "a source of names beside the files (libnss-systemd): "+out)
	}
	for _, args := range [][]string{{"useradd", "-m", "-u", "1234", "-p", "$6$x$y", "-G", "sudo", "local"}, {"groupadd", "-g", "1500", "people"}} {
		if out, err := s.command(args[0], args[1:]...); err != nil {
			t.Fatal(out)
		}
	}
	bob := named(t, "bob", 20002, false)
	s.become(bob)
	text, err := readAll(passwdFile, groupFile)
	must(t, err)
	names := []string{"elsewhere", "teams"}
	for line := range strings.Lines(text[0] + text[1]) {
		if name, _, _ := strings.Cut(line, ":"); name != "bob" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	before, homes := s.etc(), files(t, "/home")
	reserved, refused := 0, 0
	for i, name := range names {
		var u authz.Username
		if err := u.UnmarshalText([]byte(name)); err != nil {
			reserved++ // not even a bundle can name it
			continue
		}
		p := s.plan(bob, authz.Grant{Username: u, UID: authz.UID(21000 + i), Sudo: true, Keys: bob.Keys})
		if len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, plan.ErrNameTaken) && !errors.Is(p.Refused[0].Reason, plan.ErrGroupTaken) || !p.Empty() {
			t.Errorf("%s: the plan is\n%s", name, p)
		}
		refused++
	}
	if reserved < 10 || refused < 4 {
		t.Errorf("of %q %d are reserved and %d taken", names, reserved, refused)
	}
	for _, taken := range []struct {
		uid authz.UID
		why error
	}{{1234, plan.ErrUIDTaken}, {1500, plan.ErrGIDTaken}, {30001, plan.ErrUIDTaken}, {30002, plan.ErrGIDTaken}} {
		p := s.plan(bob, named(t, "alice", taken.uid, true))
		if len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, taken.why) || !p.Empty() {
			t.Errorf("uid %s: the plan is\n%s", taken.uid, p)
		}
	}
	if diff := cmp.Diff(before, s.etc()) + cmp.Diff(homes, files(t, "/home")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// testGroups holds R57, T-U7 and T-S11: a new account is in its own group and in the
// marker, whatever other groups there are. What else somebody puts it into is told, here
// and to the control plane, and is not ours to take away while its user has access; so
// are groups that PAM gives at login.
func testGroups(t *testing.T, s *space) {
	for i, group := range []string{"docker", "lxd", "adm", "wheel"} {
		if _, err := s.command("getent", "group", group); err != nil {
			if out, err := s.command("groupadd", "-g", fmt.Sprint(900+i), group); err != nil {
				t.Fatal(out)
			}
		}
	}
	s.become(named(t, "alice", 20001, true))
	if out, err := s.command("id", "-Gn", "alice"); err != nil || out != "alice latchkey\n" {
		t.Errorf("alice is in %s, %v", out, err)
	}
	others := []string{"docker", "sudo", "admin", "wheel"}
	for i, group := range others {
		if _, err := s.command("getent", "group", group); err != nil {
			if out, err := s.command("groupadd", "-g", fmt.Sprint(910+i), group); err != nil {
				t.Fatal(out)
			}
		}
		if out, err := s.command("gpasswd", "-a", "alice", group); err != nil {
			t.Fatal(out)
		}
	}
	if p := s.plan(named(t, "alice", 20001, true)); !p.Empty() {
		t.Errorf("of what others gave is taken away\n%s", p)
	}
	found, err := s.Inventory(t.Context(), s.owned)
	must(t, err)
	told, err := s.Foreign(t.Context(), s.owned, false)
	must(t, err)
	for _, group := range others {
		if !slices.Contains(found.Members, Member{group, "alice"}) {
			t.Errorf("%s is not among %v", group, found.Members)
		}
		if !slices.Contains(told.Entries, wire.Unmanaged{Kind: wire.UnmanagedMember, Account: "alice", What: "group " + group}) {
			t.Errorf("%s is not told in %v", group, told.Entries)
		}
	}
	s.become() // she is revoked, and no group of others is hers any more
	if out, err := s.command("id", "-Gn", "alice"); err != nil || out != "alice latchkey\n" {
		t.Errorf("revoked, alice is in %s, %v", out, err)
	}
	const rule = "sshd;*;alice;Al0000-2400;docker,adm"
	must(t, os.RemoveAll("/etc/pam.d"))
	must(t, os.MkdirAll("/etc/pam.d", 0o755))
	must(t, os.MkdirAll("/etc/security", 0o755))
	s.write("/etc/security/group.conf", "# none\n"+rule+"\n", 0o644)
	for line, want := range map[string]int{"# auth optional pam_group.so\n": 0, "auth optional pam_group.so\n": 1} {
		s.write("/etc/pam.d/test", line, 0o644)
		found, err = s.Inventory(t.Context(), s.owned)
		if got := strings.Count(lines(t, found.Notes), "/etc/security/group.conf line 2: who logs in by it is in more groups: "+rule); got != want || err != nil {
			t.Errorf("with %q the notes are %q, %v", line, found.Notes, err)
		}
	}
}

// testNextUser holds T-U6: what an earlier user left is not the next one's.
func testNextUser(t *testing.T, s *space) {
	s.become(named(t, "alice", 20001, true))
	must(t, os.WriteFile("/home/alice/secret", []byte("hers"), 0o600))
	must(t, os.WriteFile("/var/left", []byte("hers"), 0o600))
	for _, file := range []string{"/home/alice/secret", "/var/left"} {
		must(t, os.Chown(file, 20001, 20001))
	}
	have, err := s.Observe(t.Context(), nil, s.owned)
	must(t, err)
	s.do(plan.Revert(have, s.owned, s.Layout)) // her account is gone, her files stay
	s.owned = plan.NewLedger()
	for _, heir := range []authz.Grant{named(t, "carol", 20002, true), named(t, "alice", 20003, true)} {
		p := s.plan(heir)
		if heir.Username.String() == "alice" {
			if len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, plan.ErrHomeForeign) {
				t.Errorf("another alice: the plan is\n%s", p)
			}
			continue
		}
		s.become(heir)
		for _, file := range []string{"/home/alice/secret", "/var/left"} {
			cat := exec.CommandContext(t.Context(), "cat", file)
			cat.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(heir.UID), Gid: uint32(heir.UID)}}
			if out, err := cat.Output(); err == nil || len(out) != 0 {
				t.Errorf("%s reads %s: %q", heir.Username, file, out)
			}
		}
	}
}

// testSudoExact holds T-S6: after a grant sudo gives it to whom it was granted and to
// nobody else, and gives every other account what it gave before, a second root too.
func testSudoExact(t *testing.T, s *space) {
	s.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\nlocal ALL=(root) /bin/ls\n@includedir /etc/sudoers.d\n", 0o440)
	for _, args := range [][]string{{"useradd", "local"}, {"useradd", "-o", "-u", "0", "toor"}} {
		if out, err := s.command(args[0], args[1:]...); err != nil {
			t.Fatal(out)
		}
	}
	alice, bob := named(t, "alice", 20001, false), named(t, "bob", 20002, false)
	s.become(alice, bob)
	says := func() map[string]string {
		all := map[string]string{}
		for _, user := range []string{"alice", "bob", "local", "toor", "root", "latchkey-keys", "nobody"} {
			all[user], _ = s.command("sudo", "-l", "-U", user)
		}
		return all
	}
	before := says()
	s.become(named(t, "alice", 20001, true), bob)
	want := before
	after := says()
	if alices := after["alice"]; !strings.HasSuffix(alices, "may run the following commands on "+hostname(t)+":\n    (ALL : ALL) NOPASSWD: ALL\n") {
		t.Errorf("of alice sudo says %q", alices)
	}
	want["alice"] = after["alice"]
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("sudo says of the others (-before +after):\n%s", diff)
	}
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	must(t, err)
	name, _, _ = strings.Cut(name, ".")
	return name
}

// testSudoSpoiled holds T-S7: whatever somebody makes of our file, the next look sees it.
// A file is put right; what is none is left and told, and nobody gets a rule by it.
func testSudoSpoiled(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, true)
	s.become(alice, bob)
	file := s.Layout.Sudoers
	whole, err := os.ReadFile(file)
	must(t, err)
	put := func(text string) func() { return func() { must(t, os.WriteFile(file, []byte(text), 0o440)) } }
	spoils := map[string]func(){
		"mode-0666": func() { must(t, os.Chmod(file, 0o666)) }, "mode-0000": func() { must(t, os.Chmod(file, 0)) },
		"owner-1000": func() { must(t, os.Chown(file, 1000, 0)) }, "group-1000": func() { must(t, os.Chown(file, 0, 1000)) },
		"zero-byte": put(string(whole) + "\x00"), "byte-order-mark": put("\ufeff" + string(whole)),
		"carriage-returns": put(strings.ReplaceAll(string(whole), "\n", "\r\n")), "empty": put(""),
		"one-more-rule": put(string(whole) + "mallory ALL=(ALL:ALL) NOPASSWD: ALL\n"),
		"broken":        put(string(whole) + "garbage here now\n"), "missing": func() { must(t, os.Remove(file)) },
	}
	for n := range whole {
		put(string(whole[:n]))()
		if p := s.plan(alice, bob); p.Empty() {
			t.Errorf("cut short after %d bytes, it is not seen", n)
		}
	}
	s.become(alice, bob)
	refused := map[string]error{"symlink": safefile.ErrNotRegular, "fifo": safefile.ErrNotRegular, "folder": safefile.ErrNotRegular, "second-name": safefile.ErrNames}
	spoils["symlink"] = func() {
		must(t, os.Remove(file))
		s.write("/etc/theirs", string(whole), 0o440)
		must(t, os.Symlink("/etc/theirs", file))
	}
	spoils["fifo"] = func() { must(t, os.Remove(file)); must(t, unix.Mkfifo(file, 0o440)) }
	spoils["folder"] = func() { must(t, os.Remove(file)); must(t, os.Mkdir(file, 0o755)) }
	spoils["second-name"] = func() { must(t, os.Link(file, "/etc/second")) }
	for situation, spoil := range spoils {
		spoil()
		p := s.plan(alice, bob)
		undone := s.undone(p)
		if why := refused[situation]; why != nil {
			if !strings.Contains(fmt.Sprint(undone), why.Error()) {
				t.Errorf("%s: not done is %q, the plan was\n%s", situation, undone, p)
			}
			must(t, errors.Join(os.RemoveAll(file), os.RemoveAll("/etc/second"), os.RemoveAll("/etc/theirs")))
		} else if p.Empty() {
			t.Errorf("%s is not seen", situation)
		}
		s.become(alice, bob)
		if now, err := os.ReadFile(file); err != nil || string(now) != string(whole) {
			t.Fatalf("%s: the file is %q, %v", situation, now, err)
		}
	}
}

// testLeftovers holds T-F8: what was left behind, by whomever, in any number, gives
// nothing to anybody and goes, and what only looks like it stays.
func testLeftovers(t *testing.T, s *space) {
	alice := named(t, "alice", 20001, true)
	s.become(alice)
	const number = 10000
	folder := "/etc/sudoers.d"
	var kept []string
	for i := range number {
		path := fmt.Sprintf("%s/.latchkey.%032x.new", folder, i)
		must(t, os.WriteFile(path, []byte("mallory ALL=(ALL:ALL) NOPASSWD: ALL\nbroken"[:i%43]), 0o440))
		if i%2 == 1 {
			must(t, os.Chown(path, 20001, 20001))
		}
	}
	for _, name := range []string{".latchkey.new", ".latchkey." + strings.Repeat("g", 32) + ".new", ".latchkey." + strings.Repeat("0", 32) + ".new~"} {
		kept = append(kept, folder+"/"+name)
		must(t, os.WriteFile(folder+"/"+name, nil, 0o440))
	}
	if out, err := s.command("visudo", "-c"); err != nil || strings.Contains(out, "latchkey.0") {
		t.Errorf("visudo says %v %s", err, out)
	}
	if out, err := s.command("sudo", "-l", "-U", "nobody"); err != nil && !strings.Contains(out, "not allowed") {
		t.Errorf("sudo says %v %s", err, out)
	}
	if p := s.plan(alice); !p.Empty() {
		t.Errorf("to be done is\n%s", p)
	}
	must(t, s.Clean())
	entries, err := os.ReadDir(folder)
	must(t, err)
	var left []string
	for _, e := range entries {
		if path := folder + "/" + e.Name(); path != s.Layout.Sudoers {
			left = append(left, path)
		}
	}
	slices.Sort(kept)
	if diff := cmp.Diff(kept, left); diff != "" {
		t.Errorf("left are (-want +got):\n%s", diff)
	}
}
