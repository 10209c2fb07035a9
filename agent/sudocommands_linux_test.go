package agent_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// scoped limits a user's sudo, as it came: nothing is parsed.
func scoped(u wire.User, commands ...string) wire.User {
	u.SudoCommands = commands
	return u
}

// template is what a line of our sudoers file may be, said anew and not with the code's
// own words.
var template = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,30} ALL=\(ALL:ALL\) (NOTAFTER=[0-9]{14}Z )?NOPASSWD: ` +
	`(ALL|/[A-Za-z0-9/._+-]+( ""|( [A-Za-z0-9/._+-]+)+)(, /[A-Za-z0-9/._+-]+( ""|( [A-Za-z0-9/._+-]+)+))*)$`)

// TestSudoers_Template holds R48, R105 in part and T-S3: a thousand random bundles, well
// signed, whose lists are made of what sudoers(5) gives a meaning. Whatever a list is,
// each line is of the one form and for a user of the bundle who has sudo, at most his
// own list stands in it, and whose list is refused has no line.
func TestSudoers_Template(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	given, refused := 0, 0
	for range 1000 {
		b := newBundle(7)
		for i := range 1 + random.IntN(5) {
			u := newUser(fmt.Sprintf("user%d", i), int64(20001+i), random.IntN(4) > 0)
			u.SudoCommands = randomCommands(random)
			if random.IntN(3) == 0 {
				u.NotAfter = "2030-01-01T00:00:00Z"
			}
			b.Users = append(b.Users, u)
		}
		access, rejected := b.Access()
		if len(access.Grants) != len(b.Users) {
			t.Fatalf("%d of %d users get in", len(access.Grants), len(b.Users))
		}
		var rules []plan.Rule
		for _, g := range access.Grants {
			if g.Sudo {
				rules = append(rules, plan.RuleOf(g))
			}
		}
		given, refused = given+len(rules), refused+len(rejected)
		for _, line := range strings.Split(strings.TrimSuffix(string(plan.SudoersFile(rules)), "\n"), "\n")[1:] {
			checkLine(t, line, b.Users)
		}
		for _, u := range rejected {
			if slices.ContainsFunc(rules, func(r plan.Rule) bool { return r.User.String() == u.Name }) {
				t.Fatalf("%s is refused, %v, and has a rule", u.Name, u.Reason)
			}
		}
	}
	if given < 500 || refused < 300 {
		t.Errorf("%d given, %d refused, which proves nothing", given, refused)
	}
}

func checkLine(t *testing.T, line string, users []wire.User) {
	t.Helper()
	login, _, _ := strings.Cut(line, " ")
	i := slices.IndexFunc(users, func(u wire.User) bool { return u.Name == login })
	if i < 0 || !users[i].Sudo || !template.MatchString(line) {
		t.Fatalf("line %q", line)
	}
	_, may, _ := strings.Cut(line, "NOPASSWD: ")
	if may == "ALL" && len(users[i].SudoCommands) != 0 {
		t.Fatalf("line %q of %q", line, users[i].SudoCommands)
	}
	for command := range strings.SplitSeq(may, ", ") {
		if may != "ALL" && !slices.Contains(users[i].SudoCommands, strings.TrimSuffix(command, ` ""`)) {
			t.Fatalf("line %q of %q", line, users[i].SudoCommands)
		}
	}
}

// randomCommands is a sorted list, of which one in some is not well formed.
func randomCommands(random *rand.Rand) []string {
	pieces := []string{
		"*", "?", "[a-z]", "!", ",", ", ", ":", "=", `\`, `""`, `"`, "#", "@", "%", "^", "$", "(root)", "ALL", "NOPASSWD:", "sudoedit", "list", "Defaults",
		"Cmnd_Alias", "@include /x", "\n", "\x00", "\t", "é", " ", "..", "/", "//", "\nmallory ALL=(ALL:ALL) NOPASSWD: ALL", ", !/bin/sh", "/bin/sh", "-c", "",
	}
	list := []string{}
	for i := range random.IntN(4) {
		command := fmt.Sprintf("/usr/bin/tool%d", i)
		for range random.IntN(3) {
			command += " argument" + fmt.Sprint(random.IntN(3))
		}
		if random.IntN(5) == 0 {
			at, piece := random.IntN(len(command)+1), pieces[random.IntN(len(pieces))]
			command = command[:at] + piece + command[at:]
		}
		list = append(list, command)
	}
	slices.Sort(list)
	return list
}

