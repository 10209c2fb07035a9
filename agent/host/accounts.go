package host

import (
	"slices"
	"strconv"
	"strings"

	"latchkey/agent/plan"
)

// The readers below take the text of the account files (passwd(5), shadow(5),
// group(5)). A line that is not whole is passed over and never makes an account.

// readOnce is what the account files held when they were last read, and were read as.
type readOnce struct {
	text     []string
	accounts map[string]plan.Account
	groups   map[string]plan.Group
}

// readAccounts joins passwd, shadow and group. Of two lines with one name the
// first counts, as it does for the system.
func readAccounts(passwd, shadow, group string) (map[string]plan.Account, map[string]plan.Group) {
	groups, memberOf := readGroups(group)
	secrets := readShadow(shadow)
	accounts := map[string]plan.Account{}
	for line := range strings.Lines(passwd) {
		a, ok := passwdLine(strings.TrimSuffix(line, "\n"))
		if _, twice := accounts[a.Name]; !ok || twice {
			continue
		}
		if s, found := secrets[a.Name]; found {
			a.Password, a.Expires = s.password, s.expires
		}
		a.Groups = memberOf[a.Name]
		accounts[a.Name] = a
	}
	return accounts, groups
}

func passwdLine(line string) (plan.Account, bool) {
	f := strings.Split(line, ":")
	if len(f) != 7 || f[0] == "" || f[0][0] == '#' {
		return plan.Account{}, false
	}
	uid, err1 := strconv.ParseUint(f[2], 10, 32)
	gid, err2 := strconv.ParseUint(f[3], 10, 32)
	if err1 != nil || err2 != nil {
		return plan.Account{}, false
	}
	return plan.Account{Name: f[0], UID: uint32(uid), GID: uint32(gid), Home: f[5], Shell: f[6],
		Password: passwordState(f[1])}, true
}

type secret struct {
	password string
	expires  int64
}

func readShadow(text string) map[string]secret {
	secrets := map[string]secret{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 9 || f[0] == "" {
			continue
		}
		if _, twice := secrets[f[0]]; twice {
			continue
		}
		s := secret{password: passwordState(f[1])}
		if f[7] != "" {
			days, err := strconv.ParseInt(f[7], 10, 64)
			if err != nil {
				continue
			}
			s.expires = days
		}
		secrets[f[0]] = s
	}
	return secrets
}

// passwordState keeps "*" and the leading "!" of a password field and hides
// everything else: a hash must not travel into a plan.
func passwordState(field string) string {
	switch {
	case field == "*", field == "", field == "x":
		return field
	case field[0] == '!':
		return "!"
	}
	return "set"
}

func readGroups(text string) (map[string]plan.Group, map[string][]string) {
	groups := map[string]plan.Group{}
	memberOf := map[string][]string{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 4 || f[0] == "" || f[0][0] == '#' {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if _, twice := groups[f[0]]; err != nil || twice {
			continue
		}
		g := plan.Group{Name: f[0], GID: uint32(gid)}
		for _, m := range strings.Split(f[3], ",") {
			if m != "" {
				g.Members = append(g.Members, m)
				memberOf[m] = append(memberOf[m], f[0])
			}
		}
		groups[f[0]] = g
	}
	return groups, memberOf
}

// onlyFiles reports whether the text of nsswitch.conf(5) has one line for a database
// and names in it nothing but the account files.
func onlyFiles(nsswitch, database string) bool {
	only, lines := false, 0
	for line := range strings.Lines(nsswitch) {
		line, _, _ = strings.Cut(line, "#")
		if name, services, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == database {
			only, lines = strings.TrimSpace(services) == "files", lines+1
		}
	}
	return only && lines == 1
}

// includesFolder reports whether a sudoers text reads the files of the folder,
// by @includedir or the older #includedir.
func includesFolder(sudoers, folder string) bool {
	for line := range strings.Lines(sudoers) {
		if included, ok := includedFolder(line); ok && included == folder {
			return true
		}
	}
	return false
}

// includedFolder reads an includedir line (sudoers(5)). Behind a blank #includedir
// is a comment. What sudo may read otherwise, as a path with escapes, counts as no
// such line: then the machine is one on which sudo does not read our folder.
func includedFolder(line string) (string, bool) {
	rest, found := strings.CutPrefix(line, "#includedir")
	if !found {
		rest, found = strings.CutPrefix(strings.TrimLeft(line, " \t"), "@includedir")
	}
	text := strings.TrimLeft(rest, " \t")
	if !found || text == rest {
		return "", false
	}
	path, after, whole := firstWord(text)
	path, after = strings.TrimRight(path, "/"), strings.TrimSpace(after)
	return path, whole && path != "" && (after == "" || after[0] == '#')
}

// firstWord cuts a text behind its first word, which may be quoted.
func firstWord(text string) (word, rest string, whole bool) {
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		return strings.Cut(quoted, `"`)
	}
	if end := strings.IndexAny(text, " \t\r\n"); end >= 0 {
		return text[:end], text[end:], true
	}
	return text, "", true
}

// stagedSudoers is the main sudoers text with the folder's include replaced by
// its files one by one, in sudo's order, ours being the candidate. So the whole
// policy is checked, with the candidate in its place (requirement R50).
func stagedSudoers(sudoers, folder string, files []string, ours, candidate string) string {
	var b strings.Builder
	for line := range strings.Lines(sudoers) {
		if included, ok := includedFolder(line); !ok || included != folder {
			b.WriteString(line)
			continue
		}
		for _, name := range withOurs(files, ours) {
			path := folder + "/" + name
			if name == ours {
				path = candidate
			}
			b.WriteString("#include " + strings.NewReplacer(`\`, `\\`, " ", `\ `, "\t", "\\\t").Replace(path) + "\n")
		}
	}
	if !strings.HasSuffix(b.String(), "\n") {
		b.WriteString("\n")
	}
	return b.String()
}

// withOurs is the sorted list of names with ours among them.
func withOurs(files []string, ours string) []string {
	all := slices.Clone(files)
	if !slices.Contains(all, ours) {
		all = append(all, ours)
	}
	slices.Sort(all)
	return all
}
