package agent_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// TestRun_Wake: drift is put right as soon as the agent is woken, not at the interval.
func TestRun_Wake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		wake := make(chan struct{}, 1)
		stop := w.runWith(func(a *agent.Agent) { a.Wake, a.Interval = wake, time.Hour })
		synctest.Wait()
		w.machine.take()
		for range 3 {
			w.machine.change(func(s *plan.State) { delete(s.Files, layout.Sudoers) })
			wake <- struct{}{}
			synctest.Wait()
			if got := w.machine.may("alice"); got != "open keys sudo" {
				t.Errorf("after a wake alice has %q", got)
			}
		}
		stop()
	})
}

// TestRun_Fight: another program undoes every repair at once. The agent goes on, ever
// more slowly, says so (requirement R154 in part), and is quick again after the other has
// stopped.
func TestRun_Fight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, newUser("alice", 20001, true)))
		wake := make(chan struct{}, 1)
		other, end := context.WithCancel(t.Context())
		defer end()
		go func() {
			for other.Err() == nil {
				time.Sleep(100 * time.Millisecond)
				w.machine.change(func(s *plan.State) {
					if _, there := s.Files[layout.Sudoers]; there && other.Err() == nil {
						delete(s.Files, layout.Sudoers)
						select {
						case wake <- struct{}{}:
						default:
						}
					}
				})
			}
		}()
		stop := w.runWith(func(a *agent.Agent) { a.Wake = wake })
		const while = 10 * time.Minute
		later(while)
		looks := w.machine.looks()
		if most := 3 * (int(while/interval) + 20); looks > most {
			t.Errorf("%d looks in %s, more than %d", looks, while, most)
		}
		if got := lastRefused(w.source.received()); !strings.Contains(got, "contested") || !strings.Contains(got, layout.Sudoers) {
			t.Errorf("the report refuses %q", got)
		}
		end()
		later(2 * interval)
		if got := w.machine.may("alice"); got != "open keys sudo" {
			t.Errorf("after the fight alice has %q", got)
		}
		later(while)
		if got := lastRefused(w.source.received()); got != "" {
			t.Errorf("long after the fight the report refuses %q", got)
		}
		stop()
	})
}

func lastRefused(reports []wire.Report) (text string) {
	if len(reports) == 0 {
		return "no report"
	}
	for _, r := range reports[len(reports)-1].Refused {
		text += r.What + " " + r.Code + "\n"
	}
	return text
}

// TestWatch is the real kernel's: what tools do to files wakes, what is none of ours
// does not, and a folder that is removed and made again is watched again.
func TestWatch(t *testing.T) {
	root := t.TempDir()
	l := plan.Layout{
		StateDir: root + "/state", KeysDir: root + "/state/keys", Sudoers: root + "/etc/sudoers.d/90-latchkey",
		SSHD: root + "/etc/ssh/sshd_config.d/10-latchkey.conf", SSHDConfig: root + "/etc/ssh/sshd_config", AccountsDir: root + "/etc", Freeze: root + "/etc/latchkey/freeze",
	}
	for _, folder := range l.WatchedFolders() {
		must(t, os.MkdirAll(folder, 0o755))
	}
	write := func(name, content string) func() error {
		return func() error { return os.WriteFile(root+"/"+name, []byte(content), 0o644) }
	}
	over := func(name string) func() error {
		return func() error {
			temp := filepath.Join(filepath.Dir(root+"/"+name), "temp-file")
			if err := os.WriteFile(temp, nil, 0o644); err != nil {
				return err
			}
			return os.Rename(temp, root+"/"+name)
		}
	}
	for _, name := range []string{"etc/passwd", "etc/sudoers.d/90-latchkey", "etc/ssh/sshd_config.d/10-latchkey.conf", "state/keys/alice"} {
		must(t, write(name, "old")())
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake, err := agent.Watch(ctx, l, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	for _, c := range []struct {
		name  string
		do    func() error
		wakes bool
	}{
		{"passwd-renamed-over", over("etc/passwd"), true},
		{"passwd-renamed-over-again", over("etc/passwd"), true},
		{"something-else-in-etc", write("etc/resolv.conf", "x"), false},
		{"sudoers-written", write("etc/sudoers.d/90-latchkey", "x"), true},
		{"sudoers-removed", func() error { return os.Remove(root + "/etc/sudoers.d/90-latchkey") }, true},
		{"another-sudoers-file", write("etc/sudoers.d/99-other", "x"), true},
		{"mode-of-our-sshd-file", func() error { return os.Chmod(root+"/etc/ssh/sshd_config.d/10-latchkey.conf", 0o666) }, true},
		{"owner-of-a-key-file", func() error { return os.Chown(root+"/state/keys/alice", os.Getuid(), os.Getgid()) }, true},
		{"keys-folder-removed", func() error { return os.RemoveAll(root + "/state/keys") }, true},
		{"keys-folder-made-again", func() error { return os.Mkdir(root+"/state/keys", 0o755) }, true},
		{"file-in-the-folder-made-again", write("state/keys/alice", "x"), true},
		{"frozen", write("etc/latchkey/freeze", "x"), true},
		{"freeze-lifted", func() error { return os.Remove(root + "/etc/latchkey/freeze") }, true},
		{"freeze-folder-removed", func() error { return os.Remove(root + "/etc/latchkey") }, true},
		{"freeze-folder-made-again", func() error { return os.Mkdir(root+"/etc/latchkey", 0o755) }, true},
		{"read-alone", func() error { _, err := os.ReadFile(root + "/etc/passwd"); return err }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, c.do())
			if got := woken(t, wake, c.wakes); got != c.wakes {
				t.Errorf("woken: %v", got)
			}
		})
	}
}

