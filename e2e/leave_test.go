package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/e2e/machine"
)

// TestAdoptAndLeave takes a machine over from OpsWorks and then lets people leave it: uids
// and files stay, logins change over to the stack's keys, who leaves the stack loses the
// account, with the home packed, and adopted accounts are only closed and in the end given
// back (requirements R15 in part, R30 in part, R31 in part, T-U2 in part and T-U15 in
// part).
func TestAdoptAndLeave(t *testing.T) {
	t.Parallel()
	const name = "leave1"
	w := newWorld(t, 8481, 81, name)
	w.cli("stack", "create", "one")
	w.cli("stack", "settings", "one", "--on-revoke", "remove", "--homes", "archive")
	w.key("old")
	w.opsworks(name)
	before := w.snapshot(name)
	files := w.run(name, "find", "/home/alice", "-printf", "%p %U:%G %m\n")
	w.run(name, "sh", "-c", "umask 337; echo 'alice  ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/opsworks")

	profile := func(user string, uid int) map[string]any {
		return map[string]any{"IamUserArn": arn(user), "SshUsername": user, "SshPublicKey": w.key(user), "AllowSelfManagement": false, "UnixUid": uid}
	}
	w.call("ImportUsers", map[string]any{"Apply": true, "UserProfiles": []any{profile("alice", 2001), profile("zed", 2009)}}, nil)
	for _, user := range []string{"alice", "zed"} {
		w.call("SetPermission", map[string]any{"StackId": w.stack(), "IamUserArn": arn(user), "AllowSsh": true, "AllowSudo": user == "alice"}, nil)
	}
	w.join(name, w.stack())
	w.startAgent(name)
	w.wantLogin(name, "alice", "refused") // nothing is taken over unasked

	w.sub("adopt", func() { w.adopt(name, files) })
	w.sub("leave", func() { w.leave(name) })
	w.sub("revert", func() {
		w.run(name, "systemctl", "disable", "--now", "--quiet", "latchkey-agent")
		w.run(name, "latchkey-agent", "revert", "--yes")
		if diff := cmp.Diff(before, w.snapshot(name)); diff != "" {
			w.t.Errorf("after revert (-before +after):\n%s", diff)
		}
		if got := w.run(name, "ls", "/var/lib/latchkey"); got != "archived\n" {
			w.t.Errorf("left is %q", got)
		}
		w.wantOld(name, true)
	})
}

// opsworks makes accounts on a machine as OpsWorks did.
func (w *world) opsworks(name string) {
	w.t.Helper()
	w.run(name, "groupadd", "opsworks")
	for user, uid := range map[string]string{"alice": "2001", "zed": "2002"} {
		w.run(name, "useradd", "-m", "-u", uid, "-g", "opsworks", "-c", "OpsWorks user "+user, "-s", "/bin/bash", user)
		file := "/home/" + user + "/.ssh/authorized_keys"
		if err := w.machines[name].WriteFile(w.t.Context(), file, []byte(w.public["old"]+"\n"), 0o644); err != nil {
			w.t.Fatal(err)
		}
		w.run(name, "sh", "-c", "echo mine >/home/"+user+"/note; chmod 700 /home/"+user+"/.ssh; chown -R "+user+":opsworks /home/"+user)
	}
}

// wantOld tries the key that OpsWorks gave alice.
func (w *world) wantOld(name string, in bool) {
	w.t.Helper()
	r, err := machine.SSH(w.t.Context(), w.machines[name], "alice", w.keys["old"], "true")
	if err != nil || r.Refused() == in || in && r.Code != 0 {
		w.t.Errorf("alice with the old key: %+v, %v; want in: %t", r, err, in)
	}
}

func (w *world) adopt(name, files string) {
	t := w.t
	t.Helper()
	out, err := w.machines[name].Run(t.Context(), "latchkey-agent", "adopt", "--from", "opsworks")
	var exit *machine.ExitError
	if !errors.As(err, &exit) || exit.Code != 2 {
		t.Errorf("adopt = %v, want status 2", err)
	}
	for _, want := range []string{
		"adopt account alice (uid 2001)\n", "refused \"zed\": the uid here is not the user's: it is 2002 here and 2009 there;",
		"left behind: sudo for alice, /etc/sudoers.d/opsworks:1: ", "left behind: key SHA256:",
		"note: each account gets a primary group of its own; files keep the group they have\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("adopt does not say %q:\n%s", want, out)
		}
	}
	w.wantOld(name, true)
	w.run(name, "rm", "/etc/sudoers.d/opsworks")
	w.run(name, "latchkey-agent", "adopt", "--from", "opsworks", "--yes")
	w.wantLogin(name, "alice", "in, root")
	w.wantOld(name, false)
	if got := w.run(name, "id", "alice"); got != "uid=2001(alice) gid=2001(alice) groups=2001(alice),"+marker(w, name)+"\n" {
		t.Errorf("alice is %s", got)
	}
	if got := w.run(name, "id", "zed"); !strings.HasPrefix(got, "uid=2002(zed) gid=") || strings.Contains(got, "latchkey") {
		t.Errorf("zed is %s", got)
	}
	if after := w.run(name, "find", "/home/alice", "-printf", "%p %U:%G %m\n"); after != files {
		t.Errorf("the home is\n%swas\n%s", after, files)
	}
}

func marker(w *world, name string) string {
	w.t.Helper()
	return strings.Split(w.run(name, "getent", "group", "latchkey"), ":")[2] + "(latchkey)"
}

func (w *world) leave(name string) {
	t := w.t
	t.Helper()
	w.grant("bob", false)
	w.wantLogin(name, "bob", "in")
	w.run(name, "sh", "-c", "echo precious >/home/bob/note; chown bob:bob /home/bob/note")
	uid := strings.TrimSpace(w.run(name, "id", "-u", "bob"))
	w.revoke("bob")
	w.eventually("bob's account is removed", func() error {
		out, err := w.machines[name].Run(t.Context(), "sh", "-c", "getent passwd bob; getent group bob; ls -d /home/bob* 2>/dev/null; true")
		if out != "" {
			return fmt.Errorf("there is %s, %v", out, err)
		}
		return err
	})
	archive := "/var/lib/latchkey/archived/bob." + uid + ".tar"
	if got := w.run(name, "sh", "-c", "stat -c '%a %U' "+archive+"; tar -xOf "+archive+" bob/note"); got != "600 root\nprecious\n" {
		t.Errorf("the archive: %q", got)
	}
	w.grant("bob", false)
	w.wantLogin(name, "bob", "in")
	if _, err := w.machines[name].Run(t.Context(), "test", "!", "-e", "/home/bob/note"); err != nil {
		t.Error("the new home has the old note")
	}

	w.revoke("alice")
	w.wantLogin(name, "alice", "refused")
	w.eventually("alice's account is closed", func() error {
		out, err := w.machines[name].Run(t.Context(), "getent", "shadow", "alice")
		if !strings.HasPrefix(out, "alice:!*:") {
			return fmt.Errorf("it is %s, %v", out, err)
		}
		return err
	})
	w.run(name, "test", "-e", "/home/alice/note")
	w.settled(name)
	w.grant("alice", true)
	w.wantLogin(name, "alice", "in, root")
	w.settled(name)
}
