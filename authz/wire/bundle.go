package wire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
	"latchkey/authz/name"
)

// Bundle is the access of one stack as it crosses the network. Its strings are
// not yet parsed into types: a bad user must refuse only himself (see Users).
type Bundle struct {
	Format       int      `json:"format"`
	ControlPlane string   `json:"control_plane"`
	Stack        string   `json:"stack"`
	Epoch        int64    `json:"epoch"`
	Serial       int64    `json:"serial"`
	Issued       string   `json:"issued"` // RFC 3339, UTC, seconds
	Users        []User   `json:"users"`  // sorted by name
	Settings     Settings `json:"settings"`
	Log          LogHead  `json:"log"`
	// Confirmed names removals that an administrator confirmed although they are
	// many; an agent holds a mass removal that is not confirmed.
	Confirmed []string `json:"confirmed_removals"`
}

// User is one user of a bundle.
type User struct {
	ID           string   `json:"id"`
	ARN          string   `json:"arn"`
	Name         string   `json:"name"`
	UID          int64    `json:"uid"`
	Keys         []string `json:"keys"` // TYPE BASE64
	SSH          bool     `json:"ssh"`
	Sudo         bool     `json:"sudo"`
	SudoCommands []string `json:"sudo_commands"` // what sudo is limited to, sorted; empty: no limit
	Restricted   bool     `json:"restricted"`    // keys open sessions alone
	NotAfter     string   `json:"not_after"`     // RFC 3339, UTC, seconds; empty: no end
}

// LogHead is the audit log's size and root when the bundle was made.
type LogHead struct {
	Size int64  `json:"size"`
	Root string `json:"root"` // hex
}

// Target is what an instance accepts bundles for, and the newest it has seen.
type Target struct {
	ControlPlane string
	Stack        authz.StackID
	Epoch        int64
	Serial       int64
}

// Reasons for refusing a bundle.
var (
	ErrSignature = name.Refuse("bad_signature", "bundle has no signature by a trusted key")
	ErrFormat    = name.Refuse("unknown_format", "bundle has a format this program does not know")
	ErrTarget    = name.Refuse("wrong_target", "bundle is for another control plane or stack")
	ErrRollback  = name.Refuse("rollback", "bundle is older than one already accepted")
	ErrJump      = name.Refuse("fast_forward", "bundle's serial jumps further than is possible")
)

// maxJump bounds how far epoch and serial may run ahead, so that a single bad
// bundle cannot use the numbers up (requirement R99). A stack that changes every
// second takes eight years to come this far.
const maxJump = 1 << 28

// Seal prints the bundle and signs the exact bytes.
func Seal(b Bundle, signer note.Signer) ([]byte, error) {
	text, err := Encode(b)
	if err != nil {
		return nil, err
	}
	sealed, err := note.Sign(&note.Note{Text: string(text)}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign bundle of stack %s: %w", b.Stack, err)
	}
	return sealed, nil
}

// Open proves a sealed bundle and decodes it: signature over the received bytes
// first, by any of the trusted keys, then the form, then that it is meant for
// the target and not older than what the target has seen. The same serial is
// accepted again, so that an agent can re-read its own cache. Signatures of keys
// that are not trusted are passed over, so that keys can change.
func Open(sealed []byte, trusted note.Verifiers, target Target) (Bundle, error) {
	text, err := prove(sealed, trusted)
	if err != nil {
		return Bundle{}, err
	}
	var b Bundle
	if err := Decode([]byte(text), &b); err != nil {
		return Bundle{}, err
	}
	if err := b.check(target); err != nil {
		return Bundle{}, err
	}
	return b, nil
}

// prove returns the text of a sealed bundle that a trusted key has signed, and that is
// of our format.
func prove(sealed []byte, trusted note.Verifiers) (string, error) {
	if len(sealed) > MaxBundle {
		return "", ErrTooLarge
	}
	n, err := note.Open(sealed, trusted)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrSignature, err)
	}
	if !exactSignatures(sealed, n) {
		return "", ErrSignature
	}
	if strings.HasPrefix(n.Text, `{"format":`) && !strings.HasPrefix(n.Text, fmt.Sprintf(`{"format":%d,`, Format)) {
		return "", ErrFormat
	}
	return n.Text, nil
}

