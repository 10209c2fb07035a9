package agent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// removing is a bundle of a stack that removes accounts with their homes.
func removing(serial int64, users ...wire.User) wire.Bundle {
	b := newBundle(serial, users...)
	b.Settings.OnRevoke, b.Settings.Homes = wire.RevokeRemove, wire.HomesDelete
	return b
}

// wantHome compares whether a user has an account and a home.
func (w *world) wantHome(user string, has bool) {
	w.t.Helper()
	s := w.machine.copy()
	_, account := s.Accounts[user]
	_, home := s.Homes["/home/"+user]
	if account != has || home != has {
		w.t.Errorf("%s has an account: %t, a home: %t; want %t", user, account, home, has)
	}
}

// TestLeave: only who is not named in the newest bundle in any way loses account and
// home; whoever merely may not enter keeps both. A new login name is a new account beside
// the old one (requirements R30 in part and R32 in part).
func TestLeave(t *testing.T) {
	noSSH := newUser("alice", 20001, false)
	noSSH.SSH, noSSH.Keys = false, []string{}
	badKey := newUser("alice", 20001, true)
	badKey.Keys = []string{"ssh-dss AAAA"}
	tests := map[string]struct {
		next  []wire.User
		lock  bool
		stays bool
	}{
		"gone":             {nil, false, false},
		"gone-but-lock":    {nil, true, true},
		"ended":            {[]wire.User{until(newUser("alice", 20001, true), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))}, false, true},
		"without-ssh":      {[]wire.User{noSSH}, false, true},
		"key-refused":      {[]wire.User{badKey}, false, true},
		"renamed":          {[]wire.User{withID(newUser("alicia", 20011, false), 20001)}, false, true},
		"uid-of-another":   {[]wire.User{withID(newUser("alicia", 20001, false), 20011)}, false, true},
		"named-as-another": {[]wire.User{newUser("bobby", 20011, false)}, false, false},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.settle(removing(7, three()...))
			b := removing(8, append(three()[1:], test.next...)...)
			if test.lock {
				b.Settings.OnRevoke, b.Settings.Homes = wire.RevokeLock, wire.HomesKeep
			}
			w.issue(b)
			_, err := w.once()
			must(t, err)
			w.wantHome("alice", test.stays)
			if got := w.machine.may("alice"); test.stays && got != "locked" {
				t.Errorf("alice has %q", got)
			}
			w.wantHome("bob", true)
			if got := w.machine.may("alicia"); situation == "renamed" && got != "open keys" {
				t.Errorf("alicia has %q", got)
			}
		})
	}
}

// withID gives a user another one's id.
func withID(u wire.User, of int64) wire.User {
	u.ID = newUser("", of, false).ID
	return u
}

// TestLeave_waits: while a newer bundle is held, the newest is set aside or the clock is
// not believed, accounts are closed and not removed.
func TestLeave_waits(t *testing.T) {
	t.Run("held", func(t *testing.T) {
		w := newWorld(t)
		w.settle(removing(7, three()...))
		w.issueAsIs(removing(8)) // everybody, unconfirmed
		a := w.agent()
		must(t, a.Load())
		if err := a.Fetch(t.Context()); err == nil {
			t.Error("it is not held")
		}
		report, err := a.Pass(t.Context())
		must(t, err)
		if steps := w.machine.take(); len(steps) != 0 || !strings.Contains(faults(report), agent.ErrHeld.Code) {
			t.Errorf("steps %q, report\n%s", steps, faults(report))
		}
	})
	t.Run("clock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.settle(removing(7, three()...))
			w.issue(removing(8, three()[1:]...))
			w.source.tells(func() time.Time { return time.Now() })
			a := w.agent()
			a.Now = func() time.Time { return time.Now().Add(30 * 24 * time.Hour) }
			must(t, a.Load())
			must(t, a.Fetch(t.Context()))
			_, err := a.Pass(t.Context())
			must(t, err)
			w.wantHome("alice", true)
			if got := w.machine.may("alice"); got != "locked" {
				t.Errorf("alice has %q", got)
			}
			a.Now = time.Now
			_, err = a.Pass(t.Context())
			must(t, err)
			w.wantHome("alice", false)
		})
	})
}

