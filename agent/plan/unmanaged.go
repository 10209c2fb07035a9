package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/name"
)

// Unmanaged is what becomes of keys that somebody put into the home of an account of
// ours, in the word of the stack's settings. With all other words they are only told.
type Unmanaged string

// What a plan does about them.
const (
	UnmanagedAdopt      Unmanaged = "adopt"      // they become keys of that account here
	UnmanagedQuarantine Unmanaged = "quarantine" // they are taken out and kept for root
)

// Acts reports whether a plan does anything about them, so that they must be observed.
func (u Unmanaged) Acts() bool { return u == UnmanagedAdopt || u == UnmanagedQuarantine }

// ForeignNames are the files in a home that hold keys, relative to the home: what
// sshd reads where nothing else is said (sshd_config(5), AuthorizedKeysFile).
func ForeignNames() []string { return []string{".ssh/authorized_keys", ".ssh/authorized_keys2"} }

// ForeignFile is a file of keys in the home of an account of ours.
type ForeignFile struct {
	Path  string
	Lines []ForeignLine // that are not ours; none when it could not be read
	Err   error         // why it was not read
}

// ForeignLine is a line that sshd may read as a key.
type ForeignLine struct {
	Number int
	Text   string
}

// Reasons for leaving a key in a home alone.
var (
	ErrKeyOfOther = name.Refuse("key_of_another", "the key is another user's")
	ErrKeysMany   = name.Refuse("too_many_keys", "the account has as many adopted keys as it may")
	ErrHomeRead   = name.Refuse("home_not_read", "a key file in a home is not read")
)

// maxAdopted bounds the keys that one account may adopt: each costs a check, in every
// login too.
const maxAdopted = 16

// ReadForeign lists the lines of a key file that sshd may read as keys, but for those
// of ours. Whether they are sound keys it does not say. A file whose marks are damaged is
// refused like by SetBlock.
func ReadForeign(file []byte) ([]ForeignLine, error) {
	before, block, after, err := aroundBlock(file)
	if err != nil {
		return nil, err
	}
	lines := foreignLines(nil, before, 0)
	return foreignLines(lines, after, strings.Count(before+block, "\n")), nil
}

func foreignLines(lines []ForeignLine, text string, number int) []ForeignLine {
	for line := range strings.Lines(text) {
		number++
		if isForeign(line) {
			lines = append(lines, ForeignLine{number, strings.TrimRight(line, "\r\n")})
		}
	}
	return lines
}

// TakeForeign takes those lines out of a key file: what is left, and what was taken,
// each line of it with its newline. Our own lines, comments and empty lines stay.
func TakeForeign(file []byte) (left, taken []byte, err error) {
	before, block, after, err := aroundBlock(file)
	if err != nil {
		return nil, nil, err
	}
	take := func(text string) {
		for line := range strings.Lines(text) {
			if !isForeign(line) {
				left = append(left, line...)
				continue
			}
			taken = append(taken, strings.TrimSuffix(line, "\n")+"\n"...)
		}
	}
	take(before)
	left = append(left, block...)
	take(after)
	return left, taken, nil
}

// aroundBlock takes a file apart around our block, marks included. A file without any
// mark needs no form: sshd may read keys in it all the same.
func aroundBlock(file []byte) (before, block, after string, err error) {
	marked := false
	for line := range strings.Lines(string(file)) {
		marked = marked || isMark(line)
	}
	if !marked {
		return string(file), "", "", nil
	}
	before, _, after, _, err = cutBlock(file)
	if err != nil {
		return "", "", "", err
	}
	return before, string(file[len(before) : len(file)-len(after)]), after, nil
}

func isForeign(line string) bool {
	text := strings.TrimSpace(line)
	return text != "" && text[0] != '#'
}

// takeForeign plans to take foreign keys out of homes: of all our accounts where that is
// the stack's wish, and of those who leave also where keys are adopted, so that a later
// grant finds none of them (requirement R31).
func (d *differ) takeForeign() {
	for _, user := range d.foreignUsers() {
		own := d.owned.Accounts[user]
		if !d.quarantines(user) {
			continue
		}
		for _, f := range d.have.Foreign[user] {
			switch {
			case f.Err != nil:
				d.refuseForeign(f.Path, f.Err)
			case len(f.Lines) > 0:
				d.step(Step{Op: OpQuarantine, User: user, UID: own.UID, Path: f.Path, Home: d.layout.Quarantine(user, own.UID),
					Why: count(len(f.Lines), "key", "keys")})
			}
		}
	}
}

// foreignUsers are the accounts of ours that are still there and in whose homes was
// looked, sorted.
func (d *differ) foreignUsers() []authz.Username {
	var users []authz.Username
	for user := range d.have.Foreign {
		own, ours := d.owned.Accounts[user]
		if a, found := d.have.Accounts[user.String()]; ours && found && a.UID == uint32(own.UID) {
			users = append(users, user)
		}
	}
	slices.SortFunc(users, func(a, b authz.Username) int { return strings.Compare(a.String(), b.String()) })
	return users
}

func (d *differ) quarantines(user authz.Username) bool {
	return d.want.Unmanaged == UnmanagedQuarantine || d.want.Unmanaged == UnmanagedAdopt && !d.stays(user)
}

// opened reports whether an account of ours was made and opened: by us, or by others
// after we had closed it.
func (d *differ) opened(user authz.Username) bool {
	own := d.owned.Accounts[user]
	a, found := d.have.Accounts[user.String()]
	return own.State == Present || own.State == Revoked && found && a.UID == uint32(own.UID) && !a.Locked()
}

