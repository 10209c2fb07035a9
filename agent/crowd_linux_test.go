package agent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// TestHold_Shares holds T-L3: of a hundred users a fifth may go unconfirmed, and no more
// than that; a page of the list that was lost, another stack's list, nobody and nobody
// with sudo are held. It is told, in the log, the status and the report, and who was let
// in still is. Of a list of twice the size because it has everybody twice, each second is
// refused and told. Twice as many users, or four times, are not held: a team that comes is
// no fault and takes nothing from who was there. What no good list can be as large as is
// refused whole (TestRun_RefusedBundle).
func TestHold_Shares(t *testing.T) {
	all := crowd(100, 3)
	strangers := crowd(200, 6)[100:]
	const held, twice = "mass_removal", "twice"
	for _, c := range []struct {
		name    string
		next    []wire.User
		told    string // code of what the report refuses; empty: nothing
		changes bool   // the machine
	}{
		{"a-fifth", all[:80], "", true},
		{"a-fifth-and-one", all[:79], held, false},
		{"the-second-page", all[:50], held, false},
		{"the-first-page", all[50:], held, false},
		{"another-stacks-list", strangers, held, false},
		{"nobody", nil, held, false},
		{"no-sudo", crowd(100, 0), held, false},
		{"everybody-twice", slices.Concat(all, all), twice, false},
		{"twice-as-many", slices.Concat(all, strangers), "", true},
		{"four-times-as-many", slices.Concat(all, crowd(400, 6)[100:]), "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.settle(newBundle(7, all...))
				before, had := w.machine.String(), map[string]string{}
				for _, u := range c.next {
					had[u.Name] = w.machine.may(u.Name)
				}
				stop := w.run()
				defer stop()
				w.issueAsIs(newBundle(8, c.next...))
				later(10 * interval)
				status, err := w.dir.Status()
				must(t, err)
				alarmed := strings.Contains(status.Trouble, agent.ErrHeld.Text) && strings.Contains(w.log.String(), "level=WARN")
				reports := w.source.received()
				if len(reports) == 0 || alarmed != (c.told == held) {
					t.Fatalf("%d reports came; the status says %q, the log\n%s", len(reports), status.Trouble, w.log)
				}
				want := map[string]int{held: 1, twice: len(all)}[c.told]
				for _, r := range []wire.Report{status.Report, reports[len(reports)-1]} {
					if len(r.Refused) != want || codes(r.Refused)[c.told] != want {
						t.Errorf("refused is to be %q %d times; it is\n%s", c.told, want, faults(r))
					}
				}
				if changes := w.machine.String() != before; changes != c.changes {
					t.Errorf("the machine is\n%s", w.machine)
				}
				for name, what := range had {
					if got := w.machine.may(name); what != "" && got != what {
						t.Errorf("%s has %q, had %q", name, got, what)
					}
				}
			})
		})
	}
}

// TestPass_OneOfThousand holds R147 and T-L7: one user of a thousand is poisoned, in the
// bundle, on the machine or in what has to be done for him. The others get in, every
// one, all together at first and with one who is new later, and he alone is reported.
func TestPass_OneOfThousand(t *testing.T) {
	const number, nth = 1000, 500
	t.Parallel()
	w := newWorld(t)
	var users []wire.User
	for i := range number {
		users = append(users, newUser(fmt.Sprintf("user%03d", i), int64(20001+i), i%10 == 0))
	}
	well, serial := users[nth], int64(6)
	for _, c := range []struct {
		name   string
		poison func(him *wire.User)
	}{
		{"his-key", func(him *wire.User) { him.Keys = []string{"ssh-ed25519 AAAA"} }},
		{"his-name", func(him *wire.User) { him.Name = "root" }},
		{"his-uid", func(him *wire.User) { him.UID = 0 }},
		{"his-id", func(him *wire.User) { him.ID = him.ID[:35] }},
		{"his-home", func(him *wire.User) {
			w.machine.change(func(s *plan.State) { s.Homes["/home/"+him.Name] = plan.Folder{Real: true, UID: 1000} })
		}},
		{"his-account", func(him *wire.User) {
			w.machine.change(func(s *plan.State) { delete(s.Homes, "/home/"+him.Name) })
			w.machine.breaks(onStep(plan.OpCreateAccount, him.Name))
		}},
		{"his-keys", func(him *wire.User) { w.machine.breaks(onStep(plan.OpWriteKeys, him.Name)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			users[nth] = well
			c.poison(&users[nth])
			him := users[nth]
			serial++
			users = append(users, newUser(fmt.Sprint("new", serial), 30000+serial, true))
			w.issue(newBundle(serial, users...))
			a := w.agent()
			a.Machine = &batching{machine: w.machine}
			must(t, a.Load())
			must(t, a.Fetch(t.Context()))
			report, err := a.Pass(t.Context())
			must(t, err)
			for _, u := range users {
				want := map[bool]string{true: "open keys sudo", false: "open keys"}[u.Sudo]
				if got := w.machine.may(u.Name); u.Name != him.Name && got != want {
					t.Fatalf("%s has %q, want %q", u.Name, got, want)
				}
			}
			bad := strings.Split(strings.TrimSpace(faults(report)), "\n")
			for _, line := range bad {
				if !strings.Contains(line, him.Name) {
					t.Errorf("reported is %s", line)
				}
			}
			if got := w.machine.may(well.Name); strings.HasPrefix(got, "open keys") {
				t.Errorf("he has %q", got)
			}
		})
	}
}
