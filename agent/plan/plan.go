// Package plan says what a machine should be, and what has to change. It is
// pure: what was observed, the ledger, the layout and the time are arguments.
//
// Its Plan is the only description of change in the project. The dry run prints
// it, the log and the receipt repeat it, the golden tests compare it. Taking
// access away comes first and never waits for giving it.
package plan

import (
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/name"
)

// Op is a kind of step. The zero value is no step.
type Op int

// The steps, in the order in which a plan holds them: what takes access away,
// what prepares the machine, what gives access.
const (
	OpNone Op = iota
	// OpRemoveFile removes one file of ours.
	OpRemoveFile
	// OpTakeKeys rewrites the key file of an account that holds more than it should.
	OpTakeKeys
	// OpTakeBlock takes our lines out of the key file of a home, all but those of Keys.
	OpTakeBlock
	// OpTakeSudo rewrites our sudoers file with fewer rules, and sudo must agree.
	OpTakeSudo
	// OpRemoveSudo removes our sudoers file, and sudo must agree.
	OpRemoveSudo
	// OpDropGroups takes an account out of every group but its own and the marker.
	OpDropGroups
	// OpEndSessions ends the sessions and processes of an account.
	OpEndSessions
	// OpEndLinger keeps logind from starting a user manager for an account, with
	// the timers in it.
	OpEndLinger
	// OpTakeJobs takes the crontab and the at jobs of an account away and keeps a
	// copy for root.
	OpTakeJobs
	// OpQuarantine takes lines that are not ours out of a key file in the home of an
	// account of ours and keeps them for root.
	OpQuarantine
	// OpLock makes an account unusable: no password, expired. What was started
	// meanwhile is ended too.
	OpLock
	// OpRetire removes the account of an earlier user of a name; its home is kept
	// under another name.
	OpRetire
	// OpCreateGroup creates a system group.
	OpCreateGroup
	// OpCreateHookUser creates the user that sshd runs the login hook as.
	OpCreateHookUser
	// OpMakeFolder creates a folder of ours, or puts its owner and mode right.
	OpMakeFolder
	// OpKeepCommand writes down for the login hook which AuthorizedKeysCommand ours
	// displaces.
	OpKeepCommand
	// OpCreateAccount creates an account with its private group and home. One whose
	// making was cut short, which nobody has used, is finished or made again.
	OpCreateAccount
	// OpRepair puts the fields of an account right, and opens it again if locked.
	OpRepair
	// OpWriteKeys writes the key file of an account.
	OpWriteKeys
	// OpWriteBlock puts our lines into the key file of a home, between the user's own.
	OpWriteBlock
	// OpAdopt makes a key that lies in the home of an account of ours one of its keys on
	// this machine: the ledger has it, and the next plan writes it.
	OpAdopt
	// OpGiveSudo writes our sudoers file in full, and sudo must agree.
	OpGiveSudo
	// OpRemoveHome removes the home of an account that is closed, packed into one file
	// before where Path says so.
	OpRemoveHome
	// OpWriteSSHD writes our sshd drop-in, checked, reloaded and proved.
	OpWriteSSHD
	// OpRemoveSSHD takes our sshd drop-in out, checked and reloaded.
	OpRemoveSSHD
	// OpDeleteAccount removes an account for good; its home is kept, if it is there.
	OpDeleteAccount
	// OpGiveBack makes an adopted account what it was before.
	OpGiveBack
	// OpDeleteGroup removes a group of ours.
	OpDeleteGroup
	// OpDeleteHookUser removes the login hook's user.
	OpDeleteHookUser
	// OpRemoveFolder removes a folder of ours when it is empty.
	OpRemoveFolder
)

// Step is one change of the machine. Only the fields that its Op needs are set.
type Step struct {
	Op    Op
	User  authz.Username // the account concerned
	UID   authz.UID
	Path  string
	Group string
	Why   string // what is wrong, for people
	Rules []Rule // of the sudoers file
	// InForce are those of Rules that the file gives already.
	InForce []Rule
	Keys    []byte // the key file, or our lines in that of a home
	Shell   string // OpCreateAccount and OpRepair: the account's
	// Home is where the home goes for OpRetire, where it stays for OpDeleteAccount (empty:
	// it is gone), what goes for OpRemoveHome, and the folder for what OpQuarantine takes.
	Home string
	// Before is what OpGiveBack gives back, Closed that nobody may enter by it.
	Before Before
	Closed bool
	// Jobs are the crontabs and at jobs to take away, Path the folder to keep them in.
	Jobs []string
	// Again says that OpCreateAccount has begun before, and may be going on: an account of
	// that name and uid that is there is ours.
	Again bool
	Attr  Attr
	Mode  KeysMode // OpWriteSSHD
	// Switch says that sshd gets keys in another mode until then: the step waits until
	// everything that gives keys is done.
	Switch bool
}

