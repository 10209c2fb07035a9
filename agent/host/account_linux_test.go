package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testLife takes accounts through everything that happens to them, with the real
// useradd, usermod and userdel, and gives the machine back byte for byte (requirements
// R22, R25, R30, R31, T-U7 in part, T-U16 in part and T-S6 in part).
func testLife(t *testing.T, s *space) {
	before := s.etc()
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	s.become(alice, bob)
	a, found, err := account("alice")
	want := plan.Account{Name: "alice", UID: 20001, GID: 20001, Home: "/home/alice", Shell: "/bin/bash", Password: "*", Groups: []string{"latchkey"}}
	if diff := cmp.Diff(want, a); diff != "" || !found || err != nil {
		t.Errorf("alice %v (-want +got):\n%s", err, diff)
	}
	if out, err := s.command("sudo", "-l", "-U", "alice"); err != nil || !strings.Contains(out, "(ALL : ALL) NOPASSWD: ALL") {
		t.Errorf("sudo says of alice: %v %s", err, out)
	}
	if out, _ := s.command("sudo", "-l", "-U", "bob"); !strings.Contains(out, "is not allowed to run sudo") {
		t.Errorf("sudo says of bob: %s", out)
	}

	must(t, os.WriteFile("/home/alice/note", []byte("mine"), 0o600))
	for _, args := range [][]string{{"usermod", "-p", "$6$x$y", "-s", "/bin/sh", "-aG", "sudo", "alice"}, {"groupmod", "-n", "alicia", "alice"}} {
		if out, err := s.command(args[0], args[1:]...); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
	}
	if out, err := s.command("groupmod", "-n", "alice", "alicia"); err != nil {
		t.Fatal(out)
	}
	s.become(alice, bob)
	if a, _, _ := account("alice"); a.Password != "*" || a.Shell != "/bin/bash" {
		t.Errorf("repaired alice is %+v", a)
	}

	s.become(bob) // alice is revoked
	a, _, err = account("alice")
	if err != nil || !a.Locked() || len(a.Groups) != 1 {
		t.Errorf("revoked alice is %+v, %v", a, err)
	}
	if _, err := os.Lstat("/etc/sudoers.d/90-latchkey"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the sudoers file: %v", err)
	}
	s.become(alice, bob) // and granted again
	if a, _, _ := account("alice"); a.Locked() || a.Expires != 0 {
		t.Errorf("granted again, alice is %+v", a)
	}

	heir := named(t, "alice", 20009, false)
	s.become(heir, bob)
	if info, err := os.Stat("/home/alice.20001/note"); err != nil || ownerOf(info) != 0 {
		t.Errorf("the note of the earlier alice: %v", err)
	}
	if a, _, _ := account("alice"); a.UID != 20009 {
		t.Errorf("the new alice is %+v", a)
	}

	have, err := s.Observe(t.Context(), nil, s.owned)
	must(t, err)
	s.do(plan.Revert(have, s.owned, s.Layout))
	must(t, s.Clean())
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("/etc (-before +after):\n%s", diff)
	}
	homes, err := os.ReadDir("/home")
	must(t, err)
	if len(homes) != 3 {
		t.Errorf("homes are %v", homes)
	}
}

// steps are one of each kind that a tool of the system carries out, for alice and
// for what she needs.
func steps(t *testing.T, s *space) map[string]plan.Step {
	alice := named(t, "alice", 20001, true).Username
	step := func(op plan.Op) plan.Step {
		return plan.Step{Op: op, User: alice, UID: 20001, Shell: s.Layout.Shell, Home: s.Layout.OldHome(alice, 20001)}
	}
	return map[string]plan.Step{
		"create-account": {Op: plan.OpCreateAccount, User: named(t, "carol", 20003, false).Username, UID: 20003},
		"drop-groups":    step(plan.OpDropGroups), "lock": step(plan.OpLock), "repair": step(plan.OpRepair),
		"retire": step(plan.OpRetire), "delete-account": step(plan.OpDeleteAccount),
		"create-group": {Op: plan.OpCreateGroup, Group: "latchkey-new"}, "delete-group": {Op: plan.OpDeleteGroup, Group: "latchkey"},
		"create-hook-user": {Op: plan.OpCreateHookUser, Group: "latchkey-second"}, "delete-hook-user": {Op: plan.OpDeleteHookUser, Group: "latchkey-keys"},
	}
}

// spoiled sets alice up and then changes all that a step would put right.
func spoiled(t *testing.T, s *space) {
	s.become(named(t, "alice", 20001, true))
	if out, err := s.command("usermod", "-p", "$6$x$y", "-s", "/bin/sh", "-aG", "sudo", "alice"); err != nil {
		t.Fatal(out)
	}
}

