package host

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// testSetIDs holds T-U14, with testSessions, testScheduled and TestRevoke_Scheduled:
// whoever had sudo and left a program of root's in the home is told after losing access,
// however it is hidden there; the look does not leave the home and does not wait for ever.
func testSetIDs(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, true), named(t, "bob", 20002, false)
	s.become(alice, bob)
	must(t, os.MkdirAll("/home/alice/.cache/a b/", 0o755))
	for path, mode := range map[string]uint32{
		"/home/alice/.cache/a b/.\n": 0o4755, "/home/alice/group": 0o2755, "/home/alice/not-run": 0o4644, "/home/alice/plain": 0o755,
		"/home/alice/able": 0o755, "/home/outside": 0o4755,
	} {
		must(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600))
		must(t, unix.Chmod(path, mode))
	}
	must(t, os.Symlink("/home", "/home/alice/all"))
	must(t, os.Symlink("/usr/bin/passwd", "/home/alice/passwd"))
	// cap_setuid=ep, as setcap writes it (linux/capability.h).
	must(t, unix.Setxattr("/home/alice/able", "security.capability", []byte("\x01\x00\x00\x02\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	s.become(bob) // she is revoked
	want := []SetID{
		{"alice", "/home/alice/.cache/a b/.\n", "uid 0"},
		{"alice", "/home/alice/able", "capabilities"},
		{"alice", "/home/alice/group", "gid 0"},
	}
	got, unread, err := s.SetIDs(s.owned)
	if diff := cmp.Diff(want, got); diff != "" || len(unread) != 0 || err != nil {
		t.Errorf("%v, %v (-want +got):\n%s", unread, err, diff)
	}
	s.silentAt(t, "/home/bob/away", true)
	got, unread, err = s.SetIDs(s.owned)
	if diff := cmp.Diff(want, got); diff != "" || len(unread) != 1 || !strings.Contains(unread[0].Reason, "not connected") || err != nil {
		t.Errorf("%v, %v (-want +got):\n%s", unread, err, diff)
	}
}
