package authz

import (
	"slices"
	"sort"
	"time"

	"latchkey/authz/name"
)

// Grant is one user's way into the machines of a stack.
type Grant struct {
	User     UserID
	ARN      ARN
	Username Username
	UID      UID
	Keys     []Key
	Sudo     bool
	// SudoCommands is what sudo is limited to; zero where it is not, and without sudo.
	SudoCommands Commands
	// Restricted keys open sessions alone; see name.RestrictedKey.
	Restricted bool
	// NotAfter is the instant from which the grant is void; zero means never.
	NotAfter time.Time
}

// Access is who may enter the machines of one stack, sorted by user name.
type Access struct {
	Stack  StackID
	Grants []Grant
}

// Reasons for not entering a machine.
var (
	ErrSSHNotAllowed = name.Refuse("ssh_not_allowed", "AllowSsh is not set for the user on this stack")
	ErrExpired       = name.Refuse("expired", "the permission has ended")
	ErrNoUsername    = name.Refuse("no_username", "the user has no SSH user name")
	ErrNoUID         = name.Refuse("no_uid", "the user has no uid")
)

// Resolve says who may enter the machines of a stack. It is the only code that
// does: the bundle, the pages, explanations and tests all call it or Enter. A
// user without a permission on the stack has none. Permissions of other stacks
// are passed over.
func Resolve(stack StackID, users []Profile, permissions []Permission, now time.Time) Access {
	byUser := make(map[UserID]Permission, len(permissions))
	for _, p := range permissions {
		if p.Stack == stack {
			byUser[p.User] = p
		}
	}
	access := Access{Stack: stack}
	for _, u := range users {
		p, found := byUser[u.ID]
		if !found {
			continue
		}
		if g, err := Enter(u, p, now); err == nil {
			access.Grants = append(access.Grants, g)
		}
	}
	sort.Slice(access.Grants, func(i, j int) bool {
		return access.Grants[i].Username.String() < access.Grants[j].Username.String()
	})
	return access
}

// Enter decides for one user: the grant, or the reason why there is none. A
// deny level also closes the machines; AllowSudo without AllowSsh has no effect.
func Enter(u Profile, p Permission, now time.Time) (Grant, error) {
	switch {
	case p.Level.denies():
		return Grant{}, ErrLevelDeny
	case !p.AllowSSH:
		return Grant{}, ErrSSHNotAllowed
	case ended(p.NotAfter, now):
		return Grant{}, ErrExpired
	case u.Username.IsZero():
		return Grant{}, ErrNoUsername
	case u.UID == 0:
		return Grant{}, ErrNoUID
	}
	g := Grant{
		User: u.ID, ARN: u.ARN, Username: u.Username, UID: u.UID, Keys: u.Keys,
		Sudo: p.AllowSudo, Restricted: p.Restricted, NotAfter: p.NotAfter,
	}
	if g.Sudo {
		g.SudoCommands = p.SudoCommands
	}
	return g, nil
}

// At returns the access without the grants that have ended by now. The agent
// calls it on what it has cached, so expiry needs no network. Where none has ended the
// grants are those of a itself, and not to be changed: there may be very many.
func (a Access) At(now time.Time) Access {
	over := func(g Grant) bool { return ended(g.NotAfter, now) }
	if slices.ContainsFunc(a.Grants, over) {
		a.Grants = slices.DeleteFunc(slices.Clone(a.Grants), over)
	}
	return a
}

func ended(notAfter, now time.Time) bool { return !notAfter.IsZero() && !now.Before(notAfter) }
