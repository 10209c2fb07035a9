package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/e2e/machine"
)

// accountFiles and the folders of sshd and sudo are what revert must give back
// byte for byte.
var givenBack = []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid",
	"/etc/ssh", "/etc/sudoers", "/etc/sudoers.d"}

// TestStory is the main job, end to end: an administrator with nothing but the stock
// AWS client grants and revokes, three machines in two stacks obey (requirements R29,
// R30, R68 in part, R141, R149 in part, T-F14, T-S7 in part, T-U14 in part and T-L1 in
// part).
func TestStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8443, 1, "web1", "web2", "db1")
	stackOf := map[string]string{"web1": "one", "web2": "one", "db1": "two"}
	names := slices.Sorted(maps.Keys(stackOf))
	before := map[string]map[string]string{}
	for _, name := range names {
		before[name] = w.snapshot(name)
	}

	stacks := map[string]string{}
	for _, name := range []string{"one", "two"} {
		var made struct{ StackId string }
		w.decode(w.aws("create-stack", "--name", name, "--stack-region", "us-east-1",
			"--service-role-arn", "arn:aws:iam::000000000000:role/none", "--default-instance-profile-arn", "arn:aws:iam::000000000000:instance-profile/none"), &made)
		stacks[name] = made.StackId
	}
	for _, user := range []string{"alice", "bob", "carol"} {
		w.aws("create-user-profile", "--iam-user-arn", arn(user), "--ssh-public-key", w.key(user))
	}
	w.aws("set-permission", "--stack-id", stacks["one"], "--iam-user-arn", arn("alice"), "--allow-ssh", "--allow-sudo")
	w.aws("set-permission", "--stack-id", stacks["two"], "--iam-user-arn", arn("alice"), "--allow-ssh")
	for _, id := range stacks {
		w.aws("set-permission", "--stack-id", id, "--iam-user-arn", arn("carol"), "--allow-ssh", "--allow-sudo", "--level", "deny")
	}
	for _, name := range names {
		w.join(name, stackOf[name])
		w.startAgent(name)
	}

	w.sub("instances-are-online", func() {
		w.eventually("three instances online", func() error {
			var got struct {
				Instances []struct{ Hostname, Status string }
			}
			w.decode(w.aws("describe-instances"), &got)
			online := 0
			for _, i := range got.Instances {
				if i.Status == "online" {
					online++
				}
			}
			if online != 3 {
				return fmt.Errorf("instances are %v", got.Instances)
			}
			return nil
		})
	})
	w.sub("logins-and-sudo-are-exactly-so", func() {
		for _, name := range names {
			want := map[string]string{"alice": "in, root", "bob": "refused", "carol": "refused"}
			if stackOf[name] == "two" {
				want["alice"] = "in"
			}
			for user, get := range want {
				w.wantLogin(name, user, get)
			}
		}
	})
	w.sub("another-key-is-refused", func() {
		r, err := machine.SSH(w.t.Context(), w.machines["web1"], "alice", w.keys["bob"], "true")
		if err != nil || !r.Refused() {
			w.t.Errorf("alice with bob's key: %+v, %v", r, err)
		}
	})
	w.sub("revoke-with-a-session-open", func() {
		w.revokeWithSession("web1", func() {
			w.aws("set-permission", "--stack-id", stacks["one"], "--iam-user-arn", arn("alice"), "--no-allow-ssh", "--no-allow-sudo")
		})
		w.wantLogin("web2", "alice", "refused")
		w.wantLogin("db1", "alice", "in")
	})
	w.sub("logins-go-on-without-the-control-plane", func() {
		w.aws("set-permission", "--stack-id", stacks["one"], "--iam-user-arn", arn("alice"), "--allow-ssh", "--allow-sudo")
		w.wantLogin("web1", "alice", "in, root")
		w.settled("web1")
		if err := w.server.Stop(); err != nil {
			w.t.Fatal(err)
		}
		for _, name := range []string{"web1", "web2"} {
			w.wantLogin(name, "alice", "in, root")
		}
	})
	w.sub("a-reboot-changes-nothing", func() {
		was := w.snapshot("web1")
		if err := w.machines["web1"].Reboot(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.wantLogin("web1", "alice", "in, root")
		if diff := cmp.Diff(was, w.snapshot("web1")); diff != "" {
			w.t.Errorf("files after the reboot (-before +after):\n%s", diff)
		}
	})
	w.sub("damage-is-repaired-without-the-control-plane", func() { w.damage("web2") })
	w.sub("an-unsafe-hook-is-reported", func() { w.unsafeHook("web2") })
	w.sub("revert-gives-everything-back", func() {
		for _, name := range names {
			w.revert(name, before[name])
		}
	})
}

func arn(user string) string { return "arn:aws:iam::000000000000:user/" + user }

func (w *world) decode(text string, into any) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		w.t.Fatalf("%v in %s", err, text)
	}
}

