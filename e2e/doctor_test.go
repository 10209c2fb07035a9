package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestDoctor: on a whole machine doctor finds nothing wrong, finds what is made
// wrong, and repairs what is safe and ours; inventory lists what is not ours.
func TestDoctor(t *testing.T) {
	t.Parallel()
	const name = "doctor1"
	w := newWorld(t, 8462, 40, name)
	var made struct{ StackId string }
	w.decode(w.aws("create-stack", "--name", "one", "--stack-region", "us-east-1", "--service-role-arn", "arn:aws:iam::000000000000:role/none",
		"--default-instance-profile-arn", "arn:aws:iam::000000000000:instance-profile/none"), &made)
	w.grant("alice", true)
	w.join(name, "one")
	w.startAgent(name)
	w.wantLogin(name, "alice", "in, root")
	w.settled(name)

	w.sub("nothing-is-wrong", func() {
		for code, severity := range w.doctor(name) {
			// Whether anything keeps the clock is the host's business.
			if severity != "ok" && code != "clock" {
				w.t.Errorf("%s is a %s", code, severity)
			}
		}
	})
	w.sub("what-is-made-wrong-is-found", func() {
		w.run(name, "touch", "/etc/nologin")
		w.run(name, "sh", "-c", "echo 'AllowGroups wheel' >/etc/ssh/sshd_config.d/99-theirs.conf; systemctl disable --now latchkey-agent")
		got := w.doctor(name)
		for _, code := range []string{"nologin", "sshd_allow", "service"} {
			if got[code] != "problem" {
				w.t.Errorf("%s is %q", code, got[code])
			}
		}
		w.run(name, "rm", "/etc/nologin", "/etc/ssh/sshd_config.d/99-theirs.conf")
	})
	w.sub("what-is-ours-is-repaired", func() {
		w.run(name, "sh", "-c", "chmod 777 /etc/sudoers.d/90-latchkey; chmod 755 /var/lib/latchkey/agent; rm /var/lib/latchkey/authorized_keys/alice")
		if got := w.doctor(name); got["files"] != "problem" || got["drift"] != "problem" {
			w.t.Errorf("damaged, it is %v", got)
		}
		got := w.doctor(name, "--fix")
		for _, code := range []string{"service", "files", "drift", "hook_answer", "sudo_user"} {
			if got[code] != "ok" {
				w.t.Errorf("after --fix %s is %q", code, got[code])
			}
		}
		w.wantLogin(name, "alice", "in, root")
	})
	w.sub("inventory", func() {
		w.run(name, "sh", "-c", "useradd -m -G sudo deby; install -d -m 700 /home/deby/.ssh; echo '"+w.key("deby")+"' >/home/deby/.ssh/authorized_keys; chown -R deby: /home/deby/.ssh")
		var got struct {
			Keys []struct{ Account, Options string }
			Sudo []struct{ Who string }            `json:"sudo_rules"`
			In   []struct{ Account, Group string } `json:"privileged_members"`
		}
		w.decode(w.run(name, "latchkey-agent", "inventory", "--json"), &got)
		if want := "{[{deby }] [{root} {%sudo}] [{deby sudo}]}"; fmt.Sprint(got) != want {
			w.t.Errorf("it lists %v, want %s", got, want)
		}
	})
}

// doctor returns the worst severity of each check on a machine.
func (w *world) doctor(name string, args ...string) map[string]string {
	w.t.Helper()
	out, err := w.machines[name].Run(w.t.Context(), append([]string{"latchkey-agent", "doctor", "--json"}, args...)...)
	var got struct {
		Findings []struct{ Code, Severity, Fact string }
	}
	if jsonErr := json.Unmarshal([]byte(out), &got); jsonErr != nil {
		w.t.Fatalf("doctor prints %q, %v", out, err)
	}
	worst := map[string]string{}
	for _, f := range got.Findings {
		if f.Severity != "ok" {
			w.t.Logf("%s %s: %s", f.Severity, f.Code, f.Fact)
		}
		if worst[f.Code] != "problem" {
			worst[f.Code] = f.Severity
		}
	}
	return worst
}
