package host

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// limited gives a grant sudo for these commands alone.
func limited(t *testing.T, g authz.Grant, commands ...string) authz.Grant {
	t.Helper()
	list, err := authz.ParseCommands(commands)
	must(t, err)
	g.Sudo, g.SudoCommands = true, list
	return g
}

// testSudoScope holds R48, R51, R55 and T-S2 in part: with the real sudo a user
// whose sudo is limited runs what is on his list, with exactly those arguments, and
// nothing else; an end holds for every command of it.
func testSudoScope(t *testing.T, s *space) {
	alice := limited(t, named(t, "alice", 20001, true), "/usr/bin/id -u", "/usr/bin/whoami", "/usr/bin/not-here x", "/usr/bin/expr 1 + 2")
	bob, carol := named(t, "bob", 20002, false), limited(t, named(t, "carol", 20003, true), "/usr/bin/not-here", "/usr/bin/nor-this 1 2")
	s.become(alice, bob, carol)
	for _, c := range []struct {
		user, command string
		want          string // empty: refused
	}{
		{"alice", "/usr/bin/id -u", "0\n"},
		{"alice", "/usr/bin/whoami", "root\n"},
		{"alice", "id -u", "0\n"}, // sudo finds it in the PATH
		{"alice", "-u bob /usr/bin/whoami", "bob\n"},
		{"alice", "/usr/bin/expr 1 + 2", "3\n"},
		{"alice", "/usr/bin/expr '1 + 2'", "1 + 2\n"}, // to sudo the same text
		{"alice", "/usr/bin/id", ""},
		{"alice", "/usr/bin/id -u -n", ""},
		{"alice", "/usr/bin/id -un", ""},
		{"alice", "/usr/bin/id -g", ""},
		{"alice", "/usr/bin/whoami --version", ""},
		{"alice", "/usr/bin/whoami ''", ""},
		{"alice", "/usr/bin/expr 1 +", ""},
		{"alice", "/usr/bin/expr 1 + 2 + 3", ""},
		{"alice", "/usr/bin/expr 2 + 1", ""},
		{"alice", "/bin/sh", ""},
		{"alice", "-s", ""},
		{"alice", "-i", ""},
		{"alice", "-e /etc/shadow", ""},
		{"alice", "/usr/bin/cat /etc/shadow", ""},
		{"alice", "LD_PRELOAD=/tmp/x /usr/bin/whoami", ""}, // no SETENV
		{"bob", "/usr/bin/whoami", ""},
		{"carol", "/usr/bin/whoami", ""},
	} {
		out, err := s.sudoAs(c.user, c.command)
		if c.want != "" && (err != nil || out != c.want) || c.want == "" && (err == nil || !strings.Contains(out, "sudo: ")) {
			t.Errorf("%s: sudo %s gives %q, %v; want %q", c.user, c.command, out, err, c.want)
		}
	}

	alice.NotAfter = time.Now().Add(time.Hour)
	s.become(alice, bob, carol)
	for _, command := range []string{"/usr/bin/id -u", "/usr/bin/whoami"} {
		if out, err := s.sudoAs("alice", command); err != nil {
			t.Errorf("before the end %s gives %q, %v", command, out, err)
		}
	}
	// The same line with an end that is past: put there by hand, since the proof would not pass it.
	alice.NotAfter = time.Now().Add(-time.Hour)
	s.write(s.Layout.Sudoers, string(plan.SudoersFile([]plan.Rule{plan.RuleOf(alice)})), 0o440)
	for _, command := range []string{"/usr/bin/id -u", "/usr/bin/whoami", "/usr/bin/expr 1 + 2"} {
		if out, err := s.sudoAs("alice", command); err == nil {
			t.Errorf("after the end %s gives %q", command, out)
		}
	}
}

// sudoAs runs sudo as a user of the space, through a shell, without a password.
func (s *space) sudoAs(user, command string) (string, error) {
	return s.command("setpriv", "--reuid="+user, "--regid="+user, "--init-groups", "--reset-env",
		"env", "RES_OPTIONS=timeout:1 attempts:1", "LC_ALL=C", "sh", "-c", "exec sudo -n "+command)
}