// TestLeave_massOfEnded: many who may not enter any more anyway are held all the same
// when a bundle that removes accounts drops them, and a clock that jumped changes
// nothing of that (requirement R143 in part).
func TestLeave_massOfEnded(t *testing.T) {
	var users []wire.User
	for uid := int64(20001); uid <= 20004; uid++ {
		users = append(users, newUser("user"+string(rune('a'+uid-20001)), uid, false))
	}
	ended := append([]wire.User{}, users...)
	for i := range ended[:3] {
		ended[i] = until(ended[i], time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	for situation, test := range map[string]struct {
		next wire.Bundle
		held bool
	}{
		"removes":           {removing(9, users[3]), true},
		"removes-confirmed": {confirming(removing(9, users[3])), false},
		"locks":             {newBundle(9, users[3]), false},
		"two-of-them":       {removing(9, users[2:]...), false},
		"nobody-left":       {removing(9), true},
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.settle(removing(7, users...))
			w.settle(removing(8, ended...))
			w.issueAsIs(test.next)
			a := w.agent()
			must(t, a.Load())
			if err := a.Fetch(t.Context()); (err != nil) != test.held {
				t.Errorf("Fetch = %v, want held: %t", err, test.held)
			}
			_, err := a.Pass(t.Context())
			must(t, err)
			w.wantHome("usera", test.held || test.next.Settings.OnRevoke == wire.RevokeLock)
		})
	}
}

// TestLeave_homeStays: an account whose home is not removed stays closed, the report says
// why, and the next pass that can finishes it.
func TestLeave_homeStays(t *testing.T) {
	w := newWorld(t)
	w.settle(removing(7, three()...))
	w.machine.breaks(onStep(plan.OpRemoveHome, "alice"))
	w.issue(removing(8, three()[2]))
	report, err := w.once()
	must(t, err)
	w.wantHome("alice", true)
	w.wantHome("bob", false)
	w.wantAll(map[string]string{"alice": "locked", "carol": "open keys"})
	if !strings.Contains(faults(report), "step remove home /home/alice of alice (uid 20001): ") {
		t.Errorf("the report tells\n%s", faults(report))
	}
	w.machine.breaks(nil)
	report, err = w.once()
	must(t, err)
	w.wantHome("alice", false)
	if bad := faults(report); bad != "" {
		t.Errorf("in the end\n%s", bad)
	}
	w.issue(removing(9, three()[0], three()[2]))
	_, err = w.once()
	must(t, err)
	w.wantAll(map[string]string{"alice": "open keys sudo"})
}

// TestLeave_aside: on an older bundle, because the agent crashed on the newest, nobody
// is removed whom that one may name.
func TestLeave_aside(t *testing.T) {
	w := newWorld(t)
	w.settle(removing(7, three()[1:]...))
	sealed := w.issue(removing(8, three()...))
	_, err := w.once()
	must(t, err)
	w.wantHome("alice", true)
	must(t, w.dir.SaveGoodBundle(seal(t, removing(7, three()[1:]...), w.signer)))
	sum := sha256.Sum256(sealed)
	must(t, w.dir.SaveTrial(cache.Trial{Quarantined: hex.EncodeToString(sum[:])}))
	a := w.agent()
	must(t, a.Load())
	report, err := a.Pass(t.Context())
	must(t, err)
	if !strings.Contains(faults(report), agent.ErrQuarantined.Code) {
		t.Fatalf("the report tells\n%s", faults(report))
	}
	w.wantHome("alice", true)
	w.wantAll(map[string]string{"alice": "locked"})
}
