package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/e2e/fleet"
)

// TestScarce holds R152, T-U12 and T-L12: with 64 MiB of memory, a hundredth of a
// processor and 64 files for an apply and all that it runs, killed by the kernel for want
// of memory again and again, and without entropy, it is slow and right.
func TestScarce(t *testing.T) {
	t.Parallel()
	x := newFaulty(t, 4)
	x.sub("little-of-all", x.littleOfAll)
	x.sub("out-of-memory", x.outOfMemory)
	x.sub("no-entropy", x.noEntropy)
}

// littleOfAll has, besides, nothing open where input and output should be, another
// language, and other people's programs in the way.
func (x *faulty) littleOfAll() {
	x.t.Helper()
	x.putBack()
	g := newLimits(x.t)
	g.limit(64<<10, 1)
	cmd := g.within(x.machine.Command(x.t.Context(), "sh", "-c", `mkdir -p /srv/evil
		for tool in useradd usermod userdel groupadd getent visudo sudo sshd systemctl; do
			printf '#!/bin/sh\ntouch /srv/evil/run\n' >/srv/evil/$tool; chmod 755 /srv/evil/$tool
		done
		PATH=/srv/evil:$PATH LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8 exec /usr/bin/prlimit --nofile=64:64 `+agentProgram+` apply <&- >&- 2>&-`))
	if out, err := cmd.CombinedOutput(); err != nil {
		x.t.Errorf("%v: %s", err, out)
	}
	x.wantNew()
	x.run(x.name, "test", "!", "-e", "/srv/evil/run")
	if n := g.kills(); n != 0 {
		x.t.Errorf("%d processes were killed for want of memory", n)
	}
	if g.count(g.cpu, "cpu.stat", "nr_throttled") == 0 {
		x.t.Error("it had all of a processor that it wanted")
	}
}

// outOfMemory gives each apply a little more memory than the one before it, which the
// kernel killed, until one ends well.
func (x *faulty) outOfMemory() {
	x.t.Helper()
	x.putBack()
	g := newLimits(x.t)
	const step, most = 512, 64 << 10 // KiB
	killed, amid := 0, 0
	for limit := 2 * step; ; limit += step {
		x.wrong = nil
		g.limit(limit, 100)
		out, err := g.within(x.machine.Command(x.t.Context(), agentProgram, "apply")).CombinedOutput()
		before := killed
		killed = g.kills()
		if err == nil && killed == before {
			x.t.Logf("%d were killed, %d of them amid their work, before %d KiB were enough", killed, amid, limit)
			break
		}
		if killed == before || limit == most {
			x.t.Fatalf("with %d KiB: %v: %s", limit, err, out)
		}
		now := x.look()
		x.judge(fault{kind: kill}, injected{hit: true, code: -1}, now)
		if len(x.wrong) > 0 {
			x.t.Errorf("killed with %d KiB: %s", limit, strings.Join(x.wrong, "\n"))
		}
		x.run(x.name, "sh", "-c", "sshd -t && visudo -c -q && pwck -q -r && grpck -r")
		if !maps.Equal(now.subjects, x.old.subjects) && !maps.Equal(now.subjects, x.new.subjects) {
			amid++
		}
	}
	if killed < 3 || amid == 0 {
		x.t.Errorf("%d were killed, %d of them amid their work", killed, amid)
	}
	x.wantNew()
}

// noEntropy lets no call for random bytes return before the machine was looked at: the
// kernel answers none until it has gathered entropy after a boot (getrandom(2)). Nothing
// is begun before the first, and nobody's way in waits for it.
func (x *faulty) noEntropy() {
	x.t.Helper()
	x.putBack()
	waits := 0
	cmd := x.machine.Command(x.t.Context(), agentProgram, "apply")
	r := watch(x.t, cmd, agentProgram, func(s site) {
		if s.call != "getrandom" {
			return
		}
		if waits++; waits > 1 {
			return
		}
		if diff := cmp.Diff(x.old, x.look(), cmp.AllowUnexported(image{})); diff != "" {
			x.t.Errorf("while the agent waits for the first time (-want +got):\n%s", diff)
		}
		if got := x.login(x.name, "alice"); got != "in, root" {
			x.t.Errorf("while the agent waits, alice is %q", got)
		}
	})
	if r.code != 0 || waits == 0 {
		x.t.Errorf("it waited %d times, and ended with %d: %s", waits, r.code, r.errs)
	}
	x.wantNew()
}

