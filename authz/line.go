package authz

import (
	"strings"
	"time"

	"latchkey/authz/name"
)

// AuthorizedKeysLine renders one key of a grant as a line of sshd's
// authorized_keys format (sshd(8)), without the newline. Options come from the
// grant alone: name.RestrictedKey, when it is restricted, and expiry-time, in UTC, when
// it ends. sshd reads an end in UTC since 9.1; an older one refuses the whole line, so
// the login hook judges it, and where sshd reads the line itself the instance tells of the
// user. The comment is the login name; nothing that a person typed is in the line
// (requirements R2, R3, R11, R12).
func AuthorizedKeysLine(g Grant, k Key) string {
	var options []string
	if g.Restricted {
		options = append(options, name.RestrictedKey)
	}
	if !g.NotAfter.IsZero() {
		options = append(options, `expiry-time="`+sshTime(g.NotAfter)+`"`)
	}
	line := k.String() + " " + g.Username.String()
	if len(options) > 0 {
		line = strings.Join(options, ",") + " " + line
	}
	return line
}

// SudoersTime renders an instant for NOTAFTER of sudoers(5), in UTC, to the second.
func SudoersTime(t time.Time) string { return sshTime(t) }

// sshTime is YYYYMMDDHHMMSSZ: the Z matters, without it sshd reads local time.
func sshTime(t time.Time) string { return t.UTC().Format("20060102150405Z") }
