// Package machine makes whole throw-away Debian machines for tests, the
// demonstration and the measurements: systemd containers with their own sshd,
// users and network, which boot in about a second and leave nothing behind.
//
// A program calls Enter first. It runs the rest of itself in namespaces of its
// own (mounts, network, processes, names, semaphores), so that no address can
// clash with another run, nothing outside is touched, and everything ends with
// the program, also by kill -9. Then:
//
//	tree, err := machine.Tree(ctx, "bookworm", "", nil)
//	m, err := machine.Boot(ctx, machine.Options{Name: "web1", Tree: tree, Index: 1})
//	out, err := m.Run(ctx, "id", "alice")
//	result, err := machine.SSH(ctx, m, "alice", keyfile, "sudo -n id")
//
// CanBoot says why a machine cannot be booted where the program runs; Chroot is
// then the next best thing, the real sshd in a private root directory.
package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// HostAddress is the address of the program's own side, which every machine
// reaches and a server in the test listens on. Where Enter was refused
// namespaces nobody has it; Machine.HostAddr is right in both cases.
const HostAddress = "10.99.0.1"

// Reasons why no machine can be booted here. CanBoot and Boot return them,
// wrapped where there is more to say.
var (
	ErrNotRoot      = errors.New("booting a machine needs root")
	ErrNotEntered   = errors.New("booting a machine needs the namespaces of machine.Enter, which this program did not call")
	ErrNoNamespaces = errors.New("namespaces are refused here")
	ErrNoCgroup     = errors.New("no writable cgroup v2 hierarchy is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified")
	ErrMissingTool  = errors.New("not installed")
)

// Options say which machine to make.
type Options struct {
	// Name is the host name: 1 to 11 characters of a-z, 0-9 and -, beginning
	// with a letter (a network interface called ve-NAME has 15 at most). One
	// machine at a time may hold it.
	Name string
	// Tree is the folder Tree returned. It is only read.
	Tree string
	// Index, 1 to 254, gives the machine 10.99.Index.2 and this side 10.99.Index.1.
	// One machine at a time may hold it.
	Index int
}

func (o Options) check() error {
	switch {
	case len(o.Name) < 1 || len(o.Name) > 11 || strings.Trim(o.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || o.Name[0] < 'a':
		return fmt.Errorf("machine name %q: not 1 to 11 characters of a-z, 0-9 and - beginning with a letter", o.Name)
	case o.Index < 1 || o.Index > 254:
		return fmt.Errorf("machine %s: index %d is not 1 to 254", o.Name, o.Index)
	}
	if _, err := os.Stat(filepath.Join(o.Tree, "etc/os-release")); err != nil {
		return fmt.Errorf("machine %s: %q is no tree: %w", o.Name, o.Tree, err)
	}
	return nil
}

// kind is how much of a machine it is.
type kind int

const (
	booted   kind = iota + 1 // a container with systemd as its first process
	isolated                 // a root directory in namespaces of its own, sshd, no systemd
	plain                    // a root directory and sshd on a loopback port
)

// Machine is one running machine. Its methods may be called concurrently, but
// for Reboot and Stop, during which no other may run.
type Machine struct {
	name  string
	kind  kind
	index int
	addr  netip.AddrPort
	host  netip.Addr
	dir   string // the machine's own folder: root, overlay, console, known_hosts
	root  string // the merged root, as seen from here

	mu    sync.Mutex // guards pid and first, which Reboot replaces
	pid   int        // first process of the machine
	first *process   // what we started: systemd-nspawn, the root's init or sshd
}

// Name returns the host name.
func (m *Machine) Name() string { return m.name }

// Addr returns where sshd listens.
func (m *Machine) Addr() netip.AddrPort { return m.addr }

// HostAddr returns the address under which the machine reaches this program's
// listeners: HostAddress, or loopback for a machine without a network of its own.
func (m *Machine) HostAddr() netip.Addr { return m.host }

// Root returns the folder that is the machine's /, to look at its files from
// outside. What the machine mounts itself (/run, /tmp, /proc) is not seen there.
// Gone after Stop.
func (m *Machine) Root() string { return m.root }

// Booted reports whether systemd runs in the machine; false for Chroot.
func (m *Machine) Booted() bool { return m.kind == booted }

// PID returns the machine's first process, as seen from here; it changes with
// Reboot and is 0 while the machine is down.
func (m *Machine) PID() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pid
}

// ExitError says how a command inside a machine ended otherwise than with 0.
type ExitError struct {
	Machine string
	Argv    []string
	Code    int    // exit status, -1 when a signal ended it
	Stderr  string // what it wrote there, trimmed
}

// Error states command, status and what the command said.
func (e *ExitError) Error() string {
	text := fmt.Sprintf("%s on %s: exit status %d", strings.Join(e.Argv, " "), e.Machine, e.Code)
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

// Command prepares a command inside the machine, as root, with a small fixed
// environment. The caller sets its streams and starts it; the end of ctx kills
// it and its children. The program is looked up in the machine's own PATH.
func (m *Machine) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return m.command(ctx, argv)
}

// Run runs a command inside the machine as root and returns its standard output.
// A status other than 0 is an *ExitError.
func (m *Machine) Run(ctx context.Context, argv ...string) (string, error) {
	return m.RunInput(ctx, nil, argv...)
}

// RunInput is Run with a standard input; nil is empty.
func (m *Machine) RunInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := m.Command(ctx, argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		err = &ExitError{m.name, argv, exit.ExitCode(), strings.TrimSpace(errs.String())}
	}
	return out.String(), err
}

// Copy puts a file of this side at a path inside the machine, owned by root. It
// is written beside the old one and renamed, so a running program can be
// replaced.
func (m *Machine) Copy(ctx context.Context, file, path string, mode fs.FileMode) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return m.write(ctx, f, path, mode)
}

// WriteFile is Copy from memory.
func (m *Machine) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode) error {
	return m.write(ctx, bytes.NewReader(data), path, mode)
}

// write goes through a shell in the machine, and not through Root, because only
// inside do /run and links with absolute targets mean what they mean there.
func (m *Machine) write(ctx context.Context, from io.Reader, path string, mode fs.FileMode) error {
	const script = `set -e; umask 077; mkdir -m 755 -p -- "${1%/*}/"; cat >"$1.new"; chmod "$2" "$1.new"; mv -f -- "$1.new" "$1"`
	_, err := m.RunInput(ctx, from, "/bin/sh", "-c", script, "write", path, fmt.Sprintf("%04o", mode.Perm()))
	return err
}

// ReadFile returns the content of a file as the machine sees it.
func (m *Machine) ReadFile(ctx context.Context, path string) ([]byte, error) {
	out, err := m.Run(ctx, "/bin/cat", "--", path)
	return []byte(out), err
}
