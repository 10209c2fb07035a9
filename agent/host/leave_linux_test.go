package host

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// leave plans that alice leaves, with her home, and bob stays.
func (s *space) leave(homes plan.Homes, grants ...authz.Grant) plan.Plan {
	s.t.Helper()
	have, err := s.Observe(s.t.Context(), grants, s.owned)
	must(s.t, err)
	gone := map[authz.Username]bool{}
	for u := range s.owned.Accounts {
		gone[u] = true
	}
	for _, g := range grants {
		delete(gone, g.Username)
	}
	return plan.Diff(have, plan.Desired{Grants: grants, Leave: plan.Leave{Gone: gone, Homes: homes}}, s.owned, s.Layout)
}

// inArchive prints the files of an archive.
func inArchive(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	var b strings.Builder
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return b.String()
		}
		must(t, err)
		if h.Typeflag == tar.TypeReg && !strings.HasPrefix(h.Name, "alice/.") {
			content, err := io.ReadAll(r)
			must(t, err)
			fmt.Fprintf(&b, "%s %d %s\n", h.Name, h.Uid, content)
		}
	}
}

// testLeave: accounts are removed with real tools, homes kept, packed or deleted, and
// who is granted again finds a fresh home, or the kept one (requirements R30, R31 in part
// and T-U15 in part).
func testLeave(t *testing.T, s *space) {
	before := s.etc()
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	note := func() {
		must(t, os.WriteFile("/home/alice/note", []byte("mine"), 0o600))
		must(t, os.Chown("/home/alice/note", 20001, 20001))
	}
	s.become(alice, bob)
	note()
	s.do(s.leave(plan.KeepHomes, bob))
	wantGone(t, s)
	if content, err := os.ReadFile("/home/alice/note"); err != nil || string(content) != "mine" {
		t.Errorf("the kept home: %q, %v", content, err)
	}
	s.become(alice, bob) // and has the kept one
	if _, err := os.Stat("/home/alice/note"); err != nil {
		t.Error(err)
	}

	s.do(s.leave(plan.ArchiveHomes, bob))
	wantGone(t, s)
	wantFolder(t, "/home", "bob")
	if got := inArchive(t, "/var/lib/latchkey/archived/alice.20001.tar"); got != "alice/note 20001 mine\n" {
		t.Errorf("the archive holds\n%s", got)
	}
	for path, mode := range map[string]uint32{"/var/lib/latchkey/archived": 0o40700, "/var/lib/latchkey/archived/alice.20001.tar": 0o100600} {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil || st.Mode != mode || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s has %o %d:%d, %v", path, st.Mode, st.Uid, st.Gid, err)
		}
	}
	s.become(alice, bob) // and has a fresh one
	if _, err := os.Stat("/home/alice/note"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new home has the old note: %v", err)
	}

	note()
	must(t, os.Symlink("/etc", "/home/alice/link"))
	s.do(s.leave(plan.DeleteHomes, bob))
	wantGone(t, s)
	wantFolder(t, "/home", "bob")
	wantFolder(t, "/var/lib/latchkey/archived", "alice.20001.tar")
	s.do(s.leave(plan.DeleteHomes))
	have, err := s.Observe(t.Context(), nil, s.owned)
	must(t, err)
	s.do(plan.Revert(have, s.owned, s.Layout))
	must(t, s.Clean())
	if after := s.etc(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("/etc is not as it was")
	}
}

// wantGone checks that alice has neither account nor group, and the ledger not her name.
func wantGone(t *testing.T, s *space) {
	t.Helper()
	if _, found, err := account("alice"); found || err != nil {
		t.Errorf("alice is there, %v", err)
	}
	if err := proveGroup("alice", false); err != nil {
		t.Error(err)
	}
	for u := range s.owned.Accounts {
		if u.String() == "alice" {
			t.Error("the ledger names alice")
		}
	}
}

