package e2e_test

import (
	"fmt"
	"testing"

	"latchkey/e2e/machine"
)

// releases are the Debian releases that machines are made of, oldest first: with sshd
// 8.4, 9.2 and 10.0, sudo 1.9.5, 1.9.13 and 1.9.16, shadow 4.8, 4.13 and 4.17, systemd
// 247, 252 and 257.
func releases() []string { return []string{"bullseye", "bookworm", "trixie"} }

// TestReleases is the story on a machine of each release.
func TestReleases(t *testing.T) {
	for i, release := range releases() {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("deb%d", 11+i)
			w := newWorldOn(t, release, machine.Boot, 8491+i, 91+i, name)
			w.story(name)
		})
	}
}

func (w *world) story(name string) {
	before := w.snapshot(name)
	w.cli("stack", "create", "one")
	w.grant("alice", true)
	w.join(name, w.stack())
	w.startAgent(name)
	w.wantLogin(name, "alice", "in, root")
	w.settled(name)
	w.sub("doctor", func() {
		for code, severity := range w.doctor(name) {
			if severity != "ok" && code != "clock" {
				w.t.Errorf("%s is a %s", code, severity)
			}
		}
	})
	w.sub("damage", func() { w.damage(name) })
	w.sub("ends", func() { w.ends(name) })
	w.sub("unsafe-hook", func() { w.unsafeHook(name) })
	w.sub("revoke", func() {
		w.revokeWithSession(name, func() { w.revoke("alice") })
	})
	w.sub("revert", func() { w.revert(name, before) })
}
