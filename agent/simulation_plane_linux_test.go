//go:build !race

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// simBundle is what the control plane once issued.
type simBundle struct {
	epoch, serial int64
	users         map[string]simUser // who may log in by it
	confirms      map[string]bool
	settings      wire.Settings
	stale         string // drop-sudo, drop-all or nothing
	staleAfter    time.Duration
	sealed        []byte
	issued        string
	made          time.Time
	byHand        bool            // somebody called for it whatever it takes away
	named         map[string]bool // the ids of everybody in it, well or badly
	uids          map[int64]bool
}

// after reports whether the bundle is newer than another.
func (b *simBundle) after(other *simBundle) bool {
	return b.epoch > other.epoch || b.epoch == other.epoch && b.serial > other.serial
}

// simPlane is the control plane, and the network in between with what it does to
// answers.
type simPlane struct {
	s             *sim
	epoch, serial int64
	nextUID       int64
	users         map[string]simUser
	extra         []wire.User // who is in the bundle and must not get in
	settings      wire.Settings
	stale         string
	staleAfter    time.Duration
	newest        *simBundle
	all           []*simBundle
	confirmable   map[string]bool // everybody there ever was
	down          time.Time       // until then it does not answer
	tells         bool            // what time it is
	hostile       [][]byte        // what comes instead, once each
	came          []byte          // what came instead the last time
	answered      int             // answers to an agent that did not fail
	made          int             // bundles
	rolledBack    bool            // it works from a backup
	heard         wire.Report     // the last
}

func newSimPlane(s *sim) *simPlane {
	return &simPlane{s: s, epoch: 1, nextUID: 20000, users: map[string]simUser{}, confirmable: map[string]bool{}, tells: true, settings: wire.DefaultSettings()}
}

// Bundle answers at once.
func (p *simPlane) Bundle(_ context.Context, epoch, serial int64, _ time.Duration) ([]byte, bool, error) {
	if time.Now().Before(p.down) || p.newest == nil {
		if p.s.bug.deaf {
			return nil, false, nil
		}
		return nil, false, errors.New("connection refused")
	}
	p.answered++
	p.came = nil
	if len(p.hostile) > 0 {
		p.came, p.hostile = p.hostile[0], p.hostile[1:]
		return p.came, true, nil
	}
	if epoch == p.newest.epoch && serial == p.newest.serial {
		return nil, false, nil
	}
	return p.newest.sealed, true, nil
}