func wantFolder(t *testing.T, dir, want string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

// testLeaveKilled ends a removal after every step of its files and after every tool: the
// home is whole, or packed and proved, at every moment, and the next pass does the rest,
// also when alice was granted again meanwhile.
func testLeaveKilled(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	s.become(bob)
	type killed struct{ point string }
	life := func(kill int) (points []string) {
		s.become(alice, bob)
		must(t, os.RemoveAll(s.Layout.ArchivedDir))
		must(t, os.WriteFile("/home/alice/note", []byte("mine"), 0o600))
		at := func(point string) {
			if points = append(points, point); len(points) == kill {
				panic(killed{point})
			}
		}
		s.Point, s.Files.Point = at, at
		defer func() {
			s.Point, s.Files.Point = nil, nil
			if how := recover(); how != nil {
				if _, mine := how.(killed); !mine {
					panic(how)
				}
			}
		}()
		p := s.leave(plan.ArchiveHomes, bob)
		s.owned.Intend(p.Steps, nil)
		for _, step := range p.Steps { // what is done is not recorded: the kill comes before
			must(t, s.Apply(t.Context(), step))
		}
		return points
	}
	all := life(0)
	s.become(alice, bob)
	if len(all) < 20 {
		t.Fatalf("only %d points: %q", len(all), all)
	}
	for n := range all {
		points := life(n + 1)
		where := fmt.Sprintf("killed at %d, %s", n+1, points[len(points)-1])
		_, whole := os.Stat("/home/alice/note")
		content := ""
		if _, err := os.Stat("/var/lib/latchkey/archived/alice.20001.tar"); err == nil {
			content = inArchive(t, "/var/lib/latchkey/archived/alice.20001.tar")
		}
		if whole != nil && content != "alice/note 0 mine\n" {
			t.Errorf("%s: the home is %v and the archive %q", where, whole, content)
		}
		if n%2 == 0 { // she is granted again before the next pass: her home is whole or fresh
			s.become(alice, bob)
			if info, err := os.Stat("/home/alice/.bashrc"); err != nil || ownerOf(info) != 20001 {
				t.Errorf("%s: granted again, her home: %v", where, err)
			}
			wantFolder(t, "/home", "alice bob")
		}
		must(t, s.Clean())
		s.do(s.leave(plan.ArchiveHomes, bob))
		wantFolder(t, "/home", "bob")
		if left := s.leave(plan.ArchiveHomes, bob); !left.Empty() {
			t.Errorf("%s: still to be done:\n%s", where, left)
		}
		if _, found, err := account("alice"); found || err != nil {
			t.Errorf("%s: alice is there, %v", where, err)
		}
		entries, err := os.ReadDir(s.Layout.ArchivedDir)
		must(t, err)
		if len(entries) == 0 || len(entries) > 1 && n%2 != 0 {
			t.Errorf("%s: archives are %v", where, entries)
		}
		for _, e := range entries {
			if safefile.Leftover(e.Name()) {
				t.Errorf("%s: left lying about: %s", where, e.Name())
			}
		}
	}
}

// testLeaveRefused: a home that is not simply the user's folder stays, with its account
// closed, and the reason is told; nothing outside is touched.
func testLeaveRefused(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	must(t, os.Mkdir("/home/outside", 0o700))
	must(t, os.WriteFile("/home/outside/file", []byte("stays"), 0o600))
	tests := map[string]struct {
		spoil, mend func() error
		want        error
	}{
		"link": {func() error {
			return errors.Join(os.Rename("/home/alice", "/home/moved"), os.Symlink("/home/outside", "/home/alice"))
		}, func() error { return errors.Join(os.Remove("/home/alice"), os.Rename("/home/moved", "/home/alice")) }, safefile.ErrNotFolder},
		"of-root": {func() error { return os.Chown("/home/alice", 0, 0) }, func() error { return os.Chown("/home/alice", 20001, 20001) }, safefile.ErrOwner},
		"mounted-on": {func() error { return unix.Mount("/home/alice", "/home/alice", "", unix.MS_BIND, "") },
			func() error { return unix.Unmount("/home/alice", 0) }, safefile.ErrMount},
		"open-again": {func() error { return nil }, func() error { return nil }, plan.ErrHomeOpen},
	}
	for _, homes := range []plan.Homes{plan.ArchiveHomes, plan.DeleteHomes} {
		for situation, test := range tests {
			s.become(alice, bob)
			must(t, test.spoil())
			var refused error
			p := s.leave(homes, bob)
			s.owned.Intend(p.Steps, nil)
			for _, step := range p.Steps {
				if situation == "open-again" && step.Op == plan.OpLock || step.Follows() && refused != nil {
					continue
				}
				if err := s.Apply(t.Context(), step); err != nil {
					refused = err
					continue
				}
				s.owned.Done(step)
			}
			if !errors.Is(refused, test.want) || !errors.Is(refused, plan.ErrHomeKept) {
				t.Errorf("%s: %v, want %v", situation, refused, test.want)
			}
			if a, found, err := account("alice"); !found || err != nil || situation != "open-again" && !a.Locked() {
				t.Errorf("%s: alice is %+v %t, %v", situation, a, found, err)
			}
			must(t, test.mend())
			if _, err := os.Stat("/home/alice/.bashrc"); err != nil {
				t.Errorf("%s: the home: %v", situation, err)
			}
			if content, err := os.ReadFile("/home/outside/file"); string(content) != "stays" {
				t.Errorf("%s: what is outside: %q, %v", situation, content, err)
			}
		}
	}
	s.do(s.leave(plan.DeleteHomes, bob))
	wantFolder(t, "/home", "bob outside")
}
