package plan

import (
	"strings"

	"latchkey/agent/hook"
	"latchkey/authz"
	"latchkey/authz/name"
)

const header = "# Written by latchkey-agent. Changes made here are undone.\n"

// Rule is one line of our sudoers file.
type Rule struct {
	User     authz.Username
	NotAfter string         // YYYYMMDDHHMMSSZ or empty
	Commands authz.Commands // what the rule is limited to; zero: no limit
}

// Line prints the rule from its one template (requirements R48, R55): there is
// no other form.
func (r Rule) Line() string { return r.User.String() + " ALL=(ALL:ALL) " + r.may() }

// Listed prints the rule as  sudo -l  lists it.
func (r Rule) Listed() string { return "(ALL : ALL) " + r.may() }

// may is the end of a rule, the same in the file and in the list. NOTAFTER stands
// before the tags, or sudo reads a syntax error. What stands before the first command
// holds for all of them (sudoers(5)).
func (r Rule) may() string {
	text := "NOPASSWD: " + r.Commands.Sudoers()
	if r.NotAfter != "" {
		text = "NOTAFTER=" + r.NotAfter + " " + text
	}
	return text
}

// SudoersFile prints the sudoers drop-in.
func SudoersFile(rules []Rule) []byte {
	var b strings.Builder
	b.WriteString(header)
	for _, r := range rules {
		b.WriteString(r.Line() + "\n")
	}
	return []byte(b.String())
}

// keyFile prints the key file of a grant, or says why the hook could not answer
// from it.
func keyFile(g authz.Grant) ([]byte, error) {
	var lines []string
	for _, k := range g.Keys {
		lines = append(lines, authz.AuthorizedKeysLine(g, k))
	}
	return hook.Render(g.Username, uint32(g.UID), lines)
}

// HookCommand is the hook with sshd's tokens for user, uid, key type, key and
// fingerprint.
func HookCommand(l Layout) string { return l.Hook + " %u %U %t %k %f" }

func rulesOf(grants []admitted) []Rule {
	var rules []Rule
	for _, g := range grants {
		if !g.Sudo {
			continue
		}
		rules = append(rules, RuleOf(g.Grant))
	}
	return rules
}

// RuleOf is the rule of a grant with sudo.
func RuleOf(g authz.Grant) Rule {
	r := Rule{User: g.Username, Commands: g.SudoCommands}
	if !g.NotAfter.IsZero() {
		r.NotAfter = authz.SudoersTime(g.NotAfter)
	}
	return r
}

// ReadSudoers returns the rules of a file that SudoersFile printed. A line that is
// not exactly one that we write is no rule.
func ReadSudoers(content []byte) []Rule {
	var rules []Rule
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		login, rest, _ := strings.Cut(line, " ")
		user, err := name.ParseUsername(login)
		if err != nil {
			continue
		}
		r := Rule{User: user}
		before, commands, _ := strings.Cut(rest, " NOPASSWD: ")
		_, end, _ := strings.Cut(before, " NOTAFTER=")
		r.NotAfter, _, _ = strings.Cut(end, " ")
		if r.Commands, err = authz.ReadSudoers(commands); err != nil {
			continue
		}
		if r.Line() == line {
			rules = append(rules, r)
		}
	}
	return rules
}

// Kept returns the rules whose exact line the old file holds already: what may
// stay while others are taken away, or while new ones do not work.
func Kept(rules []Rule, old []byte) []Rule {
	known := map[Rule]bool{}
	for _, r := range ReadSudoers(old) {
		known[r] = true
	}
	var left []Rule
	for _, r := range rules {
		if known[r] {
			left = append(left, r)
		}
	}
	return left
}
