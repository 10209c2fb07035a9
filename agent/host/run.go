package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// toolTime is how long a program of the system may take. useradd waits up to 15 s
// for the lock of the account files by itself.
const toolTime = 60 * time.Second

// errNoTool is returned for a program that this machine does not have.
var errNoTool = errors.New("not installed")

// exitError is a program that ended with a code other than 0.
type exitError struct {
	tool   string
	code   int
	stderr string
}

func (e *exitError) Error() string {
	text := fmt.Sprintf("%s ended with code %d", e.tool, e.code)
	if e.stderr != "" {
		text += ": " + e.stderr
	}
	return text
}

// runTool runs a program of the system by its plain name: from the system's own
// folders only, with input and arguments as given, an empty environment and a
// deadline. Its output is bounded.
func runTool(ctx context.Context, input, tool string, args ...string) (string, error) {
	return runToolWith(ctx, nil, input, tool, args...)
}

// runToolWith is runTool for a process with attributes, such as another user's rights.
func runToolWith(ctx context.Context, attr *syscall.SysProcAttr, input, tool string, args ...string) (string, error) {
	path, err := toolPath(tool)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	stdout, stderr := &bounded{most: 1 << 20}, &bounded{most: 4 << 10}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = attr
	cmd.Env = []string{"PATH=" + strings.Join(toolFolders, ":"), "LC_ALL=C"}
	if tool == "sudo" {
		// It looks up the host's name, for 20 s and more where no name server answers
		// (resolver(3)), and does without.
		cmd.Env = append(cmd.Env, "RES_OPTIONS=timeout:1 attempts:1")
	}
	cmd.Dir = "/"
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s: %w", tool, context.Cause(ctx))
	case errors.As(err, &exit):
		return stdout.String(), &exitError{tool, exit.ExitCode(), oneLine(stderr.String())}
	case err != nil:
		return "", fmt.Errorf("%s: %w", tool, err)
	case tool == "sudo" && stdout.String() == "":
		return stderr.String(), nil // there sudo-rs says its version
	}
	return stdout.String(), nil
}

// toolFolders are the only places programs are taken from.
var toolFolders = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// toolPath finds a program, or says with errNoTool that there is none. Where a folder
// could not be looked at, that is not known.
func toolPath(tool string) (string, error) {
	missing := errNoTool
	for _, dir := range toolFolders {
		path := filepath.Join(dir, tool)
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0:
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			missing = err
		}
	}
	return "", fmt.Errorf("%s: %w", tool, missing)
}

// seenTool is a program file and what it printed as its version.
type seenTool struct {
	file    fs.FileInfo
	version string
}

// is reports whether the file is still the one that was asked.
func (s *seenTool) is(file fs.FileInfo) bool {
	return s.file != nil && os.SameFile(s.file, file) && s.file.ModTime().Equal(file.ModTime()) && s.file.Size() == file.Size()
}

// of returns the version of a program, which is asked once for each program file that is
// found in its place. What went wrong is not kept.
func (s *seenTool) of(tool string, ask func() (string, error)) (string, error) {
	path, err := toolPath(tool)
	if err != nil {
		return "", err
	}
	file, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if s.is(file) {
		return s.version, nil
	}
	version, err := ask()
	if err == nil {
		*s = seenTool{file, version}
	}
	return version, err
}

// exitCode returns the code a program ended with, -1 when it did not end by itself.
func exitCode(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	}
	return -1
}

// oneLine makes a program's complaint fit into one line of a log.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), "; ")
}

// bounded keeps the first bytes written to it and drops the rest. The buffer is
// not embedded: its ReadFrom, which knows no bound, would be used instead.
type bounded struct {
	kept bytes.Buffer
	most int
}

// Write takes everything and keeps what fits.
func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.kept.Len(); room > 0 {
		b.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// String returns what was kept.
func (b *bounded) String() string { return b.kept.String() }
