package doctor

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"latchkey/agent/plan"
)

// What a login with several keys in the agent and a hook needs.
const (
	fewTries   = 3
	shortGrace = 10 // seconds
)

func sshdConfig(f Facts, r *report) {
	s := f.Host.SSHD
	switch {
	case !s.Installed:
		r.problem("apt-get install openssh-server, or dnf install openssh-server", "sshd is not installed")
		return
	case s.Test != nil && strings.Contains(s.Test.Error(), "privilege separation directory"):
		r.warn("systemctl start ssh makes it, or mkdir -m 0755 /run/sshd", "sshd does not say how it is set: %v", s.Test)
	case s.Test != nil:
		r.problem("sshd -t names file and line; put that right before sshd is started again", "sshd does not take its configuration: %v", s.Test)
	case s.LinesErr != nil:
		r.warn("ls -la "+path.Dir(f.Layout.SSHDConfig), "sshd's configuration does not read: %v", s.LinesErr)
	}
	for _, l := range f.Host.asked() {
		if l.SettingsErr != nil && s.Test == nil {
			r.warn("sshd -T -C user="+l.Name+",host=localhost,addr=127.0.0.1", "sshd does not say how it is set for %s: %v", l.Name, l.SettingsErr)
		}
	}
	r.fine("sshd takes its configuration")
}

// sshdUnits are the names that distributions give to sshd's units.
var sshdUnits = []string{"ssh.service", "sshd.service", "ssh.socket", "sshd.socket"}

func sshdRunning(f Facts, r *report) {
	if !f.Host.SSHD.Installed {
		return
	}
	known := "ssh.service"
	for _, name := range sshdUnits {
		u, found := f.Host.unit(name)
		if found && u.Active == "active" {
			r.fine("sshd runs as %s", name)
			return
		}
		if found && u.Load == "loaded" && strings.HasSuffix(name, ".service") {
			known = name
		}
	}
	if n := len(f.Host.SSHD.Running); n > 0 {
		r.fine("sshd runs with the process id %d, and no unit of systemd's stands for it", f.Host.SSHD.Running[0].PID)
		return
	}
	r.problem("systemctl enable --now "+known, "sshd does not run")
}

// sshdOverride names what the command line of a running sshd sets. What that comes
// to for our users the other checks see: sshd is asked with the same options
// (requirement R67).
func sshdOverride(f Facts, r *report) {
	if len(f.Host.SSHD.Running) == 0 {
		return
	}
	for _, p := range f.Host.SSHD.Running {
		if o := Overrides(p.Options); len(o) > 0 {
			r.warn("systemctl cat ssh sshd; look at SSHD_OPTS in /etc/default/ssh or OPTIONS in /etc/sysconfig/sshd",
				"sshd (process %d) was started with %s, which counts before its configuration", p.PID, strings.Join(o, " "))
		}
	}
	r.fine("sshd was started without settings that concern us")
}

// Overrides are those of an sshd's -o and -f options, each with its value, that may keep
// our users out or let others in.
func Overrides(options []string) []string {
	var out []string
	for i := 0; i+1 < len(options); i += 2 {
		key, _ := setting(options[i+1])
		if options[i] == "-f" || slices.Contains(concerning, key) {
			out = append(out, options[i]+" "+strconv.Quote(options[i+1]))
		}
	}
	return out
}

// concerning are the settings of sshd_config(5), in lower case, by which a user of
// ours gets in or does not.
var concerning = []string{"authorizedkeyscommand", "authorizedkeyscommanduser", "authorizedkeysfile", "pubkeyauthentication", "allowusers",
	"allowgroups", "denyusers", "denygroups", "usepam", "authenticationmethods", "pubkeyacceptedalgorithms", "pubkeyacceptedkeytypes",
	"maxauthtries", "logingracetime", "strictmodes", "permitrootlogin", "trustedusercakeys", "authorizedprincipalscommand", "forcecommand"}

// setting takes a line of sshd's configuration apart, as -o gives it too: a key
// and a value, with blanks or one = between them.
func setting(line string) (key, value string) {
	line = strings.TrimLeft(line, " \t")
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(strings.TrimSpace(line)), ""
	}
	value = strings.TrimLeft(line[end:], " \t")
	value = strings.TrimSpace(strings.TrimPrefix(value, "="))
	return strings.ToLower(line[:end]), value
}

// ConfigLines takes the text of one file of sshd's configuration apart. match is
// the block that the file's Include stands in, empty for none. Includes are lines
// like the others: following them is the reader's work.
func ConfigLines(file, text, match string) []Line {
	var lines []Line
	block, number := match, 0
	for line := range strings.Lines(text) {
		number++
		key, value := setting(strings.TrimRight(line, "\r\n"))
		switch {
		case key == "" || key[0] == '#':
			continue
		case key == "match":
			block = value
			if match != "" {
				block = match + " and " + value
			}
		}
		lines = append(lines, Line{File: file, Line: number, Key: key, Value: value, Match: block})
	}
	return lines
}

