package plan

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"latchkey/authz"
)

// KeysMode is how sshd gets the keys of our accounts, in the word of the stack's
// settings. The zero value stands for KeysCommand.
type KeysMode string

// The modes.
const (
	KeysCommand   KeysMode = "command"   // sshd asks the login hook
	KeysDirectory KeysMode = "directory" // sshd reads our folder itself, as the user
	KeysHome      KeysMode = "home"      // sshd reads the user's own file, with a block of ours
)

// KeysInHome is the file in a home that holds our block, relative to the home.
const KeysInHome = ".ssh/authorized_keys"

// AsksHook reports whether sshd runs the login hook in this mode.
func (m KeysMode) AsksHook() bool { return m.orCommand() == KeysCommand }

func (m KeysMode) orCommand() KeysMode {
	if m == "" {
		return KeysCommand
	}
	return m
}

// RefusesEnd reports whether the sshd of this machine would refuse the keys of a grant in
// this mode, because it ends.
func (s State) RefusesEnd(m KeysMode, g authz.Grant) bool {
	return s.SSHDEndless && !m.AsksHook() && !g.NotAfter.IsZero()
}

// Setting is one setting of sshd_config(5).
type Setting struct{ Key, Value string }

// SSHDSettings are those of our drop-in for our users. sshd -T prints them with the
// key in lower case. In command and directory mode keys that users put into their own
// home are not honoured (requirement R28); in home mode they are, by the stack's wish.
func SSHDSettings(l Layout, m KeysMode) []Setting {
	switch m {
	case KeysDirectory:
		return []Setting{{"AuthorizedKeysFile", l.KeysDir + "/%u"}, {"AuthorizedKeysCommand", "none"}}
	case KeysHome:
		return []Setting{{"AuthorizedKeysFile", KeysInHome}, {"AuthorizedKeysCommand", "none"}}
	}
	return []Setting{{"AuthorizedKeysFile", "none"}, {"AuthorizedKeysCommand", HookCommand(l)}, {"AuthorizedKeysCommandUser", l.HookUser}}
}

// SSHDFile prints the sshd drop-in. Everything stands in one Match block, so
// users who are not ours are as before: their key files, and any hook of others,
// are untouched. The closing Match keeps the block from swallowing what a later file
// says.
func SSHDFile(l Layout, m KeysMode) []byte {
	var b strings.Builder
	b.WriteString(header + "Match Group " + l.MarkerGroup + "\n")
	for _, s := range SSHDSettings(l, m) {
		b.WriteString("\t" + s.Key + " " + s.Value + "\n")
	}
	b.WriteString("Match all\n")
	return []byte(b.String())
}

// A mode is changed without a moment in which somebody who may log in cannot: what the
// new mode needs is there before sshd is told, and what the old one needed stays until
// nobody logs in by it any more. So the ledger knows every mode that sshd may be using,
// and the plan serves all of them.

// lateLogins is how long after a change a login may go on that began before it: sshd's
// LoginGraceTime is two minutes unless it is set otherwise, and a reload takes a moment.
// It is measured by the wall clock, for an agent that starts anew too: where that jumps
// meanwhile, such a login may be refused once.
const lateLogins = 3 * time.Minute

// KeysMode is the mode that sshd uses, as far as it was proved.
func (l Ledger) KeysMode() KeysMode {
	if modes := l.modes(); len(modes) > 0 {
		return modes[0]
	}
	return KeysCommand
}

// modes are those that sshd may be using. A ledger of before there were others says
// none.
func (l Ledger) modes() []KeysMode {
	if len(l.SSHDModes) == 0 && l.SSHD {
		return []KeysMode{KeysCommand}
	}
	return l.SSHDModes
}

// intendMode records that sshd is about to be told a mode: it may use any of them then.
func (l *Ledger) intendMode(m KeysMode) {
	if m = m.orCommand(); !slices.Contains(l.SSHDModes, m) {
		l.SSHDModes = append(slices.Clone(l.SSHDModes), m)
	}
	l.SSHD, l.SSHDLoaded, l.SSHDSince = true, false, time.Time{}
}

// doneMode records that sshd was proved to use it. Logins that began before go on by
// the others.
func (l *Ledger) doneMode(m KeysMode) {
	m = m.orCommand()
	others := slices.DeleteFunc(slices.Clone(l.SSHDModes), func(o KeysMode) bool { return o == m })
	l.SSHDModes, l.SSHDLoaded, l.SSHDSince = append([]KeysMode{m}, others...), true, time.Time{}
}

// NoSSHD records that our drop-in is not in, and is not wanted.
func (l *Ledger) NoSSHD() {
	l.SSHD, l.SSHDLoaded, l.SSHDModes, l.SSHDSince, l.Displaced = false, false, nil, time.Time{}, ""
}

// Outlive forgets the modes by which nobody can be logging in any more, some minutes
// after sshd was proved to use another. It says whether anything changed.
func (l *Ledger) Outlive(now time.Time) (changed bool) {
	switch {
	case !l.SSHDLoaded || len(l.SSHDModes) < 2:
		return false
	case l.SSHDSince.IsZero() || now.Before(l.SSHDSince):
		l.SSHDSince = now
	case now.Sub(l.SSHDSince) < lateLogins:
		return false
	default:
		l.SSHDModes, l.SSHDSince = l.SSHDModes[:1:1], time.Time{}
	}
	return true
}

