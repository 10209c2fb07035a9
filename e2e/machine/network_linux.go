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

// link is the name of this side's end of the pair of interfaces, as
// systemd-nspawn makes it too (systemd-nspawn(1), --network-veth).
func (m *Machine) link() string { return "ve-" + m.name }

// linkUp gives this side's end its address.
func (m *Machine) linkUp() error {
	return errors.Join(
		ip("address", "add", fmt.Sprintf("10.99.%d.1/24", m.index), "dev", m.link()),
		ip("link", "set", m.link(), "up"))
}

// awaitLinkGone waits until the kernel has taken the pair away with the machine's
// network, which it does in its own time; the next machine may want the name.
func (m *Machine) awaitLinkGone(ctx context.Context) error {
	return poll(ctx, func() error {
		if _, err := net.InterfaceByName(m.link()); err != nil {
			return nil
		}
		return fmt.Errorf("interface %s is still there", m.link())
	})
}

// makeCgroup makes the machine's control group and returns its folder, open.
func (m *Machine) makeCgroup() (*os.File, error) {
	space, err := spaceCgroup()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(space, m.name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return os.Open(dir)
}

func (m *Machine) dropCgroup(ctx context.Context) error {
	if m.kind != booted {
		return nil
	}
	return removeCgroup(ctx, filepath.Join(cgroupRoot, os.Getenv(groupEnv), m.name))
}

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
		return raise(ctx, o, plain)
	}
	if err := haveTools("nsenter", "ip"); err != nil {
		return nil, err
	}
	return raise(ctx, o, isolated)
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
