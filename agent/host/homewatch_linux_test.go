package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/authz"
)

// watchedHomes makes homes and watches those of the users given.
func watchedHomes(t *testing.T, s *space, most int, users ...string) (w *homeWatcher, uids map[authz.Username]authz.UID) {
	t.Helper()
	uids = map[authz.Username]authz.UID{}
	for i, user := range users {
		uid := 20001 + i
		uids[named(t, user, authz.UID(uid), false).Username] = authz.UID(uid)
		for _, folder := range []string{"/home/" + user, "/home/" + user + "/.ssh"} {
			must(t, os.MkdirAll(folder, 0o700))
			must(t, os.Chown(folder, uid, uid))
		}
		s.write("/home/"+user+"/.ssh/authorized_keys", "ours\n", 0o600)
	}
	w, err := s.newHomeWatcher()
	must(t, err)
	w.most = most
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return w, uids
}

// heardOf reports whether the watcher told of a change since it was asked last. What comes
// of one change may come in parts.
func heardOf(t *testing.T, w *homeWatcher, expected bool) (heard bool) {
	t.Helper()
	limit := 300 * time.Millisecond // a slow machine hides a fault, it makes none
	if expected {
		limit = 30 * time.Second
	}
	for {
		select {
		case err := <-w.changed:
			must(t, err)
			heard, limit = true, 300*time.Millisecond
		case <-time.After(limit):
			return heard
		}
	}
}

// testHomesWatched: whatever is done to the key file in a home is told, and to its folder
// too, which is watched anew; what is done to other files is not, nor what happens where a
// link leads.
func testHomesWatched(t *testing.T, s *space) {
	const ssh, file = "/home/alice/.ssh", "/home/alice/.ssh/authorized_keys"
	w, homes := watchedHomes(t, s, mostHomes, "alice")
	w.set(homes)
	if !heardOf(t, w, true) {
		t.Error("what changed before it was watched is not looked at")
	}
	must(t, os.Mkdir("/srv-elsewhere", 0o755))
	t.Cleanup(func() { must(t, os.RemoveAll("/srv-elsewhere")) })
	own := func() { must(t, os.Chown(ssh, 20001, 20001)) }
	for _, c := range []struct {
		name string
		do   func()
		told bool
	}{
		{"nothing", func() {}, false},
		{"set-again", func() { w.set(homes) }, false},
		{"written", func() { s.write(file, "theirs\n", 0o600) }, true},
		{"removed", func() { must(t, os.Remove(file)) }, true},
		{"made-again", func() { s.write(file, "ours\n", 0o600) }, true},
		{"renamed-over", func() { s.write(ssh+"/new", "theirs\n", 0o600); must(t, os.Rename(ssh+"/new", file)) }, true},
		{"mode", func() { must(t, os.Chmod(file, 0o666)) }, true},
		{"another-file", func() { s.write(ssh+"/known_hosts", "x", 0o600) }, false},
		{"read-alone", func() { _, err := os.ReadFile(file); must(t, err) }, false},
		{"folder-moved", func() { must(t, os.Rename(ssh, ssh+".old")) }, true},
		{"in-the-moved-folder", func() { s.write(ssh+".old/authorized_keys", "x", 0o600) }, false},
		{"not-in-home-mode", func() { w.set(nil); s.write(ssh+".old/authorized_keys", "y", 0o600) }, false}, // and it has its whole share again
		{"link-in-its-place", func() {
			must(t, os.Symlink("/srv-elsewhere", ssh))
			w.set(homes)
			s.write("/srv-elsewhere/authorized_keys", "x", 0o600)
		}, false},
		{"folder-again", func() { must(t, os.Remove(ssh)); must(t, os.Mkdir(ssh, 0o700)); own(); w.set(homes) }, true},
		{"written-again", func() { s.write(file, "ours\n", 0o600) }, true},
		{"folder-removed", func() { must(t, os.RemoveAll(ssh)) }, true},
		{"folder-of-another", func() {
			must(t, os.Mkdir(ssh, 0o700))
			must(t, os.Chown(ssh, 1, 1))
			w.set(homes)
			s.write(file, "x", 0o600)
		}, false},
		{"folder-of-the-user-again", func() { own(); w.set(homes) }, true},
		{"not-in-home-mode-again", func() { w.set(nil); must(t, os.Chmod(file, 0o600)) }, false},
		{"in-home-mode-again", func() { w.set(homes) }, true},
		{"written-at-last", func() { s.write(file, "theirs\n", 0o600) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.do()
			if got := heardOf(t, w, c.told); got != c.told {
				t.Errorf("told: %v", got)
			}
		})
	}
	must(t, unix.Mount("tmpfs", ssh, "tmpfs", 0, "mode=755"))
	must(t, unix.Unmount(ssh, 0)) // a watch keeps nothing in use
}

// testHomesUnwatched: a home that hangs keeps no other from being watched, and nobody
// waiting; more homes than may be watched are told of once; a home of which too much comes
// is not watched for a while.
func testHomesUnwatched(t *testing.T, s *space) {
	w, homes := watchedHomes(t, s, 3, "alice", "bob", "carol")
	s.silentAt(t, "/home/carol", false)
	begun := time.Now()
	w.set(homes)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s to tell whose homes", took)
	}
	if !heardOf(t, w, true) {
		t.Error("nobody is watched")
	}
	for _, user := range []string{"alice", "bob"} {
		s.write("/home/"+user+"/.ssh/authorized_keys", "theirs\n", 0o600)
		if !heardOf(t, w, true) {
			t.Errorf("beside a home that hangs %s is not watched", user)
		}
	}

	for i := range homeEvents {
		s.write(fmt.Sprintf("/home/bob/.ssh/note%d", i%8), "x", 0o600)
	}
	w.set(homes)
	s.write("/home/bob/.ssh/authorized_keys", "again\n", 0o600)
	if heardOf(t, w, false) {
		t.Error("a home of which too much came is watched")
	}
	s.write("/home/alice/.ssh/authorized_keys", "again\n", 0o600)
	if !heardOf(t, w, true) {
		t.Error("for the noise of bob's home alice's is not watched")
	}

	more, all := watchedHomes(t, s, 1, "alice", "bob")
	more.set(all)
	more.set(all)
	told := 0
	for limit := 30 * time.Second; told == 0 || limit < time.Second; {
		select {
		case err := <-more.changed:
			if err != nil && !errors.Is(err, errManyHomes) {
				t.Error(err)
			}
			if err != nil {
				told++
				limit = 300 * time.Millisecond
			}
			continue
		case <-time.After(limit):
		}
		break
	}
	if told != 1 {
		t.Errorf("it was told %d times that there are too many", told)
	}
}
