package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSoak holds T-L15, with the simulated host (TestSimulation), whose 10^4 days are many
// weeks of faults at every call: on a real machine everything that the other tests do one
// by one happens at once, in an order made from a seed. The account for emergencies gets
// in all the while; in each quiet everybody has what he was given last, and nobody else
// anything. Every run takes a few rounds, LATCHKEY_LONG as many as fit into ten minutes,
// or into LATCHKEY_SOAK, such as 168h. LATCHKEY_SEED tells one order.
func TestSoak(t *testing.T) {
	t.Parallel()
	const name = "soak1"
	seed, long := uint64(1), soakTime(t)
	if long > 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if text := os.Getenv("LATCHKEY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LATCHKEY_SEED=%d", seed)
	w := newWorld(t, 8498, 98, name)
	s := &soak{crash: &crash{world: w, name: name}, rng: rand.New(rand.NewPCG(seed, 1)), want: map[string]string{}}
	w.cli("stack", "create", "one")
	s.breakGlass()
	w.join(name, w.stack())
	s.startAgent(name)
	for i := range 6 {
		s.give(fmt.Sprintf("user%d", i), true)
	}
	const least = 4
	for round, end := 0, time.Now().Add(long); (round < least || time.Now().Before(end)) && !t.Failed(); round++ {
		s.trace = nil
		for range 2 + s.rng.IntN(5) {
			s.event()
			s.glass()
		}
		s.quiet()
		t.Logf("round %d: %s", round, strings.Join(s.trace, "; "))
	}
}

// soakTime is how long it goes on beyond its first rounds.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("LATCHKEY_SOAK")
	if text == "" && os.Getenv("LATCHKEY_LONG") != "" {
		text = "10m"
	}
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type soak struct {
	*crash
	rng    *rand.Rand
	want   map[string]string // what each user gets
	trace  []string
	away   bool // the control plane
	others int  // accounts that somebody else made
}

func (s *soak) user() string { return fmt.Sprintf("user%d", s.rng.IntN(6)) }

func (s *soak) give(user string, sudo bool) {
	s.grant(user, sudo)
	s.want[user] = map[bool]string{true: "in, root", false: "in"}[sudo]
}

// event lets one thing happen, and waits for nothing.
func (s *soak) event() {
	s.t.Helper()
	user := s.user()
	events := []struct {
		name string
		do   func()
	}{
		{"grant sudo to " + user, func() { s.whenThere(func() { s.give(user, true) }) }},
		{"grant " + user, func() { s.whenThere(func() { s.give(user, false) }) }},
		{"revoke " + user, func() { s.whenThere(func() { s.revoke(user); s.want[user] = "refused" }) }},
		{"the control plane ends", s.leave},
		{"kill the agent", func() { s.shell("systemctl kill -s KILL latchkey-agent || true") }},
		{"stop the agent in its tracks", func() { s.shell("systemctl kill -s STOP latchkey-agent || true") }},
		{"restart the agent", func() { s.shell("systemctl restart latchkey-agent || true") }},
		{"freeze", func() { s.shell("latchkey-agent freeze --reason soak || true") }},
		{"damage", func() { s.shell(s.damages(user)) }},
		{"reload sshd", func() { s.shell("systemctl reload ssh") }},
		{"somebody makes an account", func() { s.others++; s.shell(fmt.Sprintf("useradd -m -u %d other%d", 1500+s.others, s.others)) }},
		{"jobs of " + user, func() {
			s.shell("setpriv --reuid=" + user + " --regid=" + user + " --clear-groups setsid sh -c 'trap \"\" TERM HUP; sleep 100000' >/dev/null 2>&1 </dev/null & echo '* * * * * true' | crontab -u " + user + " - || true")
		}},
		{"apply by hand", func() { s.shell("timeout 20 latchkey-agent apply >/dev/null 2>&1 || true") }},
		{"the power is cut", s.cut},
	}
	e := events[s.rng.IntN(len(events))]
	s.trace = append(s.trace, e.name)
	e.do()
}

// whenThere does what needs the control plane.
func (s *soak) whenThere(do func()) {
	if !s.away {
		do()
	}
}

func (s *soak) shell(script string) { s.run(s.name, "sh", "-c", script) }

// damages picks one to what is ours.
func (s *soak) damages(user string) string {
	all := []string{
		"echo x >>/etc/sudoers.d/90-latchkey", "chmod 0666 /etc/sudoers.d/90-latchkey || true", "rm -f /etc/sudoers.d/90-latchkey",
		"rm -rf " + keysFolder, "echo >" + keysFolder + "/" + user + " || true", "rm -f /etc/ssh/sshd_config.d/10-latchkey.conf",
		"usermod -s /bin/false -L " + user + " || true", "gpasswd -d " + user + " latchkey || true", "pkill -KILL -u " + user + " || true",
	}
	return all[s.rng.IntN(len(all))]
}

func (s *soak) leave() {
	if err := s.server.Stop(); err != nil {
		s.t.Error(err)
	}
	s.away = true
}

func (s *soak) cut() {
	m := s.machines[s.name]
	if err := syscall.Kill(m.PID(), syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	if err := m.Reboot(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// glass logs in with the account for emergencies, whatever is going on. An sshd that
// reloads is not there for a moment.
func (s *soak) glass() {
	s.t.Helper()
	s.eventually("for emergencies sshd is there", func() error {
		got := s.login(s.name, "deby")
		if strings.Contains(got, "Connection refused") {
			return errors.New(got)
		}
		if got != "in, root" {
			s.t.Errorf("after %s: for emergencies there is %q", strings.Join(s.trace, "; "), got)
		}
		return nil
	})
}

// quiet lets everything come to its end, and looks.
func (s *soak) quiet() {
	s.t.Helper()
	if s.away {
		s.startServer()
		s.away = false
	}
	s.shell("latchkey-agent unfreeze; systemctl kill -s CONT latchkey-agent; systemctl restart latchkey-agent")
	for user, want := range s.want {
		s.wantLogin(s.name, user, want)
	}
	s.settled(s.name)
	s.shell("sshd -t && visudo -c -q && pwck -q -r && grpck -r")
	s.glass()
	rules := s.run(s.name, "sh", "-c", "cat /etc/sudoers.d/90-latchkey 2>/dev/null || true")
	keys := strings.Fields(s.run(s.name, "sh", "-c", "ls -A "+keysFolder+" 2>/dev/null || true"))
	for user, want := range s.want {
		if got := strings.Contains(rules, "\n"+user+" ALL="); got != (want == "in, root") {
			s.t.Errorf("%s is to be %q; a rule: %t", user, want, got)
		}
		if got := slices.Contains(keys, user); got != (want != "refused") {
			s.t.Errorf("%s is to be %q; a key file: %t", user, want, got)
		}
		if left := s.processes(user); want == "refused" && left != "" {
			s.t.Errorf("%s is gone and there runs %s", user, left)
		}
	}
	for n := range s.others {
		if out := s.run(s.name, "getent", "passwd", fmt.Sprint("other", n+1)); !strings.Contains(out, fmt.Sprintf(":/home/other%d:", n+1)) {
			s.t.Errorf("somebody else's account is %q", out)
		}
	}
	if s.t.Failed() {
		s.t.Logf("after %s", strings.Join(s.trace, "; "))
		s.explain(s.name)
	}
}

// processes lists what runs as a user.
func (s *soak) processes(user string) string {
	out, err := s.machines[s.name].Run(context.WithoutCancel(s.t.Context()), "sh", "-c", "pgrep -a -u "+user+" || true")
	if err != nil {
		return err.Error()
	}
	return out
}
