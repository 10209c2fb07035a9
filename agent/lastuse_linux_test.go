package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/client"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

const printA = "SHA256:fe85JkIjo8VPe+XqXJGH5Mau1EMFdK1OdKvJUFicyA8"

// sshdLog is what sshd logged; its marks count lines.
type sshdLog struct {
	mu    sync.Mutex
	lines []wire.Use
	read  int // how often
	err   error
}

func (l *sshdLog) login(user, fingerprint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, wire.Use{Name: user, Fingerprint: fingerprint, At: wire.FormatTime(time.Now()), Proved: true})
}

func (l *sshdLog) logins(_ context.Context, mark string) ([]wire.Use, string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read++
	var from int
	_, _ = fmt.Sscan(mark, &from) // 0 for the beginning
	if l.err != nil {
		return nil, mark, l.err
	}
	return slices.Clone(l.lines[from:]), fmt.Sprint(len(l.lines)), nil
}

// fails makes the log unreadable, or readable again, and returns how often it was
// read.
func (l *sshdLog) fails(err error) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	return l.read
}

// uses prints the uses in reports, a report a line.
func uses(reports []wire.Report) string {
	var b strings.Builder
	for _, r := range reports {
		if len(r.Uses) > 0 {
			fmt.Fprintf(&b, "serial %d:", r.Serial)
			for _, u := range r.Uses {
				fmt.Fprintf(&b, " %s %s", u.Name, strings.TrimPrefix(u.Fingerprint, "SHA256:")[:min(3, max(0, len(u.Fingerprint)-7))])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// TestUses_Told: the newest use of each key of an account of ours is told once, at
// most every ten minutes, and a machine on which nobody logs in is silent. Logins of
// accounts that are not ours are nobody's business.
func TestUses_Told(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newWorld(t), &sshdLog{}
		w.settle(newBundle(7, newUser("alice", 20001, true), newUser("bob", 20002, false)))
		log.login("alice", printA)
		log.login("deby", printA)
		stop := w.runWith(func(a *agent.Agent) { a.Logins = log.logins })
		defer stop()
		later(time.Minute)
		first := w.source.received()
		if got, want := uses(first), "serial 7: alice fe8\n"; got != want {
			t.Errorf("at the start it tells %q, want %q", got, want)
		}
		for range 3 {
			time.Sleep(time.Second)
			log.login("alice", printA)
		}
		log.login("bob", "")
		later(time.Minute)
		if got := uses(w.source.received()); got != "" {
			t.Errorf("within ten minutes it tells %q", got)
		}
		later(10 * time.Minute)
		if got, want := uses(w.source.received()), "serial 7: alice fe8 bob \n"; got != want {
			t.Errorf("after ten minutes it tells %q, want %q", got, want)
		}
		later(5 * time.Hour)
		if all := w.source.received(); len(all) != 0 {
			t.Errorf("when nobody logs in it tells %+v", all)
		}
		if n := log.fails(nil); n < 25 || n > 40 {
			t.Errorf("the log was read %d times in five hours", n)
		}
	})
}

// TestUses_Offline: what nobody took is not lost, over restarts too, and does not fill
// the outbox; what was taken is not told again.
func TestUses_Offline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newWorld(t), &sshdLog{}
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		w.source.takes(func(context.Context, wire.Report) error { return errors.New("connection refused") })
		start := func() (stop func()) { return w.runWith(func(a *agent.Agent) { a.Logins = log.logins }) }
		stop := start()
		later(time.Minute)
		log.login("alice", printA)
		later(3 * time.Hour)
		stop()
		log.lines[0].Name = "gone" // the log was rotated: what is told comes from the agent's folder
		stop = start()
		later(time.Hour)
		w.source.takes(nil)
		later(11 * time.Minute)
		if got, want := uses(w.source.received()), "serial 7: alice fe8\n"; got != want {
			t.Errorf("when the control plane is back it is told %q, want %q", got, want)
		}
		stop()
		stop = start()
		later(time.Hour)
		if got := uses(w.source.received()); got != "" {
			t.Errorf("after another start it is told %q", got)
		}
		stop()
	})
}

// TestUses_NotTaken: what the control plane refuses is offered again, no more than once
// in ten minutes; and the reports of passes go on.
func TestUses_NotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newWorld(t), &sshdLog{}
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		tries := 0
		w.source.takes(func(_ context.Context, r wire.Report) error {
			if len(r.Uses) > 0 {
				tries++
				return &client.Refused{Status: 400, Message: "what is that?"}
			}
			return nil
		})
		log.login("alice", printA)
		stop := w.runWith(func(a *agent.Agent) { a.Logins = log.logins })
		defer stop()
		later(time.Hour)
		if tries < 5 || tries > 7 {
			t.Errorf("it was offered %d times in an hour", tries)
		}
		w.issue(newBundle(8))
		later(time.Minute)
		if got := serials(w.source.received()); len(got) != 2 || got[1] != 8 {
			t.Errorf("reports of the serials %v arrived, want 7 and 8", got)
		}
	})
}

