package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane/store"
)

// databaseFile is the database's name in a data directory (package datadir).
const databaseFile = "latchkey.db"

// held is what a database holds, as printed.
type held struct {
	ControlPlane                    string
	Epoch, Stacks, Users, AuditRows int64
	AuditHash                       string
}

func heldBy(c store.Contents) *held {
	return &held{
		ControlPlane: c.ControlPlane, Epoch: c.Epoch, Stacks: c.Stacks, Users: c.Users,
		AuditRows: c.Log.Size, AuditHash: c.Log.Hash,
	}
}

func newBackup() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database of a data directory, also while the server runs",
		Long: `Copy the database of a data directory to FILE, also while the server runs, and
check the copy. FILE must not be there yet; only its owner can read it.

Not in it are these files of the data directory. Keep a copy of them apart from
the backups and as safe as a password; they do not change:

  keys/signing.key     signs the bundles: instances obey no other key
  keys/secrets.key     opens the access keys that are in the database
  tls/ca.key           what instances know the server by,
  tls/ca.pem             with its certificate
  admin-credentials    the first administrator's access key

Without them a backup cannot be put to use; latchkey restore does that.`,
		Example: `  latchkey backup --data-dir /var/lib/latchkey-server /srv/backup/latchkey-monday.db`,
		Args:    cli.Args("FILE"),
	}
	dataDirFlag(cmd, &dir)
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := backup(cmd, dir, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), struct {
				File string
				*held
			}{args[0], heldBy(c)})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: epoch %d, %s, %s, %s\n", cli.Text(args[0]), c.Epoch,
			counted(c.Stacks, "stack"), counted(c.Users, "user"), counted(c.Log.Size, "audit row"))
		return err
	}
	return cmd
}

func dataDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "data-dir", defaultDataDir, "data `DIR` of a server on this machine")
	cli.Settings(cmd, "data-dir")
	cli.Require(cmd, "data-dir")
}

func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func backup(cmd *cobra.Command, dir, file string) (c store.Contents, err error) {
	if file == "" {
		return c, cli.Usage("", "FILE is empty")
	}
	unlock, err := lockDatabase(dir)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	progress := cli.NewProgress(cmd.ErrOrStderr())
	progress.Step("copying %s", filepath.Join(dir, databaseFile))
	defer progress.Done()
	c, err = store.Backup{Database: filepath.Join(dir, databaseFile)}.To(cmd.Context(), file)
	switch {
	case errors.Is(err, fs.ErrExist):
		err = cli.Hint(err, "a backup replaces nothing; give another name")
	case errors.Is(err, store.ErrNewerSchema):
		err = cli.Hint(err, "use the version of latchkey that the server is")
	case errors.Is(err, store.ErrCorrupt):
		err = cli.Hint(err, "keep the backups there are; latchkey restore puts one in its place")
	case errors.Is(err, fs.ErrPermission):
		err = cli.Hint(err, "run this as the user who runs the server, with a FILE where that user can write")
	}
	return c, err
}

// lockDatabase keeps backups and restores out of each other's way until unlock: a
// server has its lock on the directory itself, and may run during a backup.
func lockDatabase(dir string) (unlock func() error, err error) {
	unlock, err = lockDir(filepath.Join(dir, "keys"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Usage("give the --data-dir of a server on this machine", "%s is not the data directory of a server", dir)
	case errors.Is(err, errLocked):
		return nil, cli.Hint(fmt.Errorf("a backup or a restore of %s is running", dir), "try again when it has ended")
	case errors.Is(err, fs.ErrPermission):
		return nil, cli.Hint(err, "run this as the user who runs the server")
	}
	return unlock, err
}
