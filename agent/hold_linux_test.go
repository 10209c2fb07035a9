package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/authz/wire"
)

// crowd is n users, of whom the first so many have sudo.
func crowd(n, sudoers int) (users []wire.User) {
	for i := range n {
		users = append(users, newUser(fmt.Sprintf("user%02d", i), int64(20001+i), i < sudoers))
	}
	return users
}

// TestHold is the table of requirement R143 (R105, T-L3 in part): what a new bundle may
// take from ten users of whom two have sudo, without a word of confirmation and with
// one.
func TestHold(t *testing.T) {
	ids := func(users []wire.User) (ids []string) {
		for _, u := range users {
			ids = append(ids, u.ID)
		}
		return ids
	}
	all := crowd(10, 2)
	for _, c := range []struct {
		name      string
		next      []wire.User
		confirmed []string
		held      bool
		left      int // users who can log in afterwards
	}{
		{"one-goes", all[:9], nil, false, 9},
		{"two-go", all[:8], nil, false, 8},
		{"three-go", all[:7], nil, true, 10},
		{"three-go-confirmed", all[:7], ids(all[7:]), false, 7},
		{"three-go-one-confirmed", all[:7], ids(all[9:]), false, 7},
		{"five-go-one-confirmed", all[:5], ids(all[9:]), true, 9},
		{"empty", nil, nil, true, 10},
		{"empty-confirmed", nil, ids(all), false, 0},
		{"empty-nine-confirmed", nil, ids(all[1:]), true, 1},
		{"no-sudo", crowd(10, 0), nil, true, 10},
		{"no-sudo-one-confirmed", crowd(10, 0), ids(all[:1]), true, 10},
		{"no-sudo-confirmed", crowd(10, 0), ids(all[:2]), false, 10},
		{"one-sudoer-left", crowd(10, 1), nil, false, 10},
		{"other-users-come", append(crowd(7, 2), newUser("new", 20090, false)), nil, true, 10},
		{"confirmations-that-are-no-ids", all[:7], []string{"", "*", "user09", strings.Repeat("x", 36)}, true, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.settle(newBundle(7, all...))
			b := newBundle(8, c.next...)
			b.Confirmed = append(b.Confirmed, c.confirmed...)
			w.issueAsIs(b)
			a := w.agent()
			must(t, a.Load())
			err := a.Fetch(t.Context())
			if errors.Is(err, agent.ErrHeld) != c.held || err != nil && !c.held {
				t.Fatalf("held: %v", err)
			}
			report, err := a.Pass(t.Context())
			must(t, err)
			told := strings.Contains(faults(report), `refused "bundle 8" mass_removal`)
			if told != c.held || len(report.Refused) > 1 {
				t.Errorf("the report refuses %q", faults(report))
			}
			left := 0
			for _, u := range append(all, newUser("new", 20090, false)) {
				if strings.HasPrefix(w.machine.may(u.Name), "open keys") {
					left++
				}
			}
			if left != c.left {
				t.Errorf("%d users are left, want %d", left, c.left)
			}
			if serial := w.stored(); (serial == 7) != c.held {
				t.Errorf("stored is serial %d", serial)
			}
		})
	}
}

// TestHold_FirstBundle: a machine without users takes whatever comes first.
func TestHold_FirstBundle(t *testing.T) {
	w := newWorld(t)
	w.issueAsIs(newBundle(7))
	if _, err := w.once(); err != nil {
		t.Error(err)
	}
}

// TestHold_Demoted: a confirmed loss of sudo in a held bundle is made, and no more.
func TestHold_Demoted(t *testing.T) {
	w := newWorld(t)
	all := crowd(10, 2)
	w.settle(newBundle(7, all...))
	b := newBundle(8, newUser("user00", 20001, false))
	b.Confirmed = []string{all[0].ID, all[9].ID}
	w.issueAsIs(b)
	a := w.agent()
	must(t, a.Load())
	if err := a.Fetch(t.Context()); !errors.Is(err, agent.ErrHeld) {
		t.Fatal(err)
	}
	if _, err := a.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"user00": "open keys", "user01": "open keys sudo", "user08": "open keys", "user09": "locked"} {
		if got := w.machine.may(name); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
}

// TestHold_TakenMeanwhile: what the next bundle removes is measured by the one that root
// took by hand, though the agent has not looked since.
func TestHold_TakenMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, crowd(10, 2)...))
	a, byHand := w.agent(), w.agent()
	byHand.TakeRemovals = true
	must(t, errors.Join(a.Load(), byHand.Load()))
	w.issueAsIs(newBundle(8, crowd(1, 1)...))
	if err := a.Fetch(t.Context()); !errors.Is(err, agent.ErrHeld) {
		t.Fatal(err)
	}
	must(t, byHand.Fetch(t.Context()))
	w.issueAsIs(newBundle(9, crowd(1, 1)...))
	if err := a.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestHold_Running: a running agent says that it holds, goes on holding after a
