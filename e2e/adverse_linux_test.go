package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/e2e/machine"
)

// TestAdverse is one machine with the real sshd through what happens to machines beside
// their work.
func TestAdverse(t *testing.T) {
	t.Parallel()
	a := &adverse{newWorld(t, 8475, 75, "adverse1"), "adverse1", t}
	a.cli("stack", "create", "one")
	for _, user := range []string{"alice", "bob"} {
		a.grant(user, true)
	}
	a.key("stranger")
	before := a.snapshot(a.name)
	a.join(a.name, a.stack())
	a.startAgent(a.name)
	a.wantLogin(a.name, "alice", "in, root")
	a.wantLogin(a.name, "bob", "in, root")
	a.settled(a.name)
	a.sub("nobody-is-probed", a.notProbed)
	a.sub("a-key-of-ones-own", a.ownKey)
	a.sub("two-agents", a.twoAgents)
	a.sub("without-the-shell", a.withoutShell)
	a.sub("revoked-and-granted-at-once", a.revokedAtOnce)
	a.sub("with-and-without-pam", a.withAndWithoutPAM)
	a.sub("made-again", a.madeAgain)
	a.sub("boots-alone", a.bootsAlone)
	a.sub("renamed-while-logged-in", a.renamed)
	a.sub("the-agent-hangs", a.agentHangs)
	a.sub("reboots-in-the-middle", a.reboots)
	a.sub("frozen-removed-and-installed-again", func() { a.removed(before) })
}

type adverse struct {
	*world
	name  string
	whole *testing.T
}

// connections counts those that sshd has noted since a time.
func (a *adverse) connections(since string) int {
	a.t.Helper()
	return strings.Count(a.run(a.name, "journalctl", "-u", "ssh", "-o", "cat", "--no-pager", "--since", since), "Connection from ")
}

// notProbed holds R70 and T-H13 in part: nothing that the agent does connects to sshd, so
// that no penalty (PerSourcePenalties, sshd_config(5)) can come of it, for the host or
// for whoever shares its address. And many who fail do not keep one who may from
// getting in; this sshd is older than penalties.
func (a *adverse) notProbed() {
	if err := a.machines[a.name].WriteFile(a.t.Context(), "/etc/ssh/sshd_config.d/05-verbose.conf", []byte("LogLevel VERBOSE\n"), 0o644); err != nil {
		a.t.Fatal(err)
	}
	a.run(a.name, "systemctl", "reload", "ssh")
	since := strings.TrimSpace(a.run(a.name, "date", "+%F %T.%N"))
	for _, argv := range [][]string{{"sshd", "enable"}, {"doctor"}, {"status"}, {"inventory"}, {"explain", "alice"}, {"plan"}} {
		if out, err := a.machines[a.name].Run(a.t.Context(), append([]string{"latchkey-agent"}, argv...)...); err != nil && argv[0] != "doctor" {
			a.t.Errorf("%q: %v\n%s", argv, err, out)
		}
	}
	a.grant("carol", false)
	a.eventually("carol has an account", func() error {
		_, err := a.machines[a.name].Run(a.t.Context(), "getent", "passwd", "carol")
		return err
	})
	a.settled(a.name)
	if n := a.connections(since); n != 0 {
		a.t.Errorf("sshd was connected to %d times", n)
	}
	const failing = 8
	for range failing {
		r, err := machine.SSH(a.t.Context(), a.machines[a.name], "alice", a.keys["stranger"], "true")
		if err != nil || !r.Refused() {
			a.t.Errorf("with another key: %+v, %v", r, err)
		}
	}
	a.wantLogin(a.name, "alice", "in, root")
	if n := a.connections(since); n <= failing {
		a.t.Errorf("only %d connections were noted, so nothing is proved", n)
	}
}

