package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/e2e/machine"
)

// TestKeysModes holds R28 in part, R148 in part and T-H9 in part: the stack goes through all
// six changes of the keys mode, the agent is killed at every named point on the way, and
// at no moment does the real sshd refuse somebody who may log in.
func TestKeysModes(t *testing.T) {
	t.Parallel()
	newKeysModes(t, 8452, 21).through()
}

// TestHomesWatched: what somebody does to our lines in his home is undone at once.
func TestHomesWatched(t *testing.T) {
	t.Parallel()
	k := newKeysModes(t, 8453, 22)
	k.want("home")
	k.run(k.name, "latchkey-agent", "apply")
	k.repairedInHome()
}

type keysModes struct {
	*crash
	user *loggingIn
}

// route passes each of the six changes once and ends where it began.
func route() [][2]string {
	return [][2]string{{"command", "directory"}, {"directory", "home"}, {"home", "command"}, {"command", "home"}, {"home", "directory"}, {"directory", "command"}}
}

func newKeysModes(t *testing.T, port, index int) *keysModes {
	t.Helper()
	k := &keysModes{crash: newCrash(t, port, index)}
	k.grant("bob", false)
	k.enroll()
	k.run(k.name, "latchkey-agent", "sshd", "enable")
	k.run(k.name, "latchkey-agent", "apply")
	// Alice has a key of her own in her home, in a file without a last newline.
	k.key("own")
	k.run(k.name, "sh", "-c", "set -e; install -d -m 700 -o alice -g alice /home/alice/.ssh; cd /home/alice/.ssh; printf '# mine\\n%s' '"+k.public["own"]+
		"' >authorized_keys; chown alice:alice authorized_keys; chmod 600 authorized_keys")
	return k
}

func (k *keysModes) through() {
	k.keepLoggingIn("bob")
	for _, change := range route() { // the first time folders are made too
		k.want(change[1])
		k.run(k.name, "latchkey-agent", "apply")
		k.arrived(change[1], "set up")
	}
	kills := 0
	left := map[[2]string][]string{}
	for again := true; again; {
		again = false
		for _, change := range route() {
			k.want(change[1])
			points, traced := left[change]
			switch {
			case !traced:
				points = ofSteps(k.points("apply"))
			case len(points) > 0:
				k.killAt(points[0], "apply")
				k.run(k.name, "sshd", "-t")
				points = points[1:]
				kills++
			}
			left[change], again = points, again || len(points) > 0
			k.run(k.name, "latchkey-agent", "apply")
			k.later()
		}
	}
	k.arrived("command", "last")
	k.user.stop()
	k.user.done.Wait()
	k.t.Logf("%d kills, %d logins", kills, k.user.logins)
	if k.user.logins < kills {
		k.t.Errorf("only %d logins came off", k.user.logins)
	}
	for _, f := range k.user.failed {
		k.t.Errorf("bob was refused %s", f)
	}
	k.revokedInHome()
}

// ofSteps are the points from the first step to the ledger that is stored after the last
// one. Before it there is only the ledger, which the other tests of kills are about;
// what is stored after it depends on who logs in meanwhile.
func ofSteps(points []string) []string {
	points = points[slices.Index(points, "step.begin#1"):]
	last, stored := 0, 0
	for i, p := range points {
		if strings.HasPrefix(p, "step.end#") || strings.HasPrefix(p, "steps.end#") {
			last = i
		}
	}
	for i, p := range points[last:] {
		if strings.HasPrefix(p, "create#") {
			stored++
		}
		if stored == 2 {
			return points[:last+i]
		}
	}
	return points
}

// want has the stack wish for a mode.
func (k *keysModes) want(mode string) {
	k.t.Helper()
	k.cli("stack", "settings", "one", "--keys-mode", mode)
}

// later lets some minutes pass, by the ledger, and has the agent look. In so many a
// login that has begun has ended.
func (k *keysModes) later() {
	k.t.Helper()
	k.user.wait()
	k.run(k.name, "sed", "-i", `s/"sshd_since": *"[^"]*"/"sshd_since":"2020-01-01T00:00:00Z"/`, "/var/lib/latchkey/agent/ledger.json")
	k.run(k.name, "latchkey-agent", "apply")
}

