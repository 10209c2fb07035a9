package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/client"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// TestRun_ControlPlaneAway holds I3, R78 in part, R92, R141 and T-L1 in part: whatever
// the control plane does not say or says wrongly, nothing is taken away, the machine is
// looked at every interval all the same, damage is repaired, and the control plane is
// not flooded.
func TestRun_ControlPlaneAway(t *testing.T) {
	refused := func(status int) func(context.Context, int) ([]byte, bool, error) {
		return func(context.Context, int) ([]byte, bool, error) {
			return nil, false, &client.Refused{Status: status, Message: "go away"}
		}
	}
	var sealed []byte
	tests := map[string]struct {
		answer func(ctx context.Context, n int) ([]byte, bool, error)
		most   int // questions in ten minutes
	}{
		"unreachable": {func(context.Context, int) ([]byte, bool, error) { return nil, false, errors.New("connection refused") }, 200},
		"hangs": {func(ctx context.Context, _ int) ([]byte, bool, error) {
			ctx, cancel := context.WithTimeout(ctx, 75*time.Second) // as the client bounds it
			defer cancel()
			<-ctx.Done()
			return nil, false, ctx.Err()
		}, 20},
		"answers-500":         {refused(500), 200},
		"answers-401":         {refused(401), 200},
		"answers-403":         {refused(403), 200},
		"answers-404":         {refused(404), 200},
		"answers-410":         {refused(410), 200},
		"unchanged-too-fast":  {func(context.Context, int) ([]byte, bool, error) { return nil, false, nil }, 600},
		"same-bundle-at-once": {func(context.Context, int) ([]byte, bool, error) { return sealed, true, nil }, 600},
		"empty-at-once":       {func(context.Context, int) ([]byte, bool, error) { return nil, true, nil }, 200},
		"errors-and-unchanged": {func(_ context.Context, n int) ([]byte, bool, error) {
			if n%2 == 0 {
				return nil, false, nil
			}
			return nil, false, errors.New("connection reset")
		}, 1000},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				b := newBundle(7, newUser("alice", 20001, true), newUser("bob", 20002, false))
				w.settle(b)
				sealed = seal(t, b, w.signer)
				before := w.machine.String()
				w.source.answers(noSpin(t, test.answer))
				stop := w.run()
				later(10 * time.Minute)
				if got := w.machine.looks(); got != 21 {
					t.Errorf("looked %d times in 10 minutes, want 21: at once and every %v", got, interval)
				}
				if got := w.source.questions(); got > test.most || got < 2 {
					t.Errorf("asked %d times in 10 minutes, want at most %d", got, test.most)
				}
				if steps := w.machine.take(); len(steps) != 0 {
					t.Errorf("steps were applied: %q", steps)
				}
				w.machine.change(func(s *plan.State) { delete(s.Files, layout.KeysDir+"/alice") })
				later(interval)
				if after := w.machine.String(); after != before {
					t.Errorf("the machine is\n%swas\n%s", after, before)
				}
				stop()
			})
		})
	}
}

// noSpin fails when so many questions come at one instant that time would never
// go on.
func noSpin(t *testing.T, answer func(context.Context, int) ([]byte, bool, error)) func(context.Context, int) ([]byte, bool, error) {
	last, count := time.Time{}, 0
	return func(ctx context.Context, n int) ([]byte, bool, error) {
		if now := time.Now(); now != last {
			last, count = now, 0
		}
		if count++; count > 100 {
			t.Error("the control plane was asked 100 times at one instant")
			<-ctx.Done()
			return nil, false, ctx.Err()
		}
		return answer(ctx, n)
	}
}

// TestRun_NewBundle: a change is on the machine at once, however it falls between
// the passes.
func TestRun_NewBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		stop := w.run()
		defer stop()
		for serial := int64(8); serial < 12; serial++ {
			time.Sleep(17 * time.Second)
			users := []wire.User{newUser("alice", 20001, true)}
			if serial%2 == 0 {
				users = append(users, newUser("bob", 20002, false))
			}
			w.issue(newBundle(serial, users...))
			synctest.Wait()
			want := map[bool]string{true: "open keys", false: "locked"}[serial%2 == 0]
			if got := w.machine.may("bob"); got != want {
				t.Errorf("at once after serial %d bob has %q, want %q", serial, got, want)
			}
		}
	})
}

