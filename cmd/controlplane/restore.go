package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane/store"
)

// maxNames bounds how many things of a kind are named on the screen.
const maxNames = 20

// restoreOptions is what restore is told.
type restoreOptions struct {
	dir, file           string
	newEpoch, yes, json bool
}

func newRestore() *cobra.Command {
	var opt restoreOptions
	cmd := &cobra.Command{
		Use:   "restore --new-epoch FILE",
		Short: "Put a backup in the place of a data directory's database",
		Long: `Put a backup in the place of a data directory's database. The server must be
stopped. FILE is checked first; then it is shown what would come back that is not
there any more, such as users who were revoked since, and what would be gone, and
a yes is asked for. The present database is kept beside the new one.

Instances refuse a bundle that is older than one they have seen, and the backup's
serials are. --new-epoch therefore starts an epoch above all before: instances then
take the restored state as the newest, and no bundle from before. Instances that
joined after the backup was made have to join again. Unused join tokens are void.

On a new machine, first put keys/ and tls/ of the old data directory into a private
directory of the user who will run the server.`,
		Example: `  latchkey restore --new-epoch --data-dir /var/lib/latchkey-server /srv/backup/latchkey-monday.db`,
		Args:    cli.Args("FILE"),
	}
	dataDirFlag(cmd, &opt.dir)
	cmd.Flags().BoolVar(&opt.newEpoch, "new-epoch", false, "start an epoch above all before, so that instances accept what is restored")
	cmd.Flags().BoolVar(&opt.yes, "yes", false, "do it without asking")
	cmd.Flags().BoolVar(&opt.json, "json", false, "print JSON at the end instead of tables; needs --yes")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		opt.file = args[0]
		if err := opt.validate(cli.IsTerminal(cmd.InOrStdin())); err != nil {
			return err
		}
		return restore(cmd, opt)
	}
	return cmd
}

func (o restoreOptions) validate(terminal bool) error {
	switch {
	case o.file == "":
		return cli.Usage("", "FILE is empty")
	case !o.newEpoch:
		return cli.Usage("give --new-epoch to start an epoch above all before",
			"restore needs --new-epoch: the backup's serials are older than those that instances have seen, and they refuse older ones")
	case o.json && !o.yes:
		return cli.Usage("", "--json needs --yes")
	case !o.yes && !terminal:
		return cli.Usage("give --yes to do it unasked", "latchkey restore needs --yes when it is not on a terminal")
	}
	return nil
}

func restore(cmd *cobra.Command, opt restoreOptions) (err error) {
	unlock, err := lockForRestore(opt.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	progress := cli.NewProgress(cmd.ErrOrStderr())
	defer progress.Done()
	progress.Step("checking %s", opt.file)
	r := store.Restore{Database: filepath.Join(opt.dir, databaseFile)}
	prepared, err := r.Prepare(cmd.Context(), opt.file)
	if err != nil {
		return prepareHint(err)
	}
	defer func() { err = errors.Join(err, prepared.Close()) }()
	progress.Done()
	if !opt.json {
		if err := printChanges(cmd.OutOrStdout(), prepared); err != nil {
			return err
		}
	}
	if !opt.yes {
		if err := ask(cmd, "Put this backup in the place of the database?"); err != nil {
			return err
		}
	}
	progress.Step("restoring")
	done, err := prepared.Commit(cmd.Context(), store.Entry{At: time.Now(), Actor: "system", Action: "latchkey:RestoreBackup"})
	if errors.Is(err, store.ErrInUse) {
		err = cli.Hint(err, "end the program that has it open")
	}
	if err != nil {
		return err
	}
	progress.Done()
	return printRestored(cmd.OutOrStdout(), opt, prepared, done)
}

// lockForRestore keeps servers, backups and other restores out. It refuses a
// directory that a server could not use afterwards.
func lockForRestore(dir string) (unlock func() error, err error) {
	server, err := lockDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, notReady(dir)
	case errors.Is(err, errLocked):
		return nil, cli.Hint(fmt.Errorf("a server is using %s", dir), "stop it first")
	case errors.Is(err, fs.ErrPermission):
		return nil, cli.Hint(err, "run this as the user who runs the server")
	case err != nil:
		return nil, err
	}
	backups, err := lockUsable(dir)
	if err != nil {
		return nil, errors.Join(err, server())
	}
	return func() error { return errors.Join(backups(), server()) }, nil
}

func lockUsable(dir string) (unlock func() error, err error) {
	for _, part := range []string{"keys/signing.key", "keys/secrets.key", "tls/ca.key", "tls/ca.pem"} {
		_, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(part)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, notReady(dir)
		}
		if err != nil {
			return nil, err
		}
	}
	owner, err := otherOwner(dir)
	if err != nil {
		return nil, err
	}
	if owner != "" {
		return nil, cli.Hint(fmt.Errorf("%s belongs to the user %s", dir, owner), "run this as that user, with a FILE that the user can read")
	}
	return lockDatabase(dir)
}

