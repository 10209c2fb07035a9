package authz

import (
	"strings"
	"time"
)

// AuthorizedKeysLine renders one key of a grant as a line of sshd's
// authorized_keys format (sshd(8)), without the newline. Options come from the
// grant alone: expiry-time, in UTC, when the grant ends. The comment is the login
// name; nothing that a person typed is in the line (requirements R2, R3, R11).
func AuthorizedKeysLine(g Grant, k Key) string {
	var b strings.Builder
	if !g.NotAfter.IsZero() {
		b.WriteString(`expiry-time="` + sshTime(g.NotAfter) + `" `)
	}
	b.WriteString(k.String())
	b.WriteString(" " + g.Username.String())
	return b.String()
}

// SudoersTime renders an instant for NOTAFTER of sudoers(5), in UTC, to the second.
func SudoersTime(t time.Time) string { return sshTime(t) }

// sshTime is YYYYMMDDHHMMSSZ: the Z matters, without it sshd reads local time.
func sshTime(t time.Time) string { return t.UTC().Format("20060102150405Z") }
