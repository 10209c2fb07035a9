package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
)

// TestEveryCommand: each says in one line what it does, and its help shows an
// example of itself.
func TestEveryCommand(t *testing.T) {
	commands := all(newCommand("linux"))
	if len(commands) < 12 {
		t.Fatalf("there are only %d commands", len(commands))
	}
	for _, cmd := range commands {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short is %q", path, cmd.Short)
		}
		root := newCommand("linux")
		var out, errs bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&errs)
		status := cli.Run(t.Context(), root, append(strings.Fields(path)[1:], "--help"))
		_, example, found := strings.Cut(out.String(), "\nExamples:\n")
		example, _, _ = strings.Cut(example, "\n\n")
		if status != 0 || errs.Len() != 0 || !found || !strings.Contains(example, path) {
			t.Errorf("%s --help ends with %d, says %q and shows the example %q", path, status, &errs, example)
		}
	}
}

func all(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		list = append(list, all(sub)...)
	}
	return list
}

// TestOtherSystem: where nothing is managed yet every command that would says so.
func TestOtherSystem(t *testing.T) {
	for _, args := range []string{"status", "plan", "apply", "run", "explain alice", "doctor", "doctor --fix", "inventory", "sshd enable", "sshd disable", "revert --yes"} {
		root := newCommand("windows")
		var out, errs bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&errs)
		status := cli.Run(t.Context(), root, strings.Fields(args))
		if want := "latchkey-agent: the agent does not manage windows machines yet\n"; status != 1 || errs.String() != want || out.Len() != 0 {
			t.Errorf("%s ends with %d and says %q", args, status, &errs)
		}
	}
}

func TestFailpoint(t *testing.T) {
	if failpoint("") != nil {
		t.Error("failpoints are on unasked")
	}
	failpoint("rename#3")("other") // not the one: nothing happens
}