// InHomes are the accounts in whose homes sshd may read lines of ours now.
func (l Ledger) InHomes() map[authz.Username]authz.UID {
	homes := map[authz.Username]authz.UID{}
	if !slices.Contains(l.modes(), KeysHome) {
		return homes
	}
	for user, own := range l.Accounts {
		if own.Block {
			homes[user] = own.UID
		}
	}
	return homes
}

// uses reports whether sshd may get keys in this mode, now or after the plan.
func (d *differ) uses(m KeysMode) bool {
	return d.want.SSHD && (d.want.KeysMode.orCommand() == m || slices.Contains(d.owned.modes(), m))
}

// proved reports whether sshd is known to use the wanted mode.
func (d *differ) proved() bool {
	return d.owned.SSHD && d.owned.SSHDLoaded && d.owned.KeysMode() == d.want.KeysMode.orCommand()
}

// switching reports whether sshd may use a mode that is not the wanted one.
func (d *differ) switching() bool {
	return !d.proved() && slices.ContainsFunc(d.owned.modes(), func(m KeysMode) bool { return m != d.want.KeysMode.orCommand() })
}

func (d *differ) writeSSHD() {
	l, mode := d.layout, d.want.KeysMode.orCommand()
	if !d.want.SSHD || d.proved() && d.have.has(l.SSHD, SSHDFile(l, mode), sshdAttr()) {
		return
	}
	s := Step{Op: OpWriteSSHD, Path: l.SSHD, Attr: sshdAttr(), Mode: mode, Switch: d.switching(), Why: d.changed(l.SSHD)}
	if s.Switch || mode != KeysCommand {
		s.Why = "keys mode " + string(mode)
	}
	d.step(s)
}

// takeBlocks takes our lines out of the homes in which nobody is to find them. Where
// the home is not the account's any more there is nothing of ours.
func (d *differ) takeBlocks() {
	keep := map[string]bool{}
	for _, g := range d.admitted {
		keep[g.Username.String()] = d.uses(KeysHome) && d.owned.Accounts[g.Username].UID == g.UID
	}
	var steps []Step
	for user, own := range d.owned.Accounts {
		home := d.have.Homes[d.layout.Home(user)]
		if own.Block && !keep[user.String()] && home.Real && home.UID == uint32(own.UID) {
			steps = append(steps, Step{Op: OpTakeBlock, User: user, UID: own.UID, Path: d.layout.InHome(user)})
		}
	}
	slices.SortFunc(steps, func(a, b Step) int { return strings.Compare(a.User.String(), b.User.String()) })
	d.plan.Steps = append(d.plan.Steps, steps...)
	d.takeSomeBlocks()
}

// takeSomeBlocks puts right our lines in the homes where they are more than they should
// be: like takeSomeKeys it waits for nobody, and not for an account either, which would be
// made for the key that goes too.
func (d *differ) takeSomeBlocks() {
	if !d.uses(KeysHome) {
		return // takeBlocks takes all of them
	}
	for _, g := range d.admitted {
		own, lines := d.owned.Accounts[g.Username], blockOf(g)
		b := d.have.Blocks[g.Username]
		if !own.Block || own.UID != g.UID || b.Err != nil || !d.homeOf(g.Username, g.UID) || !losesLines([]byte(b.Lines), lines) {
			continue
		}
		s := Step{Op: OpTakeBlock, User: g.Username, UID: g.UID, Path: d.layout.InHome(g.Username), Keys: lines}
		if len(lines) > 0 {
			s.Why = "holds what it should not"
		}
		d.keysWritten[s.Path] = true
		d.step(s)
	}
}

// blockOf is what our block in the home of an admitted grant holds: its key file less the
// header.
func blockOf(g admitted) []byte {
	_, lines, _ := bytes.Cut(g.keys, []byte("\n"))
	return lines
}

// giveBlocks puts our lines into the homes. A home that was seen to be in no state for
// it is refused, for that user alone, and keeps nobody waiting.
func (d *differ) giveBlocks() {
	if !d.uses(KeysHome) {
		return
	}
	for _, g := range d.admitted {
		path, lines := d.layout.InHome(g.Username), blockOf(g)
		own, b := d.owned.Accounts[g.Username], d.have.Blocks[g.Username]
		account, exists := d.have.Accounts[g.Username.String()]
		comes := !exists || !d.opened(g.Username) || d.closedHomeless(account, g.Grant) // the plan opens or makes account and home
		switch {
		case own.Block && b.Err != nil && !comes:
			d.plan.Refused = append(d.plan.Refused, Refused{g.Username.String(), b.Err})
		case !d.keysWritten[path] && (b.Lines != string(lines) || b.Found != (len(lines) > 0)):
			d.step(Step{Op: OpWriteBlock, User: g.Username, UID: g.UID, Path: path, Keys: lines})
		}
	}
}