// exactSignatures reports whether the signature lines are what their signers
// wrote. The note package reads base64 with stray bits in it, and skips the
// second line of a signer unchecked.
func exactSignatures(sealed []byte, n *note.Note) bool {
	signatures := slices.Concat(n.Sigs, n.UnverifiedSigs)
	for _, s := range signatures {
		if _, err := decodeExactly(base64.StdEncoding, s.Base64); err != nil {
			return false
		}
	}
	return bytes.Count(sealed[len(n.Text)+1:], []byte("\n")) == len(signatures)
}

func (b Bundle) check(t Target) error {
	switch {
	case t.ControlPlane == "", t.Stack.IsZero(), b.ControlPlane != t.ControlPlane, b.Stack != t.Stack.String():
		return ErrTarget
	case b.Epoch < 1, b.Serial < 1:
		return ErrNotCanonical
	case b.Epoch < t.Epoch, b.Epoch == t.Epoch && b.Serial < t.Serial:
		return ErrRollback
	case b.Epoch-t.Epoch > maxJump, b.Serial-t.Serial > maxJump:
		return ErrJump
	}
	if _, err := b.IssuedAt(); err != nil {
		return err
	}
	return b.Settings.Check()
}

// IssuedAt returns when the bundle was made.
func (b Bundle) IssuedAt() (time.Time, error) { return parseTime(b.Issued) }

// Rejected is a user of a bundle that was refused, and why.
type Rejected struct {
	Name   string // as in the bundle, not safe to print unquoted
	Reason error
}

// Access parses the bundle's users into grants. A user that does not parse, or
// that clashes with one before it, is refused alone: even a valid signature
// cannot bring a bad name, uid or key to a machine (requirement R105). One whose list
// of commands does not parse is refused sudo alone, all of it, and keeps the way in: a
// list is never shortened, since an empty one would be no limit.
func (b Bundle) Access() (authz.Access, []Rejected) {
	r := b.read(func(int) (authz.Grant, bool) { return authz.Grant{}, false })
	return r.access, r.rejected
}

// reading is what the users of a bundle were parsed into.
type reading struct {
	access   authz.Access
	rejected []Rejected
	// at is where in access the grant of each user stands, less than 0 for one of whom
	// anything was refused; nil where the users were not sorted.
	at     []int
	proved int // keys
}

// read parses the users but those whose grant is known.
func (b Bundle) read(known func(user int) (authz.Grant, bool)) reading {
	stack, _ := authz.ParseStackID(b.Stack) // Open compared it with a parsed id
	r := reading{access: authz.Access{Stack: stack, Grants: slices.Grow[[]authz.Grant](nil, len(b.Users))}}
	seen := newIdentities(len(b.Users))
	for i, u := range b.Users {
		var p parsed
		var found bool
		if p.grant, found = known(i); !found {
			p = u.parse(b.keyPolicy())
			r.proved += len(u.Keys)
		}
		if p.err == nil && !seen.add(p.grant) {
			p.err = ErrTwice
		}
		r.take(u.Name, p)
	}
	byName := func(a, b authz.Grant) int { return strings.Compare(a.Username.String(), b.Username.String()) }
	if !slices.IsSortedFunc(r.access.Grants, byName) {
		slices.SortFunc(r.access.Grants, byName)
		r.at = nil
	}
	return r
}

// parsed is what a user was parsed into: err says why he is not let in, noSudo why he
// gets no sudo.
type parsed struct {
	grant       authz.Grant
	err, noSudo error
}

func (u User) parse(policy authz.KeyPolicy) (p parsed) {
	if p.grant, p.err = u.grant(policy); p.err == nil {
		p.grant.Sudo, p.grant.SudoCommands, p.noSudo = u.sudo()
	}
	return p
}

// take adds the next user.
func (r *reading) take(name string, p parsed) {
	at, why := -1, cmp.Or(p.err, p.noSudo)
	if why == nil {
		at = len(r.access.Grants)
	}
	r.at = append(r.at, at)
	if p.err == nil {
		r.access.Grants = append(r.access.Grants, p.grant)
	}
	if why != nil && !errors.Is(why, errNoSSH) {
		r.rejected = append(r.rejected, Rejected{Name: name, Reason: why})
	}
}