// stays reports whether an account of ours keeps its grant.
func (d *differ) stays(user authz.Username) bool {
	return slices.ContainsFunc(d.admitted, func(a admitted) bool { return a.Username == user && a.UID == d.owned.Accounts[user].UID })
}

// withAdopted adds to a grant's keys those that its account has adopted here.
func (d *differ) withAdopted(g authz.Grant) authz.Grant {
	own := d.owned.Accounts[g.Username]
	if d.want.Unmanaged != UnmanagedAdopt || own.UID != g.UID || !d.opened(g.Username) {
		return g
	}
	keys := slices.Clone(g.Keys)
	for _, text := range own.Adopted {
		k, err := authz.ParseKey(text, authz.KeyPolicy{Sealed: true}) // it was checked when it was adopted
		if err == nil && !slices.Contains(keys, k) && d.holderOf(k, g.Username) == nil {
			keys = append(keys, k)
		}
	}
	g.Keys = keys
	return g
}

// holderOf returns ErrKeyOfOther for a key that another user of the stack has.
func (d *differ) holderOf(k authz.Key, user authz.Username) error {
	for _, g := range d.want.Grants {
		if g.Username != user && slices.Contains(g.Keys, k) {
			return ErrKeyOfOther
		}
	}
	return nil
}

// adoptedBy reports whether another account has adopted the key, or is about to.
func (d *differ) adoptedBy(k authz.Key, user authz.Username) bool {
	for other, own := range d.owned.Accounts {
		if other != user && slices.Contains(own.Adopted, k.String()) {
			return true
		}
	}
	return slices.ContainsFunc(d.plan.Steps, func(s Step) bool { return s.Op == OpAdopt && s.User != user && string(s.Keys) == k.String() })
}

// adoptForeign plans that keys in homes become keys of their accounts, and says why
// others do not.
func (d *differ) adoptForeign() {
	if d.want.Unmanaged != UnmanagedAdopt {
		return
	}
	for _, a := range d.admitted {
		own := d.owned.Accounts[a.Username]
		if !d.opened(a.Username) || own.UID != a.UID {
			continue // it is opened first
		}
		adopted := len(own.Adopted)
		for _, f := range d.have.Foreign[a.Username] {
			if f.Err != nil {
				d.refuseForeign(f.Path, f.Err)
			}
			for _, line := range f.Lines {
				d.adoptLine(a, own, f.Path, line, &adopted)
			}
		}
	}
}

func (d *differ) adoptLine(a admitted, own Owned, path string, line ForeignLine, adopted *int) {
	if slices.ContainsFunc(own.Adopted, func(k string) bool { return line.Text == k || strings.HasPrefix(line.Text, k+" ") }) {
		return
	}
	place := fmt.Sprintf("%s line %d", path, line.Number)
	if *adopted >= maxAdopted {
		d.refuseForeign(place, ErrKeysMany)
		return
	}
	*adopted++ // also what is refused: to find that out costs the same
	k, err := authz.ParseKey(line.Text, authz.KeyPolicy{MinRSABits: d.want.MinRSABits})
	switch {
	case err == nil && (slices.Contains(a.Keys, k) || slices.Contains(own.Adopted, k.String())):
		return
	case err == nil && d.adoptedBy(k, a.Username):
		err = ErrKeyOfOther
	case err == nil:
		err = d.holderOf(k, a.Username)
	}
	if err != nil {
		d.refuseForeign(place, err)
		return
	}
	d.step(Step{Op: OpAdopt, User: a.Username, UID: a.UID, Path: path, Keys: []byte(k.String()), Why: k.Type() + " " + k.Fingerprint()})
}

func (d *differ) refuseForeign(place string, why error) {
	d.plan.Refused = append(d.plan.Refused, Refused{place, why})
}

// adopt records a key as one of an account's.
func (l *Ledger) adopt(s Step) {
	o, found := l.Accounts[s.User]
	if key := string(s.Keys); found && !slices.Contains(o.Adopted, key) {
		o.Adopted = append(slices.Clone(o.Adopted), key)
		l.Accounts[s.User] = o
	}
}

// Disown forgets the adopted keys of all accounts, because the stack does not want any.
// It says whether there were any.
func (l *Ledger) Disown() (changed bool) {
	for user := range l.Accounts {
		changed = l.disown(user) || changed
	}
	return changed
}

// Closed forgets the adopted keys of accounts that are found closed, or not found and
// nobody's: a kill may have come between closing one and the record of it, or somebody
// removed it, and a later grant must not find its keys (requirement R31). It says whether
// there were any.
func (l *Ledger) Closed(have State, grants []authz.Grant) (changed bool) {
	for user, own := range l.Accounts {
		if len(own.Adopted) > 0 && own.closed(have, user, grants) {
			changed = l.disown(user) || changed
		}
	}
	return changed
}

func (o Owned) closed(have State, user authz.Username, grants []authz.Grant) bool {
	if a, found := have.Accounts[user.String()]; found && a.UID == uint32(o.UID) {
		return a.Locked()
	}
	return !slices.ContainsFunc(grants, func(g authz.Grant) bool { return g.Username == user && g.UID == o.UID })
}

func (l *Ledger) disown(user authz.Username) bool {
	o, found := l.Accounts[user]
	if !found || len(o.Adopted) == 0 {
		return false
	}
	o.Adopted = nil
	l.Accounts[user] = o
	return true
}

// Quarantine is where keys are kept that were taken out of an account's home.
func (l Layout) Quarantine(u authz.Username, uid authz.UID) string {
	return path.Join(l.QuarantineDir, u.String()+"."+uid.String())
}
