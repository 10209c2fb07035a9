package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweepLimit is how long the sweeper tries. The dead are gone in milliseconds;
// a network namespace may take a second.
const sweepLimit = 20 * time.Second

// A sweeper is a process in a session of its own that holds one end of a pipe.
// When the other end closes, because its holder is done or was killed, it removes
// what the run left.
type sweeper struct {
	cmd   *exec.Cmd
	alive io.Closer // our end of the pipe
	said  *bytes.Buffer
}

func startSweeper() (*sweeper, error) {
	cmd, err := again(roleSweep)
	if err != nil {
		return nil, err
	}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	said := new(bytes.Buffer)
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return &sweeper{cmd, alive, said}, cmd.Start()
}

// finish lets the sweeper work and waits for it.
func (s *sweeper) finish() error {
	s.alive.Close()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("sweeping: %w: %s", err, bytes.TrimSpace(s.said.Bytes()))
	}
	return nil
}

// sweep is the sweeper's process.
func sweep(space string) int {
	_, _ = io.Copy(io.Discard, os.Stdin)
	if !strings.HasPrefix(filepath.Base(space), spacePrefix) {
		return complain(fmt.Errorf("%q is no folder of a run", space))
	}
	ctx, cancel := context.WithTimeout(context.Background(), sweepLimit)
	defer cancel()
	err := killRooted(ctx, space)
	if at := findCgroup2(); at != "" {
		err = errors.Join(err, removeCgroup(ctx, filepath.Join(at, os.Getenv(groupEnv))))
	}
	if err = errors.Join(err, poll(ctx, func() error { return removeTree(space) })); err != nil {
		return complain(err)
	}
	return 0
}

// killRooted kills every process whose root directory is in dir, until there is
// none. It finds what Chroot started where there are no namespaces to end.
func killRooted(ctx context.Context, dir string) error {
	return poll(ctx, func() error {
		pids, err := rootedIn(dir)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			err = errors.Join(err, fmt.Errorf("process %d still has its root in %s", pid, dir))
		}
		return err
	})
}

// rootedIn lists the processes, seen from here, that have their root in dir.
func rootedIn(dir string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		root, err := os.Readlink(filepath.Join("/proc", e.Name(), "root"))
		if err == nil && strings.HasPrefix(root, dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
