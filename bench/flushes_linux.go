package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// countFlushes does something n times and returns how many flushes of this process
// each took, as strace saw them. It needs a folder for strace's log. Nothing else
// in the process may flush meanwhile.
func countFlushes(ctx context.Context, dir string, n int, do func(i int) error) ([]int, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, errors.New("strace is missing\nhint: apt-get install strace")
	}
	log := filepath.Join(dir, "strace")
	stop, err := trace(ctx, log)
	if err != nil {
		return nil, err
	}
	mark()
	for i := range n {
		if err = do(i); err != nil {
			break
		}
		mark()
	}
	if err := errors.Join(err, stop()); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	return parseFlushes(text, n)
}

// mark writes a line into the log, by a flush of no file.
func mark() { _ = syscall.Fsync(-1) }

// trace attaches strace to this process. stop detaches it, when its log is whole.
func trace(ctx context.Context, log string) (stop func() error, err error) {
	cmd := exec.CommandContext(ctx, "strace", "-f", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", log, "-p", strconv.Itoa(os.Getpid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// It says that it is attached when it is so to every thread.
	lines := bufio.NewReader(said)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(line, " attached") {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("strace said %q", strings.TrimSpace(line))
	}
	return func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		_, _ = lines.WriteTo(new(bytes.Buffer)) // until it closes, which Wait must not come before
		_ = cmd.Wait()                          // it ends by the signal
		return nil
	}, nil
}

// parseFlushes counts between the marks.
func parseFlushes(log []byte, n int) ([]int, error) {
	var counts []int
	for line := range strings.Lines(string(log)) {
		switch {
		case strings.Contains(line, " fsync(-1"):
			counts = append(counts, 0)
		case len(counts) > 0 && (strings.Contains(line, " fsync(") || strings.Contains(line, " fdatasync(")):
			counts[len(counts)-1]++
		}
	}
	if len(counts) != n+1 {
		return nil, fmt.Errorf("strace saw %d of %d marks", len(counts), n+1)
	}
	return counts[:n], nil
}
