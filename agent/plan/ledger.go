package plan

import (
	"maps"
	"slices"
	"time"

	"latchkey/authz"
)

// Ledger is the record of everything we created on the machine. What it does not
// name is not touched. It is written before a thing is made and struck out after
// it is proved gone, so a crash leaves it claiming too much, never too little.
type Ledger struct {
	Accounts map[authz.Username]Owned `json:"accounts"`
	Groups   map[string]bool          `json:"groups"`    // true: of ours
	HookUser bool                     `json:"hook_user"` // made by us
	Folders  bool                     `json:"folders"`
	Sudoers  bool                     `json:"sudoers"`
	// SudoProved says that sudo was asked about the file and gave what it says. It
	// is false from before the file changes until then, and in a ledger written
	// before it was known.
	SudoProved bool `json:"sudo_proved,omitempty"`
	SSHD       bool `json:"sshd"` // the drop-in is wanted
	// SSHDLoaded says that sshd is known to use the drop-in. It is false from
	// before the file changes until sshd was reloaded and asked.
	SSHDLoaded bool `json:"sshd_loaded"`
	// SSHDModes are the modes in which sshd may get keys at this moment, first the one
	// it was proved to use; SSHDSince is when it was seen to use that and others too.
	SSHDModes []KeysMode `json:"sshd_modes,omitempty"`
	SSHDSince time.Time  `json:"sshd_since,omitzero"`
	// Displaced is the AuthorizedKeysCommand that ours displaces and is wanted to be kept.
	Displaced string `json:"displaced_command,omitempty"`
}

// Owned is one account of ours.
type Owned struct {
	User  authz.UserID `json:"user"`
	UID   authz.UID    `json:"uid"`
	State AccountState `json:"state"`
	Block bool         `json:"block,omitempty"` // the home's key file has lines of ours
	// Before is set for an account that was there and was adopted: what it was.
	Before *Before `json:"before,omitempty"`
	// Adopted are keys, TYPE BASE64, that were found in the home and are the account's
	// here beside those of its grant.
	Adopted []string `json:"adopted,omitempty"`
}

// AccountState is how far an account of ours has come.
type AccountState string

// The states of an account.
const (
	Intended AccountState = "intended" // about to be made
	Present  AccountState = "present"
	Revoked  AccountState = "revoked" // closed; home kept
)

// NewLedger is the record of a machine on which we made nothing.
func NewLedger() Ledger {
	return Ledger{Accounts: map[authz.Username]Owned{}, Groups: map[string]bool{}}
}

// Clone returns a copy that has nothing in common with l.
func (l Ledger) Clone() Ledger {
	l.Accounts, l.Groups, l.SSHDModes = maps.Clone(l.Accounts), maps.Clone(l.Groups), slices.Clone(l.SSHDModes)
	for user, o := range l.Accounts {
		if o.Before == nil && o.Adopted == nil {
			continue
		}
		if o.Before != nil {
			before := *o.Before
			before.Groups = slices.Clone(before.Groups)
			o.Before = &before
		}
		o.Adopted = slices.Clone(o.Adopted)
		l.Accounts[user] = o
	}
	return l
}

// Intend records what the steps are about to make. It is stored before the first
// of them is applied. users gives the owner of each account to be made.
func (l *Ledger) Intend(steps []Step, users map[authz.Username]authz.UserID) {
	for _, s := range steps {
		switch s.Op {
		case OpCreateAccount:
			was := l.Accounts[s.User] // whose home, and our lines in it, may be there still
			l.Accounts[s.User] = Owned{User: users[s.User], UID: s.UID, State: Intended, Block: was.Block && was.UID == s.UID}
		case OpCreateGroup:
			l.Groups[s.Group] = true
		case OpCreateHookUser:
			l.HookUser = true
		case OpMakeFolder:
			l.Folders = true
		case OpGiveSudo:
			l.Sudoers, l.SudoProved = true, false
		case OpWriteSSHD:
			l.intendMode(s.Mode)
		case OpWriteBlock:
			l.setBlock(s.User, true)
		}
	}
}

// Done records that a step was applied and proved. It is stored after the pass.
func (l *Ledger) Done(s Step) {
	switch s.Op {
	case OpCreateAccount, OpRepair:
		l.setState(s.User, Present)
	case OpLock:
		l.setState(s.User, Revoked)
		l.disown(s.User)
	case OpDeleteAccount, OpRetire, OpGiveBack:
		delete(l.Accounts, s.User)
	case OpAdopt:
		l.adopt(s)
	case OpDeleteGroup:
		delete(l.Groups, s.Group)
	case OpDeleteHookUser:
		l.HookUser = false
	case OpGiveSudo:
		l.SudoProved = true
	case OpWriteSSHD:
		l.doneMode(s.Mode)
	case OpRemoveSSHD:
		l.NoSSHD()
	case OpTakeBlock:
		l.setBlock(s.User, len(s.Keys) > 0)
	}
}

func (l *Ledger) setState(u authz.Username, to AccountState) {
	if o, found := l.Accounts[u]; found {
		o.State = to
		l.Accounts[u] = o
	}
}

func (l *Ledger) setBlock(u authz.Username, to bool) {
	if o, found := l.Accounts[u]; found {
		o.Block = to
		l.Accounts[u] = o
	}
}

// Settle marks accounts as present whose making was cut short after the last
// tool had done its work, and those that we closed, others opened, and somebody has by
// now. Call it when a plan for the state is empty. It says whether anything changed.
func (l *Ledger) Settle(have State) bool {
	changed := false
	for u, o := range l.Accounts {
		a, found := have.Accounts[u.String()]
		if found && a.UID == uint32(o.UID) && (o.State == Intended || o.State == Revoked && !a.Locked()) {
			l.setState(u, Present)
			changed = true
		}
	}
	return changed
}