// testLyingTools holds R24 in part, R27, R29 and T-U12 in part: a tool that says
// success and has done nothing is found out by every step.
func testLyingTools(t *testing.T, s *space) {
	spoiled(t, s)
	before := s.etc()
	s.instead(map[string]error{"useradd": nil, "usermod": nil, "userdel": nil, "groupadd": nil, "groupdel": nil})
	for kind, step := range steps(t, s) {
		if err := s.Apply(t.Context(), step); err == nil {
			t.Errorf("%s: the lie is believed", kind)
		}
	}
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("/etc (-before +after):\n%s", diff)
	}
}

// testMissingTools: what is not installed is said, and nothing is half done.
func testMissingTools(t *testing.T, s *space) {
	spoiled(t, s)
	before := s.etc()
	s.instead(map[string]error{"useradd": errNoTool, "usermod": errNoTool, "userdel": errNoTool, "groupadd": errNoTool, "groupdel": errNoTool, "visudo": errNoTool})
	all := steps(t, s)
	all["give-sudo"] = plan.Step{Op: plan.OpGiveSudo, Path: s.Layout.Sudoers, Attr: plan.Attr{Owner: "root", Group: "root", Mode: 0o440},
		Rules: []plan.Rule{{User: named(t, "zoe", 20026, true).Username}}}
	for kind, step := range all {
		if err := s.Apply(t.Context(), step); !errors.Is(err, errNoTool) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("/etc (-before +after):\n%s", diff)
	}
	if err := s.Apply(t.Context(), plan.Step{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no step: %v", err)
	}
}

// testAccountOfAnother: between looking and acting somebody else made an account of
// the name. It is not touched by any step (requirement R15 in part and T-U2 in part).
func testAccountOfAnother(t *testing.T, s *space) {
	s.become(named(t, "bob", 20002, false)) // the groups and folders
	if out, err := s.command("useradd", "-m", "-u", "1234", "-p", "$6$x$y", "-G", "sudo", "alice"); err != nil {
		t.Fatal(out)
	}
	before := s.etc()
	called := s.instead(nil)
	for kind, step := range steps(t, s) {
		if step.User.String() != "alice" {
			continue
		}
		if err := s.Apply(t.Context(), step); err == nil {
			t.Errorf("%s: it was done", kind)
		}
	}
	create := plan.Step{Op: plan.OpCreateAccount, User: named(t, "alice", 20001, false).Username, UID: 20001}
	if err := s.Apply(t.Context(), create); !errors.Is(err, plan.ErrNameTaken) {
		t.Errorf("create: %v", err)
	}
	if len(*called) != 0 {
		t.Errorf("tools were run: %q", *called)
	}
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("/etc (-before +after):\n%s", diff)
	}
	if p := s.plan(named(t, "alice", 20001, true), named(t, "bob", 20002, false)); len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, plan.ErrNameTaken) || !p.Empty() {
		t.Errorf("the plan is\n%s", p)
	}
}

// testHomeOfAnother holds R15 in part, R23 in part and T-U8 in part: a home that is
// there and is not the user's is neither taken over nor given away.
func testHomeOfAnother(t *testing.T, s *space) {
	s.become(named(t, "bob", 20002, false))
	must(t, os.Mkdir("/home/squat", 0o700))
	must(t, os.Chown("/home/squat", 1234, 1234))
	must(t, os.Symlink("/etc", "/home/linked"))
	for i, login := range []string{"squat", "linked"} {
		g := named(t, login, authz.UID(20010+i), true)
		p := s.plan(g, named(t, "bob", 20002, false))
		if len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, plan.ErrHomeForeign) || !p.Empty() {
			t.Errorf("%s: the plan is\n%s", login, p)
		}
		// It came between looking and acting.
		if err := s.Apply(t.Context(), plan.Step{Op: plan.OpCreateAccount, User: g.Username, UID: g.UID}); !errors.Is(err, plan.ErrHomeForeign) {
			t.Errorf("%s: %v", login, err)
		}
	}
	info, err := os.Stat("/home/squat")
	must(t, err)
	if etc, err := os.Stat("/etc"); err != nil || ownerOf(etc) != 0 || ownerOf(info) != 1234 {
		t.Errorf("owners are now %d and of /etc %d, %v", ownerOf(info), ownerOf(etc), err)
	}
}

