package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// silentAt mounts a file system that never answers until the test is over, or, dead,
// one whose program has ended.
func (s *space) silentAt(t *testing.T, path string, dead bool) {
	t.Helper()
	must(t, os.MkdirAll(path, 0o755))
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	need(t, err == nil, "/dev/fuse")
	must(t, unix.Mount("none", path, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)))
	t.Cleanup(func() { must(t, unix.Unmount(path, unix.MNT_DETACH)) })
	if dead {
		must(t, unix.Close(fd))
		return
	}
	t.Cleanup(func() { must(t, unix.Close(fd)) })
}

// undone does what it can of a plan and returns why the rest was not done.
func (s *space) undone(p plan.Plan) (reasons []string) {
	for _, err := range s.try(p) {
		reasons = append(reasons, err.Error())
	}
	return reasons
}

// testHomesSilent holds T-F5: homes that never answer, or whose file system is
// gone, cost their users an account, with the reason, and nobody else anything, least
// of all those who have to go, whatever theirs does. What is mounted in the place of a
// home and is its user's is a home.
func testHomesSilent(t *testing.T, s *space) {
	alice, gus, hugo := named(t, "alice", 20001, true), named(t, "gus", 20007, true), named(t, "hugo", 20008, false)
	s.become(gus, hugo)
	s.silentAt(t, "/home/gus", false)
	s.silentAt(t, "/home/carol", false)
	s.silentAt(t, "/home/erin", true)
	must(t, os.MkdirAll("/srv-dave", 0o755))
	t.Cleanup(func() { must(t, os.RemoveAll("/srv-dave")) })
	must(t, os.Chown("/srv-dave", 20004, 20004))
	must(t, os.Mkdir("/home/dave", 0o755))
	must(t, unix.Mount("/srv-dave", "/home/dave", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount("/home/dave", unix.MNT_DETACH)) })
	session := s.start(20007, "echo; exec sleep 60")

	grants := []authz.Grant{alice, named(t, "carol", 20003, true), named(t, "dave", 20004, false), named(t, "erin", 20005, true), hugo}
	p := s.plan(grants...)
	var refused []string
	for _, r := range p.Refused {
		refused = append(refused, r.Name+": "+r.Reason.Error())
	}
	slices.Sort(refused)
	want := []string{"carol: " + plan.ErrHomeUnread.Error(), "erin: " + plan.ErrHomeUnread.Error()}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refused are (-want +got):\n%s", diff)
	}
	if undone := s.undone(p); undone != nil {
		t.Errorf("not done: %q", undone)
	}
	if left := s.plan(grants...); !left.Empty() {
		t.Errorf("still to be done:\n%s", left)
	}
	for user, open := range map[string]bool{"alice": true, "dave": true, "hugo": true, "gus": false} {
		if a, found, err := account(user); err != nil || !found || a.Locked() == open {
			t.Errorf("%s is %+v, %v", user, a, err)
		}
	}
	if session.alive() {
		t.Error("the session of gus goes on")
	}
	// It came between looking and acting, and useradd is not left to wait for it.
	called := s.instead(nil)
	for name, fails := range map[string]error{"carol": plan.ErrHomeUnread, "erin": plan.ErrHomeUnread} {
		step := plan.Step{Op: plan.OpCreateAccount, User: named(t, name, 20003, false).Username, UID: 20003}
		if err := s.Apply(t.Context(), step); !errors.Is(err, fails) || len(*called) != 0 {
			t.Errorf("%s: %v, run were %q", name, err, *called)
		}
	}
	s.Run = nil
	// The name of gus is another's now: his home can not be moved out of the way, so
	// his account stays to say so.
	heir := named(t, "gus", 20017, false)
	if undone := s.undone(s.plan(append(grants, heir)...)); len(undone) != 1 || !strings.Contains(undone[0], plan.ErrHomeUnread.Error()) {
		t.Errorf("not done: %q", undone)
	}
	if a, found, err := account("gus"); err != nil || !found || a.UID != 20007 || !a.Locked() {
		t.Errorf("gus is %+v, %v", a, err)
	}

	// Nor is a pass left to wait for the keys of the account for emergencies.
	if out, err := s.command("useradd", "-d", "/home/rescue", "-s", "/bin/sh", "-p", "*", "rescue"); err != nil {
		t.Fatal(out)
	}
	s.silentAt(t, "/home/rescue", false)
	s.Run = func(context.Context, string, string, ...string) (string, error) {
		return "pubkeyauthentication yes\nauthorizedkeysfile .ssh/authorized_keys\n", nil
	}
	rescue, err := ParseLocalName("rescue")
	must(t, err)
	if err := s.BreakGlass(t.Context(), rescue, s.owned, time.Now()); !errors.Is(err, errSilent) || !errors.Is(err, ErrBreakGlass) {
		t.Errorf("of the account for emergencies it says %v", err)
	}
}