// TestPass_Commands: a list reaches sudoers, one that is refused takes sudo alone, is
// told with its reason, and sudo of before goes.
func TestPass_Commands(t *testing.T) {
	w := newWorld(t)
	alice, bob := newUser("alice", 20001, true), newUser("bob", 20002, true)
	w.settle(newBundle(7, alice, scoped(bob, "/usr/bin/id -u")))
	if got := string(w.machine.copy().Files[layout.Sudoers].Content); !strings.HasSuffix(got, "\nalice ALL=(ALL:ALL) NOPASSWD: ALL\nbob ALL=(ALL:ALL) NOPASSWD: /usr/bin/id -u\n") {
		t.Errorf("sudoers are\n%s", got)
	}
	w.issue(newBundle(8, alice, scoped(bob, "/usr/bin/id -u", "/usr/bin/vi *")))
	report, err := w.once()
	must(t, err)
	if got := faults(report); !strings.Contains(got, `refused "bob" not_expressible`) || len(report.Refused) != 1 {
		t.Errorf("the report refuses %q", got)
	}
	if got := w.machine.may("bob"); got != "open keys" {
		t.Errorf("bob has %q", got)
	}
}

// TestHold_Commands holds R143 in part: to limit the sudo of everybody is a loss of it
// like any other, and of a held one what is confirmed is made.
func TestHold_Commands(t *testing.T) {
	all := crowd(10, 2)
	limit := func(commands ...string) []wire.User {
		next := slices.Clone(all)
		next[0], next[1] = scoped(next[0], commands...), scoped(next[1], commands...)
		return next
	}
	both := []string{all[0].ID, all[1].ID}
	for _, c := range []struct {
		name      string
		now, next []wire.User
		confirmed []string
		held      bool
		sudoers   string
	}{
		{"all-limited", all, limit("/nothing"), nil, true, "user00 ALL=(ALL:ALL) NOPASSWD: ALL\nuser01 ALL=(ALL:ALL) NOPASSWD: ALL\n"},
		{"held-for-others-limit-confirmed", all, limit("/nothing")[:1], both[:1], true,
			"user00 ALL=(ALL:ALL) NOPASSWD: /nothing \"\"\nuser01 ALL=(ALL:ALL) NOPASSWD: ALL\n"},
		{"held-for-others-other-list-confirmed", limit("/a"), limit("/b")[:1], both[:1], true, "user01 ALL=(ALL:ALL) NOPASSWD: /a \"\"\n"},
		{"held-for-others-limit-not-confirmed", all, limit("/nothing")[:1], nil, true, "user00 ALL=(ALL:ALL) NOPASSWD: ALL\nuser01 ALL=(ALL:ALL) NOPASSWD: ALL\n"},
		{"all-limited-confirmed", all, limit("/nothing"), both, false,
			"user00 ALL=(ALL:ALL) NOPASSWD: /nothing \"\"\nuser01 ALL=(ALL:ALL) NOPASSWD: /nothing \"\"\n"},
		{"one-limited", all, append(limit("/nothing")[:1:1], all[1:]...), nil, false,
			"user00 ALL=(ALL:ALL) NOPASSWD: /nothing \"\"\nuser01 ALL=(ALL:ALL) NOPASSWD: ALL\n"},
		{"limits-fall", limit("/a"), all, nil, false, "user00 ALL=(ALL:ALL) NOPASSWD: ALL\nuser01 ALL=(ALL:ALL) NOPASSWD: ALL\n"},
		{"lists-grow", limit("/a"), limit("/a", "/b"), nil, false,
			"user00 ALL=(ALL:ALL) NOPASSWD: /a \"\", /b \"\"\nuser01 ALL=(ALL:ALL) NOPASSWD: /a \"\", /b \"\"\n"},
		{"other-lists", limit("/a"), limit("/b"), nil, true, "user00 ALL=(ALL:ALL) NOPASSWD: /a \"\"\nuser01 ALL=(ALL:ALL) NOPASSWD: /a \"\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.settle(newBundle(7, c.now...))
			b := newBundle(8, c.next...)
			b.Confirmed = append(b.Confirmed, c.confirmed...)
			w.issueAsIs(b)
			a := w.agent()
			must(t, a.Load())
			if err := a.Fetch(t.Context()); errors.Is(err, agent.ErrHeld) != c.held {
				t.Fatalf("held: %v", err)
			}
			if _, err := a.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, got, _ := strings.Cut(string(w.machine.copy().Files[layout.Sudoers].Content), "undone.\n")
			if got != c.sudoers {
				t.Errorf("sudoers are\n%s", got)
			}
		})
	}
}
