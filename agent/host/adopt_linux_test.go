package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// opsworks makes the machine as OpsWorks left it, with accounts by the real useradd.
func (s *space) opsworks(users map[string]string) {
	s.t.Helper()
	must(s.t, os.MkdirAll("/home", 0o755))
	for _, argv := range [][]string{
		{"groupadd", "-g", "1500", "opsworks"}, {"useradd", "-r", "aws"}, {"groupadd", "-g", "1600", "mates"},
	} {
		s.must(argv[0], argv[1:]...)
	}
	for user, uid := range users {
		s.must("useradd", "-m", "-u", uid, "-g", "opsworks", "-c", "OpsWorks user "+user, "-s", "/bin/bash", user)
		must(s.t, os.Mkdir("/home/"+user+"/.ssh", 0o700))
		s.write("/home/"+user+"/.ssh/authorized_keys",
			"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c\n", 0o644)
		s.must("chown", "-R", user+":opsworks", "/home/"+user)
	}
	s.write("/etc/sudoers.d/opsworks", "# managed by AWS OpsWorks\nalice  ALL=(ALL) NOPASSWD:ALL\ncarol  ALL=(ALL) NOPASSWD:ALL\n", 0o440)
	s.write("/etc/sudoers.d/opsworks-agent", "aws ALL=(root) NOPASSWD: /opt/aws/opsworks/current/bin/opsworks-agent\n", 0o440)
	must(s.t, os.Chmod("/etc/sudoers", 0o600))
	f, err := os.OpenFile("/etc/sudoers", os.O_APPEND|os.O_WRONLY, 0)
	must(s.t, err)
	_, err = f.WriteString("#include /etc/sudoers.d/opsworks-agent\nalice ALL=(ALL) NOPASSWD:ALL\n")
	must(s.t, errors.Join(err, f.Close(), os.Chmod("/etc/sudoers", 0o440)))
}

// adopt takes over what may be, of the group of OpsWorks.
func (s *space) adopt(grants ...authz.Grant) plan.Adoption {
	s.t.Helper()
	local, members, err := s.Locals(OpsWorksGroup)
	must(s.t, err)
	have, err := s.Observe(s.t.Context(), grants, s.owned)
	must(s.t, err)
	got := plan.Adopt(have, local, grants, members, s.owned, s.Layout)
	s.owned.Adopt(got.Take)
	return got
}

// owners lists everything below a home with its owner and group.
func (s *space) owners(home string) string {
	s.t.Helper()
	out, err := s.command("find", home, "-printf", "%P %U:%G %m\n")
	must(s.t, err)
	return out
}

// testAdopt takes a machine over from OpsWorks: uids and files stay, only the accounts
// whom the stack names are taken, each gets a group of its own, and giving the machine back
// restores every line of the account files (requirements R15, R22 in part and R23 in part).
func testAdopt(t *testing.T, s *space) {
	s.opsworks(map[string]string{"alice": "2001", "bob": "2002", "carol": "2003"})
	s.must("usermod", "-aG", "mates", "alice")
	s.must("usermod", "-p", "$6$salt$hash", "bob")
	s.must("chage", "-d", "20000", "-E", "29999", "bob")
	alice, bob, carol := named(t, "alice", 2001, false), named(t, "bob", 2002, false), named(t, "carol", 20001, true)
	busy := s.start(2001, "echo; exec sleep 1000") // usermod refuses much for who is logged in
	before, homes := s.etc(), s.owners("/home/alice")

	got := s.adopt(alice, bob, carol)
	want := "refused \"carol\": the uid here is not the user's: it is 2003 here and 20001 there; import the user with uid 2003, or leave the account alone\n"
	if text := (plan.Plan{Refused: got.Refused}).String(); text != want || len(got.Take) != 2 {
		t.Fatalf("taken are %v\n%s", got.Take, text)
	}
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("planning changed /etc:\n%s", diff)
	}
	s.become(alice, bob)
	for user, want := range map[string]plan.Account{
		"alice": {Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice", Shell: "/bin/bash", Password: "*", Groups: []string{"mates", "latchkey"}},
		"bob":   {Name: "bob", UID: 2002, GID: 2002, Home: "/home/bob", Shell: "/bin/bash", Password: "*", Groups: []string{"latchkey"}},
		"carol": {Name: "carol", UID: 2003, GID: 1500, Home: "/home/carol", Shell: "/bin/bash", Password: "!"},
	} {
		if a, _, err := account(user); err != nil || cmp.Diff(want, a) != "" {
			t.Errorf("%s %v (-want +got):\n%s", user, err, cmp.Diff(want, a))
		}
	}
	if after := s.owners("/home/alice"); after != homes {
		t.Errorf("the home of alice is\n%swas\n%s", after, homes)
	}
	if !busy.alive() {
		t.Error("what ran as alice was ended")
	}

	have, err := s.Observe(t.Context(), nil, s.owned)
	must(t, err)
	s.do(plan.Revert(have, s.owned, s.Layout))
	must(t, s.Clean())
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("given back, /etc is (-before +after):\n%s", diff)
	}
	if after := s.owners("/home/alice"); after != homes || !busy.alive() {
		t.Errorf("given back, the home of alice is\n%swas\n%s", after, homes)
	}
}

