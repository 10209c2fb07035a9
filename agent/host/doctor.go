package host

import (
	"path"
	"slices"
	"strings"
)

// pamRule is what matters of one rule of a PAM service.
type pamRule struct{ include, module string }

// pamRules reads the account rules of a service and its includes (pam.conf(5)).
// Bracketed controls may hold blanks.
func pamRules(text string) []pamRule {
	var rules []pamRule
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, "#")
		if open := strings.IndexByte(line, '['); open >= 0 {
			if end := strings.IndexByte(line[open:], ']'); end > 0 {
				line = line[:open] + "control" + line[open+end+1:]
			}
		}
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "@include":
			rules = append(rules, pamRule{include: f[1]})
		case len(f) < 3 || strings.TrimPrefix(f[0], "-") != "account":
		case f[1] == "include" || f[1] == "substack":
			rules = append(rules, pamRule{include: f[2]})
		default:
			rules = append(rules, pamRule{module: path.Base(f[2])})
		}
	}
	return rules
}

// sshdOptions returns the -o and -f options of a listening sshd. Once it listens its
// arguments are one text, its title: "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100
// startups". A value with blanks goes to the next word that begins with a dash. Other
// processes of sshd, which serve one connection, name no program there.
func sshdOptions(args []string) (options []string, ok bool) {
	if len(args) == 1 {
		title, found := strings.CutPrefix(args[0], "sshd: ")
		title, _, listens := strings.Cut(title, " [listener]")
		if found && !listens {
			return nil, false
		}
		args = strings.Split(title, " ")
	}
	if len(args) == 0 || !strings.HasPrefix(args[0], "/") || path.Base(args[0]) != "sshd" || slices.Contains(args, "-i") {
		return nil, false
	}
	for i := 1; i < len(args); i++ {
		flag := args[i]
		if !strings.HasPrefix(flag, "-o") && !strings.HasPrefix(flag, "-f") {
			continue
		}
		var value []string
		if len(flag) > 2 {
			value = []string{flag[2:]}
		}
		for i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			value = append(value, args[i])
		}
		if len(value) > 0 {
			options = append(options, flag[:2], strings.Join(value, " "))
		}
	}
	return options, true
}