// testHomesGone holds T-F5 in part: /home is not mounted. Nobody loses or gets anything
// for that, and who has to go goes.
func testHomesGone(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	s.become(alice, bob)
	must(t, os.WriteFile("/home/alice/note", []byte("mine"), 0o600))
	for situation, mount := range map[string]func(t *testing.T){
		"empty":  func(t *testing.T) { must(t, unix.Mount("tmpfs", "/home", "tmpfs", 0, "mode=755")) },
		"silent": func(t *testing.T) { s.silentAt(t, "/home", false) },
		"dead":   func(t *testing.T) { s.silentAt(t, "/home", true) },
	} {
		t.Run(situation, func(t *testing.T) {
			s.become(alice, bob)
			mount(t)
			if situation == "empty" {
				defer func() { must(t, unix.Unmount("/home", unix.MNT_DETACH)) }()
			}
			if p := s.plan(alice, bob); !p.Empty() || len(p.Refused) != 0 {
				t.Errorf("to be done is\n%s", p)
			}
			if undone := s.undone(s.plan(alice)); undone != nil {
				t.Errorf("not done: %q", undone)
			}
			if a, _, err := account("bob"); err != nil || !a.Locked() {
				t.Errorf("bob is %+v, %v", a, err)
			}
		})
	}
	s.become(alice, bob)
	if note, err := os.ReadFile("/home/alice/note"); err != nil || string(note) != "mine" {
		t.Errorf("the note is %q, %v", note, err)
	}
}

// testHomesSilentAll holds T-F5 in part: where /home does not answer, each look at all homes
// costs one wait, not one for each account, and what is elsewhere is looked at; when
// something else is mounted there it is looked at again, though the old look still hangs.
func testHomesSilentAll(t *testing.T, s *space) {
	const accounts = 2 * mostStuck
	passwd, err := os.ReadFile("/etc/passwd")
	must(t, err)
	for i := range accounts {
		user := named(t, fmt.Sprint("user", i), authz.UID(20001+i), false)
		s.owned.Accounts[user.Username] = plan.Owned{UID: user.UID, State: plan.Present, Block: true}
		passwd = fmt.Appendf(passwd, "user%d:x:%d:%[2]d::/home/user%[1]d:/bin/sh\n", i, 20001+i)
	}
	s.write("/etc/passwd", string(passwd)+"erin:x:1001:1001::/srv-erin:/bin/sh\n", 0o644)
	must(t, os.MkdirAll("/srv-erin/.ssh", 0o755))
	t.Cleanup(func() { must(t, os.RemoveAll("/srv-erin")) })
	s.write("/srv-erin/.ssh/authorized_keys", aKey+"\n", 0o644)
	s.silentAt(t, "/home", false)
	for round := range 2 {
		have, err := s.Observe(t.Context(), nil, s.owned)
		must(t, err)
		if len(have.Blocks) != accounts || !errors.Is(have.Blocks[named(t, "user7", 1000, false).Username].Err, errSilent) {
			t.Errorf("of %d homes it says %v", accounts, have.Blocks)
		}
		if foreign := s.ForeignKeys(s.owned); len(foreign) != accounts {
			t.Errorf("in %d homes was looked for keys", len(foreign))
		}
		in, err := s.Inventory(t.Context(), s.owned)
		must(t, err)
		if !slices.ContainsFunc(in.Keys, func(k UnmanagedKey) bool { return k.Account == "erin" }) {
			t.Errorf("the key of erin is not found beside %d homes that hang: %v", accounts, in.Keys)
		}
		s.stuck.mu.Lock()
		if n := len(s.stuck.looks); n > 3 {
			t.Errorf("in round %d hang %d looks", round, n)
		}
		s.stuck.mu.Unlock()
	}
	must(t, unix.Unmount("/home", unix.MNT_DETACH))
	must(t, unix.Mount("tmpfs", "/home", "tmpfs", 0, "mode=755"))
	have, err := s.Observe(t.Context(), nil, s.owned)
	must(t, err)
	for user, b := range have.Blocks {
		if errors.Is(b.Err, errSilent) {
			t.Fatalf("with something else mounted the home of %s is %v", user, b.Err)
		}
	}
}

