package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/e2e/machine"
)

// TestRevoke_Scheduled holds R29 and T-U14 in part for everything that starts without a
// login: a user with a lingering user manager and a service in it, a crontab, an at
// job, processes that left their session and one that flees is revoked. All of it ends,
// is kept for root and stays away after a reboot and a new grant; another user's stays
// as it is. The at job is put where at puts it: its package is not in the tree.
func TestRevoke_Scheduled(t *testing.T) {
	t.Parallel()
	const name = "revoke1"
	w := newWorld(t, 8461, 41, name)
	w.cli("stack", "create", "one")
	w.grant("alice", true)
	w.grant("bob", true)
	w.join(name, w.stack())
	w.startAgent(name)
	w.wantLogin(name, "alice", "in, root")
	w.wantLogin(name, "bob", "in, root")

	for _, user := range []string{"alice", "bob"} {
		w.busy(name, user)
	}
	w.revoke("alice")
	w.wantLogin(name, "alice", "refused")
	w.settled(name)
	w.gone(name)
	if out := w.run(name, "latchkey-agent", "status"); strings.Contains(out, "not done") {
		t.Errorf("status says\n%s", out)
	}
	const kept = "/var/lib/latchkey/revoked"
	if out := w.run(name, "sh", "-c", "stat -c '%a %U' "+kept+" "+kept+"/alice.*; cat "+kept+"/alice.*/crontab "+kept+"/alice.*/at-a0000101c8d3e4"); !strings.HasPrefix(out, "700 root\n700 root\n") ||
		!strings.Contains(out, "* * * * * touch /home/alice/cron\n") || !strings.HasSuffix(out, "#!/bin/sh\ntouch /home/alice/at\n") {
		t.Errorf("kept is\n%s", out)
	}

	if err := w.machines[name].Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.running(name, "bob")
	w.gone(name)
	w.grant("alice", true)
	w.wantLogin(name, "alice", "in, root")
	w.nothingScheduled(name)
}

// busy has a user do everything that goes on without a login.
func (w *world) busy(name, user string) {
	w.t.Helper()
	const script = `set -e
mkdir -p ~/.config/systemd/user/default.target.wants
cat >~/.config/systemd/user/beat.service <<END
[Service]
ExecStart=/bin/sleep 1000002
END
ln -s ../beat.service ~/.config/systemd/user/default.target.wants/beat.service
systemctl --user daemon-reload
systemctl --user start beat
echo "* * * * * touch $HOME/cron" | crontab -
setsid nohup sleep 1000003 >/dev/null 2>&1 </dev/null &
sudo -n setsid nohup sleep 1000004 >/dev/null 2>&1 </dev/null &
flee() { flee & }
[ $USER != alice ] || flee >/dev/null 2>&1 </dev/null`
	r, err := machine.SSH(w.t.Context(), w.machines[name], user, w.keys[user], script)
	if err != nil || r.Code != 0 {
		w.t.Fatalf("prepare %s: %+v, %v", user, r, err)
	}
	job := "/var/spool/cron/atjobs/" + map[string]string{"alice": "a0000101c8d3e4", "bob": "a0000201c8d3e4"}[user]
	w.run(name, "sh", "-c", "install -d -m 1770 -o daemon -g daemon /var/spool/cron/atjobs && printf '#!/bin/sh\\ntouch /home/"+user+"/at\\n' >"+job+
		" && chmod 700 "+job+" && chown "+user+":daemon "+job)
	w.run(name, "loginctl", "enable-linger", user)
	w.running(name, user)
}

// running waits until a user's manager has started the service in it.
func (w *world) running(name, user string) {
	w.t.Helper()
	w.eventually("the user manager of "+user+" works", func() error {
		_, err := w.machines[name].Run(w.t.Context(), "pgrep", "-u", user, "-f", "sleep 1000002")
		return err
	})
}

// gone checks that nothing of alice runs or would, and all of bob does.
func (w *world) gone(name string) {
	w.t.Helper()
	if out := w.run(name, "sh", "-c", "pgrep -a -U alice; pgrep -a -u alice; true"); out != "" {
		w.t.Errorf("of alice there runs\n%s", out)
	}
	if _, err := w.machines[name].Run(w.t.Context(), "pgrep", "-u", "bob", "-f", "sleep 1000002"); err != nil {
		w.t.Errorf("bob's service does not run: %v", err)
	}
	w.nothingScheduled(name)
}

func (w *world) nothingScheduled(name string) {
	w.t.Helper()
	got := w.run(name, "sh", "-c", "ls /var/spool/cron/crontabs /var/spool/cron/atjobs /var/lib/systemd/linger")
	want := fmt.Sprintf("/var/lib/systemd/linger:\nbob\n\n%[1]s/atjobs:\na0000201c8d3e4\n\n%[1]s/crontabs:\nbob\n", "/var/spool/cron")
	if got != want {
		w.t.Errorf("scheduled is\n%s", got)
	}
}
