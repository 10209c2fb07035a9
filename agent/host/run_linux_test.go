package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRunTool_Surroundings holds R27 and T-U12 in part: whatever surrounds the agent, a
// program gets the same environment, no input, and is the system's own.
func TestRunTool_Surroundings(t *testing.T) {
	evil := t.TempDir()
	for _, tool := range []string{"env", "id", "cat", "pwd"} {
		must(t, os.WriteFile(filepath.Join(evil, tool), []byte("#!/bin/sh\necho evil\n"), 0o755))
	}
	t.Setenv("PATH", evil+":"+os.Getenv("PATH"))
	t.Setenv("LD_PRELOAD", filepath.Join(evil, "evil.so"))
	t.Setenv("LANG", "tr_TR.UTF-8")
	t.Setenv("SECRET", "hunter2")
	t.Chdir(evil)
	for _, c := range []struct{ tool, want string }{
		{"env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n"}, {"cat", ""}, {"pwd", "/\n"},
	} {
		if got, err := runTool(t.Context(), "", c.tool); err != nil || got != c.want {
			t.Errorf("%s gives %q, %v; want %q", c.tool, got, err, c.want)
		}
	}
	for _, tool := range []string{"no-such-tool-of-latchkey", "", "..", "."} {
		if out, err := runTool(t.Context(), "", tool); !errors.Is(err, errNoTool) {
			t.Errorf("%q gives %q, %v", tool, out, err)
		}
	}
}

// TestRunTool_Exit holds R27 and R81.
func TestRunTool_Exit(t *testing.T) {
	for script, c := range map[string]struct {
		code int
		text string // the error; empty: none
		out  string
	}{
		"exit 0":                             {0, "", ""},
		"echo out; exit 0":                   {0, "", "out\n"},
		"echo out; echo oops >&2; exit 9":    {9, "sh ended with code 9: oops", "out\n"},
		"exit 255":                           {255, "sh ended with code 255", ""},
		`printf 'a\nb\033[2Jc\n' >&2;exit 1`: {1, "sh ended with code 1: a; b; [2Jc", ""},
		"kill -9 $$":                         {-1, "sh ended with code -1", ""},
		"echo x >&2; exit 0":                 {0, "", ""},
	} {
		t.Run(script, func(t *testing.T) {
			out, err := runTool(t.Context(), "", "sh", "-c", script)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if exitCode(err) != c.code || text != c.text || out != c.out {
				t.Errorf("it gives %q, code %d, %q", out, exitCode(err), text)
			}
		})
	}
	if code := exitCode(errors.New("not of a program")); code != -1 {
		t.Errorf("another error has the code %d", code)
	}
}

// TestRunTool_Arguments: what a program is given is one argument each, whatever is in
// it (requirement R27).
func TestRunTool_Arguments(t *testing.T) {
	args := []string{"%s|", "$(id)", "a b", "", ";id", "-x", "*", "a\nb", `"`}
	out, err := runTool(t.Context(), "", "printf", args...)
	if want := strings.Join(args[1:], "|") + "|"; err != nil || out != want {
		t.Errorf("printf gives %q, %v; want %q", out, err, want)
	}
}

func TestRunTool_Bounded(t *testing.T) {
	out, err := runTool(t.Context(), "", "head", "-c", "5000000", "/dev/zero")
	if err != nil || len(out) != 1<<20 {
		t.Errorf("of 5 MB of output %d bytes are kept, %v; want 1 MiB", len(out), err)
	}
	_, err = runTool(t.Context(), "", "sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x >&2; exit 3")
	if exitCode(err) != 3 || len(err.Error()) > 4200 {
		t.Errorf("of 5 MB of complaint %d bytes are kept, code %d", len(err.Error()), exitCode(err))
	}
}

// TestRunTool_Deadline: a program that hangs, and one that leaves others behind that
// hold its output open, do not hold the agent (requirement R27 and T-U12 in part).
func TestRunTool_Deadline(t *testing.T) {
	for situation, script := range map[string]string{
		"hangs":             "exec sleep 5",
		"ignores-signals":   "trap '' TERM INT HUP; exec sleep 5",
		"leaves-one-behind": "sleep 5 & wait",
	} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			if _, err := runTool(ctx, "", "sh", "-c", script); !errors.Is(err, context.DeadlineExceeded) || exitCode(err) != -1 {
				t.Errorf("it ends with %v", err)
			}
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runTool(cancelled, "", "true"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}