func (x *faulty) wantNew() {
	x.t.Helper()
	if diff := cmp.Diff(x.new, x.look(), cmp.AllowUnexported(image{})); diff != "" {
		x.t.Errorf("it comes to another end (-want +got):\n%s", diff)
	}
}

// limits is a control group of one test: a folder of the one hierarchy, or of two, where
// the host has the first version of them (cgroups(7)).
type limits struct {
	t           *testing.T
	memory, cpu string
}

// newLimits makes the group, without limits.
func newLimits(t *testing.T) limits {
	t.Helper()
	const root = "/sys/fs/cgroup"
	given, _ := os.ReadFile(root + "/cgroup.subtree_control")
	if can := strings.Fields(string(given)); slices.Contains(can, "memory") && slices.Contains(can, "cpu") {
		dir := newGroup(t, root)
		return limits{t, dir, dir}
	}
	return limits{t, newGroup(t, mountGroups(t, "memory")), newGroup(t, mountGroups(t, "cpu"))}
}

// mountGroups mounts a hierarchy of the first version where only this test sees it.
func mountGroups(t *testing.T, controller string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("cgroup", dir, "cgroup", 0, controller); err != nil {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatalf("control groups of %s: %v", controller, err)
		}
		t.Skipf("control groups of %s: %v", controller, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newGroup(t *testing.T, above string) string {
	t.Helper()
	dir, err := os.MkdirTemp(above, "latchkey-scarce-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What was killed may take a moment to be gone.
		if err := fleet.Eventually(context.WithoutCancel(t.Context()), patience, func() error { return unix.Rmdir(dir) }); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// old reports whether the group is of the first version.
func (l limits) old() bool { return l.memory != l.cpu }

// limit sets how many KiB, none of them swapped out, and hundredths of a processor all that
// is in the group has.
func (l limits) limit(kibibytes, percent int) {
	l.t.Helper()
	bytes := strconv.Itoa(kibibytes << 10)
	const period = 100_000 // microseconds
	quota := strconv.Itoa(percent * period / 100)
	if l.old() {
		l.write(l.memory, "memory.swappiness", "0")
		l.write(l.memory, "memory.limit_in_bytes", bytes)
		l.write(l.cpu, "cpu.cfs_period_us", strconv.Itoa(period))
		l.write(l.cpu, "cpu.cfs_quota_us", quota)
		return
	}
	l.write(l.memory, "memory.swap.max", "0")
	l.write(l.memory, "memory.max", bytes)
	l.write(l.cpu, "cpu.max", fmt.Sprint(quota, " ", period))
}

func (l limits) write(dir, file, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
		l.t.Fatal(err)
	}
}

// kills is how many of the group the kernel has killed for want of memory.
func (l limits) kills() int {
	l.t.Helper()
	file := "memory.events"
	if l.old() {
		file = "memory.oom_control"
	}
	return l.count(l.memory, file, "oom_kill")
}

// count reads a number of a file with one in each line.
func (l limits) count(dir, file, key string) int {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if number, found := strings.CutPrefix(strings.TrimSpace(line), key+" "); found {
			n, err := strconv.Atoi(number)
			if err != nil {
				l.t.Fatal(err)
			}
			return n
		}
	}
	l.t.Fatalf("%s has no %s: %s", file, key, text)
	return 0
}

// within has a command and all that it starts run in the group.
func (l limits) within(cmd *exec.Cmd) *exec.Cmd {
	enter := `for group in "$1" "$2"; do echo $$ >"$group/cgroup.procs" || exit 125; done; shift 2; exec "$@"`
	cmd.Args = append([]string{"sh", "-c", enter, "sh", l.memory, l.cpu, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	return cmd
}