// Attr is the owner, by name, and the mode of a file or folder.
type Attr struct {
	Owner, Group string
	Mode         uint32
}

// Refused is a user who is not set up, or not in full, and why. Name is as it
// came: print it quoted.
type Refused struct {
	Name   string
	Reason error
}

// Plan is what has to change, in order, and who is left out.
type Plan struct {
	Steps   []Step
	Refused []Refused
}

// Empty reports whether nothing has to change.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// TakesAway returns the steps that take access away, which stand before all others
// and make nothing that the ledger would have to name first.
func (p Plan) TakesAway() []Step {
	n := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Op > OpRetire })
	if n < 0 {
		return p.Steps
	}
	return p.Steps[:n]
}

// String prints the plan, a step a line, then the refused users.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.String() + "\n")
	}
	for _, r := range p.Refused {
		b.WriteString("refused " + quote(r.Name) + ": " + r.Reason.Error() + "\n")
	}
	return b.String()
}

// String prints the step as one line.
func (s Step) String() string {
	user := s.User.String()
	account := user + " (uid " + s.UID.String() + ")"
	switch s.Op {
	case OpRemoveFile:
		return "remove file " + s.Path + because(s.Why)
	case OpTakeBlock, OpWriteBlock:
		if s.Op == OpTakeBlock && len(s.Keys) == 0 {
			return "take our lines out of " + s.Path
		}
		return "put our lines into " + s.Path + because(s.Why)
	case OpTakeSudo, OpGiveSudo:
		return "write file " + s.Path + ", prove it by sudo" + because(s.Why)
	case OpRemoveSudo:
		return "remove file " + s.Path + ", prove it by sudo"
	case OpDropGroups:
		return "drop groups of " + account + because(s.Why)
	case OpEndSessions:
		return "end sessions of " + account + because(s.Why)
	case OpEndLinger:
		return "stop lingering of " + account
	case OpTakeJobs:
		return "take jobs of " + account + because(s.Why) + ", keep them in " + s.Path
	case OpQuarantine:
		return "take " + s.Why + " of " + account + " out of " + s.Path + ", keep them in " + s.Home
	case OpAdopt:
		return "adopt key " + s.Why + " of " + account + " from " + s.Path
	case OpLock:
		return "lock account " + account
	case OpRetire:
		return "remove account " + account + ", keep its home as " + s.Home
	case OpCreateGroup:
		return "create group " + s.Group
	case OpCreateHookUser:
		return "create user " + s.Group + " for the login hook"
	case OpMakeFolder:
		return "make folder " + s.Path + because(s.Why)
	case OpKeepCommand:
		return "write file " + s.Path + ": for a key that is not ours, " + quote(s.Why)
	case OpCreateAccount:
		return "create account " + account + because(s.Why)
	case OpRepair:
		return "repair account " + account + because(s.Why)
	case OpTakeKeys, OpWriteKeys:
		return "write file " + s.Path + because(s.Why)
	case OpWriteSSHD:
		return "write file " + s.Path + because(s.Why) + ", reload sshd"
	case OpRemoveSSHD:
		return "remove file " + s.Path + ", reload sshd"
	case OpRemoveHome:
		if s.Path == "" {
			return "remove home " + s.Home + " of " + account
		}
		return "pack home " + s.Home + " of " + account + " into " + s.Path + ", then remove it"
	case OpDeleteAccount:
		if s.Home == "" {
			return "remove account " + account
		}
		return "remove account " + account + ", keep its home " + s.Home
	case OpGiveBack:
		return "give back account " + account + because(s.Why)
	case OpDeleteGroup:
		return "remove group " + s.Group
	case OpDeleteHookUser:
		return "remove user " + s.Group
	case OpRemoveFolder:
		return "remove folder " + s.Path
	}
	return "no step"
}

