package wire

import (
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
)

// Opened is a bundle that OpenAfter proved, with what its users were parsed into. Only
// OpenAfter makes one. The zero value is of no bundle and spares nothing its proof.
//
// A stack has many users and a change concerns few. To prove a key takes a hundred times
// as long as to compare it, and the answer hangs on nothing but the key's bytes and the
// policy. So what stood, byte for byte, in the bundle before is not proved again, as long
// as the policy is the same; this is the only place where that is decided. A bundle that
// is read from the disk when an agent starts has none before it: all of it is proved.
type Opened struct {
	bundle Bundle
	places map[string]int // by its text, where among the users one stands
	reading
}

// Bundle returns the bundle. Its slices are not to be changed.
func (o Opened) Bundle() Bundle { return o.bundle }

// Access returns what Bundle.Access does, without doing it again. The grants are not to
// be changed.
func (o Opened) Access() (authz.Access, []Rejected) { return o.access, o.rejected }

// Proved returns how many keys had to be proved to open the bundle.
func (o Opened) Proved() int { return o.proved }

// OpenAfter is Open, and Access, for a bundle that comes after another. What it gives,
// and what it refuses, is the same whatever stood in the one before.
func OpenAfter(before Opened, sealed []byte, trusted note.Verifiers, target Target) (Opened, error) {
	text, err := prove(sealed, trusted)
	if err != nil {
		return Opened{}, err
	}
	o, from, err := before.decode(text)
	if err != nil {
		return Opened{}, err
	}
	if err := o.bundle.check(target); err != nil {
		return Opened{}, err
	}
	o.reading = o.bundle.read(func(user int) (authz.Grant, bool) { return before.grant(from[user], o.bundle.keyPolicy()) })
	return o, nil
}

// decode is Decode of a bundle that comes after another. A bundle is in canonical form
// when all around its users is, and each of its users: those that stood in the one
// before were in it. It also returns where each user stood there, less than 0 for one
// that did not.
func (o Opened) decode(text string) (next Opened, from []int, err error) {
	around, users, cut := cutUsers(text)
	if len(o.places) == 0 || !cut {
		return decodeWhole(text, users)
	}
	if err := Decode([]byte(around), &next.bundle); err != nil {
		return Opened{}, nil, err
	}
	next.places = make(map[string]int, len(users))
	next.bundle.Users, from = make([]User, len(users)), make([]int, len(users))
	for i, text := range users {
		place, stood := o.places[text]
		if stood {
			next.bundle.Users[i], from[i] = o.bundle.Users[place], place
		} else {
			from[i] = -1
			err = Decode([]byte(text+"\n"), &next.bundle.Users[i])
		}
		if err != nil {
			return Opened{}, nil, err
		}
		next.put(text, i)
	}
	return next, from, nil
}

// decodeWhole decodes a bundle of which nothing stood in another, and whose users have
// the texts given.
func decodeWhole(text string, users []string) (next Opened, from []int, err error) {
	if err := Decode([]byte(text), &next.bundle); err != nil {
		return Opened{}, nil, err
	}
	if n := len(next.bundle.Users); len(users) == n { // as it always is
		next.places = make(map[string]int, n)
		for i, text := range users {
			next.put(text, i)
		}
	}
	return next, slices.Repeat([]int{-1}, len(next.bundle.Users)), nil
}

// put keeps where a user stands, the first of two with the same text.
func (o Opened) put(text string, place int) {
	if _, twice := o.places[text]; !twice {
		o.places[text] = place
	}
}

// cutUsers cuts the text of a bundle into the bundle without its users and the text of
// each user, if it looks like one that has any. Inside a string a quote has a backslash
// before it, so in canonical form none of what is looked for stands anywhere else.
func cutUsers(text string) (around string, users []string, cut bool) {
	const opening, next, closing = `"users":[`, `,{"id":`, `],"settings":`
	head, rest, found := strings.Cut(text, opening)
	end := strings.LastIndex(rest, closing)
	if !found || end <= 0 {
		return "", nil, false
	}
	around, rest = head+opening+rest[end:], rest[:end]
	users = make([]string, 0, strings.Count(rest, next)+1)
	for at := strings.Index(rest, next); at >= 0; at = strings.Index(rest, next) {
		users, rest = append(users, rest[:at]), rest[at+1:]
	}
	return around, append(users, rest), true
}

// grant returns what a user of the bundle was parsed into when all of him was good and
// the same was asked of keys.
func (o Opened) grant(user int, policy authz.KeyPolicy) (authz.Grant, bool) {
	if user < 0 || user >= len(o.at) || o.at[user] < 0 || o.bundle.keyPolicy() != policy {
		return authz.Grant{}, false
	}
	return o.access.Grants[o.at[user]], true
}
