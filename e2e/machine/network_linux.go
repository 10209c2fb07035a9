package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
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