// ownKey holds R28 and T-U13: a key that a user puts into the files of his home lets nobody
// in, neither while he has access nor after it, and is in the inventory.
func (a *adverse) ownKey() {
	m := a.machines[a.name]
	script := "set -e; mkdir -p -m 700 ~/.ssh; echo '" + a.key("stranger") + "' | tee ~/.ssh/authorized_keys >~/.ssh/authorized_keys2; chmod 600 ~/.ssh/*"
	if r, err := machine.SSH(a.t.Context(), m, "bob", a.keys["bob"], script); err != nil || r.Code != 0 {
		a.t.Fatalf("prepare: %+v, %v", r, err)
	}
	refused := func() {
		a.t.Helper()
		if r, err := machine.SSH(a.t.Context(), m, "bob", a.keys["stranger"], "true"); err != nil || !r.Refused() {
			a.t.Errorf("bob with the key of his own: %+v, %v", r, err)
		}
	}
	refused()
	found := a.run(a.name, "latchkey-agent", "inventory")
	for _, file := range []string{"/home/bob/.ssh/authorized_keys", "/home/bob/.ssh/authorized_keys2"} {
		if !strings.Contains(found, file) {
			a.t.Errorf("the inventory does not name %s:\n%s", file, found)
		}
	}
	a.revoke("bob")
	a.wantLogin(a.name, "bob", "refused")
	a.settled(a.name)
	refused()
	a.grant("bob", true)
	a.wantLogin(a.name, "bob", "in, root")
	refused()
}

// twoAgents holds T-L11: a second agent that runs ends at once and says why, and applies
// at the same time as it and as each other come to the same end.
func (a *adverse) twoAgents() {
	m := a.machines[a.name]
	if out, err := m.Run(a.t.Context(), "latchkey-agent", "run"); err == nil || !strings.Contains(err.Error(), "another") {
		a.t.Errorf("a second agent: %v %s", err, out)
	}
	a.run(a.name, "latchkey-agent", "apply")
	was := a.snapshot(a.name)
	a.grant("dora", true)
	var applies sync.WaitGroup
	for range 4 {
		applies.Go(func() {
			if out, err := m.Run(a.t.Context(), "latchkey-agent", "apply"); err != nil {
				a.t.Errorf("%v %s", err, out)
			}
		})
	}
	applies.Wait()
	a.wantLogin(a.name, "dora", "in, root")
	for _, file := range []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"} {
		text, err := m.ReadFile(a.t.Context(), file)
		if n := strings.Count("\n"+string(text), "\ndora:"); err != nil || n != 1 || was[file] == "" {
			a.t.Errorf("dora is %d times in %s, %v", n, file, err)
		}
	}
}

// withoutShell holds T-U11 with the real sshd, which lets nobody in whose shell is not
// there, and R26.
func (a *adverse) withoutShell() {
	a.run(a.name, "mv", "/usr/bin/bash", "/usr/bin/bash.away")
	a.wantLogin(a.name, "alice", "in, root")
	a.run(a.name, "mv", "/usr/bin/bash.away", "/usr/bin/bash")
	a.eventually("alice has bash again", func() error {
		if line := a.run(a.name, "getent", "passwd", "alice"); !strings.HasSuffix(line, ":/bin/bash\n") {
			return fmt.Errorf("she is %s", line)
		}
		return nil
	})
	a.wantLogin(a.name, "alice", "in, root")
}

// revokedAtOnce holds T-U15 in part, with everything real: revoked and granted again
// faster than the machine follows, over starts of the agent. The last word counts, and
// the home is what it was.
func (a *adverse) revokedAtOnce() {
	a.run(a.name, "sh", "-c", "echo precious >/home/alice/kept; chown alice: /home/alice/kept")
	for n := range 8 {
		a.revoke("alice")
		if n%4 == 1 {
			a.run(a.name, "systemctl", "restart", "latchkey-agent")
		}
		a.grant("alice", n%2 == 0)
		if n%4 == 3 {
			a.run(a.name, "systemctl", "kill", "-s", "KILL", "latchkey-agent")
		}
	}
	a.wantLogin(a.name, "alice", "in")
	a.settled(a.name)
	if out := a.run(a.name, "cat", "/home/alice/kept"); out != "precious\n" {
		a.t.Errorf("her home holds %q", out)
	}
	a.revoke("alice")
	a.wantLogin(a.name, "alice", "refused")
	a.grant("alice", true)
	a.wantLogin(a.name, "alice", "in, root")
}

