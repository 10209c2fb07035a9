package agent_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/plan"
)

// slots returns a world whose agent has run, so that the stored bundle and the last good
// one are there and the same, and then lost its control plane.
func slots(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.issueAsIs(newBundle(7, newUser("alice", 20001, true)))
	stop := w.run()
	later(time.Minute)
	stop()
	if good, err := w.dir.GoodBundle(); err != nil || w.stored() != 7 || w.machine.may("alice") != "open keys sudo" {
		t.Fatalf("the last good bundle is %q, %v", good, err)
	}
	w.source.answers(func(context.Context, int) ([]byte, bool, error) { return nil, false, errors.New("no network") })
	return w
}

// damage is what is done to the folder of an agent.
type damage struct {
	do    func(w *world)
	works bool // what somebody took away comes back
	told  bool // the log tells that a stored bundle is not used
	stays bool // what is damaged, because no file can take its place
}

func damages() map[string]damage {
	const stored, good = "bundle", "bundle.good"
	at := func(w *world, file string) string { return filepath.Join(w.path, file) }
	write := func(file string, content []byte) func(*world) {
		return func(w *world) { must(w.t, os.WriteFile(at(w, file), content, 0o600)) }
	}
	sealed := func(file string, serial int64, by string) func(*world) {
		return func(w *world) { write(file, seal(w.t, newBundle(serial), newSigner(w.t, by)))(w) }
	}
	remove := func(file string) func(*world) {
		return func(w *world) { must(w.t, os.Remove(at(w, file))) }
	}
	all := func(parts ...func(*world)) func(*world) {
		return func(w *world) {
			for _, do := range parts {
				do(w)
			}
		}
	}
	return map[string]damage{
		"emptied": {do: write(stored, nil), works: true, told: true},
		"missing": {do: remove(stored), works: true, told: true},
		"directory": {do: all(remove(stored), func(w *world) { must(w.t, os.Mkdir(at(w, stored), 0o700)) }),
			works: true, told: true, stays: true},
		"link": {do: all(remove(stored), func(w *world) { must(w.t, os.Symlink("/dev/null", at(w, stored))) }),
			works: true, told: true, stays: true},
		// It proves itself, whosever it is.
		"of-another":      {do: func(w *world) { must(w.t, os.Chown(at(w, stored), 20001, 20001)) }, works: true},
		"older":           {do: sealed(stored, 6, "cp-1"), works: true, told: true},
		"forged":          {do: sealed(stored, 8, "cp-2"), works: true, told: true},
		"good-emptied":    {do: write(good, nil), works: true},
		"both-emptied":    {do: all(write(stored, nil), write(good, nil)), told: true, stays: true},
		"both-missing":    {do: all(remove(stored), remove(good)), told: true, stays: true},
		"and-good-older":  {do: all(write(stored, nil), sealed(good, 6, "cp-1")), told: true, stays: true},
		"and-good-forged": {do: all(write(stored, nil), sealed(good, 8, "cp-2")), told: true, stays: true},
		"seen-emptied":    {do: write("seen.json", nil), told: true},
	}
}

// TestRun_OtherSlot holds R104: where the stored bundle is damaged the last good one serves,
// and is stored anew, unless it is older than what was seen. Where neither opens nothing is
// changed, and nothing is taken for empty.
func TestRun_OtherSlot(t *testing.T) {
	for situation, d := range damages() {
		t.Run(situation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := slots(t)
				d.do(w)
				w.machine.change(func(s *plan.State) { delete(s.Files, layout.Sudoers) })
				stop := w.run()
				later(5 * time.Minute)
				stop()
				want := map[bool]string{true: "open keys sudo", false: "open keys"}[d.works]
				if got := w.machine.may("alice"); got != want {
					t.Errorf("alice has %q, want %q\n%s", got, want, w.log)
				}
				if !d.stays && w.stored() != 7 {
					t.Errorf("the stored bundle is %d", w.stored())
				}
				if told := strings.Contains(w.log.String(), "a stored bundle is not used"); told != d.told {
					t.Errorf("told: %v\n%s", told, w.log)
				}
			})
		})
	}
}

