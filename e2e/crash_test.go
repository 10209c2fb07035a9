package e2e_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/e2e/machine"
)

// The tests of this file kill the agent, as kill -9 does, at every named point of
// its first setting-up, of an apply and of a revert. Nothing half written is ever
// seen by sshd or sudo, people who are not concerned log in meanwhile, and the
// next run converges.

// TestKill_SettingUp holds T-F7 in part, T-L8 in part and T-S8.
func TestKill_SettingUp(t *testing.T) {
	t.Parallel()
	newCrash(t, 8444, 11).settingUp()
}

// TestKill_Apply holds R144 in part, T-F7 in part and T-S8.
func TestKill_Apply(t *testing.T) {
	t.Parallel()
	newCrash(t, 8445, 12).applying()
}

// TestKill_Revert holds R149 in part and T-F7 in part.
func TestKill_Revert(t *testing.T) {
	t.Parallel()
	newCrash(t, 8446, 13).reverting()
}

func newCrash(t *testing.T, port, index int) *crash {
	t.Helper()
	c := &crash{name: fmt.Sprintf("crash%d", index)}
	c.world = newWorld(t, port, index, c.name)
	c.cli("stack", "create", "one")
	c.breakGlass()
	c.install()
	c.before = c.snapshot(c.name)
	c.grant("alice", true)
	return c
}

type crash struct {
	*world
	name   string
	before map[string]string
	users  int // how many were made for single steps
}

// grant gives a user SSH, and sudo or not, on stack one, making him if need be.
func (w *world) grant(user string, sudo bool) {
	w.t.Helper()
	if w.public[user] == "" {
		w.call("CreateUserProfile", map[string]any{"IamUserArn": arn(user), "SshPublicKey": w.key(user)}, nil)
	}
	w.call("SetPermission", map[string]any{"StackId": w.stack(), "IamUserArn": arn(user), "AllowSsh": true, "AllowSudo": sudo}, nil)
}

func (w *world) revoke(user string) {
	w.t.Helper()
	w.call("SetPermission", map[string]any{"StackId": w.stack(), "IamUserArn": arn(user), "AllowSsh": false, "AllowSudo": false}, nil)
}

// stack returns the id of the one stack.
func (w *world) stack() string {
	w.t.Helper()
	var got struct{ Stacks []struct{ StackId string } }
	w.call("DescribeStacks", map[string]any{}, &got)
	if len(got.Stacks) != 1 {
		w.t.Fatalf("stacks are %v", got)
	}
	return got.Stacks[0].StackId
}