func notReady(dir string) error {
	return cli.Usage("on a new machine, put keys/ and tls/ of the old data directory there first",
		"%s is not a data directory with keys/ and tls/ in it", dir)
}

func prepareHint(err error) error {
	switch {
	case errors.Is(err, store.ErrOther):
		return cli.Hint(err, "give it a data directory of its own, with the keys/ and tls/ that belong to it")
	case errors.Is(err, store.ErrNewerSchema):
		return cli.Hint(err, "use the version of latchkey that made the backup, or a newer one")
	case errors.Is(err, store.ErrCorrupt):
		return cli.Hint(err, "take another backup")
	case errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrInUse):
		return cli.Hint(err, "give a file that latchkey backup made")
	}
	return err
}

// ask wants a yes from the terminal.
func ask(cmd *cobra.Command, question string) error {
	cmd.PrintErrf("%s Type yes: ", question)
	answer := make(chan string, 1)
	go func() { // ends with the answer or with the process: a terminal cannot be told to stop
		var word string
		fmt.Fscanln(cmd.InOrStdin(), &word) // no word is not a yes either
		answer <- word
	}()
	select {
	case <-cmd.Context().Done():
		return context.Cause(cmd.Context())
	case word := <-answer:
		if word != "yes" {
			return errors.New("nothing was changed")
		}
		return nil
	}
}

// printChanges shows what the backup would bring back and take away.
func printChanges(w io.Writer, p *store.Restoration) error {
	rows := [][]string{
		{"epoch", strconv.FormatInt(p.Backup.Epoch, 10), "", "", ""},
		{"audit row", strconv.FormatInt(p.Backup.Log.Size, 10), "", "", ""},
	}
	switch {
	case p.Present != nil:
		rows[0][2], rows[1][2] = strconv.FormatInt(p.Present.Epoch, 10), strconv.FormatInt(p.Present.Log.Size, 10)
		for _, t := range p.Changes {
			rows = append(rows, []string{string(t.Kind), strconv.Itoa(t.Backup), strconv.Itoa(t.Present),
				strconv.Itoa(len(t.Returning)), strconv.Itoa(len(t.Lost))})
		}
	case p.Fault != nil:
		fmt.Fprintf(w, "the present database cannot be compared: %s\n", cli.Text(p.Fault.Error()))
		fallthrough
	default:
		rows = append(rows, []string{"stack", strconv.FormatInt(p.Backup.Stacks, 10), "", "", ""},
			[]string{"user", strconv.FormatInt(p.Backup.Users, 10), "", "", ""})
	}
	if err := cli.Table(w, []string{"KIND", "BACKUP", "PRESENT", "COMES BACK", "IS LOST"}, rows); err != nil {
		return err
	}
	printNames(w, "comes back:", p.Changes, func(t store.Tally) []string { return t.Returning })
	printNames(w, "is lost:", p.Changes, func(t store.Tally) []string { return t.Lost })
	return nil
}

func printNames(w io.Writer, title string, all []store.Tally, names func(store.Tally) []string) {
	for _, t := range all {
		found := names(t)
		if len(found) > 0 && title != "" {
			fmt.Fprintln(w, title)
			title = ""
		}
		for _, name := range found[:min(len(found), maxNames)] {
			fmt.Fprintf(w, "  %s %s\n", t.Kind, cli.Text(name))
		}
		if more := len(found) - maxNames; more > 0 {
			fmt.Fprintf(w, "  %s: and %d more\n", t.Kind, more)
		}
	}
}

func printRestored(w io.Writer, opt restoreOptions, p *store.Restoration, done store.Restored) error {
	if opt.json {
		out := struct {
			File    string
			Epoch   int64
			Kept    string // "": there was no database
			Backup  *held
			Present *held         // null: none, or none that can be compared
			Fault   string        `json:",omitempty"` // why it cannot
			Changes []store.Tally // null: not compared
		}{File: opt.file, Epoch: done.Epoch, Kept: done.Kept, Backup: heldBy(p.Backup), Changes: p.Changes}
		if p.Present != nil {
			out.Present = heldBy(*p.Present)
		}
		if p.Fault != nil {
			out.Fault = p.Fault.Error()
		}
		return cli.JSON(w, out)
	}
	fmt.Fprintf(w, "restored %s as epoch %d\n", cli.Text(opt.file), done.Epoch)
	if done.Kept != "" {
		fmt.Fprintf(w, "kept the database from before as %s\n", cli.Text(done.Kept))
	}
	return nil
}
