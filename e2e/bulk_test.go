package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// crowd grants so many users that their accounts are made at once.
func (w *world) crowd() []string {
	w.t.Helper()
	var users []string
	for i := range 20 {
		user := fmt.Sprintf("crowd%d", i)
		w.grant(user, false)
		users = append(users, user)
	}
	return users
}

// TestBulk: the service, with the rights its unit leaves it, makes many accounts at
// once; their users log in and have a home that is theirs.
func TestBulk(t *testing.T) {
	t.Parallel()
	const name = "bulk1"
	w := newWorld(t, 8463, 43, name)
	w.cli("stack", "create", "one")
	users := w.crowd()
	w.join(name, w.stack())
	w.startAgent(name)
	last := users[len(users)-1]
	w.wantLogin(name, last, "in")
	// useradd would have set how long the password lasts.
	line := regexp.MustCompile(`^crowd[0-9]+:\*:[0-9]+::::::$`)
	for got := range strings.Lines(w.run(name, append([]string{"getent", "shadow"}, users...)...)) {
		if !line.MatchString(strings.TrimSuffix(got, "\n")) {
			t.Errorf("shadow says %q", got)
		}
	}
	got := w.run(name, "stat", "-c", "%U:%G %a", "/home/"+last, "/home/"+last+"/.bashrc")
	if want := last + ":" + last + " 755\n" + last + ":" + last + " 644\n"; got != want {
		t.Errorf("home is\n%swant\n%s", got, want)
	}
	if out := w.run(name, "latchkey-agent", "status"); strings.Contains(out, "not done") {
		t.Errorf("status says\n%s", out)
	}
}

// TestKill_Bulk kills the making of many accounts between its stages and in the
// middle of those that go user by user.
func TestKill_Bulk(t *testing.T) {
	t.Parallel()
	c := newCrash(t, 8464, 44)
	users := c.crowd()
	for _, point := range []string{"accounts.groups#1", "accounts.users#1", "accounts.members#1", "accounts.passwords#1",
		"nursery#1", "copy#7", "accounts.homes#1", "syncfs#2", "steps.end#2"} {
		c.enroll()
		c.run(c.name, "latchkey-agent", "sshd", "enable")
		c.killAt(point, "apply")
		c.sound(point)
		c.converged(point)
		for _, user := range []string{users[0], users[7]} {
			if got := c.login(c.name, user); got != "in" {
				t.Errorf("killed at %s: %s is %q after the next run", point, user, got)
			}
		}
		if left := c.run(c.name, "find", "/home", "-maxdepth", "1", "-name", ".*"); left != "" {
			t.Errorf("killed at %s: left lying about:\n%s", point, left)
		}
		c.giveBack(point)
		c.run(c.name, "sh", "-c", "rm -r /home/crowd* /home/alice")
	}
}