// Gives reports whether the step gives access to its user, so that it must not
// run when an earlier step for the same user did not succeed.
func (s Step) Gives() bool {
	return s.Op == OpCreateAccount || s.Op == OpRepair || s.Op == OpWriteKeys || s.Op == OpWriteBlock || s.Op == OpAdopt
}

// GivesKeys reports whether the step puts keys where sshd may find them: while one is
// not done, sshd is not told to look elsewhere than now.
func (s Step) GivesKeys() bool {
	return s.Op == OpMakeFolder || s.Op == OpWriteKeys || s.Op == OpWriteBlock || s.Op == OpTakeBlock && len(s.Keys) > 0
}

// Follows reports whether the step must not run when an earlier step for the same user
// did not succeed: it gives access, or removes a home, or an account that must not go
// before its home, or before it is closed.
func (s Step) Follows() bool {
	return s.Gives() || s.Op == OpRetire || s.Op == OpRemoveHome || s.Op == OpDeleteAccount && s.Home == ""
}

// Together returns the steps at the head of the list that a machine may make true
// at once: neighbours of one kind, each for another user, none of which needs
// another. A step that may not is alone. The list must not be empty.
func Together(steps []Step) []Step {
	n, op := 1, steps[0].Op
	for op == OpCreateAccount || op == OpWriteKeys {
		if n == len(steps) || steps[n].Op != op {
			break
		}
		n++
	}
	return steps[:n]
}

// Without returns the step less the sudo rules of the users in unmade, whose names may
// be somebody else's, and less the new rules of those in failed. A rule that is in force
// stays: its user must not be locked out because something else of his went wrong.
func (s Step) Without(failed, unmade map[authz.Username]bool) Step {
	if s.Op != OpGiveSudo {
		return s
	}
	var left []Rule
	for _, r := range s.Rules {
		if !unmade[r.User] && !(failed[r.User] && !slices.Contains(s.InForce, r)) {
			left = append(left, r)
		}
	}
	if len(left) < len(s.Rules) {
		s.Rules, s.Why = left, sudoFor(left)
	}
	return s
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// quote makes foreign text safe to print on a terminal and in a log, and short.
func quote(s string) string {
	const most = 64
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s) && i < most; i++ {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			b.WriteString(`\x` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
		default:
			b.WriteByte(c)
		}
	}
	if len(s) > most {
		b.WriteString("…")
	}
	b.WriteByte('"')
	return b.String()
}

// Reasons for leaving a user out on one machine.
var (
	ErrNameTaken      = name.Refuse("name_taken", "an account of that name exists and is not ours")
	ErrGroupTaken     = name.Refuse("group_taken", "a group of that name exists and is not ours")
	ErrUIDTaken       = name.Refuse("uid_taken", "the uid belongs to another account of this machine")
	ErrGIDTaken       = name.Refuse("gid_taken", "the uid is the id of another group of this machine")
	ErrHomeForeign    = name.Refuse("home_foreign", "the home folder exists and is not the user's")
	ErrNameLeft       = name.Refuse("name_left", "something of an earlier account of that name is here and would be the user's")
	ErrHomeUnread     = name.Refuse("home_unread", "the home folder does not answer, or can not be looked at")
	ErrHostname       = name.Refuse("name_is_hostname", "the name is this machine's host name")
	ErrSudoersForeign = name.Refuse("sudoers_foreign", "our sudoers file exists and was not written by us")
	ErrNoSudo         = name.Refuse("sudo_not_effective", "sudo was not found to read our folder")
	ErrSudoMissing    = name.Refuse("sudo_missing", "sudo is not installed here")
	ErrSudoUnseen     = name.Refuse("sudo_unseen", "sudo could not be looked at: who has sudo keeps it, and nobody gets it")
	ErrSudoOther      = name.Refuse("sudo_other", "the sudo of this machine is neither sudo nor sudo-rs")
	ErrSudoNotRead    = name.Refuse("sudo_not_included", "the sudo policy of this machine does not include our folder")
	ErrSudoEnd        = name.Refuse("sudo_end", "sudo-rs reads no rule with an end")
	ErrSSHDEnd        = name.Refuse("sshd_end", "sshd before 9.1 refuses a key with an end where it reads the keys itself: let the stack use the keys mode command, or install a newer sshd")
	ErrSudoUnproved   = name.Refuse("sudo_unproved", "sudo does not give what our file says")
)