func (w *world) snapshot(name string) map[string]string {
	w.t.Helper()
	files, err := w.machines[name].Snapshot(givenBack...)
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// revokeWithSession takes alice's access while she is logged in and has left things
// running: all of it ends, and her home stays.
func (w *world) revokeWithSession(name string, take func()) {
	t := w.t
	t.Helper()
	m := w.machines[name]
	const keep = "set -e; echo precious > ~/kept; sudo -n sh -c 'sleep 1000000 >/dev/null 2>&1 </dev/null &'; " +
		"nohup sleep 1000001 >/dev/null 2>&1 </dev/null &"
	if r, err := machine.SSH(t.Context(), m, "alice", w.keys["alice"], keep); err != nil || r.Code != 0 {
		t.Fatalf("prepare: %+v, %v", r, err)
	}
	session, err := machine.OpenSession(t.Context(), m, "alice", w.keys["alice"])
	if err != nil {
		t.Fatal(err)
	}
	take()
	select {
	case <-session.Ended():
	case <-time.After(patience):
		t.Error("the session is still open")
		w.explain(name)
	}
	w.wantLogin(name, "alice", "refused")
	w.settled(name)
	if out := w.run(name, "cat", "/home/alice/kept"); out != "precious\n" {
		t.Errorf("home holds %q", out)
	}
	if out := w.run(name, "sh", "-c", "grep -rl alice /etc/sudoers /etc/sudoers.d || true"); out != "" {
		t.Errorf("sudoers still name alice: %s", out)
	}
	w.run(name, "visudo", "-c", "-q")
	if out := w.run(name, "sh", "-c", "grep -l '^Uid:.*20' /proc/[0-9]*/status 2>/dev/null | xargs -r grep -h ^Name || true"); strings.Contains(out, "sleep") {
		t.Errorf("processes of alice live on: %s", out)
	}
	if out := w.run(name, "getent", "shadow", "alice"); !strings.HasPrefix(out, "alice:!*:") {
		t.Errorf("account is not locked: %s", out)
	}
}

// damage changes every kind of managed thing by hand and waits for the repair.
func (w *world) damage(name string) {
	t := w.t
	t.Helper()
	was := w.snapshot(name)
	keys := w.run(name, "cat", "/var/lib/latchkey/authorized_keys/alice")
	for _, script := range []string{
		"echo x >> /etc/sudoers.d/90-latchkey",
		"chmod 0666 /etc/sudoers.d/90-latchkey",
		"rm /etc/sudoers.d/90-latchkey",
		"echo > /var/lib/latchkey/authorized_keys/alice",
		"rm -r /var/lib/latchkey/authorized_keys",
		"rm /etc/ssh/sshd_config.d/10-latchkey.conf",
		"usermod -s /bin/false -L alice",
		"gpasswd -d alice latchkey",
		"systemctl kill -s KILL latchkey-agent; rm /etc/sudoers.d/90-latchkey",
	} {
		w.run(name, "sh", "-c", script)
		w.eventually("repair of: "+script, func() error {
			files, err := w.machines[name].Snapshot(givenBack...)
			if err != nil {
				return err
			}
			now, err := w.machines[name].Run(t.Context(), "cat", "/var/lib/latchkey/authorized_keys/alice")
			if diff := cmp.Diff(was, files) + cmp.Diff(keys, now); diff != "" || err != nil {
				return fmt.Errorf("%v (-before +after):\n%s", err, diff)
			}
			return nil
		})
		if t.Failed() {
			w.explain(name)
			return
		}
	}
	w.wantLogin(name, "alice", "in, root")
}

// unsafeHook makes the hook writable by others, for which sshd would refuse it,
// and waits until the machine says so.
func (w *world) unsafeHook(name string) {
	w.t.Helper()
	w.run(name, "chmod", "0777", "/usr/bin/latchkey-keys")
	w.eventually("the unsafe hook is reported", func() error {
		out, err := w.machines[name].Run(w.t.Context(), "latchkey-agent", "status")
		if err == nil && !strings.Contains(out, "/usr/bin/latchkey-keys must belong to root") {
			err = fmt.Errorf("status says\n%s", out)
		}
		return err
	})
	w.run(name, "chmod", "0755", "/usr/bin/latchkey-keys")
	w.wantLogin(name, "alice", "in, root")
}

func (w *world) revert(name string, before map[string]string) {
	t := w.t
	t.Helper()
	m := w.machines[name]
	if _, err := m.Run(t.Context(), "latchkey-agent", "revert", "--yes"); err == nil {
		t.Errorf("revert worked beside a running service on %s", name)
	}
	w.run(name, "systemctl", "disable", "--now", "--quiet", "latchkey-agent")
	out := w.run(name, "latchkey-agent", "revert", "--yes")
	if !strings.Contains(out, "kept /home/alice\n") {
		t.Errorf("revert on %s does not list the home it kept:\n%s", name, out)
	}
	if diff := cmp.Diff(before, w.snapshot(name)); diff != "" {
		t.Errorf("%s after revert (-before +after):\n%s", name, diff)
	}
	w.run(name, "test", "-d", "/home/alice")
	w.run(name, "sshd", "-t")
	w.run(name, "visudo", "-c", "-q")
	if out := w.run(name, "sh", "-c", "ls -A /var/lib/latchkey 2>&1 || true"); !strings.Contains(out, "No such file") {
		t.Errorf("something of ours is left on %s: %s", name, out)
	}
	w.wantLogin(name, "alice", "refused")
}
