package plan

import (
	"slices"

	"latchkey/authz"
)

// State is a machine as it was observed, as far as a plan can concern it.
type State struct {
	Hostname string
	Accounts map[string]Account // by name; of the files, and of NSS for names asked
	Groups   map[string]Group   // by name
	Files    map[string]File    // by path: files and folders of ours that exist
	Homes    map[string]Folder  // by path: homes of accounts to be made or to go, of ours
	// SudoEffective says that sudo is here and reads our folder; where it does not,
	// SudoReason says why.
	SudoEffective bool
	SudoReason    error
	// SudoEndless says that the sudo here reads no rule with an end.
	SudoEndless bool
	// SSHDEndless says that the sshd here, where it reads the keys itself, refuses a
	// line with an end as ours have it. It concerns grants that end alone, and is not
	// set where sshd did not say which one it is.
	SSHDEndless bool
	// Shell says why the layout's shell can not be used here; nil when it can.
	Shell error
	// Hook says why sshd would refuse to run the login hook; nil when it would not.
	Hook error
	// Blocks are our lines in the homes of the accounts that have some by the ledger.
	Blocks map[authz.Username]Block
	// Foreign are the key files in the homes of our accounts, where a plan is to do
	// anything about them.
	Foreign map[authz.Username][]ForeignFile
	// Processes counts the live processes of each uid of ours.
	Processes map[authz.UID]int
	// Scheduled is what would start again by itself, of accounts of ours that have
	// any such thing.
	Scheduled map[authz.Username]Scheduled
	// Left is where an account that is gone is still named, or what it left under its
	// name, of those that are still to be made.
	Left map[authz.Username][]string
}

// Block is what a home's key file holds of ours.
type Block struct {
	Found bool
	Lines string // each with its newline
	Err   error  // why nothing is written there; nil when it can be
}

// Scheduled is what the system would start for an account without a login.
type Scheduled struct {
	Crontabs []string // paths
	AtJobs   []string // paths
	Linger   bool     // logind starts a user manager at boot
}

// Account is a line of passwd and shadow.
type Account struct {
	Name        string
	UID, GID    uint32
	Home, Shell string
	Password    string // "*", "!…" or anything else; a hash is shortened to "set"
	Expires     int64  // days since 1970; 0: never
	Groups      []string
}

// Locked reports whether the account is closed as OpLock closes it.
func (a Account) Locked() bool {
	return a.Password != "" && a.Password[0] == '!' && a.Expires == lockedOn
}

// lockedOn is the day an account of ours expires when it is closed. Day 1 and not
// 0, which some tools read as never.
const lockedOn = 1

// Group is a line of group.
type Group struct {
	Name    string
	GID     uint32
	Members []string
}

// File is a file or folder of ours.
type File struct {
	Content  []byte // nil for a folder
	Folder   bool
	Odd      bool // neither a folder nor a regular file of one link
	Unread   bool // it is there, and what it is or holds could not be read
	UID, GID uint32
	Mode     uint32 // permission bits
}

// Folder is a home as it was seen, without following a link.
type Folder struct {
	Real   bool // a folder and not a link to one
	Unread bool // there is something, and what it is could not be read, or not in time
	UID    uint32
}

// has reports whether the file is regular and has the content and the attributes.
func (s State) has(path string, content []byte, attr Attr) bool {
	f, found := s.Files[path]
	return found && !f.Folder && !f.Odd && !f.Unread && string(f.Content) == string(content) && s.attr(f, attr)
}

func (s State) hasFolder(path string, attr Attr) bool {
	f, found := s.Files[path]
	return found && f.Folder && s.attr(f, attr)
}

// attr compares owner, group and mode. Only root and groups of ours are owners.
func (s State) attr(f File, want Attr) bool {
	gid := uint32(0)
	if want.Group != "root" {
		g, found := s.Groups[want.Group]
		if !found {
			return false
		}
		gid = g.GID
	}
	return want.Owner == "root" && f.UID == 0 && f.GID == gid && f.Mode == want.Mode
}

// holders are the names that have each id.
type holders struct{ uids, gids map[uint32][]string }

func (s State) holders() *holders {
	h := holders{map[uint32][]string{}, map[uint32][]string{}}
	for name, a := range s.Accounts {
		h.uids[a.UID] = append(h.uids[a.UID], name)
	}
	for name, g := range s.Groups {
		h.gids[g.GID] = append(h.gids[g.GID], name)
	}
	return &h
}

// other is one of the names that is not the one given, empty where there is none.
func other(names []string, name string) string {
	i := slices.IndexFunc(names, func(n string) bool { return n != name })
	if i < 0 {
		return ""
	}
	return names[i]
}