// testHomesLed holds T-F5 in part: whose keys a link of his own leads to what hangs hides
// nobody's keys but his.
func testHomesLed(t *testing.T, s *space) {
	passwd, err := os.ReadFile("/etc/passwd")
	must(t, err)
	for i, user := range []string{"aaron", "eve", "zoe"} {
		passwd = fmt.Appendf(passwd, "%s:x:%d:%[2]d::/home/%[1]s:/bin/sh\n", user, 1001+i)
		must(t, os.MkdirAll("/home/"+user+"/.ssh", 0o755))
		s.write("/home/"+user+"/.ssh/authorized_keys", aKey+"\n", 0o644)
	}
	s.write("/etc/passwd", string(passwd), 0o644)
	s.silentAt(t, "/home/eve/hangs", false)
	must(t, os.RemoveAll("/home/eve/.ssh"))
	must(t, os.Symlink("hangs", "/home/eve/.ssh"))
	for range 2 {
		in, err := s.Inventory(t.Context(), s.owned)
		must(t, err)
		var found []string
		for _, k := range in.Keys {
			found = append(found, k.Account)
		}
		if diff := cmp.Diff([]string{"aaron", "zoe"}, slices.Compact(found)); diff != "" {
			t.Errorf("accounts with keys (-want +got):\n%s", diff)
		}
		if !slices.ContainsFunc(in.Unread, func(u Unread) bool { return u == Unread{"/home/eve/.ssh/authorized_keys", errSilent.Error()} }) {
			t.Errorf("not read is %v", in.Unread)
		}
		s.stuck.mu.Lock()
		for _, l := range s.stuck.looks {
			l.began = l.began.Add(-time.Hour) // it has hung for long when the next one comes
		}
		s.stuck.mu.Unlock()
	}
}

// testHomesFull holds T-F5 in part: there is no room for a home. Who needs one is told
// of, everybody else has what is his, and once there is room it is made.
func testHomesFull(t *testing.T, s *space) {
	alice, bob, carol := named(t, "alice", 20001, true), named(t, "bob", 20002, true), named(t, "carol", 20003, true)
	must(t, unix.Mount("tmpfs", "/home", "tmpfs", 0, "mode=755,nr_inodes=100"))
	t.Cleanup(func() { must(t, unix.Unmount("/home", unix.MNT_DETACH)) })
	s.become(alice, bob)
	full := func() (files []string) {
		for i := range 100 {
			name := fmt.Sprint("/home/file", i)
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				break
			}
			files = append(files, name)
		}
		return files
	}()
	for range 2 {
		undone := s.undone(s.plan(alice, carol))
		if len(undone) == 0 || strings.Contains(fmt.Sprint(undone), "alice (") || strings.Contains(fmt.Sprint(undone), "bob") {
			t.Errorf("not done: %q", undone)
		}
	}
	if a, _, err := account("bob"); err != nil || !a.Locked() {
		t.Errorf("bob is %+v, %v", a, err)
	}
	for _, file := range full {
		must(t, os.Remove(file))
	}
	s.become(alice, carol)
	if info, err := os.Stat("/home/carol"); err != nil || ownerOf(info) != 20003 {
		t.Errorf("the home of carol: %v", err)
	}
}