// TestRun_Recovers: after an outage the next bundle is taken within the longest
// pause, and the trouble is no longer told.
func TestRun_Recovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		w.source.answers(func(context.Context, int) ([]byte, bool, error) { return nil, false, errors.New("connection refused") })
		stop := w.run()
		defer stop()
		later(time.Hour)
		if status, err := w.dir.Status(); err != nil || status.Trouble != "connection refused" {
			t.Errorf("in the outage the status says %q, %v", status.Trouble, err)
		}
		w.issue(newBundle(8))
		w.source.answers(nil)
		later(31 * time.Second)
		if got := w.machine.may("alice"); got != "locked" {
			t.Errorf("alice has %q half a minute after the outage", got)
		}
		later(interval)
		if status, err := w.dir.Status(); err != nil || status.Trouble != "" || status.Contact == "" {
			t.Errorf("after the outage the status says %+v, %v", status, err)
		}
		if n := strings.Count(w.log.String(), "connection refused"); n != 1 {
			t.Errorf("the outage was logged %d times, want once", n)
		}
	})
}

// TestRun_RefusedBundle holds R76 in part, R82 in part, R97 in part, R98 and T-L3 in
// part: a bundle that is not good changes neither the machine nor what is stored; it is
// said why; the next good one is taken.
func TestRun_RefusedBundle(t *testing.T) {
	good := newBundle(7, newUser("alice", 20001, true))
	next := func(change func(*wire.Bundle)) func(*testing.T, signer) []byte {
		return func(t *testing.T, s signer) []byte {
			b := newBundle(8, newUser("mallory", 20666, true))
			change(&b)
			return seal(t, b, s)
		}
	}
	text := func(edit func(string) string) func(*testing.T, signer) []byte {
		return func(t *testing.T, s signer) []byte {
			body, err := wire.Encode(newBundle(8, newUser("mallory", 20666, true)))
			must(t, err)
			sealed, err := note.Sign(&note.Note{Text: edit(string(body))}, s)
			must(t, err)
			return sealed
		}
	}
	tests := map[string]struct {
		sealed func(*testing.T, signer) []byte
		want   *authz.Refusal
	}{
		"other-signer": {func(t *testing.T, _ signer) []byte {
			return seal(t, newBundle(8), newSigner(t, "cp-2"))
		}, wire.ErrSignature},
		"other-signer-of-the-same-name": {func(t *testing.T, _ signer) []byte {
			secret, _, err := note.GenerateKey(nil, "cp-1")
			must(t, err)
			s, err := note.NewSigner(secret)
			must(t, err)
			return seal(t, newBundle(8), s)
		}, wire.ErrSignature},
		"a-bit-flipped": {func(t *testing.T, s signer) []byte {
			return bytes.Replace(seal(t, newBundle(8, newUser("alice", 20001, false)), s), []byte(`"sudo":false`), []byte(`"sudo":true,`), 1)
		}, wire.ErrSignature},
		"cut-short":           {func(t *testing.T, s signer) []byte { b := seal(t, newBundle(8), s); return b[:len(b)-10] }, wire.ErrSignature},
		"nothing":             {func(*testing.T, signer) []byte { return []byte{} }, wire.ErrSignature},
		"html":                {func(*testing.T, signer) []byte { return []byte("<html>please log in</html>\n") }, wire.ErrSignature},
		"other-stack":         {next(func(b *wire.Bundle) { b.Stack = "22222222-2222-4222-8222-222222222222" }), wire.ErrTarget},
		"other-control-plane": {next(func(b *wire.Bundle) { b.ControlPlane = "cp-2" }), wire.ErrTarget},
		"older-serial":        {next(func(b *wire.Bundle) { b.Serial = 6 }), wire.ErrRollback},
		"older-epoch":         {next(func(b *wire.Bundle) { b.Epoch, b.Serial = 1, 1000 }), wire.ErrRollback},
		"same-serial":         {next(func(b *wire.Bundle) { b.Serial = 7 }), agent.ErrForked},
		"far-ahead":           {next(func(b *wire.Bundle) { b.Serial = 1 << 40 }), wire.ErrJump},
		"epoch-far-ahead":     {next(func(b *wire.Bundle) { b.Epoch = 1 << 40 }), wire.ErrJump},
		"unknown-setting":     {next(func(b *wire.Bundle) { b.Settings.OnRevoke = "wipe" }), wire.ErrSettings},
		"unknown-format":      {next(func(b *wire.Bundle) { b.Format = 2 }), wire.ErrFormat},
		"white-space":         {text(func(s string) string { return strings.Replace(s, `"users":`, `"users": `, 1) }), wire.ErrNotCanonical},
		"field-twice":         {text(func(s string) string { return strings.Replace(s, `"epoch":2`, `"epoch":2,"epoch":2`, 1) }), wire.ErrNotCanonical},
		"unknown-field":       {text(func(s string) string { return strings.Replace(s, `"epoch":2`, `"epoch":2,"command":"id"`, 1) }), wire.ErrNotCanonical},
		"users-null": {text(func(s string) string {
			return s[:strings.Index(s, "[")] + "null" + s[strings.LastIndex(s, `,"settings"`):]
		}), wire.ErrNotCanonical},
		"users-missing": {text(func(s string) string { return strings.Replace(s, `"users"`, `"user"`, 1) }), wire.ErrNotCanonical},
		"too-large":     {func(*testing.T, signer) []byte { return make([]byte, wire.MaxBundle+1) }, wire.ErrTooLarge},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.settle(good)
				before, kept := w.machine.String(), readDir(t, w.path)
				stop := w.run()
				defer stop()
				synctest.Wait()
				w.source.issue(test.sealed(t, w.signer), newBundle(8))
				later(10 * time.Minute)
				if after := w.machine.String(); after != before {
					t.Errorf("the machine is\n%swas\n%s", after, before)
				}
				for _, file := range []string{"bundle", "seen.json", "ledger.json"} {
					if now := readDir(t, w.path); now[file] != kept[file] {
						t.Errorf("%s is %q, was %q", file, now[file], kept[file])
					}
				}
				status, err := w.dir.Status()
				if err != nil || !strings.Contains(status.Trouble, test.want.Text) || status.Report.Serial != 7 {
					t.Errorf("the status says %+v, %v; want %q about serial 7", status, err, test.want.Text)
				}
				if !strings.Contains(w.log.String(), "level=WARN") || !strings.Contains(w.log.String(), test.want.Text) {
					t.Errorf("the log says nothing of it:\n%s", w.log)
				}
				w.issue(newBundle(9, newUser("alice", 20001, true), newUser("bob", 20002, false)))
				later(31 * time.Second)
				if got := w.machine.may("bob"); got != "open keys" || w.stored() != 9 {
					t.Errorf("after a good bundle bob has %q, serial %d is stored", got, w.stored())
				}
			})
		})
	}
}

