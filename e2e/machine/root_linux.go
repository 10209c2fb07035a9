package machine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
)

// newMachine says where everything of a machine will be; nothing is made yet.
func newMachine(o Options, k kind) *Machine {
	space := os.Getenv(spaceEnv)
	parent := memory(space)
	m := &Machine{name: o.Name, kind: k, index: o.Index, host: netip.MustParseAddr(HostAddress),
		addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 99, byte(o.Index), 2}), 22)}
	if k == plain {
		parent = space
		m.host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		m.addr = netip.AddrPortFrom(m.host, 0) // the port is found at the start
	}
	m.dir = filepath.Join(parent, o.Name)
	m.root = filepath.Join(m.dir, "root")
	return m
}

// layRoot makes the root: an overlay on the tree, or a copy where overlays are
// refused, with what must be the machine's own.
func (m *Machine) layRoot(ctx context.Context, o Options) error {
	upper, work := filepath.Join(m.dir, "upper"), filepath.Join(m.dir, "work")
	for _, dir := range []string{m.root, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", o.Tree, upper, work)
	if err := mount("overlay", m.root, "overlay", 0, layers); err != nil {
		out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", o.Tree+"/.", m.root).CombinedOutput()
		if err != nil {
			return fmt.Errorf("copying the tree: %w: %s", err, out)
		}
	}
	if err := m.personalise(); err != nil {
		return err
	}
	return m.makeHostKey(ctx)
}

// personalise writes the files in which one machine differs from the next.
func (m *Machine) personalise() error {
	var id [16]byte
	rand.Read(id[:])
	var errs []error
	for _, f := range []struct{ path, text string }{
		{"etc/hostname", m.name + "\n"},
		{"etc/hosts", "127.0.0.1 localhost\n127.0.1.1 " + m.name + "\n"},
		{"etc/machine-id", hex.EncodeToString(id[:]) + "\n"},
		{units + addressUnit, fmt.Sprintf(addressText, m.index)},
	} {
		errs = append(errs, os.WriteFile(filepath.Join(m.root, f.path), []byte(f.text), 0o644))
	}
	wanted := filepath.Join(m.root, units, "multi-user.target.wants", addressUnit)
	return errors.Join(append(errs, os.Symlink("../"+addressUnit, wanted))...)
}

const (
	units       = "etc/systemd/system/"
	addressUnit = "e2e-address.service"
)

// addressText is the unit that gives host0, the machine's end of the pair of
// interfaces, its address before sshd starts.
const addressText = `[Unit]
Description=Address of this machine
Before=network.target ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip address add 10.99.%[1]d.2/24 dev host0
ExecStart=/sbin/ip link set host0 up
ExecStart=/sbin/ip route add default via 10.99.%[1]d.1

[Install]
WantedBy=multi-user.target
`

// makeHostKey gives the machine a key of its own. One kind is enough, and RSA
// would take longer to make than the machine to boot.
func (m *Machine) makeHostKey(ctx context.Context) error {
	key := filepath.Join(m.root, "etc/ssh/ssh_host_ed25519_key")
	if _, err := NewKey(ctx, key, "root@"+m.name); err != nil {
		return err
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		return err
	}
	return os.WriteFile(m.knownHosts(), append([]byte(m.name+" "), public...), 0o644)
}

// removeRoot removes the machine's own folder and what is mounted in it.
func (m *Machine) removeRoot() error { return removeTree(m.dir) }