// keyPolicy is what is asked of the bundle's keys.
func (b Bundle) keyPolicy() authz.KeyPolicy {
	return authz.KeyPolicy{MinRSABits: b.Settings.MinRSABits, Sealed: true}
}

// identities are the names, uids and ids that are taken.
type identities struct {
	names map[authz.Username]bool
	uids  map[authz.UID]bool
	users map[authz.UserID]bool
}

func newIdentities(n int) identities {
	return identities{make(map[authz.Username]bool, n), make(map[authz.UID]bool, n), make(map[authz.UserID]bool, n)}
}

// add reports whether nothing of a grant is taken, and takes it then.
func (d identities) add(g authz.Grant) bool {
	if d.names[g.Username] || d.uids[g.UID] || d.users[g.User] {
		return false
	}
	d.names[g.Username], d.uids[g.UID], d.users[g.User] = true, true, true
	return true
}

// ErrTwice refuses a user whose name, uid or id another user of the bundle has.
var ErrTwice = name.Refuse("twice", "another user of the bundle has the same name, uid or id")

var errNoSSH = errors.New("no ssh")

func (u User) grant(policy authz.KeyPolicy) (authz.Grant, error) {
	var g authz.Grant
	var err error
	if !u.SSH {
		return g, errNoSSH
	}
	if g.Username, err = name.ParseUsername(u.Name); err != nil {
		return authz.Grant{}, err
	}
	if g.User, err = authz.ParseUserID(u.ID); err != nil {
		return authz.Grant{}, err
	}
	if g.ARN, err = authz.ParseARN(u.ARN); err != nil {
		return authz.Grant{}, err
	}
	if g.UID, err = authz.CheckUID(uint64(u.UID)); err != nil { // a negative one becomes huge
		return authz.Grant{}, err
	}
	for _, text := range u.Keys {
		k, err := authz.ParseKey(text, policy)
		if err != nil {
			return authz.Grant{}, fmt.Errorf("key: %w", err)
		}
		g.Keys = append(g.Keys, k)
	}
	if u.NotAfter != "" {
		if g.NotAfter, err = parseTime(u.NotAfter); err != nil {
			return authz.Grant{}, err
		}
	}
	g.Restricted = u.Restricted
	return g, nil
}

// sudo parses what sudo the user has, none beside an error.
func (u User) sudo() (bool, authz.Commands, error) {
	if !u.Sudo {
		return false, authz.Commands{}, nil
	}
	commands, err := authz.ParseCommands(u.SudoCommands)
	switch {
	case err != nil:
		return false, authz.Commands{}, fmt.Errorf("sudo: %w", err)
	case !slices.Equal(commands.List(), u.SudoCommands):
		return false, authz.Commands{}, fmt.Errorf("sudo: %w", ErrNotCanonical)
	}
	return true, commands, nil
}

// UserOf prints a grant as the user of a bundle.
func UserOf(g authz.Grant) User {
	u := User{
		ID: g.User.String(), ARN: g.ARN.String(), Name: g.Username.String(), UID: int64(g.UID),
		Keys: []string{}, SSH: true, Sudo: g.Sudo, SudoCommands: []string{}, Restricted: g.Restricted,
	}
	if g.Sudo {
		u.SudoCommands = append(u.SudoCommands, g.SudoCommands.List()...)
	}
	for _, k := range g.Keys {
		u.Keys = append(u.Keys, k.String())
	}
	if !g.NotAfter.IsZero() {
		u.NotAfter = FormatTime(g.NotAfter)
	}
	return u
}

// ErrTime is returned for text that is not an instant in the one form we print.
var ErrTime = name.Refuse("time_malformed", "time is not RFC 3339 in UTC to the second")

// FormatTime prints an instant as RFC 3339 in UTC to the second.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || FormatTime(t) != s || t.IsZero() { // the zero time would mean: no end
		return time.Time{}, ErrTime
	}
	return t, nil
}
