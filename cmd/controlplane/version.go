package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
)

// release is what "version --json" prints.
type release struct {
	Version  string
	Revision string `json:",omitempty"` // of the source
	Modified bool   `json:",omitempty"` // the source differed from its revision
	Go       string
}

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  latchkey version --json",
		Args:    cli.Args(),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v := thisRelease()
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), v)
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "latchkey", v.Version, v.Revision, v.Go)
		return err
	}
	return cmd
}

// thisRelease reads what the toolchain wrote into the binary.
func thisRelease() release {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release{Version: "unknown"}
	}
	v := release{Version: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
