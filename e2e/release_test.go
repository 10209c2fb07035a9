package e2e_test

import (
	"fmt"
	"os"
	"testing"

	"latchkey/e2e/machine"
)

// releases are the Debian releases that machines are made of, oldest first: with sshd
// 8.4, 9.2 and 10.0, sudo 1.9.5, 1.9.13 and 1.9.16, shadow 4.8, 4.13 and 4.17, systemd
// 247, 252 and 257.
func releases() []string { return []string{"bullseye", "bookworm", "trixie"} }

// TestReleases is the life of a machine on each release, with the tests of single tools
// before it (requirements R11, R12, R13, R68, T-H11, T-K31 and T-K32).
func TestReleases(t *testing.T) {
	need(t)
	dir := t.TempDir()
	buildSuites(t, dir)
	for i, release := range releases() {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("deb%d", 11+i)
			w := newWorldOn(t, release, machine.Boot, 8491+i, 91+i, name)
			before := w.snapshot(name)
			// The other tests run them where they run, which is mostly this release.
			if release != "bookworm" || os.Getenv("LATCHKEY_LONG") != "" {
				w.suites(name, dir)
			}
			w.begin(name)
			w.sub("damage", func() { w.damage(name) })
			w.sub("unsafe-hook", func() { w.unsafeHook(name) })
			w.sub("keys", func() { w.everyKey(name) })
			w.sub("ends-without-hook", func() { w.endsWithoutHook(name, release == "bullseye") })
			w.sub("ends", func() { w.ends(name) })
			w.sub("revoke", func() { w.revokeWithSession(name, func() { w.revoke("alice") }) })
			w.sub("revert", func() { w.revert(name, before) })
		})
	}
}

// begin makes a machine an instance whose agent has let alice in and finds nothing
// wrong.
func (w *world) begin(name string) {
	w.t.Helper()
	w.cli("stack", "create", "one")
	w.grant("alice", true)
	w.join(name, w.stack())
	w.startAgent(name)
	w.wantLogin(name, "alice", "in, root")
	w.settled(name)
	w.sub("doctor", func() {
		for code, severity := range w.doctor(name) {
			// Whether anything keeps the clock is the host's business.
			if severity != "ok" && code != "clock" {
				w.t.Errorf("%s is a %s", code, severity)
			}
		}
	})
	w.sub("unit", func() {
		if out := w.run(name, "sh", "-c", "journalctl -q --no-pager -o cat _PID=1 | grep latchkey-agent.service: || true"); out != "" {
			w.t.Errorf("systemd says of the unit:\n%s", out)
		}
	})
}