// Report takes what it gets, sometimes without the agent's hearing of it.
func (p *simPlane) Report(_ context.Context, r wire.Report) error {
	p.s.point("report")
	if time.Now().Before(p.down) {
		return errors.New("connection refused")
	}
	p.heard = r
	if p.s.noise > 0 && p.s.rng.Float64() < p.s.noise {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// rollBack is a restore from a backup, without a new epoch, as an administrator in haste
// may do it.
func (p *simPlane) rollBack() {
	old := p.all[p.s.rng.IntN(len(p.all))]
	if old.epoch != p.epoch {
		return
	}
	p.s.say("control plane rolled back to %d.%d", old.epoch, old.serial)
	p.serial, p.newest, p.users, p.rolledBack = old.serial, old, maps.Clone(old.users), true
}

// recovers ends all that is wrong with it, a rollback as `restore --new-epoch` does.
func (p *simPlane) recovers() {
	p.down, p.tells, p.hostile = time.Time{}, true, nil
	if p.rolledBack {
		p.epoch, p.serial, p.rolledBack = p.epoch+1, 0, false
	}
}

// Date is the right time, if it tells one.
func (p *simPlane) Date() (told, heard time.Time) {
	if !p.tells {
		return time.Time{}, time.Time{}
	}
	return time.Now(), time.Now()
}

// confirmation is how many removals a bundle has a word for.
type confirmation string

const (
	none confirmation = "none"
	some confirmation = "some"
	all  confirmation = "all"
)

// issue makes the newest bundle of what is wanted, with or without a word for the
// removals in it.
func (p *simPlane) issue(confirmed confirmation) *simBundle {
	p.serial++
	p.newest = p.make(p.epoch, p.serial, p.users, confirmed)
	p.all = append(p.all, p.newest)
	p.s.say("issued %d.%d, %s confirmed, stale %s %v, %+v: %s", p.epoch, p.serial, confirmed, p.stale, p.staleAfter, p.settings, p)
	return p.newest
}

func (p *simPlane) make(epoch, serial int64, users map[string]simUser, confirmed confirmation) *simBundle {
	b := newBundle(serial)
	b.Epoch, b.Users = epoch, []wire.User{}
	p.made++
	b.Issued = wire.FormatTime(p.s.started.Add(time.Duration(p.made) * time.Second)) // no two are the same
	if b.Settings = p.settings; p.stale != "" {
		b.Settings.Stale = fmt.Sprintf("%s:%dh", p.stale, p.staleAfter/time.Hour)
	}
	out := &simBundle{epoch: epoch, serial: serial, users: maps.Clone(users), confirms: map[string]bool{}, issued: b.Issued, made: time.Now(), stale: p.stale, staleAfter: p.staleAfter,
		settings: b.Settings, named: map[string]bool{}, uids: map[int64]bool{}}
	for _, name := range slices.Sorted(maps.Keys(users)) {
		b.Users = append(b.Users, users[name].wire())
	}
	b.Users = append(b.Users, p.extra...)
	for _, u := range b.Users {
		out.named[u.ID], out.uids[u.UID] = true, true
	}
	for _, id := range slices.Sorted(maps.Keys(p.confirmable)) {
		if confirmed == all || confirmed == some && p.s.one(2) {
			b.Confirmed = append(b.Confirmed, id)
			out.confirms[id] = true
		}
	}
	out.sealed = seal(p.s.t, b, p.s.signer)
	return out
}

// String lists who may log in.
func (p *simPlane) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(p.users)) {
		u := p.users[name]
		word := fmt.Sprintf("%s/%d keys %v", name, u.uid, u.keys)
		if u.sudo {
			word += " sudo " + u.rule()
		}
		if !u.end.IsZero() {
			word += " until " + u.end.Format("01-02 15:04:05")
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// edit is what an administrator does.
func (p *simPlane) edit() {
	s := p.s
	name := pick(s, simNames...)
	u, known := p.users[name]
	switch what := s.rng.IntN(23); {
	case !known || what == 0: // a new person, also one of the same name
		p.nextUID++
		u = simUser{name: name, uid: p.nextUID, keys: []int{s.rng.IntN(len(simKeys))}, sudo: s.one(3)}
		if name == "deby" && s.one(2) {
			u.uid = 1000 // just that of the account that is there
		}
		p.confirmable[u.id()] = true
	case what < 4:
		u.sudo = !u.sudo
	case what < 6:
		u.keys = s.rng.Perm(len(simKeys))[:s.rng.IntN(4)]
	case what < 9:
		u.end = time.Now().Add(s.upTo(3 * 24 * time.Hour)).Truncate(time.Second)
	case what == 9:
		u.end = time.Time{}
	case what == 10:
		p.extra = hostileUsers(s)
		for _, u := range p.extra {
			p.confirmable[u.ID] = true
		}
	case what == 11:
		p.stale, p.staleAfter = pick(s, "", "", "drop-sudo", "drop-all"), time.Duration(1+s.rng.IntN(72))*time.Hour
	case what == 12 && s.one(4):
		p.epoch++
		p.serial = 0
	case what == 13: // renamed: a new account
		delete(p.users, name)
		if name = pick(s, simNames...); p.users[name].name != "" {
			return
		}
		p.nextUID++
		u.name, u.uid = name, p.nextUID
		p.confirmable[u.id()] = true
	case what == 14:
		u.commands = pick(s, simCommands...)
	case what == 15:
		u.restricted = !u.restricted
	case what == 16:
		p.settings.KeysMode = pick(s, wire.KeysCommand, wire.KeysDirectory, wire.KeysHome)
	case what == 17:
		p.settings.OnRevoke, p.settings.Homes = wire.RevokeLock, wire.HomesKeep
		if s.one(2) {
			p.settings.OnRevoke, p.settings.Homes = wire.RevokeRemove, pick(s, wire.HomesKeep, wire.HomesArchive, wire.HomesDelete)
		}
	case what == 18:
		p.settings.Unmanaged = pick(s, wire.UnmanagedReport, wire.UnmanagedAllow, wire.UnmanagedAdopt, wire.UnmanagedQuarantine)
	default:
		delete(p.users, name)
		return
	}
	p.users[name] = u
}

// crowd lets many come at once, or go.
func (p *simPlane) crowd() {
	_, here := p.users[simCrowd[0]]
	for _, name := range simCrowd {
		if here {
			delete(p.users, name)
			continue
		}
		p.nextUID++
		u := simUser{name: name, uid: p.nextUID, keys: []int{p.s.rng.IntN(len(simKeys))}, sudo: p.s.one(8)}
		p.confirmable[u.id()], p.users[name] = true, u
	}
	if f := (&simFault{op: plan.OpCreateAccount, user: pick(p.s, simCrowd...), how: pick(p.s, "refuse", "after"), err: errTool, left: -1}); !here && p.s.one(2) {
		p.s.host.faults = append(p.s.host.faults, f)
	}
}

// hostileUsers is what a control plane that was broken into may put into a bundle:
// none of it may come to a machine.
func hostileUsers(s *sim) []wire.User {
	var out []wire.User
	for i := range s.rng.IntN(3) {
		u := newUser(pick(s, "root", "deby", "../../etc/passwd", "-oProxyCommand", "eve\nroot ALL=(ALL) NOPASSWD: ALL", "latchkey-keys", "", "Eve", "ALL", "%sudo"),
			int64(29000+i), true)
		if u.Name == "deby" {
			u.UID = pick[int64](s, 0, 999, -1, 1<<32)
		}
		if s.one(2) {
			u.Keys = []string{`command="id" ` + simKeys[0]}
		}
		out = append(out, u)
	}
	return out
}

// removeMany takes many out at once.
func (p *simPlane) removeMany() {
	keep := p.s.rng.IntN(3)
	for _, name := range slices.Sorted(maps.Keys(p.users)) {
		if keep--; keep < 0 {
			delete(p.users, name)
		}
	}
}

// tamper is an answer that must not be taken.
func (p *simPlane) tamper() []byte {
	old := p.all[p.s.rng.IntN(len(p.all))]
	if last := p.all[max(0, len(p.all)-5):]; p.s.one(2) {
		old = last[p.s.rng.IntN(len(last))]
	}
	sealed := bytes.Clone(old.sealed)
	switch p.s.rng.IntN(6) {
	case 0: // damaged
		sealed[p.s.rng.IntN(len(sealed))] ^= 1 << p.s.rng.IntN(8)
		return sealed
	case 1: // cut
		return sealed[:p.s.rng.IntN(len(sealed))]
	case 2: // another stack's
		b := newBundle(p.serial+1, newUser("mallory", 29001, true))
		b.Stack, b.Epoch = strings.Replace(stackID, "1", "2", 1), p.epoch
		return seal(p.s.t, b, p.s.signer)
	case 3: // the same serial with other content
		users := maps.Clone(p.users)
		users["mallory"] = simUser{name: "mallory", uid: 29002, keys: []int{0}, sudo: true}
		if u := p.s.using; u != nil {
			return p.make(u.epoch, u.serial, users, all).sealed
		}
	case 4: // a jump that uses the serials up
		b := newBundle(p.serial+1<<40, newUser("mallory", 29003, true))
		b.Epoch = p.epoch
		return seal(p.s.t, b, p.s.signer)
	}
	return sealed // an old one
}

// bundleOf finds what was issued.
func (p *simPlane) bundleOf(sealed []byte) *simBundle {
	for _, b := range slices.Backward(p.all) {
		if bytes.Equal(b.sealed, sealed) {
			return b
		}
	}
	return nil
}

// mass says whether a bundle takes so much from another without a word for it that it
// must not be taken (requirement R143).
func (b *simBundle) mass(next *simBundle, at time.Time) bool {
	of, access, sudo, sudoers := 0, 0, 0, 0
	lives := func(u simUser) bool { return u.end.IsZero() || at.Before(u.end) }
	left := 0
	for _, u := range next.users {
		if lives(u) {
			left++
			if u.hasSudo() {
				sudoers++
			}
		}
	}
	for _, u := range b.users {
		if !lives(u) {
			continue
		}
		of++
		n, stays := next.users[u.name]
		stays = stays && n.uid == u.uid && lives(n)
		if next.confirms[u.id()] {
			continue
		}
		if !stays {
			access++
		}
		if !stays {
			n = simUser{}
		}
		if !u.keepsSudo(n) {
			sudo++
		}
		if n.hasSudo() && !u.keepsSudo(n) {
			sudoers-- // what is left of it may be good for nothing
		}
	}
	if b.leaving(next) {
		return true
	}
	return left == 0 && access > 0 || access >= 3 && access*5 > of || sudoers == 0 && sudo > 0
}

// leaving says whether a bundle that removes accounts would remove a mass of them.
func (b *simBundle) leaving(next *simBundle) bool {
	gone := 0
	for id := range b.named {
		if !next.named[id] && !next.confirms[id] {
			gone++
		}
	}
	return next.settings.OnRevoke == wire.RevokeRemove && (gone >= 3 && gone*5 > len(b.named) || gone > 0 && len(next.named) == 0)
}

// issuedAt finds what was issued by when that was.
func (p *simPlane) issuedAt(issued string) *simBundle {
	for _, b := range slices.Backward(p.all) {
		if b.issued == issued {
			return b
		}
	}
	return nil
}
