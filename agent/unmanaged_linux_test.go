package agent_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

func foreignLines(t *testing.T, text string) []plan.ForeignLine {
	t.Helper()
	lines, err := plan.ReadForeign([]byte(text))
	must(t, err)
	return lines
}

// TestUnmanaged_Adopt: a key in a home becomes the account's where the stack wants it,
// the report says so, and it goes with the wish and with the grant (requirement R31 in
// part).
func TestUnmanaged_Adopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		alice := name(t, "alice")
		plant := func(text string) {
			w.machine.change(func(s *plan.State) {
				s.Foreign = map[authz.Username][]plan.ForeignFile{alice: {{Path: "/home/alice/.ssh/authorized_keys", Lines: foreignLines(t, text)}}}
			})
		}
		issue := func(serial int64, wish string, users ...wire.User) {
			b := newBundle(serial, users...)
			b.Settings.Unmanaged = wish
			w.issue(b)
			later(time.Minute)
		}
		keys := func() int {
			w.machine.mu.Lock()
			defer w.machine.mu.Unlock()
			return strings.Count(string(w.machine.state.Files[layout.KeysDir+"/alice"].Content), " AAAAC3Nza")
		}
		user := newUser("alice", 20001, false)
		w.settle(newBundle(7, user))
		plant(keyB + " mine\n")
		read := 0
		stop := w.runWith(func(a *agent.Agent) {
			a.ForeignKeys = func(plan.Ledger) map[authz.Username][]plan.ForeignFile {
				w.machine.mu.Lock()
				defer w.machine.mu.Unlock()
				read++
				return w.machine.state.Foreign
			}
		})
		defer stop()
		later(time.Hour)
		if keys() != 1 || read != 0 {
			t.Errorf("where nothing is wished alice has %d keys, and homes were read %d times", keys(), read)
		}
		w.source.received()
		issue(8, wire.UnmanagedAdopt, user)
		var said []string
		for _, r := range w.source.received() {
			for _, s := range r.Steps {
				said = append(said, s.What)
			}
		}
		const adopt = "adopt key ssh-ed25519 "
		const from = " of alice (uid 20001) from /home/alice/.ssh/authorized_keys\nwrite file "
		if text := strings.Join(said, "\n"); keys() != 2 || !strings.HasPrefix(text, adopt+"SHA256:") || !strings.HasSuffix(text, from+layout.KeysDir+"/alice: differs") {
			t.Errorf("alice has %d keys, and the report says\n%s", keys(), text)
		}
		issue(9, wire.UnmanagedReport, user)
		if keys() != 1 {
			t.Errorf("when it is wished no more alice has %d keys", keys())
		}
		owned, err := w.dir.Ledger()
		must(t, err)
		if n := len(owned.Accounts[alice].Adopted); n != 0 {
			t.Errorf("and the ledger has %d", n)
		}
		issue(10, wire.UnmanagedAdopt, user)
		issue(11, wire.UnmanagedAdopt)
		issue(12, wire.UnmanagedAdopt, user)
		if keys() != 1 || w.machine.may("alice") != "open keys" {
			t.Errorf("revoked and granted again alice has %d keys and is %q", keys(), w.machine.may("alice"))
		}
		if steps := strings.Join(w.machine.take(), "\n"); strings.Count(steps, "take 1 key of alice (uid 20001) out of /home/alice/.ssh/authorized_keys, keep them in /var/lib/latchkey/quarantine/alice.20001") != 1 {
			t.Errorf("the steps are\n%s", steps)
		}
	})
}

// TestUnmanaged_Quarantine: a key in a home is taken out once, of an account of ours
// alone, and the report says so.
func TestUnmanaged_Quarantine(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, newUser("alice", 20001, false)))
	b := newBundle(8, newUser("alice", 20001, false))
	b.Settings.Unmanaged = wire.UnmanagedQuarantine
	w.issue(b)
	w.machine.change(func(s *plan.State) {
		s.Foreign = map[authz.Username][]plan.ForeignFile{}
		for _, user := range []string{"alice", "deby"} {
			s.Foreign[name(t, user)] = []plan.ForeignFile{{Path: "/home/" + user + "/.ssh/authorized_keys", Lines: foreignLines(t, keyB)}}
		}
	})
	a := w.agent()
	a.ForeignKeys = func(plan.Ledger) map[authz.Username][]plan.ForeignFile { return w.machine.state.Foreign }
	must(t, a.Load())
	must(t, a.Fetch(t.Context()))
	for _, want := range []string{"take 1 key of alice (uid 20001) out of /home/alice/.ssh/authorized_keys, keep them in /var/lib/latchkey/quarantine/alice.20001", ""} {
		report, err := a.Pass(t.Context())
		must(t, err)
		var said []string
		for _, s := range report.Steps {
			said = append(said, s.What)
		}
		if got := strings.Join(said, "\n"); got != want || faults(report) != "" {
			t.Errorf("the report says %q, want %q\n%s", got, want, faults(report))
		}
	}
	if len(w.machine.state.Foreign) != 1 {
		t.Errorf("in homes is left %+v", w.machine.state.Foreign)
	}
}
