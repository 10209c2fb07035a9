package authz

import (
	"errors"
	"strings"
	"time"
)

// Explanation says why a user may, or may not, enter the machines of a stack.
type Explanation struct {
	May    bool
	Reason *Refusal // nil when he may
	Grant  Grant    // the zero value when he may not
	Ended  bool     // the permission has ended
	Text   string   // the answer in one sentence
	Lines  []string // what bears on it, one fact each
}

// Explain puts into words what Enter decides about a user's permission, as it is
// stored. Somebody without a key may enter, as far as it goes: he has an account that
// nobody can log in to.
func Explain(u Profile, p Permission, now time.Time) Explanation {
	grant, err := Enter(u, p, now)
	e := Explanation{May: err == nil, Grant: grant, Ended: ended(p.NotAfter, now)}
	if err != nil {
		errors.As(err, &e.Reason)
		e.Text = "may not enter: " + err.Error()
	} else {
		e.Text = "may enter as " + grant.Username.String() + entering(grant)
	}
	e.Lines = append(permissionLines(p, e.Ended), profileLines(u)...)
	return e
}

func entering(g Grant) string {
	text := ", without sudo"
	if g.Sudo {
		text = ", with sudo"
	}
	if !g.SudoCommands.IsZero() {
		text = ", with sudo for " + g.SudoCommands.Count()
	}
	if g.Restricted {
		text += ", without forwarding"
	}
	if !g.NotAfter.IsZero() {
		text += ", until " + instantText(g.NotAfter)
	}
	if len(g.Keys) == 0 {
		text += ", but has no SSH key to log in with"
	}
	return text
}

func permissionLines(p Permission, over bool) []string {
	is := "is"
	if over {
		is = "was"
	}
	lines := []string{"the level on the stack " + is + " " + p.Level.String()}
	if p.Level.denies() {
		lines[0] += ", which closes the machines too"
	}
	lines = append(lines, "AllowSsh "+is+set(p.AllowSSH))
	sudo := "AllowSudo " + is + set(p.AllowSudo)
	if p.AllowSudo && !p.AllowSSH {
		sudo += ", and has no effect without AllowSsh"
	}
	lines = append(lines, sudo)
	if p.Restricted {
		lines = append(lines, "access "+is+" restricted to sessions: no forwarding of ports, agent or X11, no tunnel")
	}
	for _, c := range p.SudoCommands.List() {
		lines = append(lines, "sudo "+is+" limited to "+commandText(c))
	}
	switch {
	case over:
		lines = append(lines, "the permission ended "+instantText(p.NotAfter))
	case p.NotAfter.IsZero():
		lines = append(lines, "the permission does not end by itself")
	default:
		lines = append(lines, "the permission ends "+instantText(p.NotAfter))
	}
	return lines
}

func profileLines(u Profile) []string {
	account := "the user has no SSH user name"
	if !u.Username.IsZero() {
		account = "the account is " + u.Username.String() + ", uid " + u.UID.String()
	}
	lines := []string{account}
	for _, k := range u.Keys {
		lines = append(lines, "the user has the SSH key "+k.Type()+" "+k.Fingerprint())
	}
	if len(u.Keys) == 0 {
		lines = append(lines, "the user has no SSH key")
	}
	if u.SelfManagement {
		lines = append(lines, "the user may change the key himself")
	}
	return lines
}

// commandText says what a command of a list stands for.
func commandText(c string) string {
	if strings.Contains(c, " ") {
		return c + ", with exactly these arguments"
	}
	return c + ", without arguments"
}

func set(is bool) string {
	if is {
		return " set"
	}
	return " not set"
}

func instantText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
