package agent_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// life is one start of an agent in a process of its own, on a folder that stays.
type life struct {
	Folder string
	Serial int64  // what the control plane has
	Crash  string // at mallory's account, at looking, or never
	How    string // kill or panic
}

// end is what it came to: the first report whose bundle is settled one way or the other.
type end struct {
	Report              wire.Report
	Alice, Bob, Mallory string
}

// bundleOf is what the control plane has at a serial: 7 good, 8 the one on which the
// agent crashes, 9 good again.
func bundleOf(serial int64) wire.Bundle {
	users := []wire.User{newUser("alice", 20001, true)}
	switch serial {
	case 8:
		users = append(users, newUser("mallory", 20066, false))
	case 9:
		users = append(users, newUser("bob", 20002, false))
	}
	return newBundle(serial, users...)
}

// live starts it and returns what it came to, or the status of a process that crashed.
func live(t *testing.T, l life) (end, *exec.ExitError) {
	t.Helper()
	how, err := json.Marshal(l)
	must(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBreaker$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_LIFE="+string(how))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		if l.Crash == "" {
			t.Fatalf("serial %d: %v\n%s%s", l.Serial, err, out, exit.Stderr)
		}
		return end{}, exit
	}
	must(t, err)
	if l.Crash != "" {
		t.Fatalf("serial %d: it did not crash:\n%s", l.Serial, out)
	}
	var e end
	line, _, _ := strings.Cut(string(out), "\n")
	must(t, json.Unmarshal([]byte(line), &e))
	return e, nil
}

// lead is such a process.
func lead(t *testing.T, l life) {
	dir := dirAt(l.Folder)
	w := &world{t: t, signer: newSigner(t, "cp-1"), dir: dir, path: l.Folder, source: newSource(), machine: newMachine(t, dir), log: &logText{}}
	w.issue(bundleOf(l.Serial))
	crash := func() {
		if l.How == "panic" {
			panic("the bundle is too much")
		}
		must(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {}
	}
	w.machine.breaks(func(s plan.Step) error {
		if s.User.String() == "mallory" && l.Crash == "account" {
			crash()
		}
		return nil
	})
	w.machine.look = func() error {
		if w.stored() == 8 && l.Crash == "look" {
			crash()
		}
		return nil
	}
	reports := make(chan wire.Report, 100)
	w.source.takes(func(_ context.Context, r wire.Report) error { reports <- r; return nil })
	stop := w.run()
	for r := range reports {
		if r.Serial != l.Serial && (l.Serial != 8 || codes(r.Refused)["quarantined"] == 0) {
			continue // it is still about the bundle before
		}
		stop()
		text, err := json.Marshal(end{r, w.machine.may("alice"), w.machine.may("bob"), w.machine.may("mallory")})
		must(t, err)
		fmt.Println(string(text))
		return
	}
}

// TestBreaker is R145 and T-L5 with real processes that really die: a bundle on which
// the agent crashes three times is set aside, the one before it serves, the one after
// it is taken.
func TestBreaker(t *testing.T) {
	if text := os.Getenv("LATCHKEY_TEST_LIFE"); text != "" {
		var l life
		must(t, json.Unmarshal([]byte(text), &l))
		lead(t, l)
		return
	}
	for _, c := range []struct {
		name    string
		crashes []life
		damage  string // a file of the agent's that is made unreadable after each start
		aside   bool
	}{
		{"killed-three-times", []life{{Crash: "account", How: "kill"}, {Crash: "account", How: "kill"}, {Crash: "account", How: "kill"}}, "", true},
		{"panic-while-looking", []life{{Crash: "look", How: "panic"}, {Crash: "look", How: "panic"}, {Crash: "account", How: "kill"}}, "", true},
		{"killed-twice", []life{{Crash: "account", How: "kill"}, {Crash: "look", How: "kill"}}, "", false},
		{"mark-unreadable", []life{{Crash: "look", How: "kill"}, {Crash: "look", How: "kill"}, {Crash: "look", How: "kill"}}, "trial.json", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, path := newDir(t)
			live(t, life{Folder: path, Serial: 7})
			for _, l := range c.crashes {
				l.Folder, l.Serial = path, 8
				live(t, l)
				if c.damage != "" {
					must(t, os.RemoveAll(filepath.Join(path, c.damage)))
					must(t, os.Mkdir(filepath.Join(path, c.damage), 0o700))
				}
			}
			for range 2 { // the quarantine outlives a restart
				e, _ := live(t, life{Folder: path, Serial: 8})
				wantSerial, mallory, told := int64(8), "open keys", 0
				if c.aside {
					wantSerial, mallory, told = 7, "", 1
				}
				if e.Report.Serial != wantSerial || e.Alice != "open keys sudo" || e.Mallory != mallory || codes(e.Report.Refused)["quarantined"] != told {
					t.Errorf("after the crashes: serial %d, alice %q, mallory %q, report\n%s", e.Report.Serial, e.Alice, e.Mallory, faults(e.Report))
				}
			}
			e, _ := live(t, life{Folder: path, Serial: 9})
			if e.Report.Serial != 9 || e.Bob != "open keys" || faults(e.Report) != "" {
				t.Errorf("the bundle after it: serial %d, bob %q, report\n%s", e.Report.Serial, e.Bob, faults(e.Report))
			}
		})
	}
}