// renamed holds R32 and T-U17: a user who is logged in gets another name. That is another
// account with another uid; the session of the old one ends, its home stays, and it is
// closed.
func (a *adverse) renamed() {
	m := a.machines[a.name]
	session, err := machine.OpenSession(a.t.Context(), m, "bob", a.keys["bob"])
	if err != nil {
		a.t.Fatal(err)
	}
	a.run(a.name, "sh", "-c", "echo bobs >/home/bob/kept")
	uid := strings.TrimSpace(a.run(a.name, "id", "-u", "bob"))
	a.call("UpdateUserProfile", map[string]any{"IamUserArn": arn("bob"), "SshUsername": "robert"}, nil)
	select {
	case <-session.Ended():
	case <-time.After(patience):
		a.t.Error("the session is still open")
		a.explain(a.name)
	}
	a.keys["robert"], a.public["robert"] = a.keys["bob"], a.public["bob"]
	a.wantLogin(a.name, "robert", "in, root")
	a.wantLogin(a.name, "bob", "refused")
	a.settled(a.name)
	got := a.run(a.name, "sh", "-c", "id -u bob; cat /home/bob/kept; getent shadow bob | cut -d: -f2; ls -A /home/robert | grep -c kept; pgrep -u "+uid+"; true")
	if want := uid + "\nbobs\n!*\n0\n"; got != want || strings.TrimSpace(a.run(a.name, "id", "-u", "robert")) == uid {
		a.t.Errorf("of bob and robert there is\n%swant\n%s", got, want)
	}
}

// agentHangs holds R151 and T-L10 in part: sshd comes up while the agent hangs in its
// start, at boot and after it, and with no control plane to reach; and the agent does
// its work while sshd is down.
func (a *adverse) agentHangs() {
	m := a.machines[a.name]
	for _, unit := range []string{"ssh.service", "latchkey-agent.service"} {
		other := map[string]string{"ssh.service": "latchkey", "latchkey-agent.service": "ssh"}[unit]
		for _, property := range []string{"After", "Before", "Requires", "Wants", "Requisite", "BindsTo", "PartOf", "Conflicts"} {
			if out := a.run(a.name, "systemctl", "show", "-p", property, unit); strings.Contains(out, other) {
				a.t.Errorf("%s: %s", unit, out)
			}
		}
	}
	const dropIn = "/etc/systemd/system/latchkey-agent.service.d/hangs.conf"
	if err := a.server.Stop(); err != nil {
		a.t.Fatal(err)
	}
	for situation, hang := range map[string]string{
		"not-started": "[Service]\nExecStart=\nExecStart=/bin/sh -c 'kill -STOP $$$$'\n",
		"not-ready":   "[Service]\nType=notify\nTimeoutStartSec=infinity\nExecStart=\nExecStart=/bin/sleep infinity\n",
	} {
		if err := m.WriteFile(a.t.Context(), dropIn, []byte(hang), 0o644); err != nil {
			a.t.Fatal(err)
		}
		a.run(a.name, "systemctl", "daemon-reload")
		if situation == "not-started" {
			if err := m.Reboot(a.t.Context()); err != nil {
				a.t.Fatal(err)
			}
		} else {
			a.run(a.name, "systemctl", "stop", "ssh", "latchkey-agent")
			a.run(a.name, "systemctl", "start", "--no-block", "latchkey-agent")
			a.run(a.name, "systemctl", "start", "ssh")
		}
		if got := a.login(a.name, "alice"); got != "in, root" {
			a.t.Errorf("%s: alice is %q", situation, got)
		}
	}
	a.run(a.name, "systemctl", "stop", "ssh")
	a.run(a.name, "rm", dropIn, "/etc/sudoers.d/90-latchkey")
	a.run(a.name, "systemctl", "daemon-reload")
	a.run(a.name, "systemctl", "restart", "latchkey-agent")
	a.eventually("the agent works without sshd", func() error {
		_, err := m.Run(a.t.Context(), "test", "-e", "/etc/sudoers.d/90-latchkey")
		return err
	})
	a.run(a.name, "systemctl", "start", "ssh")
	part := a.t
	a.t = a.whole // for what comes after, too
	a.startServer()
	a.t = part
	a.wantLogin(a.name, "alice", "in, root")
}

