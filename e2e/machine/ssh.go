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
	"strings"
	"sync"
)

// Result is how a run of the ssh client ended.
type Result struct {
	Stdout string
	Stderr string
	Code   int // the remote command's status; 255 when ssh itself ended it, see ssh(1)
}

// Refused reports whether the server let the key not in: the connection was made
// and the host key was right, but authentication had no success.
func (r Result) Refused() bool {
	return r.Code == 255 && strings.Contains(r.Stderr, "Permission denied (")
}

// knownHosts is the file with the machine's host key, under the machine's name.
func (m *Machine) knownHosts() string { return filepath.Join(m.dir, "known_hosts") }

// sshArgs are the arguments up to the destination: nothing of the caller's own
// configuration, agent or known hosts, one key, no questions.
func (m *Machine) sshArgs(user, keyfile string) []string {
	args := []string{"-F", "none", "-i", keyfile, "-p", fmt.Sprint(m.addr.Port())}
	for _, option := range []string{
		"BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "PreferredAuthentications=publickey",
		"UserKnownHostsFile=" + m.knownHosts(), "GlobalKnownHostsFile=none", "StrictHostKeyChecking=yes",
		"HostKeyAlias=" + m.name, "UpdateHostKeys=no", "ConnectTimeout=30", "LogLevel=ERROR",
	} {
		args = append(args, "-o", option)
	}
	return append(args, "--", user+"@"+m.addr.Addr().String())
}

// SSH logs in to a machine with the real ssh client and one private key, runs a
// command and returns how it ended; a login that is refused is a Result, not an
// error. As ssh does, it joins the words of the command with blanks for the
// user's shell. The machine's host key must be the one it was made with.
//
// The error says that ssh was not found, or that ctx ended.
func SSH(ctx context.Context, m *Machine, user, keyfile string, command ...string) (Result, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "ssh", append(m.sshArgs(user, keyfile), command...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return Result{}, err
	}
	return Result{out.String(), strings.TrimSpace(errs.String()), cmd.ProcessState.ExitCode()}, nil
}

// Session is a login that stays open until somebody ends it.
type Session struct {
	stdin io.Closer
	ended chan struct{}

	mu   sync.Mutex // guards errs, which ssh writes while callers may read
	errs bytes.Buffer
	code int // set before ended is closed
}

// OpenSession logs in and returns when the user's shell has started; the session
// then does nothing until Close, or until the machine ends it. A login that is
// refused is an error with ssh's words. The end of ctx ends the session.
func OpenSession(ctx context.Context, m *Machine, user, keyfile string) (*Session, error) {
	const greeting = "session is open\n"
	cmd := exec.CommandContext(ctx, "ssh", append(m.sshArgs(user, keyfile), "echo session is open && exec cat")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s := &Session{stdin: stdin, ended: make(chan struct{})}
	cmd.Stderr = s
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	said := make([]byte, len(greeting))
	_, err = io.ReadFull(stdout, said)
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
		s.code = cmd.ProcessState.ExitCode()
		close(s.ended)
	}()
	if err != nil || string(said) != greeting {
		result := s.Close()
		return nil, fmt.Errorf("%s at %s: ssh ended with %d: %s", user, m.name, result.Code, result.Stderr)
	}
	return s, nil
}

// Write takes what ssh says on its standard error.
func (s *Session) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs.Write(text)
}

// Ended is closed when the session has ended, whoever ended it.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Result waits for the end of the session and says how it ended: 0 for Close, 255
// when the server closed the connection.
func (s *Session) Result() Result {
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return Result{Stderr: strings.TrimSpace(s.errs.String()), Code: s.code}
}

// Close ends the session from the user's side, unless it has ended, and waits.
func (s *Session) Close() Result {
	s.stdin.Close()
	return s.Result()
}

// NewKey makes an Ed25519 key with ssh-keygen at path, readable by its owner
// only, and returns the public key's line.
func NewKey(ctx context.Context, path, comment string) (string, error) {
	out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ssh-keygen: %w: %s", err, bytes.TrimSpace(out))
	}
	public, err := os.ReadFile(path + ".pub")
	return strings.TrimSpace(string(public)), err
}
