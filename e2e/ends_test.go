package e2e_test

import (
	"fmt"
	"strings"
	"time"
)

// zones are those in which an end is tried: two that are no whole hours from UTC, to
// both sides. The first is the machine's own, the others only sshd's and sudo's.
func zones() []string { return []string{"America/St_Johns", "Asia/Kolkata", "UTC"} }

// ends gives bob access with an end, kills the agent for good, and has sshd and sudo
// tell in every zone that he may until then and may not from then on. A machine that
// is too slow to try everything before the end gets a longer time.
func (w *world) ends(name string) {
	t := w.t
	t.Helper()
	w.grant("bob", true)
	w.inZones(name)
	w.wantLogin(name, "bob", "in, root")
	var end time.Time
	for life := 12 * time.Second; ; life *= 2 {
		end = time.Now().Add(life).Truncate(time.Second)
		w.endAt(name, "bob", end)
		w.run(name, "systemctl", "kill", "--signal=KILL", "latchkey-agent")
		w.run(name, "systemctl", "stop", "latchkey-agent")
		got := w.tries(name, "bob")
		if time.Now().Before(end) {
			w.wantTries(got, "in", "root")
			break
		}
		if life > 2*patience {
			t.Fatal("no try was over before its end")
		}
		w.run(name, "systemctl", "start", "latchkey-agent")
	}
	select {
	case <-time.After(time.Until(end.Add(time.Second))): // sshd lets in for the whole of the last second
	case <-t.Context().Done():
	}
	w.wantTries(w.tries(name, "bob"), "refused", "no root")
	if out := w.run(name, "sh", "-c", "pgrep -x latchkey-agent; grep -c bob /etc/sudoers.d/90-latchkey /var/lib/latchkey/authorized_keys/bob"); out !=
		"/etc/sudoers.d/90-latchkey:1\n/var/lib/latchkey/authorized_keys/bob:1\n" {
		t.Errorf("the agent is not dead, or took bob away itself:\n%s", out)
	}
	w.run(name, "systemctl", "start", "latchkey-agent")
	w.settled(name)
	if out := w.run(name, "getent", "shadow", "bob"); !strings.HasPrefix(out, "bob:!*:") {
		t.Errorf("after the end the account is %s", out)
	}
}

// endsWithoutHook has sshd read our folder itself. One that is too old for an end as ours
// have it keeps bob out, and all that tells of a machine says so and what to do; in
// command mode he is in again.
func (w *world) endsWithoutHook(name string, old bool) {
	w.t.Helper()
	w.grant("bob", true)
	w.endAt(name, "bob", time.Now().Add(time.Hour))
	w.wantLogin(name, "bob", "in, root")
	w.cli("stack", "settings", "one", "--keys-mode", "directory")
	w.eventually(name+" reads the folder", func() error {
		_, err := w.machines[name].Run(w.t.Context(), "sh", "-c", "sshd -T -C user=bob,host=localhost,addr=127.0.0.1 | grep '^authorizedkeysfile.*%u'")
		return err
	})
	w.settled(name)
	w.wantLogin(name, "alice", "in, root")
	w.wantLogin(name, "bob", map[bool]string{true: "refused", false: "in, root"}[old])
	for _, command := range []string{"plan", "status", "explain bob", "doctor"} {
		out := w.run(name, "sh", "-c", "latchkey-agent "+command+" || true")
		if told := strings.Contains(out, "sshd before 9.1 refuses a key with an end"); told != old {
			w.t.Errorf("%s prints\n%s", command, out)
		}
	}
	if got := w.doctor(name)["sshd_end"]; got != map[bool]string{true: "problem", false: "ok"}[old] {
		w.t.Errorf("doctor finds sshd_end %s", got)
	}
	w.cli("stack", "settings", "one", "--keys-mode", "command")
	w.wantLogin(name, "bob", "in, root")
}

// inZones sets the machine's zone and starts an sshd for each other one.
func (w *world) inZones(name string) {
	w.t.Helper()
	for i, zone := range zones() {
		if i == 0 {
			w.run(name, "sh", "-c", "ln -sfn /usr/share/zoneinfo/"+zone+" /etc/localtime && systemctl restart ssh")
			continue
		}
		w.run(name, "systemd-run", "--quiet", fmt.Sprintf("--unit=sshd%d", i), "--setenv=TZ="+zone, "/usr/sbin/sshd", "-D", "-p", fmt.Sprint(2200+i))
	}
	w.run(name, "install", "-d", "-m", "700", "/root/keys")
	if err := w.machines[name].Copy(w.t.Context(), w.keys["bob"], "/root/keys/bob", 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// endAt gives a permission its end and waits until the machine has it.
func (w *world) endAt(name, user string, end time.Time) {
	w.t.Helper()
	w.call("SetPermission", map[string]any{"StackId": w.stack(), "IamUserArn": arn(user), "ExpiresAt": end.UTC().Format(time.RFC3339)}, nil)
	text := end.UTC().Format("20060102150405Z")
	w.eventually("end of "+user+" is on "+name, func() error {
		_, err := w.machines[name].Run(w.t.Context(), "sh", "-c",
			"grep -q "+text+" /var/lib/latchkey/authorized_keys/"+user+" && grep -q "+text+" /etc/sudoers.d/90-latchkey")
		return err
	})
}

// tries says for each zone what the sshd and the sudo of it let a user do. The client
// is the machine's own.
func (w *world) tries(name, user string) map[string]string {
	w.t.Helper()
	got := map[string]string{}
	for i, zone := range zones() {
		port := "22"
		if i > 0 {
			port = fmt.Sprint(2200 + i)
		}
		said := "in"
		_, err := w.machines[name].Run(w.t.Context(), "ssh", "-F", "none", "-p", port, "-i", "/root/keys/"+user, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "--", user+"@localhost", "true")
		if err != nil {
			said = "refused"
			if !strings.Contains(err.Error(), "Permission denied (") {
				said = err.Error()
			}
		}
		root := "root"
		if _, err := w.machines[name].Run(w.t.Context(), "runuser", "-u", user, "--", "env", "TZ="+zone, "sudo", "-n", "true"); err != nil {
			root = "no root"
		}
		got[zone] = said + ", " + root
	}
	return got
}

func (w *world) wantTries(got map[string]string, login, sudo string) {
	w.t.Helper()
	for zone, said := range got {
		if want := login + ", " + sudo; said != want {
			w.t.Errorf("in zone %s: %s, want %s", zone, said, want)
		}
	}
}
