package machine

import (
	"context"
	"errors"
	"io"
	"os/exec"
)

// There are no such machines on Windows: everything says so, and Enter only runs
// its function.

func enter(main func() int) int { return main() }

func canBoot(context.Context) error { return errors.ErrUnsupported }

func tree(context.Context, string, string, func(string)) (string, error) {
	return "", errors.ErrUnsupported
}

func hold(string) (io.Closer, error) { return nil, errors.ErrUnsupported }

func boot(context.Context, Options) (*Machine, error) { return nil, errors.ErrUnsupported }

func chroot(context.Context, Options) (*Machine, error) { return nil, errors.ErrUnsupported }

func (m *Machine) reboot(context.Context) error { return errors.ErrUnsupported }

func (m *Machine) stop() error { return errors.ErrUnsupported }

func (m *Machine) snapshot([]string) (map[string]string, error) { return nil, errors.ErrUnsupported }

func (m *Machine) command(ctx context.Context, argv []string) *exec.Cmd {
	return &exec.Cmd{Args: argv, Err: errors.ErrUnsupported}
}
