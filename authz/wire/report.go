package wire

import "time"

// Report is what an instance says it did with a bundle: its receipt. The
// request that carries it is signed by the instance.
type Report struct {
	Epoch   int64    `json:"epoch"`
	Serial  int64    `json:"serial"`
	At      string   `json:"at"`      // RFC 3339
	Steps   []Result `json:"steps"`   // what was done, in order
	Refused []Result `json:"refused"` // users that were not set up, and why
	Facts   Facts    `json:"facts"`
	// Uses are logins that were not told before, at most MaxUses: the newest of each
	// account and key.
	Uses []Use `json:"uses"`
	// Inventory is the access that is not ours; its At is empty when nothing new is to
	// say about it.
	Inventory Inventory `json:"inventory"`
}

// MaxUses bounds the uses in one report.
const MaxUses = 2000

// Use is when an account was last logged in to, with a key or otherwise.
type Use struct {
	Name        string `json:"name"`        // the account
	Fingerprint string `json:"fingerprint"` // SHA256:…, as sshd prints it; empty: no key, or one of unknown fingerprint
	At          string `json:"at"`          // RFC 3339, UTC, seconds; by the instance's clock
	// Proved says that the system's journal names sshd as the writer. Text in a log
	// file may be anybody's.
	Proved bool `json:"proved"`
}

// Instant reads At, or returns ErrTime.
func (u Use) Instant() (time.Time, error) { return parseTime(u.At) }

// MaxUnmanaged bounds the entries of an inventory.
const MaxUnmanaged = 1000

// Inventory is what lets people into a machine, or makes them root there, beside the
// stack. Its text is printed from what was parsed: what a person typed is not in it.
type Inventory struct {
	At      string      `json:"at"`      // when it was taken, RFC 3339; empty: none was
	Entries []Unmanaged `json:"entries"` // at most MaxUnmanaged
	More    int         `json:"more"`    // how many more there are
}

// Instant reads At, or returns ErrTime, also where none was taken.
func (i Inventory) Instant() (time.Time, error) { return parseTime(i.At) }

// Unmanaged is one access that is not ours.
type Unmanaged struct {
	Kind    string `json:"kind"`    // see the constants
	Account string `json:"account"` // an account, or whom sudoers names: %GROUP, ALL, #UID
	Place   string `json:"place"`   // the file it stands in; empty for what stands in no file of its own
	What    string `json:"what"`    // a key's type and fingerprint, a rule's sort, a group
}

// The kinds of access that is not ours.
const (
	UnmanagedKey      = "key"               // in a file that sshd may read
	UnmanagedSudo     = "sudo_rule"         // of a foreign file
	UnmanagedMember   = "privileged_member" // of a group that is as good as root
	UnmanagedRoot     = "uid_0"             // an account besides root
	UnmanagedPassword = "password"          // opens an account
	UnmanagedUnread   = "not_read"          // a place that may hold more
)

// UnmanagedKinds lists them.
func UnmanagedKinds() []string {
	return []string{UnmanagedKey, UnmanagedSudo, UnmanagedMember, UnmanagedRoot, UnmanagedPassword, UnmanagedUnread}
}

// Result is one line of a report: a step's text, or a user's name, and what
// went wrong, empty when nothing did.
type Result struct {
	What  string `json:"what"`
	Code  string `json:"code"`
	Error string `json:"error"`
}
