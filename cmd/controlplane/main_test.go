package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommand: each has a line on what it does, an example of itself, and
// --json where it lists something.
func TestEveryCommand(t *testing.T) {
	for _, cmd := range all(newCommand()) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short is %q", path, cmd.Short)
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			if !strings.HasPrefix(line, "  "+path+" ") && !strings.HasPrefix(line, "    ") {
				t.Errorf("%s: example is %q", path, line)
			}
		}
		if cmd.Name() == "list" && cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", path)
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