// TestBreaker_FirstBundle: without a good bundle to go back to the machine stays as it
// is and the agent says why, until a newer bundle comes.
func TestBreaker_FirstBundle(t *testing.T) {
	_, path := newDir(t)
	for range 3 {
		live(t, life{Folder: path, Serial: 8, Crash: "account", How: "kill"})
	}
	e, _ := live(t, life{Folder: path, Serial: 8})
	if e.Report.Serial != 0 || e.Alice != "" || codes(e.Report.Refused)["quarantined"] != 1 {
		t.Errorf("serial %d, alice %q, report\n%s", e.Report.Serial, e.Alice, faults(e.Report))
	}
	if e, _ := live(t, life{Folder: path, Serial: 9}); e.Report.Serial != 9 || e.Bob != "open keys" {
		t.Errorf("serial %d, bob %q", e.Report.Serial, e.Bob)
	}
}

// TestBreaker_CleanStops: an agent that is told to stop in the middle of a pass did not
// crash, nor did one that is killed while it has nothing to do. A new program tries
// again what the old one set aside.
func TestBreaker_CleanStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issue(bundleOf(7))
		stop := w.run()
		later(interval)
		stop()
		w.issue(bundleOf(8))
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			w.machine.breaks(func(s plan.Step) error {
				if s.User.String() == "mallory" {
					cancel()
					return ctx.Err()
				}
				return nil
			})
			must(t, w.agent().Run(ctx))
		}
		trial, err := w.dir.Trial()
		if err != nil || trial.Working || len(trial.Crashes) != 0 || trial.Quarantined != "" {
			t.Errorf("after five clean stops %+v, %v", trial, err)
		}
		trial.Bundle, trial.Quarantined = "00", hashOfStored(w)
		must(t, w.dir.SaveTrial(trial))
		w.machine.breaks(nil)
		stop = w.run()
		later(interval)
		stop()
		if got := w.machine.may("mallory"); got != "" {
			t.Errorf("from a bundle that is set aside mallory has %q", got)
		}
		stop = w.runWith(func(a *agent.Agent) { a.Facts.Agent = "2" })
		later(interval)
		if got := w.machine.may("mallory"); got != "open keys" {
			t.Errorf("the new program gives mallory %q", got)
		}
		stop()
	})
}

