package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"latchkey/agent/hook"
	"latchkey/authz/name"
)

const (
	keyA    = "AAAAC3NzaC1lZDI1NTE5AAAAIGmvzCPVXWHJ3wcyjmzf9eVL4lUXjk9q0Jv0RhMbvxqK"
	keyB    = "AAAAC3NzaC1lZDI1NTE5AAAAIGmvzCPVXWHJ3wcyjmzf9eVL4lUXjk9q0Jv0RhMbvxqL"
	typ     = "ssh-ed25519"
	lineA   = typ + " " + keyA + " alice\n"
	fileOfA = "# latchkey 1 uid=20001\n" + lineA
)

// giving returns a reader that finds this file for alice and none for others.
func giving(file string) readFunc {
	return func(user name.Username) ([]byte, error) {
		if user.String() != "alice" {
			return nil, errNoFile
		}
		return []byte(file), nil
	}
}

// nothing is done about a key that is not there.
func nothing(hook.Request) error { return nil }

// TestRun holds R60, R62 in part and T-H6.
func TestRun(t *testing.T) {
	t.Parallel()
	const hint = "hint: latchkey-keys --help\n"
	tests := []struct {
		situation      string
		args           []string
		read           readFunc
		status         int
		stdout, stderr string
	}{
		{"key-found", []string{"alice", "20001", typ, keyA}, giving(fileOfA), 0, lineA, ""},
		{"other-key", []string{"alice", "20001", typ, keyB}, giving(fileOfA), 0, "", ""},
		{"no-file", []string{"bob", "20001", typ, keyA}, giving(fileOfA), 0, "", ""},
		{"other-uid", []string{"alice", "20002", typ, keyA}, giving(fileOfA), 1, "",
			"latchkey-keys: key file was written for another uid\n"},
		{"half-a-line", []string{"alice", "20001", typ, keyA}, giving(fileOfA[:60]), 1, "",
			"latchkey-keys: key file does not end in a newline\n"},
		{"unreadable", []string{"alice", "20001", typ, keyA},
			func(name.Username) ([]byte, error) { return nil, errors.New("input/output error") }, 1, "",
			"latchkey-keys: input/output error\n"},
		{"no-arguments", nil, giving(fileOfA), 2, "",
			"latchkey-keys: the arguments are not USER UID TYPE KEY [FINGERPRINT]\n" + hint},
		{"root", []string{"root", "0", typ, keyA}, giving(fileOfA), 2, "",
			"latchkey-keys: name is reserved by the system\n" + hint},
		{"escape-in-name", []string{"a\x1b[2J", "20001", typ, keyA}, giving(fileOfA), 2, "",
			"latchkey-keys: name holds a character other than a-z, 0-9, - and _\n" + hint},
		{"help", []string{"--help"}, giving(fileOfA), 0, usage, ""},
		{"version", []string{"--version"}, giving(fileOfA), 0, "latchkey-keys devel\n", ""},
		{"help-among-others", []string{"--help", "20001", typ, keyA}, giving(fileOfA), 2, "",
			"latchkey-keys: name does not begin with a lower-case letter a-z\n" + hint},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			status := run(test.args, test.read, nothing, &stdout, &stderr)
			if status != test.status || stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("status %d, stdout %q, stderr %q; want %d, %q, %q",
					status, stdout.String(), stderr.String(), test.status, test.stdout, test.stderr)
			}
		})
	}
}

// writes counts the writes it takes and fails each with err.
type writes struct {
	n   int
	err error
}

func (w *writes) Write(b []byte) (int, error) { w.n++; return len(b), w.err }

// TestRun_writes holds R60 and T-H3 in part.
func TestRun_writes(t *testing.T) {
	t.Parallel()
	file := fileOfA + strings.Repeat(lineA, 49)
	question := []string{"alice", "20001", typ, keyA}

	once := &writes{}
	if status := run(question, giving(file), nothing, once, io.Discard); status != exitAnswered || once.n != 1 {
		t.Errorf("status %d after %d writes, want %d after 1", status, once.n, exitAnswered)
	}
	none := &writes{}
	if status := run([]string{"alice", "20001", typ, keyB}, giving(file), nothing, none, io.Discard); status != exitAnswered || none.n != 0 {
		t.Errorf("status %d after %d writes, want %d after 0", status, none.n, exitAnswered)
	}
	closed := &writes{err: os.ErrClosed}
	var stderr bytes.Buffer
	if status := run(question, giving(file), nothing, closed, &stderr); status != exitFault || stderr.String() != "latchkey-keys: file already closed\n" {
		t.Errorf("status %d, stderr %q with stdout closed", status, stderr.String())
	}
}