// testHomeOwn holds R23 and T-U8: a home of the user's own from before is hers again,
// and whatever links are in it, nothing is given away: no owner and no mode changes.
func testHomeOwn(t *testing.T, s *space) {
	const home = "/home/alice"
	must(t, os.Mkdir(home, 0o700))
	must(t, os.Chown(home, 20001, 20001))
	must(t, os.Mkdir(home+"/links", 0o755))
	must(t, os.WriteFile("/home/secret", []byte("root's"), 0o600))
	for i, target := range []string{"/etc", "/etc/shadow", "/home/secret", "/", "links", "../alice", "/nowhere", "/proc/self/mem"} {
		must(t, os.Symlink(target, fmt.Sprintf("%s/links/link%d", home, i)))
	}
	must(t, os.Link("/home/secret", home+"/.bashrc"))
	must(t, os.Link("/home/secret", home+"/links/hard"))
	before, etc := files(t, "/home"), owners(t, "/etc", "/home")
	s.become(named(t, "alice", 20001, true))
	if diff := cmp.Diff(before, files(t, "/home")); diff != "" {
		t.Errorf("homes (-before +after):\n%s", diff)
	}
	now := owners(t, "/etc", "/home")
	for path, owner := range etc {
		if now[path] != owner {
			t.Errorf("%s belonged to %s, now to %s", path, owner, now[path])
		}
	}
}

// owners lists who owns what is below some folders.
func owners(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, folder := range folders {
		must(t, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			must(t, err)
			info, err := e.Info()
			must(t, err)
			st := info.Sys().(*syscall.Stat_t)
			all[path] = fmt.Sprintf("%d:%d", st.Uid, st.Gid)
			return nil
		}))
	}
	return all
}

// testRetire holds T-F7 in part for an account whose name has another user now: cut
// short between its home and its end, it is ended by the next run, and the heir comes. Of
// one who had the name twice both homes are kept.
func testRetire(t *testing.T, s *space) {
	heir := named(t, "alice", 20009, false)
	var points []string
	for i := 0; i == 0 || i <= len(points); i++ {
		s.become(named(t, "alice", 20001, true))
		passed := 0
		s.Point = func(name string) {
			if i == 0 {
				points = append(points, name)
			} else if passed++; passed == i {
				panic(name)
			}
		}
		for _, step := range s.plan(heir).Steps {
			if cut := s.cut(step); cut != nil {
				break
			}
		}
		s.Point = nil
		s.become(heir)
		if info, err := os.Stat("/home/alice.20001"); err != nil || ownerOf(info) != 20001 {
			t.Errorf("cut short at %d of %q, the home of before is gone: %v", i, points, err)
		}
		have, err := s.Observe(t.Context(), nil, s.owned)
		must(t, err)
		s.do(plan.Revert(have, s.owned, s.Layout))
		s.owned = plan.NewLedger()
		must(t, os.RemoveAll("/home/alice"))
		must(t, os.RemoveAll("/home/alice.20001"))
	}
	if !slices.Contains(points, "retire.home") {
		t.Errorf("passed were %q", points)
	}
	must(t, os.Mkdir("/home/alice.20001", 0o700))
	s.become(named(t, "alice", 20001, true))
	s.become(heir)
	if info, err := os.Stat("/home/alice.20001.1"); err != nil || ownerOf(info) != 20001 {
		t.Errorf("the second home is not kept: %v", err)
	}
}

// cut applies a step and returns where a test's point ended it.
func (s *space) cut(step plan.Step) (at any) {
	defer func() { at = recover() }()
	must(s.t, s.Apply(s.t.Context(), step))
	s.owned.Done(step)
	return nil
}
