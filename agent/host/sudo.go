package host

import (
	"slices"
	"strings"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// The two programs that go by the name of sudo and read sudoers(5).
const (
	sudoWS = "Sudo version " // sudo.ws, Todd Miller's
	sudoRS = "sudo-rs "
)

// sudoRSDenial is what sudo-rs 0.2.5 says of a user without any rule. It reads as if
// root might not ask, but about a user with a rule it answers root always.
const sudoRSDenial = " is not allowed to execute 'list' as "

// sudoKind tells which sudo printed this as its version, empty for one we do not
// know.
func sudoKind(version string) string {
	for _, kind := range []string{sudoWS, sudoRS} {
		if strings.HasPrefix(version, kind) {
			return kind
		}
	}
	return ""
}

// listing is what `sudo -l -U USER` says a user may do.
type listing struct {
	denied   bool     // it says that the user may do nothing
	rules    []string // in the order of the policy: the last one that fits a command counts
	defaults []string
}

// readListing reads what sudo prints under LC_ALL=C. What it prints otherwise is
// neither a denial nor a rule.
func readListing(text string) listing {
	var l listing
	part := ""
	for line := range strings.Lines(unescaped(text)) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.Contains(line, " is not allowed to run sudo on "), strings.Contains(line, sudoRSDenial):
			l.denied = true
		case strings.HasPrefix(line, "Matching Defaults entries for "), strings.Contains(line, " may run the following commands on "):
			part = trimmed
		case trimmed == "" || line == strings.TrimLeft(line, " \t"):
		case strings.HasPrefix(part, "Matching"):
			l.defaults = append(l.defaults, strings.Split(strings.TrimSuffix(trimmed, ","), ", ")...)
		case part != "":
			l.rules = append(l.rules, trimmed)
		}
	}
	return l
}

// unescaped is a list in the words of newer versions: 1.9.5 lists the "" of a command
// without arguments as \"\".
func unescaped(text string) string { return strings.ReplaceAll(text, `\"\"`, `""`) }

// gives reports whether a user has what the rule says, no less. Rules of others that
// stand before ours take nothing from it; one behind it may, and so does noexec, which
// lets no program start another. That ours gives no more is for sudo to decide about a
// command.
func (l listing) gives(r plan.Rule) bool {
	n := len(l.rules)
	return !l.denied && n > 0 && l.rules[n-1] == r.Listed() && !slices.Contains(l.defaults, "noexec")
}

// holds reports whether the rule is listed anywhere.
func (l listing) holds(r plan.Rule) bool { return slices.Contains(l.rules, r.Listed()) }

// String says for people what the user may do.
func (l listing) String() string {
	if len(l.rules) == 0 {
		return "nothing"
	}
	text := strings.Join(l.rules, "; ")
	if len(l.defaults) > 0 {
		text += " with Defaults " + strings.Join(l.defaults, ", ")
	}
	return text
}

// proof is whom sudo is asked about.
type proof struct {
	have []plan.Rule // exactly these
	lost []plan.Rule // no more
}

// mostProved bounds how many users are asked about after one change: sudo takes
// some milliseconds for each.
const mostProved = 200

// toProve is who has to be asked about when the rules change from old to next:
// everybody whose rule is another one than before, and of the others, whose lines
// are the same bytes in the same file, one as a sample. When nothing differs, all
// are new to us: an earlier proof was cut short. Of very many the first, the last
// and those at equal distances between them stand for the others: all lines come
// from one template.
func toProve(old, next []plan.Rule) proof {
	before, stays := map[plan.Rule]bool{}, map[authz.Username]bool{}
	for _, r := range old {
		before[r] = true
	}
	var p proof
	var same []plan.Rule
	for _, r := range next {
		stays[r.User] = true
		if before[r] {
			same = append(same, r)
		} else {
			p.have = append(p.have, r)
		}
	}
	for _, r := range old {
		if !stays[r.User] {
			p.lost = append(p.lost, r)
		}
	}
	if len(p.have) == 0 && len(p.lost) == 0 {
		p.have = same
	} else if len(same) > 0 {
		p.have = append(p.have, same[0])
	}
	return proof{spread(p.have), spread(p.lost)}
}

func spread(rules []plan.Rule) []plan.Rule {
	if len(rules) <= mostProved {
		return rules
	}
	out := make([]plan.Rule, mostProved)
	for i := range out {
		out[i] = rules[i*(len(rules)-1)/(mostProved-1)]
	}
	return out
}