// testOddFiles: whatever lies where our files belong, looking ends and does not
// follow it, and it stops nobody's revocation.
func testOddFiles(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	s.become(alice, bob)
	keys := s.Layout.KeysDir
	must(t, unix.Mkfifo(keys+"/fifo", 0o600))
	must(t, os.Symlink("/etc/shadow", keys+"/link"))
	must(t, os.WriteFile(keys+"/long", nil, 0o600))
	must(t, os.Truncate(keys+"/long", 1<<40))
	must(t, os.WriteFile(keys+"/two", nil, 0o600))
	must(t, os.Link(keys+"/two", keys+"/names"))
	must(t, os.Mkdir(keys+"/folder", 0o700))
	have, err := s.Observe(t.Context(), []authz.Grant{bob}, s.owned)
	must(t, err)
	for file, odd := range map[string]bool{"fifo": true, "link": true, "long": true, "two": true, "names": true, "folder": false, "bob": false} {
		if f, found := have.Files[keys+"/"+file]; !found || f.Odd != odd || odd && f.Content != nil {
			t.Errorf("%s is seen as %t %+v", file, found, f)
		}
	}
	p := plan.Diff(have, plan.Desired{Grants: []authz.Grant{bob}}, s.owned, s.Layout)
	s.owned.Intend(p.Steps, nil)
	var refused []string
	for _, step := range p.Steps {
		if err := s.Apply(t.Context(), step); err != nil {
			refused = append(refused, strings.TrimPrefix(step.Path, keys+"/"))
		}
	}
	slices.Sort(refused)
	if diff := cmp.Diff([]string{"fifo", "link", "names", "two"}, refused); diff != "" {
		t.Errorf("not removed (-want +got):\n%s", diff)
	}
	if a, _, err := account("alice"); err != nil || !a.Locked() {
		t.Errorf("alice is %+v, %v", a, err)
	}
	if _, err := os.Lstat(keys + "/alice"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("her keys: %v", err)
	}
	var st syscall.Stat_t
	must(t, syscall.Stat("/etc/shadow", &st))
	if st.Size == 0 {
		t.Error("/etc/shadow was emptied")
	}
}

// testShell holds R26 and T-U11 in part: while the shell of our accounts is not there, is
// no program or is not listed, they have the safe one, new ones too, and have theirs
// back after it.
func testShell(t *testing.T, s *space) {
	const shell, list = "/var/shell", "/etc/shells"
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	s.Layout.Shell = shell
	for situation, spoil := range map[string]func(){
		"removed":          func() { must(t, os.Remove(shell)) },
		"not-for-all":      func() { must(t, os.Chmod(shell, 0o700)) },
		"a-folder":         func() { must(t, os.Remove(shell)); must(t, os.Mkdir(shell, 0o755)) },
		"a-dangling-link":  func() { must(t, os.Remove(shell)); must(t, os.Symlink("/nowhere", shell)) },
		"not-listed":       func() { s.write(list, "/bin/sh\n# "+shell+"\n"+shell+"x\n", 0o644) },
		"list-not-there":   func() { must(t, os.Remove(list)) },
		"nothing-at-all":   nil,
		"listed-with-word": func() { s.write(list, "/bin/sh\n "+shell+" # ours\n", 0o644) },
	} {
		t.Run(situation, func(t *testing.T) {
			must(t, os.RemoveAll(shell))
			s.write(shell, "#!/bin/sh\n", 0o755)
			s.write(list, "/bin/sh\n"+shell+"\n", 0o644)
			s.become(alice)
			want := shell
			if spoil != nil {
				spoil()
			}
			if spoil != nil && situation != "listed-with-word" {
				want = "/bin/sh"
			}
			s.become(alice, bob)
			for _, user := range []string{"alice", "bob"} {
				if a, _, err := account(user); err != nil || a.Shell != want || a.Locked() {
					t.Errorf("%s is %+v, %v; want the shell %s", user, a, err, want)
				}
			}
		})
	}
}

// testUnreadable holds R44 for what is only looked at: a file of ours that can not be
// read, or stands in a folder that others may change, stops nothing but what concerns
// it, and our own folder is put right.
func testUnreadable(t *testing.T, s *space) {
	alice, bob, carol := named(t, "alice", 20001, true), named(t, "bob", 20002, true), named(t, "carol", 20003, false)
	s.become(alice, bob)
	must(t, os.Chmod(s.Layout.KeysDir, 0o777))
	must(t, os.Chmod(filepath.Dir(s.Layout.Sudoers), 0o775))
	var undone []string
	for range 2 {
		undone = nil
		have, err := s.Observe(t.Context(), []authz.Grant{alice, carol}, s.owned)
		must(t, err)
		p := plan.Diff(have, plan.Desired{Grants: []authz.Grant{alice, carol}}, s.owned, s.Layout)
		s.owned.Intend(p.Steps, nil)
		for _, step := range p.Steps {
			if err := s.Apply(t.Context(), step); err != nil {
				undone = append(undone, step.Path)
			}
		}
	}
	if diff := cmp.Diff([]string{s.Layout.Sudoers}, undone); diff != "" {
		t.Errorf("not done in the end (-want +got):\n%s", diff)
	}
	if a, _, err := account("bob"); err != nil || !a.Locked() {
		t.Errorf("bob is %+v, %v", a, err)
	}
	entries, err := os.ReadDir(s.Layout.KeysDir)
	must(t, err)
	if len(entries) != 2 || entries[0].Name() != "alice" || entries[1].Name() != "carol" {
		t.Errorf("key files are %v", entries)
	}
	info, err := os.Stat(s.Layout.KeysDir)
	must(t, err)
	if info.Mode().Perm() != 0o750 {
		t.Errorf("the folder has the mode %v", info.Mode())
	}
}
