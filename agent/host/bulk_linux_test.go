package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// crowd makes grants for user0 with uid 20000, user1 with 20001 and so on.
func crowd(t *testing.T, n int) []authz.Grant {
	t.Helper()
	var grants []authz.Grant
	for i := range n {
		grants = append(grants, named(t, fmt.Sprintf("user%d", i), authz.UID(20000+i), false))
	}
	return grants
}

// needBulk is for tests of what only the making of many at once goes through.
func needBulk(t *testing.T, s *space) {
	t.Helper()
	err := (&bulk{Host: s.Host}).able(t.Context())
	need(t, err == nil, fmt.Sprintf("a systemd-sysusers that can be used: %v", err))
}

// stands checks accounts by the system's own eyes: getent, the shadow file, the homes.
func (s *space) stands(grants []authz.Grant) {
	s.t.Helper()
	var names []string
	for _, g := range grants {
		names = append(names, g.Username.String())
	}
	passwd, err := s.command("getent", append([]string{"passwd", "--"}, names...)...)
	must(s.t, err)
	shadow, err := s.command("getent", append([]string{"shadow", "--"}, names...)...)
	must(s.t, err)
	group, err := s.command("getent", append([]string{"group", "--"}, names...)...)
	must(s.t, err)
	marker, err := s.command("getent", "group", "latchkey")
	must(s.t, err)
	members := strings.Split(strings.TrimSpace(marker[strings.LastIndex(marker, ":")+1:]), ",")
	for i, g := range grants {
		name, uid := g.Username.String(), g.UID.String()
		if want := name + ":x:" + uid + ":" + uid + "::/home/" + name + ":/bin/bash"; strings.Split(passwd, "\n")[i] != want {
			s.t.Errorf("passwd says %q, want %q", strings.Split(passwd, "\n")[i], want)
		}
		if line := strings.Split(shadow, "\n")[i]; !strings.HasPrefix(line, name+":*:") || strings.Split(line, ":")[7] != "" {
			s.t.Errorf("shadow says %q", line)
		}
		if line := strings.Split(group, "\n")[i]; line != name+":x:"+uid+":" {
			s.t.Errorf("group says %q", line)
		}
		if !slices.Contains(members, name) {
			s.t.Errorf("%s is not in the marker group", name)
		}
		if got, want := s.home(name), s.mode(s.skeleton(uint32(g.UID))); got != want {
			s.t.Errorf("home of %s is\n%swant\n%s", name, got, want)
		}
	}
	for _, check := range [][]string{{"pwck", "-q", "-r"}, {"grpck", "-r"}} {
		if out, err := s.command(check[0], check[1:]...); err != nil {
			s.t.Errorf("%v: %s", check, out)
		}
	}
}

// mode is a listing of a skeleton with the mode that this machine gives homes.
func (s *space) mode(skeleton string) string {
	s.t.Helper()
	logins, err := os.ReadFile("/etc/login.defs")
	must(s.t, err)
	mode, err := homeMode(string(logins))
	must(s.t, err)
	_, rest, _ := strings.Cut(skeleton, " ")
	return (fs.ModeDir | mode).String() + " " + rest
}

// home prints a home: mode, owner, what is in it.
func (s *space) home(name string) string { return s.below("/home/"+name, nil) }

// skeleton prints /etc/skel as the home of a user should be.
func (s *space) skeleton(uid uint32) string { return s.below("/etc/skel", &uid) }

func (s *space) below(dir string, as *uint32) string {
	s.t.Helper()
	var b strings.Builder
	must(s.t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		must(s.t, err)
		info, err := e.Info()
		must(s.t, err)
		st := info.Sys().(*syscall.Stat_t)
		uid, gid, content := st.Uid, st.Gid, ""
		if as != nil {
			uid, gid = *as, *as
		}
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			must(s.t, err)
			content = string(text)
		case info.Mode()&fs.ModeSymlink != 0:
			content, err = os.Readlink(path)
			must(s.t, err)
		}
		fmt.Fprintf(&b, "%s%s %d:%d %q\n", info.Mode(), strings.TrimPrefix(path, dir), uid, gid, content)
		return nil
	}))
	return b.String()
}

// testBulk makes a thousand accounts at once, and leaves nothing to do.
func testBulk(t *testing.T, s *space) {
	needBulk(t, s)
	must(t, os.Mkdir("/etc/skel/.config", 0o750))
	must(t, os.WriteFile("/etc/skel/.config/run", []byte("#!/bin/sh\n"), 0o755))
	must(t, os.Symlink(".config/run", "/etc/skel/run"))
	must(t, os.Chmod("/etc/skel/.config/run", 0o755))
	grants := crowd(t, 1000)
	called := s.instead(nil)
	s.become(grants...)
	count := map[string]int{}
	for _, tool := range *called {
		count[tool]++
	}
	if count["systemd-sysusers"] != 3 || count["chpasswd"] != 1 || count["useradd"] != 1 { // the last for the hook
		t.Errorf("tools were run: %v", count)
	}
	s.stands(grants)
	if homes, err := os.ReadDir("/home"); err != nil || len(homes) != 1000 {
		t.Errorf("%d things are in /home, %v", len(homes), err)
	}
}

