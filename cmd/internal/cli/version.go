package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// VersionCommand returns "version" for a program. version is what the linker was
// told with -X main.version, or the word that stands there otherwise.
func VersionCommand(program, version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  " + program + " version --json",
		Args:    Args(),
	}
	asJSON := JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *asJSON {
			return JSON(cmd.OutOrStdout(), struct{ Version, Go string }{version, runtime.Version()})
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), program, version, runtime.Version())
		return err
	}
	return cmd
}