// reboots holds T-L16 in part, in a slice: the machine goes down, as when its power is cut, in the
// middle of an apply: when a new account is there, when one who leaves has lost his
// keys, when sudo was given. Up again, it comes to what was meant.
func (a *adverse) reboots() {
	m := a.machines[a.name]
	times := 3
	if os.Getenv("LATCHKEY_LONG") != "" {
		times = 60
	}
	a.grant("leaver0", true)
	a.wantLogin(a.name, "leaver0", "in, root")
	for n := range times {
		old, next := fmt.Sprint("leaver", n), fmt.Sprint("leaver", n+1)
		keys := filepath.Join(m.Root(), keysFolder, old)
		file, there := map[int]string{0: "/etc/passwd", 1: "", 2: sudoersFile}[n%3], next
		a.revoke(old)
		a.grant(next, true)
		a.eventually("the machine is in the middle", func() error {
			if file == "" {
				if _, err := os.Lstat(keys); err != nil {
					return nil
				}
				return fmt.Errorf("%s is there", keys)
			}
			text, err := os.ReadFile(m.Root() + file)
			if err == nil && !strings.Contains(string(text), there+" ") && !strings.Contains(string(text), there+":") {
				err = fmt.Errorf("%s does not name %s", file, there)
			}
			return err
		})
		if err := syscall.Kill(m.PID(), syscall.SIGKILL); err != nil {
			a.t.Fatal(err)
		}
		if err := m.Reboot(a.t.Context()); err != nil {
			a.t.Fatal(err)
		}
		a.wantLogin(a.name, next, "in, root")
		a.wantLogin(a.name, old, "refused")
		a.settled(a.name)
		a.run(a.name, "sh", "-c", "sshd -t && visudo -c -q && pwck -q -r && grpck -r")
		if out := a.run(a.name, "getent", "shadow", old); !strings.HasPrefix(out, old+":!*:") {
			a.t.Errorf("%s is not closed: %s", old, out)
		}
	}
}

// removed holds R149 and T-L8: while the machine is frozen nothing changes, and logins go
// on; thawed, it is what was meant meanwhile; given back, it is what it was before the
// agent came; and with the agent again, whoever is granted gets in, to the same home.
func (a *adverse) removed(before map[string]string) {
	a.run(a.name, "latchkey-agent", "freeze", "--reason", "moving house")
	frozen := a.snapshot(a.name)
	a.revoke("alice")
	a.grant("zoe", true)
	a.eventually("the machine says that it is frozen", func() error {
		out, err := a.machines[a.name].Run(a.t.Context(), "latchkey-agent", "status")
		if err == nil && (!strings.Contains(out, "moving house") || !strings.Contains(out, "create account zoe")) {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	})
	if diff := cmp.Diff(frozen, a.snapshot(a.name)); diff != "" {
		a.t.Errorf("while frozen (-before +after):\n%s", diff)
	}
	if got := a.login(a.name, "alice"); got != "in, root" {
		a.t.Errorf("while frozen alice is %q", got)
	}
	a.run(a.name, "latchkey-agent", "unfreeze")
	a.wantLogin(a.name, "alice", "refused")
	a.wantLogin(a.name, "zoe", "in, root")

	a.run(a.name, "systemctl", "disable", "--now", "--quiet", "latchkey-agent")
	a.run(a.name, "latchkey-agent", "revert", "--yes")
	a.run(a.name, "rm", "/etc/ssh/sshd_config.d/05-verbose.conf") // the test's own
	if diff := cmp.Diff(before, a.snapshot(a.name)); diff != "" {
		a.t.Errorf("given back (-before +after):\n%s", diff)
	}
	for _, user := range []string{"alice", "zoe", "robert"} {
		if got := a.login(a.name, user); got != "refused" {
			a.t.Errorf("given back, it lets %s in: %q", user, got)
		}
	}
	a.grant("alice", true)
	a.join(a.name, a.stack())
	a.startAgent(a.name)
	for _, user := range []string{"alice", "zoe", "robert"} {
		a.wantLogin(a.name, user, "in, root")
	}
	if out := a.run(a.name, "cat", "/home/alice/kept"); out != "precious\n" {
		a.t.Errorf("her home holds %q", out)
	}
}