// sshdDropIn compares what sshd uses for our users with what our drop-in says, and
// looks for the cause where they differ.
func sshdDropIn(f Facts, r *report) {
	if !f.Agent.SSHD {
		if f.Agent.Enrolled {
			r.warn("latchkey-agent sshd enable", "our sshd drop-in is out: nobody gets in through latchkey")
		}
		return
	}
	fix, cause := f.cause()
	asked := 0
	for _, l := range f.Host.asked() {
		if l.Settings == nil {
			continue
		}
		asked++
		for _, want := range plan.SSHDSettings(f.Layout, f.Agent.KeysMode) {
			key := strings.ToLower(want.Key)
			if got := first(l.Settings[key]); got != want.Value {
				r.problem(fix, "sshd does not use our drop-in for %s: its %s is %q%s", l.Name, key, got, because(cause))
				break
			}
		}
	}
	switch {
	case asked > 0:
		r.fine("%s", waysOf(f.Agent.KeysMode))
	case cause != "":
		r.warn(fix, "sshd may not use our drop-in: %s", cause) // nobody is here to ask sshd about
	}
}

// sshdEnd looks whether sshd reads the keys of those whose permission has an end.
func sshdEnd(f Facts, r *report) {
	s := f.Host.SSHD
	switch {
	case !s.Installed || !f.Agent.SSHD:
		return
	case f.Agent.KeysMode.AsksHook():
		r.fine("our hook keeps to the end of a permission, whatever sshd knows of it")
		return
	}
	var ending []string
	for _, l := range f.Host.Logins {
		if l.Ends {
			ending = append(ending, l.Name)
		}
	}
	switch {
	case len(ending) == 0:
		r.fine("nobody who gets in here has an end")
	case s.EndlessErr != nil:
		r.warn("sshd -V", "whether sshd reads keys with an end, as of %s, is not known: %v", few(ending), s.EndlessErr)
	case s.Endless:
		r.problem("latchkey stack settings STACK --keys-mode command, or install sshd 9.1 or a newer one",
			"sshd is older than 9.1 and refuses the keys of %s, who have an end", few(ending))
	default:
		r.fine("sshd reads keys with an end")
	}
}

