package machine

import "context"

// CanBoot returns nil where Boot can work, and otherwise the reason, one clear
// sentence: ErrNotRoot, ErrNotEntered, ErrNoNamespaces, ErrNoCgroup,
// ErrMissingTool (with the package to install), or errors.ErrUnsupported on a
// system that is not Linux.
func CanBoot(ctx context.Context) error { return canBoot(ctx) }

// Boot makes a machine on a tree and returns when its systemd says that it runs,
// with no failed unit, and its sshd answers. It has its own host name, machine id
// and host key, and 10.99.Index.2 on its interface host0, with a default route to
// this side. What it writes is kept in memory until Stop.
//
// Several machines may be booted at the same time. Boot gives up after two
// minutes or at the end of ctx, with the last lines of the console in the error,
// and leaves nothing then.
func Boot(ctx context.Context, o Options) (*Machine, error) { return boot(ctx, o) }

// Chroot makes what comes nearest to a machine where none can be booted: the same
// tree as a private root directory, with the real sshd, without systemd. Where
// namespaces are had it has its own processes, mounts and network, and the
// address that Boot would give; otherwise sshd listens on a loopback port, there
// is no /proc, and all processes are seen by all.
//
// It needs root, and Enter.
func Chroot(ctx context.Context, o Options) (*Machine, error) { return chroot(ctx, o) }

// Reboot shuts the machine down in order and boots it again with the same root.
// A machine without systemd has its processes killed and its sshd started again.
func (m *Machine) Reboot(ctx context.Context) error { return m.reboot(ctx) }

// Stop kills the machine and removes all that is left of it: processes, network
// interface, mounts, control group, folder. A second call does nothing.
func (m *Machine) Stop() error { return m.stop() }

// Snapshot describes files of the machine, by path, so that two states can be
// compared byte for byte: kind and mode, owner, and the SHA-256 of the content or
// the target of a link. A folder stands for itself and all below it; what does not
// exist is left out. It looks at Root, from outside.
func (m *Machine) Snapshot(paths ...string) (map[string]string, error) { return m.snapshot(paths) }
