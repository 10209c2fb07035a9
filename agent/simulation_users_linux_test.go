//go:build !race

package agent_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/authz/wire"
)

// simNames are who may be granted something. deby is on the machine from the start, for
// emergencies, and must stay as he is.
var simNames = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "deby"}

// simCrowd is who comes all at once, so many that their accounts are made in bulk.
var simCrowd = newSimCrowd(18)

func newSimCrowd(n int) (names []string) {
	for i := range n {
		names = append(names, "crowd"+string(rune('a'+i)))
	}
	return names
}

// simKeys are the keys that people have, as they stand in a bundle; simPlanted are those
// that they, and others, put into homes.
var (
	simKeys    = newSimKeys(0, 6)
	simPlanted = newSimKeys(100, 4)
)

func newSimKeys(first, n int) (keys []string) {
	for i := range n {
		public := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(first + i + 1)}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
		blob := slices.Concat([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), public)
		keys = append(keys, "ssh-ed25519 "+base64.StdEncoding.EncodeToString(blob))
	}
	return keys
}

// simCommands are what sudo is limited to: nothing, a list, or one that sudoers would
// read otherwise than it looks, which gives no sudo at all.
var simCommands = [][]string{nil, {"/usr/bin/id -u"}, {"/usr/bin/id -u", "/usr/sbin/reboot"}, {"/usr/sbin/reboot"}, {"/usr/bin/vi *"}}

// simRestricted begins the line of a key that only opens a session.
const simRestricted = `tunnel="2147483645",restrict,no-agent-forwarding,no-port-forwarding,no-user-rc,no-X11-forwarding,pty`

// simUser is somebody who may log in.
type simUser struct {
	name       string
	uid        int64
	keys       []int // of simKeys
	sudo       bool
	commands   []string // what sudo is limited to
	restricted bool
	end        time.Time
}

func (u simUser) id() string { return newUser(u.name, u.uid, false).ID }

func (u simUser) wire() wire.User {
	w := newUser(u.name, u.uid, u.sudo)
	w.Keys, w.SudoCommands, w.Restricted = []string{}, u.commands, u.restricted
	for _, k := range u.keys {
		w.Keys = append(w.Keys, simKeys[k])
	}
	if !u.end.IsZero() {
		w = until(w, u.end)
	}
	return w
}

// hasSudo reports whether there is sudo for him, of which a list that is refused leaves
// nothing.
func (u simUser) hasSudo() bool {
	return u.sudo && !slices.ContainsFunc(u.commands, func(c string) bool { return strings.Contains(c, "*") })
}

// withSudoOf is u with no more sudo than o has too.
func (u simUser) withSudoOf(o simUser) simUser {
	switch {
	case !u.hasSudo() || !o.hasSudo():
		u.sudo = false
	case len(u.commands) == 0:
		u.commands = o.commands
	case len(o.commands) > 0:
		u.commands = slices.DeleteFunc(slices.Clone(u.commands), func(c string) bool { return !slices.Contains(o.commands, c) })
		u.sudo = len(u.commands) > 0
	}
	return u
}

// keepsSudo reports whether he may do after what he may do now.
func (u simUser) keepsSudo(after simUser) bool {
	left := u.withSudoOf(after)
	return !u.hasSudo() || left.sudo && slices.Equal(left.commands, u.commands)
}

// rule is his line of sudoers without his name.
func (u simUser) rule() string {
	rule := "ALL=(ALL:ALL) "
	if !u.end.IsZero() {
		rule += "NOTAFTER=" + simTime(u.end) + " "
	}
	if len(u.commands) == 0 {
		return rule + "NOPASSWD: ALL"
	}
	var commands []string
	for _, c := range u.commands {
		if !strings.Contains(c, " ") {
			c += ` ""`
		}
		commands = append(commands, c)
	}
	return rule + "NOPASSWD: " + strings.Join(commands, ", ")
}

// keyFact is what a key of his is to sshd, TYPE BASE64.
func (u simUser) keyFact(kind, key string) fact {
	_, blob, _ := strings.Cut(key, " ")
	what := simTime(u.end) + " " + blob
	if u.restricted {
		what += " restricted"
	}
	return fact{kind, u.name, fmt.Sprint(u.uid) + " " + what}
}
