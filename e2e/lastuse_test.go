package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/e2e/machine"
)

// TestUnmanaged holds R28 and T-U13 in part: somebody who logs in puts another key into
// his home. It does not open his account, and an administrator sees it; and sees when
// each key was used, from sshd's own log, in which nobody can put words into sshd's
// mouth. Then the stack has such keys taken out, and then adopted, until the account is
// revoked: a new grant brings none of them back (R31 in part).
func TestUnmanaged(t *testing.T) {
	t.Parallel()
	const name = "unmanaged1"
	w := newWorld(t, 8465, 47, name)
	w.cli("stack", "create", "one")
	w.grant("alice", false)
	w.grant("bob", false)
	w.join(name, w.stack())
	w.startAgent(name)
	w.wantLogin(name, "alice", "in")

	planted := w.key("planted")
	script := `set -e
mkdir -p ~/.ssh
for f in authorized_keys authorized_keys2; do echo '` + planted + `' >~/.ssh/$f; done
logger -t sshd "Accepted publickey for bob from 192.0.2.1 port 22 ssh2: ED25519 $(printf %043d 0 | sed s/^/SHA256:/)"
logger -t 'sshd[1]' 'Accepted password for bob from 192.0.2.1 port 22 ssh2'
ln -s /usr/bin/sudo /tmp/sshd
/tmp/sshd -n -- 'Accepted password for bob from 192.0.2.1 port 22 ssh2' || true`
	r, err := machine.SSH(t.Context(), w.machines[name], "alice", w.keys["alice"], script)
	if err != nil || r.Code != 0 {
		t.Fatalf("plant a key: %+v, %v", r, err)
	}
	if r, err := machine.SSH(t.Context(), w.machines[name], "alice", w.keys["planted"], "true"); err != nil || !r.Refused() {
		t.Errorf("with the planted key: %+v, %v", r, err)
	}

	w.run(name, "systemctl", "restart", "latchkey-agent") // what is not urgent is told at the start
	w.eventually("the use of alice's key is known", func() error {
		if out := w.cli("user", "show", "alice"); !strings.Contains(out, "ssh-ed25519, last used 20") || !strings.Contains(out, " on ") || strings.Contains(out, "log file") {
			return fmt.Errorf("shown is\n%s", out)
		}
		return nil
	})
	if out := w.cli("user", "list", "--unused-since", "1h"); !strings.Contains(out, "bob ") || strings.Contains(out, "alice") {
		t.Errorf("unused are\n%s", out)
	}
	if out := w.cli("user", "show", "bob"); !strings.Contains(out, "never used") || !strings.Contains(out, "never ") {
		t.Errorf("bob, who never logged in, is shown as\n%s", out)
	}
	if out := w.run(name, "latchkey-agent", "explain", "alice"); !strings.Contains(out, "last login with SHA256:") {
		t.Errorf("on the machine it is explained as\n%s", out)
	}
	w.eventually("the planted keys are known", func() error {
		var found []string
		out := w.cli("instance", "show", name)
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 4 && f[0] == "key" && f[1] == "alice" {
				found = append(found, f[len(f)-1])
			}
		}
		if strings.Join(found, " ") != "/home/alice/.ssh/authorized_keys /home/alice/.ssh/authorized_keys2" {
			return fmt.Errorf("shown is\n%s", out)
		}
		return nil
	})
	w.quarantined(name)
	w.adopted(name)
}

// quarantined has the stack take the planted keys out of the home.
func (w *world) quarantined(name string) {
	w.t.Helper()
	w.cli("stack", "settings", "one", "--unmanaged", "quarantine")
	w.eventually("the planted keys are kept for root", func() error {
		const look = "exec 2>/dev/null; cat /home/alice/.ssh/authorized_keys* | wc -c; cat /var/lib/latchkey/quarantine/alice.*/*; stat -c '%a %U' /var/lib/latchkey/quarantine /var/lib/latchkey/quarantine/*/*; true"
		out := w.run(name, "sh", "-c", look)
		if want := "0\n" + w.public["planted"] + "\n" + w.public["planted"] + "\n700 root\n600 root\n600 root\n"; out != want {
			return fmt.Errorf("there is\n%swant\n%s", out, want)
		}
		return nil
	})
	w.settled(name)
	w.wantLogin(name, "alice", "in")
}

// adopted has the stack make a planted key one of the account's, until it is revoked.
func (w *world) adopted(name string) {
	w.t.Helper()
	w.cli("stack", "settings", "one", "--unmanaged", "adopt")
	r, err := machine.SSH(w.t.Context(), w.machines[name], "alice", w.keys["alice"], "echo '"+w.public["planted"]+"' >.ssh/authorized_keys")
	if err != nil || r.Code != 0 {
		w.t.Fatalf("plant a key: %+v, %v", r, err)
	}
	own := w.keys["alice"]
	w.keys["alice"] = w.keys["planted"]
	w.wantLogin(name, "alice", "in")
	w.revoke("alice")
	w.wantLogin(name, "alice", "refused")
	w.settled(name)
	w.grant("alice", false)
	w.keys["alice"] = own
	w.wantLogin(name, "alice", "in")
	w.settled(name)
	if r, err := machine.SSH(w.t.Context(), w.machines[name], "alice", w.keys["planted"], "true"); err != nil || !r.Refused() {
		w.t.Errorf("granted again, with the planted key: %+v, %v", r, err)
	}
}
