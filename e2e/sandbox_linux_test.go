package e2e_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attempts are what nobody should do from inside the agent's service. Each writes a line:
// what it tries, and done or refused. What it leaves is gone again.
const attempts = `
exec > /run/attempts
try() {
	what=$1; shift
	if "$@" 2>/dev/null >/dev/null; then echo "$what done"; else echo "$what refused"; fi
}
write() { (: > "$1/latchkey-attempt") && rm "$1/latchkey-attempt"; }
setid() { : > /run/latchkey-attempt && chmod "$1" /run/latchkey-attempt; status=$?; rm /run/latchkey-attempt; return $status; }
for folder in / /usr /usr/bin /usr/sbin /lib /boot /root /opt /srv /mnt /var /var/lib /var/cache; do try "write $folder" write $folder; done
try "set-user-id" setid 4755
try "set-group-id" setid 2755
try "user namespace" unshare --user true
try "mount namespace" unshare --mount true
try "mount" sh -c 'mount -t tmpfs none /mnt && umount /mnt'
try "raw socket" perl -e 'socket(S, 2, 3, 1) or exit 1'
try "packet socket" perl -e 'socket(S, 17, 3, 0) or exit 1'
for folder in /etc /home /run /var/lib/latchkey /var/log; do try "needs $folder" write $folder; done
grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
`

// TestSandbox holds R158: what stands around the agent's service lets it write where accounts,
// keys and sudo rules are and nowhere else, and make no file that gives its rights to others;
// nor is there one after it has set the machine up. The same is tried beside it, where it can
// all be done, or nothing would be shown. The agent that runs is in the very same sandbox.
func TestSandbox(t *testing.T) {
	t.Parallel()
	const name = "sandbox1"
	w := newWorld(t, 8499, 120, name)
	before := w.setID(name)
	w.cli("stack", "create", "one")
	w.grant("alice", true)
	w.join(name, "one")
	w.startAgent(name)
	w.wantLogin(name, "alice", "in, root")

	beside, besideBounds := w.attempt(name, "sh", "/run/attempts.sh")
	inside, bounds := w.attempt(name, "systemctl", "start", "attempts")
	if strings.Contains(beside, "refused") || besideBounds == bounds {
		t.Errorf("beside the sandbox:\n%s%s", beside, besideBounds)
	}
	want := strings.ReplaceAll(beside, " done\n", " refused\n")
	want = regexp.MustCompile("(?m)^(needs .*) refused$").ReplaceAllString(want, "$1 done")
	if diff := cmp.Diff(want, inside); diff != "" {
		t.Errorf("inside the sandbox (-want +got):\n%s", diff)
	}
	pid := strings.TrimSpace(w.run(name, "systemctl", "show", "--property=MainPID", "--value", "latchkey-agent"))
	if got := w.run(name, "grep", "-E", "^(CapBnd|NoNewPrivs|Seccomp):", "/proc/"+pid+"/status"); got != bounds {
		t.Errorf("the agent runs within\n%sand not\n%s", got, bounds)
	}
	if diff := cmp.Diff(before, w.setID(name)); diff != "" {
		t.Errorf("files with rights of their own (-before +after):\n%s", diff)
	}
}

// attempt runs a command on a machine that runs the attempts there, by themselves or as a
// service that is the agent's but for what it starts. It returns what came of them, and what
// bounds there were.
func (w *world) attempt(name string, argv ...string) (tries, bounds string) {
	w.t.Helper()
	unit := w.run(name, "cat", "/lib/systemd/system/latchkey-agent.service")
	for setting, value := range map[string]string{"ExecStart": "/bin/sh /run/attempts.sh", "Type": "oneshot", "Restart": "no"} {
		unit = regexp.MustCompile("(?m)^"+setting+"=.*$").ReplaceAllString(unit, setting+"="+value)
	}
	for file, content := range map[string]string{"/run/attempts.sh": attempts, "/run/systemd/system/attempts.service": unit} {
		if err := w.machines[name].WriteFile(w.t.Context(), file, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	w.run(name, "systemctl", "daemon-reload")
	w.run(name, argv...)
	tries, bounds, _ = strings.Cut(w.run(name, "cat", "/run/attempts"), "CapBnd")
	return tries, "CapBnd" + bounds
}

// setID lists the programs of a machine that give their owner's rights to whoever runs them,
// and those with capabilities of their own.
func (w *world) setID(name string) string {
	w.t.Helper()
	return w.run(name, "sh", "-c", "find / -xdev -type f -perm /6000 | sort; ! command -v getcap >/dev/null || getcap -r /usr /var /etc")
}
