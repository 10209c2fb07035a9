package main

import (
	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version = "development"

func newCommand() *cobra.Command {
	return cli.Group(&cobra.Command{
		Use:   "latchkey",
		Short: "Decide who may log in to which machine",
		Long: `Latchkey decides who may log in to which machine, and makes the machines agree.

Start the server with "latchkey serve". The other commands talk to it: on its own
machine they find it by its data directory, elsewhere with --server, --credentials
and --ca.`,
		Example: `  latchkey serve --data-dir /var/lib/latchkey-server
  latchkey stack create web`,
	},
		newServe(), newToken(), newCall(), newUser(), newGroup(), newStack(), newPermission(), newPolicy(), newInstance(),
		newAuthorize(), newExplain(), newAccess(), newImport(), newExport(), newBackup(), newRestore(), cli.VersionCommand("latchkey", version))
}
