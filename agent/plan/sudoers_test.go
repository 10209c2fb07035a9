package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

func limited(t *testing.T, g authz.Grant, commands ...string) authz.Grant {
	t.Helper()
	list, err := authz.ParseCommands(commands)
	if err != nil {
		t.Fatal(err)
	}
	g.SudoCommands = list
	return g
}

// TestRule_Commands holds R48, R55 and R11 in part: the one form of a rule with a list,
// in the file and as sudo lists it, and that it is read again.
func TestRule_Commands(t *testing.T) {
	alice := limited(t, grant(t, "alice", 20001, true), "/usr/bin/systemctl restart nginx", "/usr/bin/id")
	bob := limited(t, grant(t, "bob", 20002, true), "/usr/bin/id")
	bob.NotAfter = end
	rules := []plan.Rule{plan.RuleOf(alice), plan.RuleOf(bob)}
	want := `# Written by latchkey-agent. Changes made here are undone.
alice ALL=(ALL:ALL) NOPASSWD: /usr/bin/id "", /usr/bin/systemctl restart nginx
bob ALL=(ALL:ALL) NOTAFTER=20261122000000Z NOPASSWD: /usr/bin/id ""
`
	if diff := cmp.Diff(want, string(plan.SudoersFile(rules))); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	if got, want := rules[1].Listed(), `(ALL : ALL) NOTAFTER=20261122000000Z NOPASSWD: /usr/bin/id ""`; got != want {
		t.Errorf("listed as %s", got)
	}
	others := `carol ALL=(ALL:ALL) NOPASSWD: /usr/bin/id
carol ALL=(ALL:ALL) NOPASSWD: /usr/bin/id "", /usr/bin/a ""
carol ALL=(ALL:ALL) NOPASSWD: /usr/bin/a "", ALL
carol ALL=(ALL:ALL) NOPASSWD: /usr/bin/a "", PASSWD: /usr/bin/id ""
carol ALL=(ALL:ALL) NOPASSWD: /usr/bin/a "",/usr/bin/id ""
carol ALL=(ALL:ALL) NOPASSWD: /usr/bin/a "" ""
carol ALL=(ALL:ALL) NOPASSWD: /usr/bin/*
carol ALL=(ALL:ALL) NOPASSWD: !/usr/bin/a ""
carol ALL=(ALL:ALL) NOPASSWD: 
carol ALL=(ALL:ALL) NOTAFTER=20261122000000Z CWD=* NOPASSWD: /usr/bin/id ""
`
	got := plan.ReadSudoers(append(plan.SudoersFile(rules), others...))
	if len(got) != 2 || got[0] != rules[0] || got[1] != rules[1] {
		t.Errorf("the rules are %v", got)
	}
}

// TestDiff_Commands: another list is a rule that goes, first, and one that comes, last
// (requirement R29 in part).
func TestDiff_Commands(t *testing.T) {
	const one, two = "/usr/bin/id", "/usr/bin/systemctl restart nginx"
	with := func(commands ...string) []authz.Grant {
		return []authz.Grant{limited(t, grant(t, "alice", 20001, true), commands...), grant(t, "bob", 20002, true)}
	}
	const goes = "write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for bob only\n"
	for situation, c := range map[string]struct {
		from, to []authz.Grant
		want     string
	}{
		"everything-to-a-list": {with(), with(one), goes + "write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice (1 command), bob\n"},
		"a-list-shrinks":       {with(one, two), with(one), goes + "write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice (1 command), bob\n"},
		"a-list-grows":         {with(one), with(two, one), goes + "write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice (2 commands), bob\n"},
		"another-list":         {with(one), with(two), goes + "write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice (1 command), bob\n"},
		"a-list-to-everything": {with(one), with(), goes + "write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice, bob\n"},
		"same-list":            {with(one, two), with(two, one), ""},
	} {
		t.Run(situation, func(t *testing.T) {
			s, l := settled(t)
			apply(t, &s, &l, plan.Diff(s, plan.Desired{Grants: c.from, SSHD: true}, l, layout))
			p := plan.Diff(s, plan.Desired{Grants: c.to, SSHD: true}, l, layout)
			if diff := cmp.Diff(c.want, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			apply(t, &s, &l, p)
			if again := plan.Diff(s, plan.Desired{Grants: c.to, SSHD: true}, l, layout); !again.Empty() {
				t.Errorf("still to be done:\n%s", again)
			}
		})
	}
}

// A sudoers file that we did not write stays as it is.
func TestDiff_foreignSudoers(t *testing.T) {
	s := fresh()
	s.Files[layout.Sudoers] = plan.File{Content: []byte("# mine\n"), Mode: 0o440}
	p := plan.Diff(s, plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true)}}, plan.NewLedger(), layout)
	if strings.Contains(p.String(), layout.Sudoers) {
		t.Errorf("plan touches it:\n%s", p)
	}
	if len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, plan.ErrSudoersForeign) {
		t.Errorf("refused %v", p.Refused)
	}
}

// TestReadSudoers: only lines that are ours to the byte are rules, so that nothing
// else is ever put back (requirement R55).
func TestReadSudoers(t *testing.T) {
	rules := []plan.Rule{{User: mustName(t, "alice")}, {User: mustName(t, "bob"), NotAfter: authz.SudoersTime(end)}}
	others := `# bob ALL=(ALL:ALL) NOPASSWD: ALL
Defaults !authenticate
ALL ALL=(ALL:ALL) NOPASSWD: ALL
root ALL=(ALL:ALL) NOPASSWD: ALL
%wheel ALL=(ALL:ALL) NOPASSWD: ALL
carol  ALL=(ALL:ALL) NOPASSWD: ALL
carol ALL=(ALL:ALL) NOPASSWD: ALL, !/bin/sh
carol ALL=(ALL) NOPASSWD: ALL
carol ALL=(ALL:ALL) NOTAFTER= NOPASSWD: ALL
 carol ALL=(ALL:ALL) NOPASSWD: ALL

@include /tmp/x
`
	got := plan.ReadSudoers(append(plan.SudoersFile(rules), others...))
	if len(got) != 2 || got[0] != rules[0] || got[1] != rules[1] {
		t.Errorf("the rules are %v", got)
	}
	if kept := plan.Kept(append(rules, plan.Rule{User: rules[1].User}), plan.SudoersFile(rules[1:])); len(kept) != 1 || kept[0] != rules[1] {
		t.Errorf("kept are %v", kept)
	}
	if len(plan.ReadSudoers(nil)) != 0 {
		t.Error("an empty file holds rules")
	}
}

// TestSudoersFile holds R48, R55 and R57.
func TestSudoersFile(t *testing.T) {
	got := string(plan.SudoersFile([]plan.Rule{{User: mustName(t, "alice")}, {User: mustName(t, "bob"), NotAfter: authz.SudoersTime(end)}}))
	want := `# Written by latchkey-agent. Changes made here are undone.
alice ALL=(ALL:ALL) NOPASSWD: ALL
bob ALL=(ALL:ALL) NOTAFTER=20261122000000Z NOPASSWD: ALL
`
	if got != want {
		t.Errorf("file is\n%s", got)
	}
}
