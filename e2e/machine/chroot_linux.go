package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// sshd is the server's path in a tree.
const sshd = "/usr/sbin/sshd"

func canChroot() error {
	switch {
	case os.Geteuid() != 0:
		return ErrNotRoot
	case os.Getenv(spaceEnv) == "":
		return ErrNotEntered
	}
	return haveTools("ssh", "ssh-keygen")
}

func chroot(ctx context.Context, o Options) (*Machine, error) {
	if err := canChroot(); err != nil {
		return nil, err
	}
	if os.Getenv(refusedEnv) != "" {
		if err := canHoldRoot(os.Getenv(spaceEnv)); err != nil {
			return nil, err
		}
		return raise(ctx, o, plain)
	}
	if err := haveTools("nsenter", "ip"); err != nil {
		return nil, err
	}
	return raise(ctx, o, isolated)
}

// canHoldRoot tells whether sudo and device files would work in a copy there;
// many systems mount /tmp without (statvfs(3), ST_NOSUID and ST_NODEV).
func canHoldRoot(dir string) error {
	const nosuid, nodev = 2, 4
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err
	}
	if s.Flags&(nosuid|nodev) != 0 {
		return fmt.Errorf("%s is mounted nosuid or nodev, so it cannot hold a root directory; set TMPDIR to a folder that is not", filepath.Dir(dir))
	}
	return nil
}

// startRoot starts this program as the first process of the machine's own
// namespaces, and connects its network with ours.
func (m *Machine) startRoot() error {
	cmd, err := again(roleRoot)
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, rootEnv+"="+m.root, nameEnv+"="+m.name)
	cmd.SysProcAttr = ownNamespaces()
	cmd.SysProcAttr.Setsid = true
	if err := m.launch(cmd); err != nil {
		return err
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := ip("link", "add", m.link(), "type", "veth", "peer", "name", "host0", "netns", pid); err != nil {
		return err
	}
	// "ip -n" wants a named namespace; this is the same for one by its process.
	theirs := func(args ...string) error {
		out, err := exec.Command("nsenter", append([]string{"--target", pid, "--net", "ip"}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	}
	err = errors.Join(
		theirs("address", "add", m.addr.Addr().String()+"/24", "dev", "host0"),
		theirs("link", "set", "host0", "up"),
		m.greet(pid),
		theirs("route", "add", "default", "via", fmt.Sprintf("10.99.%d.1", m.index)))
	return err
}

// startSSHD starts the tree's sshd with nothing of its own but its root and a
// free loopback port.
func (m *Machine) startSSHD() error {
	if err := m.choosePort(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(m.root, "run/sshd"), 0o755); err != nil {
		return err
	}
	cmd := exec.Command(sshd, "-D", "-e", "-o", "ListenAddress="+m.addr.String())
	cmd.Env, cmd.Dir = machineEnv(), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root, Setsid: true}
	if err := m.launch(cmd); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pid = cmd.Process.Pid
	return nil
}

// choosePort takes a port that is free now, once: a reboot keeps it.
func (m *Machine) choosePort() error {
	if m.addr.Port() != 0 {
		return nil
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(m.addr))
	if err != nil {
		return err
	}
	defer l.Close()
	m.addr = l.Addr().(*net.TCPAddr).AddrPort()
	return nil
}