// testAdoptedLeaves: an adopted account whose access ends is closed and never removed, and
// stays closed when the machine is given back (requirements R15 in part and R30 in part).
func testAdoptedLeaves(t *testing.T, s *space) {
	s.opsworks(map[string]string{"alice": "2001"})
	alice := named(t, "alice", 2001, false)
	line := lineOf(string(must1(os.ReadFile("/etc/passwd"))(t)), "alice")
	s.adopt(alice)
	s.become(alice)

	// Our rule for her is proved only without theirs, which stays in force until it goes.
	admin := named(t, "alice", 2001, true)
	var refused error
	for _, step := range s.plan(admin).Steps {
		refused = errors.Join(refused, s.Apply(t.Context(), step))
	}
	if out, err := s.command("sudo", "-l", "-U", "alice"); !errors.Is(refused, plan.ErrSudoUnproved) || err != nil || !strings.Contains(out, "(ALL) NOPASSWD: ALL") {
		t.Errorf("%v; sudo says of alice: %v %s", refused, err, out)
	}
	must(t, os.Remove("/etc/sudoers.d/opsworks"))
	s.must("sed", "-i", "/^alice/d", "/etc/sudoers")
	s.become(admin)

	s.do(s.leave(plan.DeleteHomes))
	if a, found, err := account("alice"); !found || !a.Locked() || err != nil {
		t.Errorf("alice is %+v %t, %v", a, found, err)
	}
	if _, err := os.Stat("/home/alice/.ssh"); err != nil {
		t.Error(err)
	}
	if left := s.leave(plan.DeleteHomes); !left.Empty() {
		t.Errorf("still to be done:\n%s", left)
	}
	have, err := s.Observe(t.Context(), nil, s.owned)
	must(t, err)
	p := plan.Revert(have, s.owned, s.Layout)
	if !strings.Contains(p.String(), "give back account alice (uid 2001): it stays closed\n") {
		t.Errorf("the plan is\n%s", p)
	}
	s.do(p)
	if a, _, err := account("alice"); err != nil || !a.Locked() || lineOf(string(must1(os.ReadFile("/etc/passwd"))(t)), "alice") != line {
		t.Errorf("alice is %+v, %v", a, err)
	}
}

func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T { t.Helper(); must(t, err); return v }
}

// testAdoptKilled ends giving back, and the change of the group before it, after every
// step: the next one comes to the same end.
func testAdoptKilled(t *testing.T, s *space) {
	s.opsworks(map[string]string{"alice": "2001"})
	s.must("usermod", "-p", "$6$salt$hash", "alice")
	alice := named(t, "alice", 2001, false)
	before := s.etc()
	type killed struct{}
	until := func(kill int, do func()) (n int) {
		at := func(string) {
			if n++; n == kill {
				panic(killed{})
			}
		}
		s.Point, s.Files.Point = at, at
		s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
			at(tool)
			out, err := runTool(ctx, input, tool, args...)
			at(tool)
			return out, err
		}
		defer func() {
			s.Point, s.Files.Point, s.Run = nil, nil, nil
			if how := recover(); how != nil && how != (killed{}) {
				panic(how)
			}
		}()
		do()
		return n
	}
	back := func() {
		have, err := s.Observe(t.Context(), nil, s.owned)
		must(t, err)
		s.do(plan.Revert(have, s.owned, s.Layout))
	}
	total := 0
	for kill := 1; ; kill++ {
		s.adopt(alice)
		n := until(kill, func() { s.become(alice) })
		must(t, s.Clean())
		s.become(alice)
		if a, _, err := account("alice"); err != nil || a.GID != 2001 || a.Password != "*" {
			t.Fatalf("killed at %d of becoming ours, alice is %+v, %v", kill, a, err)
		}
		m := until(kill, back)
		must(t, s.Clean())
		back()
		must(t, s.Clean())
		if diff := cmp.Diff(before, s.etc()); diff != "" {
			t.Fatalf("killed at %d of giving back, /etc is (-before +after):\n%s", kill, diff)
		}
		if total++; n < kill && m < kill {
			break
		}
	}
	if total < 20 {
		t.Errorf("only %d points", total)
	}
}

// testOpsWorksLeft: what OpsWorks left that lets people in is listed, and nothing of it is
// touched.
func testOpsWorksLeft(t *testing.T, s *space) {
	s.opsworks(map[string]string{"alice": "2001", "carol": "2003"})
	s.write("/etc/sudoers.d/mine", "deby ALL=(ALL) ALL\n", 0o440)
	before := s.etc()
	all, err := s.Leftovers(t.Context(), s.owned)
	must(t, err)
	var got []string
	for _, l := range all {
		got = append(got, fmt.Sprintf("%s, %s", l.What, l.Where))
		if l.Do == "" {
			t.Errorf("%s: nothing to do", l.What)
		}
	}
	const key = "key SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8 of "
	want := []string{
		"the account aws of the OpsWorks agent, /etc/passwd",
		"sudo reads /etc/sudoers.d/opsworks-agent, /etc/sudoers:3",
		"sudo for alice, /etc/sudoers.d/opsworks:2",
		"sudo for carol, /etc/sudoers.d/opsworks:3",
		"sudo for aws, /etc/sudoers.d/opsworks-agent:1",
		"sudo for alice, /etc/sudoers:4",
		key + "alice, /home/alice/.ssh/authorized_keys:1",
		key + "carol, /home/carol/.ssh/authorized_keys:1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left are (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, s.etc()); diff != "" {
		t.Errorf("/etc (-before +after):\n%s", diff)
	}
}