// TestBreaker_AnotherBetween: crashes on a bundle are counted for it whatever other bundle
// was begun between two of them, as one that does not open.
func TestBreaker_AnotherBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issue(bundleOf(7))
		stop := w.run()
		later(interval)
		stop()
		w.issue(bundleOf(8))
		w.machine.breaks(onStep(plan.OpCreateAccount, "mallory"))
		for crash := range 4 {
			stop = w.run()
			later(interval)
			stop()
			trial, err := w.dir.Trial()
			must(t, err)
			stored := hashOfStored(w)
			if got := trial.Quarantined == stored; got != (crash == 3) {
				t.Errorf("after %d crashes it is set aside: %t", crash, got)
			}
			trial.Bundle, trial.Working = stored, true // as if it had been killed then
			must(t, w.dir.SaveTrial(trial))
			w.source.issue(seal(t, bundleOf(9), newSigner(t, "cp-1-forged")), bundleOf(9))
		}
	})
}

// setAside is a world in which bundle 7 was completed and 8, the newest, is set aside, with
// the agent's record of it changed.
func setAside(t *testing.T, change func(*cache.Trial)) *world {
	t.Helper()
	w := newWorld(t)
	for _, serial := range []int64{7, 8} {
		w.issue(bundleOf(serial))
		w.machine.breaks(onStep(plan.OpCreateAccount, "mallory"))
		stop := w.run()
		later(interval)
		stop()
	}
	trial, err := w.dir.Trial()
	must(t, err)
	trial.Quarantined = hashOfStored(w)
	change(&trial)
	must(t, w.dir.SaveTrial(trial))
	w.machine.breaks(nil)
	return w
}

// TestBreaker_TakenMeanwhile: what root takes by hand while the newest bundle is set aside
// is worked with from then on, and not undone from the last good one.
func TestBreaker_TakenMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := setAside(t, func(*cache.Trial) {})
		a, byHand := w.agent(), w.agent()
		must(t, errors.Join(a.Load(), byHand.Load()))
		report, err := a.Pass(t.Context())
		if err != nil || report.Serial != 7 || codes(report.Refused)["quarantined"] != 1 {
			t.Fatalf("serial %d, %v, report\n%s", report.Serial, err, faults(report))
		}
		w.issue(bundleOf(9))
		must(t, byHand.Fetch(t.Context()))
		for _, who := range []*agent.Agent{byHand, a} {
			report, err := who.Pass(t.Context())
			if err != nil || report.Serial != 9 || len(report.Refused) != 0 || w.machine.may("bob") != "open keys" {
				t.Errorf("serial %d, %v, bob has %q, report\n%s", report.Serial, err, w.machine.may("bob"), faults(report))
			}
		}
	})
}

// TestBreaker_GoodEndsNothing: a pass with the last good bundle, also where it is not known
// any more that it is one, leaves the newest in its quarantine.
func TestBreaker_GoodEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := setAside(t, func(trial *cache.Trial) { trial.Good = "" })
		for range 2 {
			stop := w.run()
			later(interval)
			stop()
			trial, err := w.dir.Trial()
			if err != nil || trial.Quarantined != hashOfStored(w) || trial.Good == "" || w.machine.may("mallory") != "" {
				t.Errorf("%+v, %v, mallory has %q", trial, err, w.machine.may("mallory"))
			}
		}
	})
}

func hashOfStored(w *world) string {
	sealed, err := w.dir.Bundle()
	must(w.t, err)
	sum := sha256.Sum256(sealed)
	return hex.EncodeToString(sum[:])
}

// TestBreaker_Writes: a bundle that is settled costs no more writing at each look.
func TestBreaker_Writes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issue(bundleOf(7))
		stop := w.run()
		later(interval)
		before, err := os.Stat(filepath.Join(w.path, "trial.json"))
		must(t, err)
		later(time.Hour)
		stop()
		after, err := os.Stat(filepath.Join(w.path, "trial.json"))
		if err != nil || !os.SameFile(before, after) {
			t.Errorf("the mark was written again: %v", err)
		}
	})
}