// testBulkReverted: what was made at once is given back byte for byte.
func testBulkReverted(t *testing.T, s *space) {
	before := s.etc()
	grants := crowd(t, 40)
	s.become(grants...)
	s.stands(grants)
	have, err := s.Observe(t.Context(), nil, s.owned)
	must(t, err)
	s.do(plan.Revert(have, s.owned, s.Layout))
	must(t, s.Clean())
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("/etc (-before +after):\n%s", diff)
	}
}

// testBulkByUseradd: where the machine asks for more than is done in bulk, or a tool
// is missing or lies, useradd makes the accounts, and nothing of others is lost.
func testBulkByUseradd(t *testing.T, s *space) {
	reasons := map[string]func(){
		"no-sysusers":    func() { s.instead(map[string]error{"systemd-sysusers": errNoTool}) },
		"no-chpasswd":    func() { s.instead(map[string]error{"chpasswd": errNoTool}) },
		"lying-sysusers": func() { s.instead(map[string]error{"systemd-sysusers": nil}) },
		"lying-chpasswd": func() { s.instead(map[string]error{"chpasswd": nil}) },
		"comment":        func() { s.append("/etc/passwd", "# kept by hand\n") },
		"mail-spool":     func() { s.write("/etc/default/useradd", "CREATE_MAIL_SPOOL=yes\n", 0o644) },
		"fifo-in-skel":   func() { must(t, unix.Mkfifo("/etc/skel/fifo", 0o600)) },
		"open-homes":     func() { s.write("/etc/login.defs", "UMASK 002\nUSERGROUPS_ENAB yes\n", 0o644) },
	}
	restore := map[string]string{}
	for _, path := range []string{"/etc/passwd", "/etc/default/useradd", "/etc/login.defs"} {
		text, err := os.ReadFile(path)
		must(t, err)
		restore[path] = string(text)
	}
	for i, reason := range slices.Sorted(maps.Keys(reasons)) {
		grants := crowd(t, (i+1)*many)[i*many:]
		reasons[reason]()
		outside := s.Run
		made := 0
		s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
			if tool == "useradd" {
				made++
			}
			if outside != nil {
				return outside(ctx, input, tool, args...)
			}
			return runTool(ctx, input, tool, args...)
		}
		if faults := s.try(s.plan(grants...)); len(faults) > 0 {
			t.Errorf("%s: %v", reason, faults)
		}
		if made < many {
			t.Errorf("%s: useradd was run %d times", reason, made)
		}
		for _, g := range grants {
			if a, found, err := account(g.Username.String()); err != nil || !found || a.Password != "*" || !exists("/home/"+a.Name+"/.profile") {
				t.Errorf("%s: %s is %+v, %v", reason, g.Username, a, err)
			}
		}
		if text, _ := os.ReadFile("/etc/passwd"); reason == "comment" && !strings.Contains(string(text), "\n# kept by hand\n") {
			t.Error("the comment is lost")
		}
		s.Run = nil
		must(t, os.RemoveAll("/etc/skel/fifo"))
		for path, text := range restore {
			if path != "/etc/passwd" {
				s.write(path, text, 0o644)
			}
		}
	}
}

func (s *space) append(path, text string) {
	s.t.Helper()
	old, err := os.ReadFile(path)
	must(s.t, err)
	must(s.t, os.WriteFile(path, append(old, text...), 0o644))
}

// testBulkTaken: what somebody else takes, before the plan is applied or in the middle
// of it, keeps back those alone whose it was to be. Nothing of his is changed, and
// nothing of ours is left under the name.
func testBulkTaken(t *testing.T, s *space) {
	needBulk(t, s)
	s.become(named(t, "bob", 1999, false)) // the groups and folders
	for _, when := range []string{"before", "groups", "users"} {
		t.Run(when, func(t *testing.T) {
			first := map[string]int{"before": 0, "groups": 100, "users": 200}[when]
			grants := crowd(t, first+2*many)[first:]
			login := func(i int) string { return grants[i].Username.String() }
			uid := func(i int) string { return grants[i].UID.String() }
			// The group of an account is there by the time the accounts are made.
			taken := map[int]error{1: plan.ErrNameTaken, 2: plan.ErrUIDTaken, 5: plan.ErrHomeForeign}
			take := func() {
				s.must("useradd", "-N", "-g", "users", "-u", fmt.Sprint(1500+first), login(1))
				s.must("useradd", "-N", "-g", "users", "-u", uid(2), "theirs"+when)
				must(t, os.Mkdir("/home/"+login(5), 0o700))
				must(t, os.Chown("/home/"+login(5), 4321, 4321))
				if when == "users" {
					return
				}
				s.must("useradd", "-N", "-g", "users", "-u", uid(6), login(6))
				s.must("groupadd", "-g", fmt.Sprint(1600+first), login(3))
				s.must("groupadd", "-g", uid(4), "group"+when)
			}
			if when != "users" {
				taken[3], taken[4], taken[6] = plan.ErrGroupTaken, plan.ErrGIDTaken, plan.ErrNameTaken
			}
			p := s.plan(append(grants, named(t, "bob", 1999, false))...)
			var before map[string]string
			runs := 0
			s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
				if tool == "systemd-sysusers" {
					if runs++; when == "groups" && runs == 1 || when == "users" && runs == 2 {
						take()
						before = s.lines()
					}
				}
				return runTool(ctx, input, tool, args...)
			}
			defer func() { s.Run = nil }()
			if when == "before" {
				take()
				before = s.lines()
			}
			faults := s.try(p)
			var right []authz.Grant
			for i, g := range grants {
				create := plan.Step{Op: plan.OpCreateAccount, User: g.Username, UID: g.UID}.String()
				if want := taken[i]; !errors.Is(faults[create], want) || want == nil && faults[create] != nil {
					t.Errorf("%s: %v, want %v", create, faults[create], want)
				}
				if taken[i] == nil {
					right = append(right, g)
				}
			}
			s.stands(right)
			after := s.lines()
			for line, file := range before {
				if after[line] == "" && !strings.HasPrefix(line, "latchkey:") && !slices.ContainsFunc(grants, func(g authz.Grant) bool {
					return line == g.Username.String()+":x:"+g.UID.String()+":" || line == g.Username.String()+":!*::"
				}) {
					t.Errorf("%s lost %q", file, line)
				}
			}
			for line, file := range after {
				name, _, _ := strings.Cut(line, ":")
				at := slices.IndexFunc(grants, func(g authz.Grant) bool { return g.Username.String() == name })
				if before[line] == "" && at >= 0 && taken[at] != nil && at != 5 {
					t.Errorf("%s has %q", file, line)
				}
			}
		})
	}
}