// arrived checks, some minutes later, that the machine is in the mode, with nothing of
// another.
func (k *keysModes) arrived(mode, at string) {
	k.t.Helper()
	k.later()
	k.run(k.name, "latchkey-agent", "plan")
	got := k.run(k.name, "sh", "-c", `sshd -T -C user=bob,host=localhost,addr=127.0.0.1 | grep '^authorizedkeysfile'
		stat -c %a /var/lib/latchkey/authorized_keys; grep -c latchkey /home/alice/.ssh/authorized_keys /home/bob/.ssh/authorized_keys 2>/dev/null
		ls -A /home/bob/.ssh /home/alice/.ssh | grep -F .new; head -n 2 /home/alice/.ssh/authorized_keys; true`)
	want := map[string]string{
		"command":   "authorizedkeysfile none\n750\n/home/alice/.ssh/authorized_keys:0\n/home/bob/.ssh/authorized_keys:0\n",
		"directory": "authorizedkeysfile /var/lib/latchkey/authorized_keys/%u\n711\n/home/alice/.ssh/authorized_keys:0\n/home/bob/.ssh/authorized_keys:0\n",
		"home":      "authorizedkeysfile .ssh/authorized_keys\n750\n/home/alice/.ssh/authorized_keys:2\n/home/bob/.ssh/authorized_keys:2\n",
	}[mode] + "# mine\n" + k.public["own"] + "\n"
	// Until home mode was used for the first time bob has no file, and alice's is as she left it.
	got, want = strings.ReplaceAll(got, "/home/bob/.ssh/authorized_keys:0\n", ""), strings.ReplaceAll(want, "/home/bob/.ssh/authorized_keys:0\n", "")
	if strings.TrimSuffix(got, "\n") != strings.TrimSuffix(want, "\n") {
		k.t.Fatalf("%s, in mode %s, the machine says\n%swant\n%s", at, mode, got, want)
	}
	for user, in := range map[string]string{"alice": "in, root", "bob": "in"} {
		if got := k.login(k.name, user); got != in {
			k.t.Errorf("%s, in mode %s, %s is %q", at, mode, user, got)
		}
	}
	r, err := machine.SSH(k.t.Context(), k.machines[k.name], "alice", k.keys["own"], "true")
	if err != nil || (r.Code == 0) != (mode == "home") {
		k.t.Errorf("%s, in mode %s, her own key gives %+v, %v", at, mode, r, err)
	}
}

// repairedInHome: a line of ours that is gone from a home is back without a look that is
// due: the next one is an hour away.
func (k *keysModes) repairedInHome() {
	k.run(k.name, "systemd-run", "--quiet", "--unit=seldom", "latchkey-agent", "run", "--interval", "1h")
	defer k.run(k.name, "systemctl", "stop", "seldom")
	for _, damage := range []string{"sed -i '/^ssh-/d' .ssh/authorized_keys", "rm .ssh/authorized_keys", "mv .ssh .old"} {
		// What came before the folder was watched may have been seen by the pass before that.
		k.eventually("after "+damage+" bob's key is back", func() error {
			_, err := k.machines[k.name].Run(k.t.Context(), "sh", "-c", "grep -q '^ssh-.* bob$' /home/bob/.ssh/authorized_keys")
			return err
		})
		k.run(k.name, "runuser", "-u", "bob", "--", "sh", "-c", "cd && "+damage)
	}
	k.wantLogin(k.name, "bob", "in")
}

// revokedInHome: who is revoked in home mode has nothing of ours left in his home.
func (k *keysModes) revokedInHome() {
	k.want("home")
	k.run(k.name, "latchkey-agent", "apply")
	k.arrived("home", "last")
	k.revoke("alice")
	k.run(k.name, "latchkey-agent", "apply")
	if got := k.login(k.name, "alice"); got != "refused" {
		k.t.Errorf("revoked alice is %q", got)
	}
	if got := k.run(k.name, "cat", "/home/alice/.ssh/authorized_keys"); got != "# mine\n"+k.public["own"]+"\n" {
		k.t.Errorf("her file is %q", got)
	}
	k.run(k.name, "latchkey-agent", "sshd", "disable")
	if got := k.login(k.name, "bob"); got != "refused" {
		k.t.Errorf("with our drop-in out bob is %q", got)
	}
}

// loggingIn is somebody who logs in again and again.
type loggingIn struct {
	mu     sync.Mutex
	ended  chan struct{} // guarded by mu; closed and replaced when a login has ended
	logins int
	failed []string

	stop context.CancelFunc
	done sync.WaitGroup
	over <-chan struct{}
}

// keepLoggingIn begins with it. A connection that is not made while sshd starts itself
// anew is no refusal: whose connection is made must get in.
func (k *keysModes) keepLoggingIn(user string) {
	ctx, stop := context.WithCancel(k.t.Context())
	l := &loggingIn{ended: make(chan struct{}), stop: stop, over: ctx.Done()}
	m, key := k.machines[k.name], k.keys[user]
	l.done.Go(func() {
		for ctx.Err() == nil {
			r, err := machine.SSH(ctx, m, user, key, "true")
			l.mu.Lock()
			switch {
			case err != nil: // it is over
			case r.Refused():
				l.failed = append(l.failed, fmt.Sprintf("after %d logins: %s", l.logins, r.Stderr))
			case r.Code == 0:
				l.logins++
			}
			close(l.ended)
			l.ended = make(chan struct{})
			l.mu.Unlock()
		}
	})
	k.user = l
}

// wait returns when the login that is under way has ended, or all of it is over.
func (l *loggingIn) wait() {
	l.mu.Lock()
	ended := l.ended
	l.mu.Unlock()
	select {
	case <-ended:
	case <-l.over:
	}
}