// testSudoScopeProof holds R51 and T-S6 in part: a rule with a list is proved too.
// What a rule of others gives beside it and what it takes is told by the same proof, and
// the rules that were in force before are in force again.
func testSudoScopeProof(t *testing.T, s *space) {
	s.become(named(t, "alice", 20001, false), named(t, "bob", 20002, false))
	theirs := func(file, text string) func() {
		return func() { s.write("/etc/sudoers.d/"+file, text, 0o440) }
	}
	many := make([]string, authz.MaxCommands)
	for i := range many {
		many[i] = "/usr/bin/tool" + strings.Repeat(string(rune('A'+i%26)), 200) + string(rune('a'+i/26)) + " x"
	}
	for situation, c := range map[string]struct {
		prepare  func()
		commands []string
		says     string // empty: it is given
	}{
		"plain":                   {func() {}, []string{"/usr/bin/id", "/usr/bin/whoami"}, ""},
		"most":                    {func() {}, many, ""},
		"none-here":               {func() {}, []string{"/usr/bin/not-here"}, ""},
		"a-shell":                 {func() {}, []string{"/bin/sh"}, ""},
		"included-twice":          {func() { s.write("/etc/sudoers", "@includedir /etc/sudoers.d\n#includedir /etc/sudoers.d\n", 0o440) }, []string{"/usr/bin/id"}, ""},
		"one-more-of-others":      {theirs("10-theirs", "bob ALL=(root) /bin/ls\n"), []string{"/usr/bin/id"}, ""},
		"everything-of-others":    {theirs("10-theirs", "bob ALL=(root) NOPASSWD: ALL\n"), []string{"/usr/bin/id"}, "bob may run any command"},
		"everything-by-a-group":   {theirs("10-theirs", "%bob ALL=(ALL) ALL\n"), []string{"/usr/bin/id"}, "bob may run any command"},
		"shells-of-others":        {theirs("10-theirs", "bob ALL=(root) /bin/sh\n"), []string{"/usr/bin/id"}, "bob may run any command"},
		"later-rule-denies":       {theirs("zz-theirs", "bob ALL=(ALL:ALL) !/usr/bin/id\n"), []string{"/usr/bin/id"}, "bob may run"},
		"later-rule-gives":        {theirs("zz-theirs", "bob ALL=(ALL:ALL) NOPASSWD: ALL\n"), []string{"/usr/bin/id"}, "bob may run"},
		"defaults-noexec":         {theirs("zz-theirs", "Defaults noexec\n"), []string{"/usr/bin/id"}, "noexec"},
		"denied-by-their-default": {theirs("zz-theirs", "Defaults requiretty\n"), []string{"/usr/bin/id"}, "tty"},
	} {
		t.Run(situation, func(t *testing.T) {
			s.plainSudo(t)
			must(t, s.giveSudo("alice"))
			c.prepare()
			was := s.etc()
			step := s.sudoStep(plan.OpGiveSudo, "alice")
			step.Rules = append(step.Rules, plan.RuleOf(limited(t, named(t, "bob", 20002, true), c.commands...)))
			err := s.Apply(t.Context(), step)
			if c.says == "" {
				if got, _ := os.ReadFile(s.Layout.Sudoers); err != nil || string(got) != string(plan.SudoersFile(step.Rules)) {
					t.Errorf("it gives %v, the file is\n%s", err, got)
				}
				return
			}
			if !errors.Is(err, plan.ErrSudoUnproved) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it gives %v, want %q", err, c.says)
			}
			if now := s.etc(); now[s.Layout.Sudoers] != was[s.Layout.Sudoers] || len(now) != len(was) {
				t.Errorf("the file is now %q, was %q", now[s.Layout.Sudoers], was[s.Layout.Sudoers])
			}
			s.wantNoLeftovers()
		})
	}
}