// lines maps each line of the account files to its file.
func (s *space) lines() map[string]string {
	s.t.Helper()
	lines := map[string]string{}
	for _, file := range []string{"passwd", "shadow", "group", "gshadow", "subuid", "subgid"} {
		text, err := os.ReadFile("/etc/" + file)
		must(s.t, err)
		for line := range strings.Lines(string(text)) {
			lines[strings.TrimSuffix(line, "\n")] = file
		}
	}
	return lines
}

func (s *space) must(name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(name, args...); err != nil {
		s.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// testBulkKilled: ended at any point, the next pass finishes the work and leaves nothing
// lying about.
func testBulkKilled(t *testing.T, s *space) {
	needBulk(t, s)
	s.become(named(t, "bob", 1999, false))
	points := []string{"accounts.groups", "accounts.users", "accounts.members", "accounts.passwords", "nursery", "copy", "rename", "accounts.homes",
		"create", "write", "syncfs", "compare"}
	for i, point := range points {
		grants := crowd(t, (i+1)*20)[i*20:]
		all := append(grants, named(t, "bob", 1999, false))
		die := func(name string) {
			if name == point {
				panic(died)
			}
		}
		s.Point, s.Files = die, safefile.Writer{Point: die}
		p := s.plan(all...)
		func() {
			defer func() {
				if recover() != died {
					t.Errorf("%s was not reached", point)
				}
			}()
			s.try(p)
		}()
		s.Point, s.Files = nil, safefile.Writer{}
		must(t, s.Clean())
		s.become(all...)
		s.stands(grants)
		for _, folder := range []string{"/home", s.Layout.KeysDir} {
			entries, err := os.ReadDir(folder)
			must(t, err)
			for _, e := range entries {
				if safefile.Leftover(e.Name()) {
					t.Errorf("%s: %s lies in %s", point, e.Name(), folder)
				}
			}
		}
		s.become(all[20]) // the others are revoked, so that the next are new
	}
}

const died = "the process was ended here"

// testBulkAlike: an account is the same whether it is made alone or among many, but for its
// subordinate ids, and whatever login.defs(5) says of the age of passwords, which would
// keep its user out one day.
func testBulkAlike(t *testing.T, s *space) {
	needBulk(t, s)
	logins, err := optional("/etc/login.defs")
	must(t, err)
	s.write("/etc/login.defs", logins+"\nPASS_MAX_DAYS 90\nPASS_MIN_DAYS 7\nPASS_WARN_AGE 14\n", 0o644)
	many := crowd(t, 40)
	alone := named(t, "alone", 20900, false)
	s.become(alone)
	called := s.instead(nil)
	s.become(append(many, alone)...)
	if slices.Contains(*called, "useradd") {
		t.Errorf("%q were called", *called)
	}
	s.Run = nil
	alike := func(g authz.Grant) string {
		name := g.Username.String()
		out, err := s.command("sh", "-c", "getent passwd "+name+"; getent shadow "+name+" | cut -d: -f1,2,4-; id "+name+"; stat -c '%U %G %a' /home/"+name)
		if err != nil {
			t.Fatal(out)
		}
		return strings.NewReplacer(name, "NAME", g.UID.String(), "UID").Replace(out)
	}
	if diff := cmp.Diff(alike(alone), alike(many[7])); diff != "" {
		t.Errorf("(-alone +among many):\n%s", diff)
	}
	if got := alike(alone); !strings.Contains(got, "NAME:*::::::\n") {
		t.Errorf("alone it is\n%s", got)
	}
}
