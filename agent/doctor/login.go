package doctor

import (
	"path"
	"slices"
	"strings"
	"time"

	"latchkey/agent/plan"
)

// slowHook is how long the login hook may take for one key.
const slowHook = 500 * time.Millisecond

// asked are the logins that sshd, sudo, the name service and the hook were asked
// about: those that have an account here.
func (h Host) asked() []Login {
	var list []Login
	for _, l := range h.Logins[:min(h.Inspected, len(h.Logins))] {
		if l.Account != nil {
			list = append(list, l)
		}
	}
	return list
}

func hookProgram(f Facts, r *report) {
	if !f.Agent.KeysMode.AsksHook() {
		return
	}
	if f.Host.Hook != nil {
		r.problem("reinstall the package; chown root and chmod 0755, go-w on the folders above", "%v", f.Host.Hook)
	}
	if f.Agent.SSHD && f.Host.HookUser == nil {
		r.problem("latchkey-agent sshd enable", "there is no user %s, as whom sshd runs the login hook", f.Layout.HookUser)
	}
	r.fine("sshd may run the login hook %s", f.Layout.Hook)
}

func hookAnswer(f Facts, r *report) {
	const fix = "latchkey-agent apply; ls -la /var/lib/latchkey/authorized_keys; journalctl -t sshd"
	asked := 0
	for _, l := range f.Host.asked() {
		a := l.Hook
		if a == nil || !f.Agent.KeysMode.AsksHook() {
			continue
		}
		asked++
		switch {
		case a.Err != nil:
			r.problem(fix, "the login hook gives no answer for %s: %v", l.Name, a.Err)
		case !a.Key:
			r.problem(fix, "the login hook does not know the key of %s", l.Name)
		case a.Took > slowHook:
			r.warn("look at the load and the disk of the machine", "the login hook took %s for %s, more than %s", a.Took.Round(time.Millisecond), l.Name, slowHook)
		}
	}
	if asked > 0 {
		r.fine("the login hook, run as %s, answers for %d accounts", f.Layout.HookUser, asked)
	}
}

func accounts(f Facts, r *report) {
	if f.Host.LoginsErr != nil {
		r.problem("getent passwd", "the account files do not read: %v", f.Host.LoginsErr)
		return
	}
	for _, l := range f.Host.Logins {
		switch a := l.Account; {
		case a == nil:
			r.problem("latchkey-agent explain "+l.Name, "%s should get in and has no account here", l.Name)
		case a.UID != l.UID:
			r.problem("latchkey-agent explain "+l.Name, "the account %s has the uid %d and not %d", l.Name, a.UID, l.UID)
		case a.Expires != 0:
			r.problem("latchkey-agent apply", "the account %s is set to expire, which keeps its user out", l.Name)
		}
		if len(l.KeyTypes) == 0 {
			r.warn("latchkey user update gives a key", "%s has no SSH key and does not get in", l.Name)
		}
	}
	r.fine("%d accounts are here as they should be", len(f.Host.Logins))
}

func nameService(f Facts, r *report) {
	const fix = "getent passwd NAME; look at the order of passwd: in /etc/nsswitch.conf, and at nscd or sssd"
	for _, l := range f.Host.asked() {
		switch {
		case l.NameErr != nil:
			r.problem(fix, "the name service does not answer for %s: %v", l.Name, l.NameErr)
		case l.Known == nil:
			r.problem(fix, "the name service does not know %s, who is in /etc/passwd", l.Name)
		case !same(*l.Known, *l.Account):
			r.problem(fix, "the name service gives %s the uid %d, gid %d, home %q, shell %q, and /etc/passwd does not", l.Name,
				l.Known.UID, l.Known.GID, l.Known.Home, l.Known.Shell)
		}
	}
	if len(f.Host.asked()) > 0 {
		r.fine("the name service agrees with /etc/passwd")
	}
}

func same(a, b plan.Account) bool {
	return a.UID == b.UID && a.GID == b.GID && a.Home == b.Home && a.Shell == b.Shell
}

func shell(f Facts, r *report) {
	if f.Host.Shells != nil {
		r.problem("install "+f.Layout.Shell+", and name it in /etc/shells", "our accounts have the shell %s: %v", f.Layout.SafeShell, f.Host.Shells)
	}
	r.fine("the shell of our accounts is there")
}

func noLogin(f Facts, r *report) {
	for _, file := range f.Host.NoLogin {
		r.problem("rm "+file+", unless the machine is going down", "%s keeps everybody but root out", file)
	}
	r.fine("no nologin file keeps people out")
}

