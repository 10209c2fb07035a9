package machine

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// process is a started command and word of its end.
type process struct {
	cmd   *exec.Cmd
	ended context.Context // done when the command has been waited for; its cause says how
}

// launch starts the machine's own process, with its output on the console file,
// and waits for it in the background.
func (m *Machine) launch(cmd *exec.Cmd) error {
	console, err := os.OpenFile(m.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd.Stdout, cmd.Stderr = console, console
	if err := cmd.Start(); err != nil {
		return err
	}
	ended, end := context.WithCancelCause(context.Background())
	go func() {
		end(fmt.Errorf("%s ended: %w", filepath.Base(cmd.Path), orEOF(cmd.Wait())))
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.first = &process{cmd, ended}
	return nil
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// during returns a context that ends with ctx or with the process, whichever is
// first, and says which in its cause.
func (p *process) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.ended, func() { cancel(context.Cause(p.ended)) })
	return ctx, func() { stop(); cancel(nil) }
}

func (p *process) hasEnded() bool { return p.ended.Err() != nil }

// endedBefore waits for the process, and reports whether it ended before ctx did.
func (p *process) endedBefore(ctx context.Context) bool {
	select {
	case <-p.ended.Done():
		return true
	case <-ctx.Done():
		return false
	}
}

func (m *Machine) console() string { return filepath.Join(m.dir, "console") }

// consoleTail returns the last two kilobytes of what the machine said, for an
// error, or nothing.
func (m *Machine) consoleTail() string {
	f, err := os.Open(m.console())
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		_, _ = f.Seek(max(0, info.Size()-2048), io.SeekStart)
	}
	text, _ := io.ReadAll(io.LimitReader(f, 2048))
	if len(text) == 0 {
		return ""
	}
	return "\nconsole:\n" + string(text)
}