// breakGlass makes an account that is not ours, with a key file of its own.
func (c *crash) breakGlass() {
	c.t.Helper()
	c.run(c.name, "useradd", "-m", "-s", "/bin/bash", "-p", "*", "deby")
	file := "/home/deby/.ssh/authorized_keys"
	if err := c.machines[c.name].WriteFile(c.t.Context(), file, []byte(c.key("deby")+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.run(c.name, "sh", "-c", "chown -R deby:deby /home/deby/.ssh && chmod 700 /home/deby/.ssh")
	if err := c.machines[c.name].WriteFile(c.t.Context(), "/etc/sudoers.d/deby", []byte("deby ALL=(ALL:ALL) NOPASSWD: ALL\n"), 0o440); err != nil {
		c.t.Fatal(err)
	}
}

// points runs the agent and returns the points it passed, in order.
func (c *crash) points(argv ...string) []string {
	c.t.Helper()
	m := c.machines[c.name]
	var errs strings.Builder
	cmd := m.Command(c.t.Context(), append([]string{"env", "LATCHKEY_FAILPOINT=trace", "latchkey-agent"}, argv...)...)
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("%v: %v: %s", argv, err, errs.String())
	}
	var points []string
	for _, found := range regexp.MustCompile(`(?m)^failpoint (\S+)$`).FindAllStringSubmatch(errs.String(), -1) {
		points = append(points, found[1])
	}
	if len(points) < 10 {
		c.t.Fatalf("only %d points were passed by %v: %s", len(points), argv, errs.String())
	}
	return points
}

// killAt runs the agent and has it killed at a point, which must be reached.
func (c *crash) killAt(point string, argv ...string) {
	c.t.Helper()
	out, err := c.machines[c.name].Run(c.t.Context(), append([]string{"env", "LATCHKEY_FAILPOINT=" + point, "latchkey-agent"}, argv...)...)
	exit := (*machine.ExitError)(nil)
	if !errors.As(err, &exit) || exit.Code != 137 && exit.Code != -1 {
		c.t.Fatalf("%v was not killed at %s: %v\n%s", argv, point, err, out)
	}
}

var (
	sudoRule = regexp.MustCompile(`^[a-z][a-z0-9]* ALL=\(ALL:ALL\) NOPASSWD: ALL$`)
	keyLine  = regexp.MustCompile(`^ssh-ed25519 [A-Za-z0-9+/=]+ [a-z][a-z0-9]*$`)
)

// sound looks at everything that sshd and sudo could read.
func (c *crash) sound(point string) {
	c.t.Helper()
	c.run(c.name, "sshd", "-t")
	c.run(c.name, "visudo", "-c", "-q")
	c.run(c.name, "pwck", "-q", "-r")
	c.run(c.name, "grpck", "-r")
	c.whole(point, "/etc/sudoers.d/90-latchkey", sudoRule)
	for _, file := range strings.Fields(c.run(c.name, "sh", "-c", "ls /var/lib/latchkey/authorized_keys 2>/dev/null || true")) {
		c.whole(point, "/var/lib/latchkey/authorized_keys/"+file, keyLine)
	}
	if got := c.login(c.name, "deby"); got != "in, root" {
		c.t.Errorf("killed at %s: break-glass is %q", point, got)
	}
}

// whole checks that a file is missing or complete: a header, then lines of one
// form, the last one ended.
func (c *crash) whole(point, file string, form *regexp.Regexp) {
	c.t.Helper()
	text := c.run(c.name, "sh", "-c", "cat "+file+" 2>/dev/null || true")
	if text == "" {
		return
	}
	lines := strings.Split(text, "\n")
	if lines[len(lines)-1] != "" || !strings.HasPrefix(lines[0], "# ") {
		c.t.Errorf("killed at %s: %s is not whole:\n%s", point, file, text)
	}
	for _, line := range lines[1 : len(lines)-1] {
		if !form.MatchString(line) {
			c.t.Errorf("killed at %s: %s holds %q", point, file, line)
		}
	}
}

// converged runs the agent again and checks that nothing is left to do or lying
// about.
func (c *crash) converged(point string) {
	c.t.Helper()
	c.run(c.name, "latchkey-agent", "apply")
	c.run(c.name, "latchkey-agent", "plan")
	left := c.run(c.name, "sh", "-c",
		"find /etc/sudoers.d /etc/ssh /var/lib/latchkey -name '.*' ! -name .placeholder; ls -d /var/lib/latchkey/agent/*.staged 2>/dev/null || true")
	if left != "" {
		c.t.Errorf("killed at %s: left lying about:\n%s", point, left)
	}
	if got := c.login(c.name, "alice"); got != "in, root" {
		c.t.Errorf("killed at %s: alice is %q after the next run", point, got)
	}
}

func (c *crash) enroll() {
	c.t.Helper()
	token := c.cli("token", "create", "--stack", "one")
	_, err := c.machines[c.name].RunInput(c.t.Context(), strings.NewReader(token), "latchkey-agent", "enroll",
		"--server", c.server.URL, "--token-file", "-")
	if err != nil {
		c.t.Fatal(err)
	}
}

// settingUp kills `sshd enable` and the first apply of a fresh machine.
func (c *crash) settingUp() {
	c.enroll()
	enable := c.points("sshd", "enable")
	first := c.points("apply")
	c.giveBack("trace")
	c.t.Logf("%d points of sshd enable, %d of the first apply", len(enable), len(first))
	for _, point := range enable {
		c.enroll()
		c.killAt(point, "sshd", "enable")
		c.sound(point)
		c.run(c.name, "latchkey-agent", "sshd", "enable")
		c.converged(point)
		c.giveBack(point)
	}
	for _, point := range first {
		c.enroll()
		c.run(c.name, "latchkey-agent", "sshd", "enable")
		c.killAt(point, "apply")
		c.sound(point)
		c.converged(point)
		c.giveBack(point)
	}
}

// giveBack reverts and compares the machine with what it was.
func (c *crash) giveBack(point string) {
	c.t.Helper()
	// Killed at its very end, a revert leaves nothing for the next one to do.
	_, err := c.machines[c.name].Run(c.t.Context(), "latchkey-agent", "revert", "--yes")
	if err != nil && !strings.Contains(err.Error(), "there is nothing to give back") {
		c.t.Fatalf("%s: %v", point, err)
	}
	c.run(c.name, "test", "!", "-e", "/var/lib/latchkey")
	if diff := cmp.Diff(c.before, c.snapshot(c.name)); diff != "" {
		c.t.Fatalf("%s: after revert (-before +after):\n%s", point, diff)
	}
}

func (c *crash) install() {
	c.t.Helper()
	for _, program := range []string{"latchkey-agent", "latchkey-keys"} {
		if err := c.machines[c.name].Copy(c.t.Context(), c.programs.Path(program), "/usr/bin/"+program, 0o755); err != nil {
			c.t.Fatal(err)
		}
	}
}

// change makes the same kind of change each time: one user with sudo and a live
// process leaves, another with sudo comes.
func (c *crash) change() {
	c.t.Helper()
	old, next := fmt.Sprintf("user%d", c.users), fmt.Sprintf("user%d", c.users+1)
	c.users++
	if c.public[old] != "" {
		uid := strings.TrimSpace(c.run(c.name, "id", "-u", old))
		c.run(c.name, "sh", "-c", "setsid setpriv --reuid "+uid+" --clear-groups sleep 100000 >/dev/null 2>&1 </dev/null &")
		c.revoke(old)
	}
	c.grant(next, true)
}

func (c *crash) applying() {
	c.enroll()
	c.run(c.name, "latchkey-agent", "sshd", "enable")
	c.change()
	c.run(c.name, "latchkey-agent", "apply")
	c.change()
	points := c.points("apply")
	c.t.Logf("%d points of an apply", len(points))
	for _, point := range points {
		c.change()
		c.killAt(point, "apply")
		c.sound(point)
		c.converged(point)
		user := fmt.Sprintf("user%d", c.users)
		if got := c.login(c.name, user); got != "in, root" {
			c.t.Errorf("killed at %s: %s is %q after the next run", point, user, got)
		}
		gone := fmt.Sprintf("user%d", c.users-1)
		if out := c.run(c.name, "getent", "shadow", gone); !strings.HasPrefix(out, gone+":!*:") {
			c.t.Errorf("killed at %s: %s is not closed after the next run: %s", point, gone, out)
		}
	}
	c.giveBack("last")
}

func (c *crash) reverting() {
	set := func() {
		c.enroll()
		c.run(c.name, "latchkey-agent", "sshd", "enable")
		c.run(c.name, "latchkey-agent", "apply")
	}
	set()
	points := c.points("revert", "--yes")
	c.t.Logf("%d points of a revert", len(points))
	for i, point := range points {
		set()
		c.killAt(point, "revert", "--yes")
		c.sound(point)
		if i == len(points)-1 {
			continue // the last point is past the last change
		}
		c.giveBack(point)
	}
}
