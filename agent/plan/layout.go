package plan

import (
	"path"
	"strings"

	"latchkey/authz"
)

// Layout is where things are on one kind of machine. It is data, so that the
// rules for every kind are tested on any.
type Layout struct {
	StateDir string // world can pass through, nobody can list
	AgentDir string // the agent's own: identity, bundle, ledger
	KeysDir  string // a key file for each account, readable by the login hook
	// Displaced is a file with the AuthorizedKeysCommand that ours displaces, where it
	// is kept; readable by the login hook.
	Displaced string
	// RevokedDir keeps, for root alone, what was taken from revoked users.
	RevokedDir string
	// ArchivedDir keeps, for root alone, the packed homes of removed accounts.
	ArchivedDir string
	// QuarantineDir keeps, for root alone, keys that were taken out of homes.
	QuarantineDir string

	Sudoers    string // our drop-in
	SSHD       string // our drop-in
	SSHDConfig string
	Hook       string // the program sshd runs
	Freeze     string // a file: while it is there nothing is changed

	MarkerGroup string // every account of ours is in it, and sshd's Match names it
	HookUser    string // a user and a group

	AccountsDir string // passwd, shadow, group, gshadow
	HomeBase    string
	Shell       string
	SafeShell   string // of accounts where Shell can not be used

	// Where cron keeps a file for each user, by name, and at a file for each job,
	// by owner: distributions differ.
	CronSpools []string
	AtSpools   []string
	LingerDir  string // logind's: an empty file for each user that lingers
	// MailSpools hold a file for each user, by name; SubIDs name users and the ids that
	// they may use in their namespaces (subuid(5)).
	MailSpools, SubIDs []string
	// AuthLogs is where sshd's lines go on a machine without a journal: distributions
	// differ.
	AuthLogs []string
}

// Linux is the layout of a Linux machine.
func Linux() Layout {
	return Layout{
		StateDir:      "/var/lib/latchkey",
		AgentDir:      "/var/lib/latchkey/agent",
		KeysDir:       "/var/lib/latchkey/authorized_keys",
		Displaced:     "/var/lib/latchkey/displaced_command",
		RevokedDir:    "/var/lib/latchkey/revoked",
		ArchivedDir:   "/var/lib/latchkey/archived",
		QuarantineDir: "/var/lib/latchkey/quarantine",
		Sudoers:       "/etc/sudoers.d/90-latchkey",
		SSHD:          "/etc/ssh/sshd_config.d/10-latchkey.conf",
		SSHDConfig:    "/etc/ssh/sshd_config",
		Hook:          "/usr/bin/latchkey-keys",
		Freeze:        "/etc/latchkey/freeze",
		MarkerGroup:   "latchkey",
		HookUser:      "latchkey-keys",
		AccountsDir:   "/etc",
		HomeBase:      "/home",
		Shell:         "/bin/bash",
		SafeShell:     "/bin/sh",
		CronSpools:    []string{"/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"},
		AtSpools:      []string{"/var/spool/cron/atjobs", "/var/spool/atjobs", "/var/spool/at"},
		LingerDir:     "/var/lib/systemd/linger",
		MailSpools:    []string{"/var/mail", "/var/spool/mail"},
		SubIDs:        []string{"/etc/subuid", "/etc/subgid"},
		AuthLogs:      []string{"/var/log/auth.log", "/var/log/secure"},
	}
}

// WatchedFolders are those in which a change may be drift: of our own files, of the
// account files, of what sudo and sshd read; and that of the freeze file.
func (l Layout) WatchedFolders() []string {
	return []string{l.StateDir, l.KeysDir, path.Dir(l.Sudoers), path.Dir(l.SSHD), path.Dir(l.SSHDConfig), path.Dir(l.Freeze), l.AccountsDir}
}

// Managed reports whether a file that changed in one of them is worth a look. In the
// folder of the account files much else changes.
func (l Layout) Managed(file string) bool {
	if path.Dir(file) != l.AccountsDir {
		return true
	}
	switch path.Base(file) {
	case "passwd", "shadow", "group", "gshadow", "sudoers", path.Base(path.Dir(l.Sudoers)), path.Base(path.Dir(l.SSHDConfig)),
		path.Base(path.Dir(l.Freeze)):
		return true
	}
	return false
}

// KeyFile is the path of an account's key file.
func (l Layout) KeyFile(u authz.Username) string { return l.KeysDir + "/" + u.String() }

// Home is the path of an account's home.
func (l Layout) Home(u authz.Username) string { return l.HomeBase + "/" + u.String() }

// OldHome is where the home of an earlier user of a name is kept.
func (l Layout) OldHome(u authz.Username, uid authz.UID) string {
	return l.Home(u) + "." + uid.String()
}

// GoneHome is what a home is called from when it is to be removed until it is: so half
// a home is never taken for one. No user name has a dot.
func (l Layout) GoneHome(u authz.Username, uid authz.UID) string {
	return l.OldHome(u, uid) + goneEnd
}

const goneEnd = ".removed"

// IsGoneHome reports whether a name in the folder of the homes is one that GoneHome
// gives to somebody's.
func (l Layout) IsGoneHome(name string) bool { return strings.HasSuffix(name, goneEnd) }

// Archive is the file that the home of a removed account is packed into.
func (l Layout) Archive(u authz.Username, uid authz.UID) string {
	return l.ArchivedDir + "/" + u.String() + "." + uid.String() + ".tar"
}

// Revoked is where the jobs of a revoked user are kept.
func (l Layout) Revoked(u authz.Username, uid authz.UID) string {
	return l.RevokedDir + "/" + u.String() + "." + uid.String()
}

// Linger is the file that makes an account linger.
func (l Layout) Linger(u authz.Username) string { return l.LingerDir + "/" + u.String() }

// InHome is the file in an account's home that holds our block in home mode.
func (l Layout) InHome(u authz.Username) string { return l.Home(u) + "/" + KeysInHome }

// keyFileAttr lets all read who get into the folder: who that is, its mode says.
func (l Layout) keyFileAttr() Attr { return Attr{"root", l.HookUser, 0o644} }

func sudoersAttr() Attr { return Attr{"root", "root", 0o440} }

func sshdAttr() Attr { return Attr{"root", "root", 0o644} }

type folder struct {
	path string
	attr Attr
}

// folders are made in this order and removed in the reverse one. The agent's own
// folder is not among them: the agent makes it before it can plan anything. In
// directory mode sshd reads a key file as the user, who may pass but not list.
func (l Layout) folders(directory bool) []folder {
	keys := Attr{"root", l.HookUser, 0o750}
	if directory {
		keys.Mode = 0o711
	}
	return []folder{
		{l.StateDir, Attr{"root", "root", 0o711}},
		{l.KeysDir, keys},
	}
}
