package host

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"latchkey/agent/plan"
)

// looked is what the account files said, with who holds which id.
type looked struct {
	accounts map[string]plan.Account
	groups   map[string]plan.Group
	uids     map[uint32][]string // names
	gids     map[uint32][]string
}

func lookedAt(passwd, shadow, group string) looked {
	l := looked{uids: map[uint32][]string{}, gids: map[uint32][]string{}}
	l.accounts, l.groups = readAccounts(passwd, shadow, group)
	for name, a := range l.accounts {
		l.uids[a.UID] = append(l.uids[a.UID], name)
	}
	for name, g := range l.groups {
		l.gids[g.GID] = append(l.gids[g.GID], name)
	}
	return l
}

// taken says what of a new account is somebody else's by now: between looking and
// acting others may have made accounts.
func (l looked) taken(s plan.Step) error {
	name, id := s.User.String(), uint32(s.UID)
	if others(l.uids[id], name) {
		return plan.ErrUIDTaken
	}
	if others(l.gids[id], name) {
		return plan.ErrGIDTaken
	}
	if a, found := l.accounts[name]; found && (a.UID != id || !s.Again) {
		return plan.ErrNameTaken
	}
	if g, found := l.groups[name]; found && g.GID != id {
		return plan.ErrGroupTaken
	}
	return nil
}

// atOnce is how many accounts are made at once on a machine that has so many. chpasswd
// looks for each among all, and has to end within toolTime on a busy machine too.
func atOnce(accounts int) int {
	const most, lookups = 4000, 16_000_000
	return max(many, min(most, lookups/(accounts+most)))
}

func others(names []string, name string) bool {
	for _, n := range names {
		if n != name {
			return true
		}
	}
	return false
}

// soundSysusers reports whether systemd, by what it prints as its version, is new enough
// for its systemd-sysusers to be trusted with the account files. That of 247 crashes on
// a group of some 80 members, leaves what it was writing in /etc, and makes a group with
// another id where it makes none later.
func soundSysusers(version string) bool {
	words := strings.Fields(version)
	if len(words) < 2 || words[0] != "systemd" {
		return false
	}
	n, err := strconv.Atoi(words[1])
	return err == nil && n >= 252
}

// plainAccounts reports whether passwd, shadow, group and gshadow hold nothing but whole
// lines: systemd-sysusers writes the files anew and drops what it does not read, such
// as a comment, while shadow's own tools keep it.
func plainAccounts(passwd, shadow, group, gshadow string) bool {
	return plainLines(passwd, 7, 2, 3) && plainLines(shadow, 9, 2, 3, 4, 5, 6, 7, 8) && plainLines(group, 4, 2) && plainLines(gshadow, 4)
}

// plainLines reports whether each line has so many fields, a name in the first, and a
// number or nothing in those given.
func plainLines(text string, fields int, numbers ...int) bool {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if !strings.HasSuffix(line, "\n") || len(f) != fields || strings.Trim(f[0], " \t+-#") != f[0] || f[0] == "" {
			return false
		}
		for _, n := range numbers {
			if !plainNumber(f[n], fields == 9) {
				return false
			}
		}
		if fields == 4 && !(plainList(f[2]) && plainList(f[3])) {
			return false
		}
	}
	return true
}

// plainList reports whether a list of names, or a number, is as it would be printed
// again.
func plainList(text string) bool {
	return text == "" || !strings.Contains(","+text+",", ",,") && !strings.ContainsAny(text, " \t")
}

// plainNumber reports whether a number is as it would be printed again.
func plainNumber(text string, optional bool) bool {
	if text == "" {
		return optional
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return err == nil && strconv.FormatUint(n, 10) == text
}

// skeleton is what a home is made after.
const skeleton = "/etc/skel"

// plainUseradd reports whether useradd's settings (useradd(8)) ask for nothing but a
// home made after /etc/skel.
func plainUseradd(defaults string) bool {
	for line := range strings.Lines(defaults) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"`); {
		case key == "SKEL" && value != skeleton, key == "CREATE_MAIL_SPOOL" && value != "no":
			return false
		}
	}
	return true
}

// homeMode is the mode that useradd gives a home, from the text of login.defs(5).
func homeMode(logins string) (fs.FileMode, error) {
	settings := map[string]string{"UMASK": "022"}
	for line := range strings.Lines(logins) {
		if f := strings.Fields(line); len(f) > 1 {
			settings[f[0]] = strings.Trim(f[1], `"`)
		}
	}
	text, given := settings["HOME_MODE"]
	if !given {
		text = settings["UMASK"]
	}
	mode, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return 0, errors.New("the mode of homes in login.defs is not octal")
	}
	if !given {
		mode = 0o777 &^ mode
	}
	if mode&^0o755 != 0 {
		return 0, errors.New("login.defs lets others than its owner write to a home")
	}
	return fs.FileMode(mode), nil
}
