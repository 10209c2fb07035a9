package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/e2e/machine"
)

// TestSudoKinds: where sudo is sudo-rs, what it can give works, and who has an end,
// which it does not know, is told to be without sudo; where there is none, all are.
// Nobody's login is the worse for it (requirements R54 and R56, and T-S9 in part).
func TestSudoKinds(t *testing.T) {
	t.Parallel()
	w := newWorldOn(t, "trixie", machine.Boot, 8494, 94, "rs1", "nosudo1")
	w.run("rs1", "sh", "-c", "ln -sf ../lib/cargo/bin/sudo /usr/bin/sudo && ln -sf ../lib/cargo/bin/visudo /usr/sbin/visudo && sudo --version 2>&1 | grep ^sudo-rs")
	w.run("nosudo1", "env", "SUDO_FORCE_REMOVE=yes", "dpkg", "--purge", "sudo-rs", "sudo")
	w.cli("stack", "create", "one")
	w.grant("alice", true)
	w.grant("bob", true)
	w.grant("carol", false)
	w.cli("permission", "set", "--user", "bob", "--stack", "one", "--expires", "8h")
	for name, want := range map[string]map[string]string{
		"rs1":     {"alice": "in, root", "bob": "sudo-rs reads no rule with an end", "carol": "in"},
		"nosudo1": {"alice": "sudo is not installed here", "bob": "sudo is not installed here"},
	} {
		w.join(name, w.stack())
		w.startAgent(name)
		for user, get := range want {
			w.sub(name+"-"+user, func() {
				if strings.HasPrefix(get, "in") {
					w.wantLogin(name, user, get)
				} else {
					w.wantNoSudo(name, user, get)
				}
			})
		}
	}
	w.sub("rs1-takes-back", func() {
		w.call("SetPermission", map[string]any{"StackId": w.stack(), "IamUserArn": arn("alice"), "AllowSudo": false}, nil)
		w.wantLogin("rs1", "alice", "in")
		w.revoke("bob") // or doctor would rightly say that he has no sudo
		w.settled("rs1")
		if got := w.doctor("rs1"); got["sudo_user"] != "ok" || got["sudo_policy"] != "ok" {
			w.t.Errorf("doctor finds %v", got)
		}
	})
}

// wantNoSudo waits until a user logs in on a machine, without sudo, and it has told the
// control plane why.
func (w *world) wantNoSudo(name, user, why string) {
	w.t.Helper()
	w.eventually(user+" logs in on "+name+" without sudo, and it is told", func() error {
		r, err := machine.SSH(w.t.Context(), w.machines[name], user, w.keys[user], "id -un; sudo -n id -u")
		if err != nil || r.Stdout != user+"\n" {
			return fmt.Errorf("%+v, %v", r, err)
		}
		said := w.cli("explain", user, "one")
		for line := range strings.Lines(said) {
			if strings.Contains(line, name) && strings.Contains(line, why) {
				return nil
			}
		}
		return fmt.Errorf("the control plane explains:\n%s", said)
	})
}
