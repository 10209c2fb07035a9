// Package fleet is a control plane and the machines that joined it, made of the
// real programs: what the end-to-end tests, the demonstration and the
// measurements stand on.
package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"latchkey/e2e/machine"
)

// Programs are the three programs, built.
type Programs struct{ dir string }

// Build compiles the programs into dir, as the Makefile does but for the version.
func Build(ctx context.Context, dir string) (Programs, error) {
	root, err := moduleRoot()
	if err != nil {
		return Programs{}, err
	}
	for program, source := range map[string]string{
		"latchkey": "./cmd/controlplane", "latchkey-agent": "./cmd/agent", "latchkey-keys": "./cmd/keys",
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(dir, program), source)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return Programs{}, fmt.Errorf("build %s: %w: %s", program, err, out)
		}
	}
	return Programs{dir}, nil
}

// Path returns where a program lies.
func (p Programs) Path(name string) string { return filepath.Join(p.dir, name) }

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above this folder: run it inside the repository")
		}
		dir = filepath.Dir(dir)
	}
}

// Server is a running control plane.
type Server struct {
	Programs Programs
	Data     string // its data directory
	URL      string
	cmd      *exec.Cmd
	log      bytes.Buffer
	ended    chan struct{}
}

// Start starts `latchkey serve` on an address and waits until it answers. Its
// data directory is made if need be; started again on the same one it goes on
// where it was.
func Start(ctx context.Context, p Programs, data, host string, port int) (*Server, error) {
	s := &Server{Programs: p, Data: data, URL: fmt.Sprintf("https://%s:%d", host, port), ended: make(chan struct{})}
	s.cmd = exec.Command(p.Path("latchkey"), "serve", "--data-dir", data, "--listen", fmt.Sprintf("%s:%d", host, port), "--name", host)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { defer close(s.ended); _ = s.cmd.Wait() }()
	err := Eventually(ctx, 30*time.Second, func() error {
		select {
		case <-s.ended:
			return fmt.Errorf("latchkey serve ended: %s", s.log.String())
		default:
		}
		_, err := s.CLI(ctx, "stack", "list")
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Stop ends the control plane in order and waits for its end.
func (s *Server) Stop() error {
	select {
	case <-s.ended:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return errors.New("latchkey serve did not end within 30 s of SIGTERM")
	}
	return nil
}

// CLI runs the administrator's command line against the control plane.
func (s *Server) CLI(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Programs.Path("latchkey"), args...)
	cmd.Env = append(os.Environ(), "LATCHKEY_DATA_DIR="+s.Data, "LATCHKEY_SERVER="+s.URL)
	return output(cmd)
}

// AWS runs the stock AWS client's opsworks command against the control plane,
// with the credentials that the first start made.
func (s *Server) AWS(ctx context.Context, args ...string) (string, error) {
	full := append([]string{"opsworks"}, args...)
	cmd := exec.CommandContext(ctx, "/usr/bin/aws", append(full, "--endpoint-url", s.URL, "--output", "json")...)
	cmd.Env = append(os.Environ(), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(s.Data, "admin-credentials"),
		"AWS_CA_BUNDLE="+filepath.Join(s.Data, "tls", "ca.pem"), "AWS_DEFAULT_REGION=us-east-1",
		"AWS_CONFIG_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "PYTHONWARNINGS=ignore")
	return output(cmd)
}

// Call calls an action of the API by its name and decodes its answer into
// answer, unless that is nil.
func (s *Server) Call(ctx context.Context, action string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	out, err := s.CLI(ctx, "call", action, "--json", string(body))
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal([]byte(out), answer)
}

func output(cmd *exec.Cmd) (string, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), strings.Join(cmd.Args[1:], " "), err,
			strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// Install puts the agent and the login hook on a machine, as the package will.
func Install(ctx context.Context, p Programs, m *machine.Machine) error {
	for _, program := range []string{"latchkey-agent", "latchkey-keys"} {
		if err := m.Copy(ctx, p.Path(program), "/usr/bin/"+program, 0o755); err != nil {
			return err
		}
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	return m.Copy(ctx, filepath.Join(root, "systemd", "latchkey-agent.service"), "/lib/systemd/system/latchkey-agent.service", 0o644)
}

// Enroll joins a machine to a stack and lets sshd ask the hook.
func (s *Server) Enroll(ctx context.Context, m *machine.Machine, stack string) error {
	token, err := s.CLI(ctx, "token", "create", "--stack", stack)
	if err != nil {
		return err
	}
	if _, err := m.RunInput(ctx, strings.NewReader(token), "latchkey-agent", "enroll", "--server", s.URL, "--token-file", "-"); err != nil {
		return err
	}
	_, err = m.Run(ctx, "latchkey-agent", "sshd", "enable")
	return err
}

// StartAgent starts the agent on a machine: the service where systemd runs, else
// the program itself, until the machine ends.
func StartAgent(ctx context.Context, m *machine.Machine) error {
	if m.Booted() {
		_, err := m.Run(ctx, "systemctl", "enable", "--now", "--quiet", "latchkey-agent")
		return err
	}
	cmd := m.Command(context.WithoutCancel(ctx), "latchkey-agent", "run")
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			continue
		}
		_ = cmd.Wait()
	}()
	return nil
}

// Eventually tries until it works or the time is over, and returns the last
// error.
func Eventually(ctx context.Context, limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