// readDir returns the files of a folder.
func readDir(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	files := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		files[e.Name()] = string(content)
	}
	return files
}

// TestRun_Expiry: a grant ends at its instant, with no network and a long interval
// (requirement R11).
func TestRun_Expiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		ends := map[string]time.Duration{"alice": 90 * time.Second, "bob": 91 * time.Second, "carol": 2 * time.Hour}
		users := []wire.User{newUser("dave", 20004, true)}
		for i, name := range []string{"alice", "bob", "carol"} {
			users = append(users, until(newUser(name, int64(20001+i), true), start.Add(ends[name])))
		}
		w.settle(newBundle(7, users...))
		w.source.answers(func(context.Context, int) ([]byte, bool, error) { return nil, false, errors.New("no route to host") })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		a := w.agent()
		a.Interval = time.Hour
		go func() { ended <- a.Run(ctx) }()
		for _, name := range []string{"alice", "bob", "carol"} {
			time.Sleep(time.Until(start.Add(ends[name] - time.Millisecond)))
			synctest.Wait()
			if got := w.machine.may(name); got != "open keys sudo" {
				t.Errorf("1 ms before the end %s has %q", name, got)
			}
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
			if got := w.machine.may(name); got != "locked" {
				t.Errorf("20 ms after the end %s has %q", name, got)
			}
		}
		if got := w.machine.may("dave"); got != "open keys sudo" {
			t.Errorf("dave, who has no end, has %q", got)
		}
		cancel()
		must(t, <-ended)
	})
}

// TestLoad_AnyInterruption is a kill -9 at every step of taking a bundle: with what is
// on the disk at that moment a new agent starts without a network, from the old bundle
// or the new one, and no older one is ever accepted again (requirement R98).
func TestLoad_AnyInterruption(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, newUser("alice", 20001, true)))
	var snapshots []string
	l := layout
	l.AgentDir = w.path
	a := w.agent()
	must(t, a.Load())
	a.Cache = cache.Open(l, safefile.Writer{Point: func(step string) {
		into := filepath.Join(t.TempDir(), fmt.Sprintf("%02d-%s", len(snapshots), step))
		must(t, os.CopyFS(into, os.DirFS(w.path)))
		must(t, os.Chmod(filepath.Dir(into), 0o755))
		snapshots = append(snapshots, into)
	}})
	w.issue(newBundle(8, newUser("bob", 20002, false)))
	must(t, a.Fetch(t.Context()))
	if len(snapshots) < 10 {
		t.Fatalf("only %d steps were seen", len(snapshots))
	}
	serials := map[int64]bool{}
	for _, at := range snapshots {
		w.dir, w.source = dirAt(at), newSource()
		again := w.agent()
		if err := again.Load(); err != nil || !again.Ready() {
			t.Errorf("killed at %s: Load = %v, ready %t", filepath.Base(at), err, again.Ready())
			continue
		}
		serials[w.stored()] = true
		w.issue(newBundle(6, newUser("mallory", 20666, true)))
		if err := again.Fetch(t.Context()); !errors.Is(err, wire.ErrRollback) {
			t.Errorf("killed at %s: an older bundle gave %v", filepath.Base(at), err)
		}
	}
	if !serials[7] || !serials[8] {
		t.Errorf("stored were %v, want both 7 and 8", serials)
	}
}

