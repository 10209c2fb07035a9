package plan

import (
	"fmt"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/name"
)

// Before is what an account was before it was adopted: all that giving it back needs.
// It holds what shadow(5) does, so it is kept where root alone reads and never printed.
type Before struct {
	Passwd string   `json:"passwd"` // the line of passwd(5)
	Shadow string   `json:"shadow"` // the line of shadow(5)
	Groups []string `json:"groups"` // beside its primary one
	// OwnGroup says that a group of the account's name was there, so it is not ours.
	OwnGroup bool `json:"own_group"`
}

// String hides it.
func (Before) String() string { return "as it was" }

// GoString hides it.
func (b Before) GoString() string { return b.String() }

// Local is an account of the account files, as adopting sees it.
type Local struct {
	Account
	Before     Before
	Privileged []string // the groups it is in that are as good as root
}

// Adoption is what adopting would take over, and what it would not and why.
type Adoption struct {
	Take    []Adopted
	Refused []Refused
}

// Adopted is an account that is taken over for a user.
type Adopted struct {
	Name   authz.Username
	User   authz.UserID
	UID    authz.UID
	Before Before
}

// Reasons for not adopting an account.
var (
	ErrAdoptOurs       = name.Refuse("already_ours", "the account is ours already")
	ErrAdoptGrant      = name.Refuse("not_granted", "the stack lets nobody of that name in: give the user SSH first")
	ErrAdoptNone       = name.Refuse("no_account", "there is no account of that name in the account files of this machine")
	ErrAdoptUID        = name.Refuse("other_uid", "the uid here is not the user's")
	ErrAdoptShared     = name.Refuse("uid_shared", "another account has the same uid")
	ErrAdoptPrivileged = name.Refuse("privileged_account", "the account is in a privileged group")
	ErrAdoptHome       = name.Refuse("other_home", "the home is another")
)

// Adopt says which of the accounts named may be taken over, each for the user whom a
// grant lets in under its very name and uid (requirement R15). Local are all accounts
// of the account files.
func Adopt(have State, local map[string]Local, grants []authz.Grant, names []string, owned Ledger, l Layout) Adoption {
	granted := make(map[string]authz.Grant, len(grants))
	for _, g := range grants {
		granted[g.Username.String()] = g
	}
	var out Adoption
	for _, login := range slices.Compact(slices.Sorted(slices.Values(names))) {
		g, found := granted[login]
		if err := adoptable(have, local, login, g, found, owned, l); err != nil {
			out.Refused = append(out.Refused, Refused{login, err})
			continue
		}
		out.Take = append(out.Take, Adopted{g.Username, g.User, g.UID, local[login].Before})
	}
	return out
}

// adoptable says why an account is not taken over; g is the grant of its name, if found.
func adoptable(have State, local map[string]Local, login string, g authz.Grant, found bool, owned Ledger, l Layout) error {
	a, there := local[login]
	own, ours := owned.Accounts[g.Username]
	switch {
	case found && ours && there && uint32(own.UID) == a.UID:
		return ErrAdoptOurs
	case !there:
		return ErrAdoptNone
	case !found:
		return notGranted(login)
	case a.UID != uint32(g.UID):
		return fmt.Errorf("%w: it is %d here and %s there; import the user with uid %d, or leave the account alone", ErrAdoptUID, a.UID, g.UID, a.UID)
	case strings.EqualFold(login, shortHostname(have.Hostname)):
		return ErrHostname
	case len(a.Privileged) > 0:
		return fmt.Errorf("%w: take it out of %s first", ErrAdoptPrivileged, strings.Join(a.Privileged, ", "))
	}
	for other, b := range local {
		if other != login && b.UID == a.UID {
			return fmt.Errorf("%w: %s", ErrAdoptShared, quote(other))
		}
	}
	return adoptableGroup(have, a, g, l)
}

// notGranted says of a name that no user can have that it is one.
func notGranted(login string) error {
	if _, err := name.ParseUsername(login); err != nil {
		return err
	}
	return ErrAdoptGrant
}

// adoptableGroup looks at what an account needs beside itself: its private group, which
// may be made yet, and its home.
func adoptableGroup(have State, a Local, g authz.Grant, l Layout) error {
	if holder := other(have.holders().gids[uint32(g.UID)], a.Name); holder != "" {
		return fmt.Errorf("%w: %s", ErrGIDTaken, quote(holder))
	}
	if group, taken := have.Groups[a.Name]; taken && group.GID != uint32(g.UID) {
		return fmt.Errorf("%w: its id is %d, and the account needs one with the id %s", ErrGroupTaken, group.GID, g.UID)
	}
	want := l.Home(g.Username)
	if a.Home != want {
		return fmt.Errorf("%w: it is %s and not %s; move it there with  usermod -m -d %s %s", ErrAdoptHome, quote(a.Home), want, want, a.Name)
	}
	if home := have.Homes[want]; !home.Real || home.UID != a.UID {
		return ErrHomeForeign
	}
	return nil
}

// Adopt records accounts as ours. It is stored before any of them is changed.
func (l *Ledger) Adopt(all []Adopted) {
	for _, a := range all {
		before := a.Before
		l.Accounts[a.Name] = Owned{User: a.User, UID: a.UID, State: Present, Before: &before}
	}
}

// giveBack returns adopted accounts to what they were. One that is closed because the
// stack took its access away stays closed: to open it again is for root to decide.
func (d *differ) giveBack(a leaver) {
	if !a.exist {
		return
	}
	s := Step{Op: OpGiveBack, User: a.user, UID: a.own.UID, Before: *a.own.Before,
		Closed: a.own.State == Revoked || d.have.Accounts[a.user.String()].Locked()}
	if s.Closed {
		s.Why = "it stays closed"
	}
	d.step(s)
}