// pamAccess says only what is certain: that pam_access is asked, and whether a line
// that lets in names us.
func pamAccess(f Facts, r *report) {
	p := f.Host.PAM
	switch {
	case p.Err != nil:
		r.warn("ls -la /etc/pam.d/sshd", "PAM's service for sshd does not read: %v", p.Err)
		return
	case !p.Access:
		r.fine("PAM does not ask pam_access for sshd")
		return
	case p.AccessErr != nil:
		r.warn("ls -la /etc/security/access.conf", "PAM asks pam_access, whose rules do not read: %v", p.AccessErr)
		return
	}
	for _, line := range p.AccessFile {
		rule := strings.SplitN(line, ":", 3)
		if len(rule) != 3 {
			continue
		}
		give, who := strings.TrimSpace(rule[0]), strings.Fields(strings.ReplaceAll(rule[1], ",", " "))
		ours := slices.Contains(who, "ALL") || slices.Contains(who, f.Layout.MarkerGroup) || slices.Contains(who, "("+f.Layout.MarkerGroup+")")
		if !ours || slices.Contains(who, "EXCEPT") {
			continue
		}
		if give == "+" {
			r.fine("PAM asks pam_access, which has a line for our users: %s", line)
			return
		}
		r.problem("put +:("+f.Layout.MarkerGroup+"):ALL before it", "pam_access keeps our users out by the line %s", line)
		return
	}
	r.warn("put +:("+f.Layout.MarkerGroup+"):ALL into /etc/security/access.conf", "PAM asks pam_access, whose rules do not name %s: they may keep our users out",
		f.Layout.MarkerGroup)
}

func sudo(f Facts, r *report) {
	const fix = "apt-get install sudo, or dnf install sudo"
	s := f.Host.Sudo
	needed := slices.ContainsFunc(f.Host.Logins, func(l Login) bool { return l.Sudo })
	switch {
	case !s.Installed && needed:
		r.problem(fix, "sudo is not installed, and the stack gives it to somebody")
	case !s.Installed:
		r.fine("sudo is not installed, and the stack gives it to nobody")
	case !s.Visudo:
		r.problem(fix, "visudo is not installed: no sudo rule can be checked, so none is written")
	case strings.Contains(s.Version, "sudo-rs"):
		r.warn("update-alternatives --config sudo chooses the original", "this is %s, which reads no rule with an end (NOTAFTER): who has one gets no sudo here", s.Version)
	case s.Version == "":
		r.warn("sudo -V", "sudo does not say which one it is")
	}
	r.fine("this is %s", s.Version)
}

func sudoInclude(f Facts, r *report) {
	s, folder := f.Host.Sudo, path.Dir(f.Layout.Sudoers)
	switch {
	case !s.Installed:
		return
	case s.IncludeErr != nil:
		r.problem("ls -la /etc/sudoers", "sudo's policy does not read: %v", s.IncludeErr)
	case !s.Included:
		r.problem("visudo: add the line @includedir "+folder, "sudo's policy does not read %s: nobody gets sudo through latchkey", folder)
	}
	r.fine("sudo's policy reads %s", folder)
}

func sudoPolicy(f Facts, r *report) {
	s := f.Host.Sudo
	if !s.Installed || !s.Visudo {
		return
	}
	if s.Policy != nil {
		r.problem("visudo -c names file and line; put that right", "sudo's policy is not whole: %v", s.Policy)
	}
	r.fine("visudo finds sudo's policy whole")
}

// sudoUser compares what sudo itself would do: a later rule of others may take back
// what ours gives, or give what the stack does not.
func sudoUser(f Facts, r *report) {
	asked := 0
	for _, l := range f.Host.asked() {
		if !f.Host.Sudo.Installed || l.Rules == "" && l.RulesErr == nil {
			continue
		}
		asked++
		// sudo-rs sets no spaces.
		all := strings.Contains(l.Rules+"\n", l.Rule+"\n") || strings.Contains(l.Rules+"\n", strings.Replace(l.Rule, " : ", ":", 1)+"\n")
		// The second is what sudo-rs says.
		none := strings.Contains(l.Rules, "not allowed to run sudo") || strings.Contains(l.Rules, "not allowed to execute 'list' as")
		switch {
		case l.RulesErr != nil && !none:
			r.warn("sudo -l -U "+l.Name, "sudo does not say what %s may do: %v", l.Name, l.RulesErr)
		case l.Sudo && !all:
			r.problem("sudo -l -U "+l.Name, "the stack gives %s sudo, and sudo itself does not", l.Name)
		case !l.Sudo && !none:
			r.warn("latchkey-agent inventory lists the rules that are not ours", "the stack gives %s no sudo, and sudo has a rule that is not ours", l.Name)
		}
	}
	if asked > 0 {
		r.fine("sudo gives %d accounts what the stack gives them", asked)
	}
}
