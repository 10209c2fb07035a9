package doctor

import (
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// Facts is everything that was seen.
type Facts struct {
	Now    time.Time
	Built  time.Time // when this program was built; zero when not known
	Layout plan.Layout
	Agent  Agent
	Host   Host
}

// Agent is what the agent's own folder holds.
type Agent struct {
	Enrolled bool
	// Why a part does not read; nil where it does or is not there yet.
	IdentityErr, LedgerErr, BundleErr, StatusErr, PendingErr error

	HasBundle bool
	Issued    time.Time // of the bundle; zero when it says none
	Ended     []string  // accounts whose permission has ended
	SSHD      bool      // our drop-in is wanted
	KeysMode  plan.KeysMode
	Displaced string   // the AuthorizedKeysCommand of another that the hook is to run
	Status    *Status  // nil before the first pass
	Pending   []string // steps that a pass would take now
}

// Status is what the agent last wrote down of itself.
type Status struct {
	Pass    time.Time
	Contact time.Time // when the control plane last answered; zero: never
	Trouble string    // why it does not
	Undone  []string  // steps that did not succeed, with the reason
	Refused []string  // what was left out, with the reason
}

// Question is whom and what the facts of a machine are asked for.
type Question struct {
	Grants []authz.Grant // as the stored bundle gives them now
	Owned  plan.Ledger
}

// Host is what was seen of the machine outside the agent's folder. An Err says why
// something could not be looked at.
type Host struct {
	Systemd   bool
	Units     []Service // those asked for that exist
	UnitsErr  error
	AgentRuns bool // a process of root's runs latchkey-agent run
	Unsynced  bool // the kernel says that nothing keeps its clock
	Disks     []Disk
	Files     []File
	FilesErr  error
	Leftovers []string
	Hook      error // why sshd would refuse to run the hook
	Shells    error // why our accounts can not have their shell
	NoLogin   []string
	PAM       PAM
	SSHD      SSHD
	Sudo      Sudo
	SELinux   SELinux
	Logins    []Login
	LoginsErr error
	Inspected int           // of Logins, the first so many were asked of sshd, sudo, the hook
	HookUser  *plan.Account // nil when there is none
}

// Service is a unit of systemd (systemctl(1), show).
type Service struct {
	Name, Load, Active, File string
}

// Disk is a file system that something of ours is on.
type Disk struct {
	Path        string
	Err         error
	ReadOnly    bool
	Bytes       uint64 // free
	Inodes      uint64 // free
	TotalInodes uint64 // 0 where the file system has no such number
}

// File is something of ours, or a folder above it.
type File struct {
	Path     string
	UID, GID uint32
	Mode     uint32 // permission bits
	Folder   bool
	Odd      bool // a link or otherwise neither folder nor plain file
	// Private must be root's alone; Passed must let the hook's user through.
	Private, Passed bool
	Ours            bool // ours to repair
}

// PAM is what stands in sshd's PAM service.
type PAM struct {
	Err        error
	Access     bool // pam_access is asked about accounts
	AccessFile []string
	AccessErr  error
}

// SSHD is sshd on this machine.
type SSHD struct {
	Installed bool
	Test      error // what sshd -t finds in the configuration
	Lines     []Line
	LinesErr  error
	Running   []Process
	// Endless says that it refuses a line of keys with an end, EndlessErr why it did not
	// say which one it is.
	Endless    bool
	EndlessErr error
}

// Line is a setting of sshd's configuration as sshd reads it, files included.
type Line struct {
	File  string
	Line  int
	Key   string // lower case
	Value string
	Match string // the criteria of the block it stands in; empty outside
}

// Process is a listening sshd.
type Process struct {
	PID     int
	Options []string // -o and -f with their values, as sshd takes them
}

// Sudo is sudo on this machine.
type Sudo struct {
	Installed, Visudo bool
	Version           string // its first line
	Included          bool   // the main policy reads our folder
	IncludeErr        error
	Policy            error // what visudo -c finds
}

// SELinux is what is known of it. Mode is empty where there is none.
type SELinux struct {
	Mode   string // enforcing or permissive
	Labels []Label
	Denied []string // recent denials that name us, oldest first
}

// Label is the label of a file of ours.
type Label struct{ Path, Label string }

// Login is somebody who should get in.
type Login struct {
	Name     string
	UID      uint32
	Ends     bool // the permission has an end
	Sudo     bool
	Rule     string // how sudo lists what the stack gives
	KeyTypes []string
	Account  *plan.Account // of the account files; nil when there is none
	Groups   []string      // of the account, its own first

	// What follows was asked of the system for the first accounts alone.
	Known       *plan.Account // what the name service gives; nil when nothing
	NameErr     error
	Settings    map[string][]string // sshd's, by lower-case key; nil when not asked
	SettingsErr error
	Hook        *Answer // nil when not asked
	Rules       string  // what sudo -l says
	RulesErr    error
}

// Answer is what the login hook said of an account's first key.
type Answer struct {
	Took time.Duration
	Key  bool // the key was among the lines
	Err  error
}