// TestUses_Unreadable: a log that can not be read is logged once and stops nothing.
func TestUses_Unreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newWorld(t), &sshdLog{err: errors.New("no journal")}
		stop := w.runWith(func(a *agent.Agent) { a.Logins = log.logins })
		defer stop()
		w.issue(newBundle(7, newUser("alice", 20001, true)))
		later(2 * time.Hour)
		if n := strings.Count(w.log.String(), "no journal"); n != 1 {
			t.Errorf("it was logged %d times:\n%s", n, w.log)
		}
		log.fails(nil)
		log.login("alice", printA)
		later(11 * time.Minute)
		if got, want := uses(w.source.received()), "serial 7: alice fe8\n"; got != want {
			t.Errorf("afterwards it is told %q, want %q", got, want)
		}
	})
}

// TestUses_ManyKeys: of each account the newest keys are kept, and one report holds no
// more than it may.
func TestUses_ManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newWorld(t), &sshdLog{}
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		for i := range 30 {
			time.Sleep(time.Second)
			log.login("alice", fmt.Sprintf("SHA256:%02d", i))
		}
		stop := w.runWith(func(a *agent.Agent) { a.Logins = log.logins })
		defer stop()
		later(time.Minute)
		reports := w.source.received()
		told := reports[len(reports)-1].Uses
		if len(told) != 16 || told[0].Fingerprint != "SHA256:14" || told[15].Fingerprint != "SHA256:29" {
			t.Errorf("it tells %+v", told)
		}
	})
}

// TestSend: apply tells uses too, and remembers what was taken.
func TestSend(t *testing.T) {
	w, log := newWorld(t), &sshdLog{}
	w.settle(newBundle(7, newUser("alice", 20001, true)))
	log.login("alice", printA)
	for _, want := range []string{"serial 7: alice fe8\n", ""} {
		a := w.agent()
		a.Logins = log.logins
		must(t, a.Load())
		report, err := a.Pass(t.Context())
		must(t, err)
		must(t, a.Send(t.Context(), report))
		if got := uses(w.source.received()); got != want {
			t.Errorf("it tells %q, want %q", got, want)
		}
	}
	a := w.agent()
	must(t, a.Load())
	e, err := a.Explain(t.Context(), name(t, "alice"))
	must(t, err)
	if want := "last login with " + printA + ": " + log.lines[0].At; !slices.Contains(e.Facts, want) {
		t.Errorf("explain does not say %q: %q", want, e.Facts)
	}
}

// TestForeign_Told: access that is not ours is told when it has changed, at most once an
// hour, and again after a start only if nobody took it (requirement R154 in part).
func TestForeign_Told(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		var mu sync.Mutex
		looked, allow := 0, false
		entries := []wire.Unmanaged{{Kind: wire.UnmanagedRoot, Account: "toor"}}
		foreign := func(_ context.Context, owned plan.Ledger, allowed bool) (wire.Inventory, error) {
			mu.Lock()
			defer mu.Unlock()
			looked++
			allow = allowed
			if len(owned.Accounts) != 1 {
				t.Errorf("the ledger has %v", owned.Accounts)
			}
			return wire.Inventory{At: wire.FormatTime(time.Now()), Entries: slices.Clone(entries)}, nil
		}
		told := func() (all []string) {
			for _, r := range w.source.received() {
				if r.Inventory.At != "" {
					all = append(all, fmt.Sprint(r.Serial, " ", len(r.Inventory.Entries)))
				}
			}
			return all
		}
		looks := func() (int, bool) { mu.Lock(); defer mu.Unlock(); return looked, allow }
		start := func() (stop func()) { return w.runWith(func(a *agent.Agent) { a.Foreign = foreign }) }
		stop := start()
		later(30 * time.Minute)
		first, allowed := looks()
		if got := told(); !slices.Equal(got, []string{"7 1"}) || first != 1 || allowed {
			t.Errorf("at first %q was told after %d looks, allowed %t", got, first, allowed)
		}
		later(5 * time.Hour)
		if n, _ := looks(); len(told()) != 0 || n < 5 || n > 6 {
			t.Errorf("when nothing changes something was told, after %d looks", n)
		}
		mu.Lock()
		entries = append(entries, wire.Unmanaged{Kind: wire.UnmanagedPassword, Account: "bob"})
		mu.Unlock()
		w.source.takes(func(context.Context, wire.Report) error { return errors.New("connection refused") })
		later(2 * time.Hour)
		stop()
		w.source.takes(nil)
		b := newBundle(8, newUser("alice", 20001, true))
		b.Settings.Unmanaged = wire.UnmanagedAllow
		w.issue(b)
		stop = start()
		later(2 * time.Hour)
		if got := told(); !slices.Equal(got, []string{"7 2"}) && !slices.Equal(got, []string{"8 2"}) {
			t.Errorf("what had changed was told as %q", got)
		}
		if _, allow := looks(); !allow {
			t.Error("the stack's setting was not passed on")
		}
		stop()
	})
}