// waysOf says how our users get in.
func waysOf(m plan.KeysMode) string {
	switch m {
	case plan.KeysDirectory:
		return "sshd reads the keys of our users in our folder"
	case plan.KeysHome:
		return "sshd reads the keys of our users in their homes"
	}
	return "sshd asks our hook about our users"
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// cause says why sshd would not use our drop-in, empty when nothing shows.
func (f Facts) cause() (fix, cause string) {
	lines, l := f.Host.SSHD.Lines, f.Layout
	at := slices.IndexFunc(lines, func(line Line) bool { return line.File == l.SSHD })
	if at < 0 {
		pattern := path.Dir(l.SSHD) + "/*.conf"
		if slices.ContainsFunc(lines, func(line Line) bool { return line.Key == "include" && strings.Contains(line.Value, path.Dir(l.SSHD)) }) {
			return "latchkey-agent sshd enable", l.SSHD + " is not there, or holds nothing"
		}
		return "put Include " + pattern + " at the top of " + l.SSHDConfig + ", then latchkey-agent sshd enable",
			l.SSHDConfig + " does not include " + pattern
	}
	for _, line := range lines[:at] {
		if line.Match != "" && conflicts(line.Key) {
			return "move the block of " + line.File + " behind the Include of ours, or let it spare the group " + l.MarkerGroup,
				place(line) + " sets " + line.Key + " before us, and sshd takes the first"
		}
	}
	if include := lines[at]; include.Match != "Group "+l.MarkerGroup && include.Key == "match" {
		return "move the Include of " + path.Dir(l.SSHD) + " to the top of " + l.SSHDConfig, "it is included inside the block Match " +
			strings.TrimSuffix(include.Match, " and Group "+l.MarkerGroup)
	}
	return "sshd -T -C user=NAME,host=localhost,addr=127.0.0.1; systemctl reload ssh", ""
}

func conflicts(key string) bool {
	return key == "authorizedkeyscommand" || key == "authorizedkeyscommanduser" || key == "authorizedkeysfile"
}

func place(l Line) string { return l.File + " line " + strconv.Itoa(l.Line) }

// sshdDisplaced names another's hook that sshd does not ask about our users, as ours
// stands first (requirement R67).
func sshdDisplaced(f Facts, r *report) {
	if !f.Agent.SSHD || !f.Agent.KeysMode.AsksHook() {
		return
	}
	at := slices.IndexFunc(f.Host.SSHD.Lines, func(l Line) bool {
		return l.Key == "authorizedkeyscommand" && l.Match == "" && l.File != f.Layout.SSHD
	})
	switch {
	case at < 0 || f.Host.SSHD.Lines[at].Value == "none":
		r.fine("our login hook displaces no other")
	case f.Agent.Displaced != "":
		r.fine("for a key that is not ours our hook runs the one it displaces: %s", f.Agent.Displaced)
	default:
		l := f.Host.SSHD.Lines[at]
		r.warn("latchkey-agent sshd enable --keep-command, if our users are to get in by it too",
			"sshd does not run %q of %s about our users: our login hook displaces it", l.Value, place(l))
	}
}

// sshdMatch names blocks that count for some addresses alone and stand before
// ours: sshd was asked about one address, so they may say something else for
// others.
func sshdMatch(f Facts, r *report) {
	if !f.Agent.SSHD {
		return
	}
	for _, line := range f.Host.SSHD.Lines {
		if line.File == f.Layout.SSHD {
			break
		}
		if line.Match == "" || line.Key == "match" || !slices.Contains(concerning, line.Key) {
			continue
		}
		for _, criterion := range []string{"address", "host", "localaddress", "localport", "rdomain"} {
			if slices.Contains(strings.Fields(strings.ToLower(strings.ReplaceAll(line.Match, "=", " "))), criterion) {
				r.warn("move the block behind the Include of ours", "%s sets %s in the block Match %s: for those connections it counts before ours",
					place(line), line.Key, line.Match)
				break
			}
		}
	}
	r.fine("no block for some addresses alone stands before ours")
}

// sshdAllow decides as sshd does (sshd_config(5): DenyUsers, AllowUsers, DenyGroups,
// AllowGroups, in this order). Where a pattern names hosts too it is not certain.
func sshdAllow(f Facts, r *report) {
	var settings map[string][]string
	for _, l := range f.Host.asked() {
		if settings == nil {
			settings = l.Settings
		}
	}
	if settings == nil {
		return
	}
	for _, l := range f.Host.Logins {
		s := settings
		if l.Settings != nil {
			s = l.Settings
		}
		if l.Account == nil {
			continue
		}
		allowed(l, s, f.Layout.MarkerGroup, r)
	}
	r.fine("neither AllowUsers, AllowGroups, DenyUsers nor DenyGroups keeps our users out")
}

func allowed(l Login, s map[string][]string, marker string, r *report) {
	key, why, certain := KeptOut(l.Name, l.Groups, s)
	fix := map[string]string{
		"denyusers": "take the name out of DenyUsers in sshd's configuration", "denygroups": "take the group out of DenyGroups in sshd's configuration",
		"allowusers":  "add the name to AllowUsers in sshd's configuration, or use AllowGroups " + marker,
		"allowgroups": "add " + marker + " to AllowGroups in sshd's configuration",
	}[key]
	switch {
	case key == "":
	case certain:
		r.problem(fix, "%s", why)
	default:
		r.warn("look at it in sshd's configuration", "%s", why)
	}
}

// KeptOut says which of sshd's lists keeps a user of these groups out, and why, by what
// sshd -T says of him. No list has the key "". It is not certain where a list is about
// some hosts alone.
func KeptOut(user string, groups []string, s map[string][]string) (key, why string, certain bool) {
	deny, denyPerhaps := matchUser(user, patterns(s["denyusers"]))
	allow, allowPerhaps := matchUser(user, patterns(s["allowusers"]))
	allow = allow || len(patterns(s["allowusers"])) == 0
	says := func(key, format string) (string, string) { return key, fmt.Sprintf(format, user, few(s[key])) }
	certain = true
	switch {
	case deny:
		key, why = says("denyusers", "DenyUsers keeps %s out: %s")
	case !allow && !allowPerhaps:
		key, why = says("allowusers", "AllowUsers does not name %s: %s")
	case matchGroup(groups, patterns(s["denygroups"])):
		key, why = says("denygroups", "DenyGroups keeps %s out: %s")
	case len(patterns(s["allowgroups"])) > 0 && !matchGroup(groups, patterns(s["allowgroups"])):
		key, why = says("allowgroups", "AllowGroups names no group of %s: %s")
	case denyPerhaps:
		certain = false
		key, why = says("denyusers", "DenyUsers keeps %s out from some hosts: %s")
	case !allow:
		certain = false
		key, why = says("allowusers", "AllowUsers lets %s in from some hosts alone: %s")
	}
	return key, why, certain
}

func matchGroup(groups, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return slices.ContainsFunc(groups, func(g string) bool { return glob(p, g) })
	})
}

// patterns are the words of a setting, which sshd -T prints a line each or in one.
func patterns(values []string) []string { return strings.Fields(strings.Join(values, " ")) }

// matchUser says whether a pattern matches the name, from everywhere or from some
// hosts (USER@HOST).
func matchUser(user string, patterns []string) (certain, perhaps bool) {
	for _, p := range patterns {
		name, host, hosts := strings.Cut(p, "@")
		if !glob(name, user) {
			continue
		}
		certain, perhaps = certain || !hosts || host == "*", perhaps || hosts
	}
	return certain, perhaps
}

// glob is sshd's match_pattern: * and ? and nothing else.
func glob(pattern, s string) bool {
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '*':
			for j := 0; j <= len(s); j++ {
				if glob(pattern[i+1:], s[j:]) {
					return true
				}
			}
			return false
		case s == "" || pattern[i] != '?' && pattern[i] != s[0]:
			return false
		}
		s = s[1:]
	}
	return s == ""
}
