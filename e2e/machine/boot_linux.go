package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits. A machine boots in about a second; these are for a system that is busy
// with other things, and only tell a hang from it.
const (
	bootLimit = 2 * time.Minute
	stopLimit = 30 * time.Second
)

func canBoot(ctx context.Context) error {
	if err := canChroot(); err != nil {
		return err
	}
	if refused := os.Getenv(refusedEnv); refused != "" {
		return fmt.Errorf("%w: %s", ErrNoNamespaces, refused)
	}
	if err := haveTools("systemd-nspawn", "nsenter", "ip"); err != nil {
		return err
	}
	if _, err := spaceCgroup(); err != nil {
		return err
	}
	return ctx.Err()
}

// haveTools names the first missing one with its Debian package.
func haveTools(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s: %w (package %s)", name, ErrMissingTool, packageOf(name))
		}
	}
	return nil
}

func packageOf(tool string) string {
	switch tool {
	case "systemd-nspawn":
		return "systemd-container"
	case "nsenter":
		return "util-linux"
	case "ip":
		return "iproute2"
	default:
		return "openssh-client"
	}
}

func boot(ctx context.Context, o Options) (*Machine, error) {
	if err := canBoot(ctx); err != nil {
		return nil, err
	}
	return raise(ctx, o, booted)
}

// raise makes a machine of any kind; on an error nothing is left of it.
func raise(ctx context.Context, o Options, k kind) (*Machine, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m := newMachine(o, k)
	err := os.Mkdir(m.dir, 0o755)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", o.Name, err)
	}
	if err = m.layRoot(ctx, o); err == nil {
		err = m.start(ctx)
	}
	if err != nil {
		err = fmt.Errorf("machine %s: %w%s", o.Name, err, m.consoleTail())
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// start starts the machine on its root and waits until sshd answers.
func (m *Machine) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootLimit, fmt.Errorf("not up within %v", bootLimit))
	defer cancel()
	var err error
	switch m.kind {
	case booted:
		err = m.startContainer(ctx)
	case isolated:
		err = m.startRoot()
	case plain:
		err = m.startSSHD()
	}
	if err != nil {
		return err
	}
	return m.awaitBanner(ctx)
}

// startContainer starts systemd-nspawn and waits until systemd inside says that
// it is up (sd_notify(3)) and that no unit failed.
func (m *Machine) startContainer(ctx context.Context) error {
	group, err := m.makeCgroup()
	if err != nil {
		return err
	}
	defer group.Close()
	socket := filepath.Join(m.dir, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer os.Remove(socket)
	defer notify.Close()
	cmd := exec.Command("systemd-nspawn", "--quiet", "--directory="+m.root, "--boot", "--machine="+m.name, "--hostname="+m.name,
		// No service outside is asked for anything, and no file of this
		// system goes in.
		"--register=no", "--keep-unit", "--settings=no", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"--network-veth", "--notify-ready=yes", "--console=read-only")
	// Without the word it guesses the kind of control groups from the tree.
	cmd.Env = append(machineEnv(), "NOTIFY_SOCKET="+socket, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := m.launch(cmd); err != nil {
		return err
	}
	if err := m.awaitReady(ctx, notify); err != nil {
		return err
	}
	return m.checkUnits(ctx)
}

// awaitReady reads systemd-nspawn's messages: the machine's first process, as
// soon as there is one, and in the end that the machine is ready.
func (m *Machine) awaitReady(ctx context.Context, notify *net.UnixConn) error {
	ctx, stop := m.first.during(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { notify.SetReadDeadline(time.Unix(1, 0)) })()
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		for line := range strings.Lines(string(message[:n])) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "X_NSPAWN_LEADER_PID":
				if err := m.greet(value); err != nil {
					return err
				}
			case "READY":
				return nil
			}
		}
	}
}

// greet notes the first process and brings up this side of its network.
func (m *Machine) greet(leader string) error {
	pid, err := strconv.Atoi(leader)
	if err != nil {
		return fmt.Errorf("systemd-nspawn says leader %q", leader)
	}
	m.mu.Lock()
	m.pid = pid
	m.mu.Unlock()
	return m.linkUp()
}

// checkUnits asks the machine's systemd, which has just said it is up, whether
// anything failed on the way.
func (m *Machine) checkUnits(ctx context.Context) error {
	state, err := m.Run(ctx, "systemctl", "is-system-running", "--wait")
	if err == nil {
		return nil
	}
	failed, _ := m.Run(ctx, "systemctl", "--failed", "--no-legend", "--plain")
	return fmt.Errorf("systemd is %s, not running: %s", strings.TrimSpace(state), cmp.Or(strings.TrimSpace(failed), err.Error()))
}

// awaitBanner waits until sshd answers with its version (RFC 4253, 4.2).
func (m *Machine) awaitBanner(ctx context.Context) error {
	ctx, stop := m.first.during(ctx)
	defer stop()
	err := poll(ctx, func() error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", m.addr.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		hello := make([]byte, 4)
		if n, err := io.ReadFull(conn, hello); err != nil || string(hello) != "SSH-" {
			return fmt.Errorf("%s answers %q (%v)", m.addr, hello[:n], err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sshd does not answer: %v (%w)", err, context.Cause(ctx))
	}
	return nil
}

func (m *Machine) reboot(ctx context.Context) error {
	limit, cancel := context.WithTimeoutCause(ctx, bootLimit, fmt.Errorf("not down within %v", bootLimit))
	defer cancel()
	if err := m.halt(limit, m.kind == booted); err != nil {
		return err
	}
	if err := m.start(ctx); err != nil {
		return fmt.Errorf("machine %s: %w%s", m.name, err, m.consoleTail())
	}
	return nil
}

func (m *Machine) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return errors.Join(m.halt(ctx, false), m.removeRoot())
}

// halt ends everything that runs in the machine and waits until it is gone, by a
// shutdown in order or at once. The root stays.
func (m *Machine) halt(ctx context.Context, inOrder bool) error {
	first := m.first
	if first == nil {
		return nil
	}
	if inOrder {
		// systemd-nspawn hands this on as the request to halt (systemd-nspawn(1), --kill-signal).
		_ = first.cmd.Process.Signal(syscall.SIGTERM)
		if !first.endedBefore(ctx) {
			return fmt.Errorf("machine %s does not shut down: %w", m.name, context.Cause(ctx))
		}
	}
	m.kill(ctx)
	m.mu.Lock()
	m.pid, m.first = 0, nil
	m.mu.Unlock()
	return errors.Join(killRooted(ctx, m.dir), m.awaitLinkGone(ctx), m.dropCgroup(ctx))
}

// kill kills the machine's first process, which takes all the others with it, and
// lets systemd-nspawn clean up after it; that one too, if it does not come back.
func (m *Machine) kill(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopLimit/3)
	defer cancel()
	pid := m.PID()
	if pid > 0 && !m.first.hasEnded() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if pid == 0 || !m.first.endedBefore(ctx) {
		_ = m.first.cmd.Process.Kill()
		<-m.first.ended.Done()
	}
}