// TestWatch_homes: what is told of homes wakes too, and why not all of them are watched is
// logged.
func TestWatch_homes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	homes, text := make(chan error), &logText{}
	wake, err := agent.Watch(ctx, plan.Layout{AccountsDir: t.TempDir()}, homes, slog.New(slog.NewTextHandler(text, nil)))
	must(t, err)
	for _, told := range []error{nil, errInjected, nil} {
		homes <- told
		if !woken(t, wake, true) {
			t.Errorf("told %v it is not woken", told)
		}
	}
	if want := "reason=\"" + errInjected.Error(); strings.Count(text.String(), want) != 1 {
		t.Errorf("the log is %q", text)
	}
}

// TestRun_Homes: after each pass is told in whose homes sshd reads lines of ours, and that
// it reads none any more.
func TestRun_Homes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settle(newBundle(7, three()...))
		a := w.agent()
		must(t, a.Load())
		must(t, second(a.EnableSSHD(t.Context())))
		var mu sync.Mutex
		var told map[authz.Username]authz.UID
		stop := w.runWith(func(a *agent.Agent) {
			a.Homes = func(homes map[authz.Username]authz.UID) {
				mu.Lock()
				defer mu.Unlock()
				told = homes
			}
		})
		want := func(situation string, users ...string) {
			t.Helper()
			later(2 * interval)
			mu.Lock()
			defer mu.Unlock()
			ok := len(told) == len(users)
			for _, user := range users {
				ok = ok && told[name(t, user)] != 0
			}
			if !ok {
				t.Errorf("%s: told are %v, want %v", situation, told, users)
			}
		}
		want("command")
		b := newBundle(8, three()...)
		b.Settings.KeysMode = wire.KeysHome
		w.issue(b)
		want("home", "alice", "bob", "carol")
		b.Serial, b.Users = 9, b.Users[1:]
		w.issue(b)
		want("revoked", "bob", "carol")
		b.Serial, b.Settings.KeysMode = 10, wire.KeysCommand
		w.issue(b)
		later(5 * time.Minute)
		want("command again")
		stop()
	})
}

// woken waits for a wake, or for a time in which none came: a file that is ours is
// written after what is tried, and its wake is the only one then.
func woken(t *testing.T, wake <-chan struct{}, expected bool) bool {
	t.Helper()
	limit := 30 * time.Second
	if !expected {
		limit = 500 * time.Millisecond // a late wake would be taken for the next case's; a slow machine hides a fault, it makes none
	}
	select {
	case <-wake:
		return true
	case <-time.After(limit):
		return false
	}
}
