package machine

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// machineEnv is the environment of what runs inside a machine.
func machineEnv() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb"}
}

// command enters the machine by the namespaces of its first process (nsenter(1)),
// or by its root.
func (m *Machine) command(ctx context.Context, argv []string) *exec.Cmd {
	enter := []string{"nsenter", "--target", fmt.Sprint(m.PID()), "--mount", "--pid", "--net", "--uts", "--ipc"}
	switch m.kind {
	case isolated:
		enter = append(enter, "--root", "--wd")
	case plain:
		enter = []string{"chroot", m.root}
	}
	if m.kind != plain {
		enter = append(enter, "--")
	}
	cmd := exec.CommandContext(ctx, enter[0], append(enter[1:], argv...)...)
	cmd.Env = machineEnv()
	ownGroup(cmd)
	return cmd
}

// ownGroup puts a command into a process group of its own, all of which the end
// of its context kills: the tools here have children that would outlive them.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second // for a grandchild that left the group with our pipes
}
