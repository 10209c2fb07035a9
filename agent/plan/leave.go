package plan

import (
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/name"
)

// Leave is what becomes, beside being closed, of the accounts of who may not enter any
// more. The zero value removes nothing.
type Leave struct {
	// Gone are the accounts of users who are not of the stack any more. They are
	// removed. Who merely may not enter now keeps account and home.
	Gone  map[authz.Username]bool
	Homes Homes
}

// Homes is what becomes of the home of an account that is removed.
type Homes int

// The fates of a home.
const (
	KeepHomes    Homes = iota
	ArchiveHomes       // packed into one file that root alone reads, then removed
	DeleteHomes
)

// ErrAdoptedHolds refuses a user whose name is that of an adopted account of another:
// what we did not make we do not remove.
var ErrAdoptedHolds = name.Refuse("adopted_account", "an adopted account of another user has the name, and is not removed")

// goes reports whether the account is removed. One that was adopted is only closed:
// we did not make it, and do not know whose files it holds. What bears its name or
// uid by now and is not it stays too.
func (d *differ) goes(a leaver) bool {
	return d.want.Leave.Gone[a.user] && a.own.Before == nil && !a.nameLost && !a.uidLost
}

// homeGoes reports whether the account is removed with its home.
func (d *differ) homeGoes(a leaver) bool { return d.goes(a) && d.want.Leave.Homes != KeepHomes }

// removeGone removes accounts after all that is done for others, because homes can be
// large. An account goes after its home: until then name and uid are nobody else's,
// and a plan that was cut short finds both as they were.
func (d *differ) removeGone() {
	d.endRemovals()
	for _, a := range d.leavers() {
		if !d.goes(a) {
			continue
		}
		kept := d.layout.Home(a.user)
		if home, found := d.have.Homes[kept]; d.homeGoes(a) {
			// Whatever is there under the name and is not the user's home is for the step to
			// refuse, not for us to pass over.
			if found && (a.exist || home.Real && home.UID == uint32(a.own.UID)) {
				d.step(d.removeHome(a))
			}
			kept = ""
		}
		// An heir waits also for what others left of an account; where the home is kept he has
		// it retired.
		if heir := d.heirs[a.user]; a.exist && !heir || heir && kept == "" {
			d.step(Step{Op: OpDeleteAccount, User: a.user, UID: a.own.UID, Home: kept})
		}
	}
}

func (d *differ) removeHome(a leaver) Step {
	s := Step{Op: OpRemoveHome, User: a.user, UID: a.own.UID, Home: d.layout.Home(a.user)}
	if d.want.Leave.Homes == ArchiveHomes {
		s.Path = d.layout.Archive(a.user, a.own.UID)
	}
	return s
}

// closedHomeless reports whether an account that we closed, also one that others have opened
// since, has no home, so that its user, who is let in again, needs all of it anew.
func (d *differ) closedHomeless(a Account, g authz.Grant) bool {
	_, home := d.have.Homes[d.layout.Home(g.Username)]
	own := d.owned.Accounts[g.Username]
	return (a.Locked() || own.State == Revoked) && !home && own.Before == nil
}

// endRemovals removes what is left of homes whose removal was cut short, whatever became
// of their users since.
func (d *differ) endRemovals() {
	var left []Step
	for user, own := range d.owned.Accounts {
		path := d.layout.GoneHome(user, own.UID)
		if home, found := d.have.Homes[path]; found && home.Real && home.UID == uint32(own.UID) {
			left = append(left, Step{Op: OpRemoveHome, User: user, UID: own.UID, Home: path})
		}
	}
	slices.SortFunc(left, func(a, b Step) int { return strings.Compare(a.Home, b.Home) })
	d.plan.Steps = append(d.plan.Steps, left...)
}

// Reasons for which a home stays where it should be removed. Its account stays too,
// closed, so that nobody else gets its uid with the files.
var (
	ErrHomeKept = name.Refuse("home_kept", "the home stays as it is, and the account stays closed")
	ErrHomeOpen = name.Refuse("home_in_use", "the account of the home is not closed")
	ErrHomeLong = name.Refuse("home_too_long", "the home takes too long to pack: pack it by hand and remove it")
	ErrHomeNext = name.Refuse("home_unfinished", "the time for homes is used up: the next pass goes on")
)