// TestLoad_EveryByte holds R104: the stored bundle is cut short at every byte and has every
// byte changed, together with the last good one and, at each sixteenth, without it. As long as
// that one is whole the agent works from it; otherwise from none, and a pass does nothing.
func TestLoad_EveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slots(t)
		whole, err := w.dir.Bundle()
		must(t, err)
		before := w.machine.String()
		for n := range whole {
			rotten := bytes.Clone(whole)
			rotten[n] ^= 1
			for how, damaged := range map[string][]byte{"cut": whole[:n], "rotten": rotten} {
				if n%16 == 0 && !w.loaded(damaged, whole).Ready() {
					t.Errorf("%s at byte %d: the last good one does not serve", how, n)
				}
				if w.loaded(damaged, damaged).Ready() {
					t.Errorf("%s at byte %d: it opens", how, n)
				}
			}
		}
		if _, err := w.loaded(nil, nil).Pass(t.Context()); !errors.Is(err, agent.ErrNoBundle) {
			t.Errorf("a pass with neither ends with %v", err)
		}
		if after := w.machine.String(); after != before {
			t.Errorf("the machine is\n%swas\n%s", after, before)
		}
	})
}

// loaded returns an agent that has loaded what the two files are made.
func (w *world) loaded(stored, good []byte) *agent.Agent {
	w.t.Helper()
	must(w.t, os.WriteFile(filepath.Join(w.path, "bundle"), stored, 0o600))
	must(w.t, os.WriteFile(filepath.Join(w.path, "bundle.good"), good, 0o600))
	a := w.agent()
	_ = a.Load() // whatever it says, Ready tells what there is
	return a
}

// TestRun_HeldDamaged holds R104: who was removed by a bundle that is held does not come back
// because that one is damaged. Nothing is given until the control plane answers, and what
// has to go goes.
func TestRun_HeldDamaged(t *testing.T) {
	for situation, damage := range map[string]func(path string) error{
		"emptied":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"forged":    func(path string) error { return os.WriteFile(path, seal(t, newBundle(9), newSigner(t, "cp-2")), 0o600) },
		"directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(situation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.settle(newBundle(7, crowd(10, 2)...))
				held := newBundle(8, crowd(1, 1)...)
				held.Confirmed = []string{crowd(10, 2)[9].ID}
				w.issueAsIs(held)
				stop := w.run()
				later(interval)
				stop()
				want := func(when string, may map[string]string) {
					t.Helper()
					for user, want := range may {
						if got := w.machine.may(user); got != want {
							t.Errorf("%s %s has %q, want %q\n%s", when, user, got, want, w.log)
						}
					}
				}
				want("while it is held", map[string]string{"user08": "open keys", "user09": "locked"})

				must(t, damage(filepath.Join(w.path, "bundle.held")))
				w.source.answers(func(context.Context, int) ([]byte, bool, error) { return nil, false, errors.New("no network") })
				w.machine.change(func(s *plan.State) {
					delete(s.Files, layout.Sudoers)
					s.Files[layout.KeysDir+"/mallory"] = plan.File{Content: []byte("# latchkey 1 uid=0\n"), Mode: 0o644}
				})
				stop = w.run()
				later(5 * time.Minute)
				if _, found := w.machine.copy().Files[layout.KeysDir+"/mallory"]; found {
					t.Error("a key file of nobody is still there")
				}
				status, err := w.dir.Status()
				if err != nil || !strings.Contains(faults(status.Report), "held bundle") {
					t.Errorf("the report is %s, %v", faults(status.Report), err)
				}
				want("without it", map[string]string{"user00": "open keys", "user08": "open keys", "user09": "locked"})
				w.source.answers(nil)
				later(2 * time.Minute)
				want("with an answer", map[string]string{"user00": "open keys sudo", "user08": "open keys", "user09": "locked"})
				stop()
			})
		})
	}
}