// restart, and takes what root took by hand, or the next bundle that is not like that.
func TestHold_Running(t *testing.T) {
	for _, c := range []struct {
		name    string
		release func(t *testing.T, w *world)
		serial  int64
	}{
		{"taken-by-hand", func(t *testing.T, w *world) {
			a := w.agent()
			a.TakeRemovals = true
			must(t, a.Load())
			must(t, a.Fetch(t.Context()))
			_, err := a.Pass(t.Context())
			must(t, err)
		}, 8},
		{"confirmed-later", func(t *testing.T, w *world) { w.issue(newBundle(9, crowd(1, 1)...)) }, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.settle(newBundle(7, crowd(10, 2)...))
				stop := w.run()
				w.issueAsIs(newBundle(8, crowd(1, 1)...))
				later(interval)
				for range 2 {
					if got := w.machine.may("user09"); got != "open keys" {
						t.Errorf("while it is held user09 has %q", got)
					}
					status, err := w.dir.Status()
					if err != nil || !strings.Contains(status.Trouble, "serial 8 would end the access of 9 and the sudo of 1, of 10 users") {
						t.Errorf("status %+v, %v", status, err)
					}
					stop()
					stop = w.run()
					later(2 * interval)
				}
				c.release(t, w)
				later(5 * interval)
				if got := w.machine.may("user09"); got != "locked" {
					t.Errorf("released, user09 has %q", got)
				}
				if got := w.machine.may("user00"); got != "open keys sudo" {
					t.Errorf("released, user00 has %q", got)
				}
				if got := w.stored(); got != c.serial {
					t.Errorf("stored is serial %d", got)
				}
				stop()
			})
		})
	}
}

// TestHold_NoBundle holds R143 in part: an agent that has no bundle to work from, because
// the only one is set aside or is damaged, compares what comes with the accounts that are
// there, and tells the control plane what it holds.
func TestHold_NoBundle(t *testing.T) {
	for situation, lose := range map[string]func(w *world){
		"set-aside": func(w *world) { must(w.t, w.dir.SaveTrial(cache.Trial{Quarantined: hashOfStored(w)})) },
		"damaged":   func(w *world) { must(w.t, os.WriteFile(filepath.Join(w.path, "bundle"), []byte("x"), 0o600)) },
	} {
		for name, c := range map[string]struct {
			next      []wire.User
			confirmed bool
			held      bool
		}{
			"empty":           {nil, false, true},
			"three-go":        {crowd(7, 2), false, true},
			"two-go":          {crowd(8, 2), false, false},
			"empty-confirmed": {nil, true, false},
		} {
			t.Run(situation+"-"+name, func(t *testing.T) {
				w := newWorld(t)
				w.settle(newBundle(7, crowd(10, 2)...))
				lose(w)
				b := newBundle(8, c.next...)
				if c.confirmed {
					b = confirming(b)
				}
				w.issueAsIs(b)
				for range 2 { // and after a restart
					a := w.agent()
					if err := a.Load(); err == nil && c.held {
						t.Error("the bundle opens")
					}
					if err := a.Fetch(t.Context()); errors.Is(err, agent.ErrHeld) != c.held || err != nil && !c.held {
						t.Fatalf("held: %v", err)
					}
					report, err := a.Pass(t.Context())
					must(t, err)
					if told := codes(report.Refused)["mass_removal"]; told != map[bool]int{true: 1}[c.held] {
						t.Errorf("the report refuses\n%s", faults(report))
					}
					if !c.held {
						break
					}
				}
				if got := w.machine.may("user09"); (got == "open keys") != c.held {
					t.Errorf("user09 has %q", got)
				}
			})
		}
	}
}

// TestHold_RolledBack holds R143 and T-L3 in part: a control plane that was put back to an
// earlier state without a new epoch can not be told from somebody who plays an old bundle
// again. So what is older than a held bundle is refused, as what is older than an accepted
// one is, before a restart and after: who was removed stays so until the epoch is a new one,
// and nobody comes and goes with the agent's restarts.
func TestHold_RolledBack(t *testing.T) {
	w := newWorld(t)
	all := crowd(10, 2)
	w.settle(newBundle(7, all...))
	b := newBundle(9, all[:2]...)
	b.Confirmed = []string{all[9].ID}
	w.issueAsIs(b)
	pass := func(want error) {
		t.Helper()
		a := w.agent()
		must(t, a.Load())
		if err := a.Fetch(t.Context()); !errors.Is(err, want) {
			t.Errorf("fetched: %v, want %v", err, want)
		}
		_, err := a.Pass(t.Context())
		must(t, err)
	}
	has := func(situation, user, want string) {
		t.Helper()
		if got := w.machine.may(user); got != want {
			t.Errorf("%s: %s has %q, want %q", situation, user, got, want)
		}
	}
	pass(agent.ErrHeld)
	has("held", "user09", "locked")
	has("held", "user08", "open keys")
	w.issueAsIs(newBundle(8, all...))
	for range 2 {
		pass(wire.ErrRollback)
		has("rolled back", "user09", "locked")
	}
	newer := newBundle(8, all...)
	newer.Epoch = 3
	w.issueAsIs(newer)
	for range 2 {
		pass(nil)
		has("in a new epoch", "user09", "open keys")
	}
	// A running agent does not need a restart to know.
	w.settle(ofEpoch(newer.Epoch, 9, all))
	b.Epoch, b.Serial = 3, 11
	w.issueAsIs(b)
	a := w.agent()
	must(t, a.Load())
	if err := a.Fetch(t.Context()); !errors.Is(err, agent.ErrHeld) {
		t.Fatal(err)
	}
	w.issueAsIs(ofEpoch(3, 10, all))
	if err := a.Fetch(t.Context()); !errors.Is(err, wire.ErrRollback) {
		t.Errorf("behind a held one it takes an older: %v", err)
	}
}

// ofEpoch is a bundle of an epoch.
func ofEpoch(epoch, serial int64, users []wire.User) wire.Bundle {
	b := newBundle(serial, users...)
	b.Epoch = epoch
	return b
}