// TestFetch_StoredFirst: the machine hears of a bundle only when it is stored, so a
// kill in the middle of a pass goes on with the same one (requirement R98).
func TestFetch_StoredFirst(t *testing.T) {
	w := newWorld(t)
	w.settle(newBundle(7, newUser("alice", 20001, true)))
	w.issue(newBundle(8, newUser("alice", 20001, true), newUser("bob", 20002, true), newUser("carol", 20003, false)))
	w.machine.look = func() error {
		if w.stored() != 8 {
			t.Error("the machine is looked at while the bundle is not stored")
		}
		return nil
	}
	ctx, kill := context.WithCancel(t.Context())
	w.machine.breaks(func(s plan.Step) error {
		if ctx.Err() == nil && s.Op == plan.OpWriteKeys {
			kill()
		}
		return ctx.Err()
	})
	a := w.agent()
	must(t, a.Load())
	must(t, a.Fetch(ctx))
	_, _ = a.Pass(ctx) // it is cut short
	w.machine.breaks(nil)
	w.source.answers(func(context.Context, int) ([]byte, bool, error) { return nil, false, errors.New("no network") })
	again := w.agent()
	must(t, again.Load())
	if _, err := again.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{"alice": "open keys sudo", "bob": "open keys sudo", "carol": "open keys"} {
		if got := w.machine.may(user); got != want {
			t.Errorf("%s has %q, want %q", user, got, want)
		}
	}
}

// TestRun_DamagedFolder holds R104 in part: what cannot be read is never taken for
// nothing. The machine stays as it is and it is said why.
func TestRun_DamagedFolder(t *testing.T) {
	damage := map[string]struct {
		file    string
		content string
		says    string
		heals   bool // the next bundle from the control plane makes it good
	}{
		"bundle-emptied":     {"bundle", "", "no signature", true},
		"bundle-overwritten": {"bundle", strings.Repeat("x", 1000), "no signature", true},
		"seen-emptied":       {"seen.json", "", "canonical", false},
		"seen-negative":      {"seen.json", `{"epoch":2,"serial":"7"}` + "\n", "canonical", false},
		"ledger-emptied":     {"ledger.json", "", "canonical", false},
	}
	for situation, test := range damage {
		t.Run(situation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.settle(newBundle(7, newUser("alice", 20001, true)))
				before := w.machine.String()
				must(t, os.WriteFile(filepath.Join(w.path, test.file), []byte(test.content), 0o600))
				w.source.answers(func(context.Context, int) ([]byte, bool, error) { return nil, false, errors.New("no network") })
				stop := w.run()
				defer stop()
				later(10 * time.Minute)
				if after := w.machine.String(); after != before {
					t.Errorf("the machine is\n%swas\n%s", after, before)
				}
				if !strings.Contains(w.log.String(), test.says) {
					t.Errorf("the log does not say %q:\n%s", test.says, w.log)
				}
				w.issue(newBundle(8, newUser("alice", 20001, true), newUser("bob", 20002, false)))
				w.source.answers(nil)
				later(2 * time.Minute)
				want := map[bool]string{true: "open keys"}[test.heals]
				if got := w.machine.may("bob"); got != want {
					t.Errorf("after the next bundle bob has %q, want %q", got, want)
				}
			})
		})
	}
}

// TestRun_FirstStart: before the first bundle nothing is done, and nothing fails.
func TestRun_FirstStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.run()
		defer stop()
		later(5 * time.Minute)
		if steps := w.machine.take(); len(steps) != 0 || strings.Contains(w.log.String(), "level=ERROR") {
			t.Errorf("without a bundle: %q\n%s", steps, w.log)
		}
		if _, err := w.dir.Bundle(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a bundle is stored: %v", err)
		}
		w.issue(newBundle(1, newUser("alice", 20001, true)))
		synctest.Wait()
		if got := w.machine.may("alice"); got != "open keys sudo" {
			t.Errorf("alice has %q", got)
		}
	})
}
