package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// maxImport bounds a file to import, in bytes: far above the largest account.
const maxImport = 256 << 20

func newImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import users: from IAM, or from another control plane",
		Long: `Import users. Without --yes the import is planned: what it would do is shown and
nothing is changed. Nobody is deleted, and what the file does not name is not
touched. Whoever is imported has iam_only on every stack.

A large file goes in parts, one after the other; an interruption leaves whole
parts, and the same command again does the rest.`,
		Example: `  latchkey import iam details.json
  latchkey import users users.json --yes`,
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, importIam(conn), importUsers(conn))
}

func importIam(conn *connection) *cobra.Command {
	return importCommand(conn, "ImportIam", cutIam, &cobra.Command{
		Use:   "iam FILE",
		Short: "Import users, groups and policies from IAM's own listing",
		Long: `Import users, groups, managed policies, permissions boundaries and tags from what
"aws iam get-account-authorization-details" prints; FILE is - for standard input.
Who is in the file gets exactly what it says: what he has besides is taken away.
A user, group or policy that is refused stays wholly as it is, and so does what
refers to it; the others are imported. Roles are passed over.`,
		Example: `  latchkey import iam details.json
  latchkey import iam details.json --yes`,
	})
}

func importUsers(conn *connection) *cobra.Command {
	return importCommand(conn, "ImportUsers", cutUsers, &cobra.Command{
		Use:   "users FILE",
		Short: "Import profiles from another control plane",
		Long: `Import profiles from what "latchkey export users" of another control plane wrote;
FILE is - for standard input. A user who is here and is different is replaced: the
login name, the key and self-management become the file's, and all permissions
end, but for a deny.

A profile may have a UnixUid, such as the one that OpsWorks gave: it is kept, if no
user here ever had it. Accounts that are on the machines already can then be taken
over there with latchkey-agent adopt.`,
		Example: `  latchkey import users users.json
  latchkey import users users.json --yes`,
	})
}

// importCommand completes a command that cuts a file into requests of an action.
func importCommand(conn *connection, action string, cut func([]byte, bool) ([]any, error), cmd *cobra.Command) *cobra.Command {
	cmd.Args = cli.Args("FILE")
	yes := cmd.Flags().Bool("yes", false, "import; without, only show what would be done")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := readImport(cmd.InOrStdin(), args[0])
		if err != nil {
			return err
		}
		parts, err := cut(text, *yes)
		if err != nil {
			return err
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		progress := cli.NewProgress(cmd.ErrOrStderr())
		defer progress.Done()
		send := importing{
			parts: parts, apply: *yes, step: progress.Step,
			send: func(ctx context.Context, part any) (out controlplane.ImportOutcome, err error) {
				err = c.call(ctx, action, part, &out)
				return out, err
			},
		}
		out, err := send.all(cmd.Context())
		progress.Done()
		if err != nil && len(out.Changes) == 0 {
			return err
		}
		return errors.Join(printImport(cmd.OutOrStdout(), out, *asJSON), err, refusedCount(out))
	}
	return cmd
}

// readImport reads a file, - for standard input, of one JSON document.
func readImport(stdin io.Reader, path string) ([]byte, error) {
	text, err := cli.Read(stdin, path, maxImport)
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	switch {
	case err != nil:
		return nil, cli.Usage("", "%v", err)
	case !utf8.Valid(text):
		return nil, cli.Usage("PowerShell's > writes UTF-16; its Out-File -Encoding utf8 does not", "%s is not text in UTF-8", path)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var first json.RawMessage
	if err := dec.Decode(&first); err != nil {
		return nil, cli.Usage("", "%s is not JSON: %v", path, err)
	}
	if dec.More() {
		return nil, cli.Usage("aws joins the pages of a listing by itself: run it without --no-paginate", "%s holds more than one JSON document", path)
	}
	return first, nil
}

// importing sends the parts of an import, each of which is whole or not at all.
type importing struct {
	parts []any
	apply bool
	step  func(format string, args ...any)
	send  func(context.Context, any) (controlplane.ImportOutcome, error)
}

// all sends one part after the other and adds up what came of them. What they have
// in common, since each brings what it refers to, counts once. The answers that
// came before an error are returned with it.
func (s importing) all(ctx context.Context) (controlplane.ImportOutcome, error) {
	out := controlplane.ImportOutcome{Applied: s.apply, Changes: []controlplane.ImportChange{}}
	seen := map[[2]string]bool{}
	for i, part := range s.parts {
		s.step("part %d of %d", i+1, len(s.parts))
		if ctx.Err() != nil {
			return out, s.stopped(i, errors.New("interrupted"))
		}
		answer, err := s.send(context.WithoutCancel(ctx), part) // it would be done all the same
		if err != nil {
			return out, s.stopped(i, err)
		}
		for _, ch := range answer.Changes {
			if id := [2]string{ch.Kind, ch.Name}; !seen[id] {
				seen[id] = true
				add(&out, ch)
			}
		}
	}
	return out, nil
}

func add(out *controlplane.ImportOutcome, ch controlplane.ImportChange) {
	out.Changes = append(out.Changes, ch)
	switch ch.Change {
	case "create":
		out.Created++
	case "update":
		out.Updated++
	case "unchanged":
		out.Unchanged++
	default:
		out.Refused++
	}
}

// stopped says how far an import came.
func (s importing) stopped(done int, err error) error {
	if len(s.parts) > 1 {
		err = fmt.Errorf("after part %d of %d: %w", done, len(s.parts), err)
	}
	if !s.apply || done == 0 {
		return err
	}
	return cli.Hint(err, "those parts are imported; the same command again does the rest")
}

// printImport shows what is done or would be: counts, then each change. What stays
// as it is is counted only.
func printImport(w io.Writer, out controlplane.ImportOutcome, asJSON bool) error {
	if asJSON {
		return cli.JSON(w, out)
	}
	words := [3]string{"plan", "to create", "to update"}
	if out.Applied {
		words = [3]string{"done", "created", "updated"}
	}
	if _, err := fmt.Fprintf(w, "%s: %d %s, %d %s, %d unchanged, %d refused\n",
		words[0], out.Created, words[1], out.Updated, words[2], out.Unchanged, out.Refused); err != nil {
		return err
	}
	var rows [][]string
	for _, ch := range out.Changes {
		details := ch.Details
		if ch.Reason != "" {
			details = append([]string{ch.Reason}, details...)
		}
		if ch.Change != "unchanged" {
			rows = append(rows, []string{ch.Change, ch.Kind, ch.Name, strings.Join(details, "; ")})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := cli.Table(w, []string{"CHANGE", "KIND", "NAME", "DETAILS"}, rows); err != nil || out.Applied {
		return err
	}
	_, err := fmt.Fprintln(w, "nothing is changed yet; with --yes it is")
	return err
}

func refusedCount(out controlplane.ImportOutcome) error {
	switch {
	case out.Refused == 0:
		return nil
	case out.Applied:
		return fmt.Errorf("%d of %d are refused; the others are imported", out.Refused, len(out.Changes))
	}
	return fmt.Errorf("%d of %d are refused; the others can be imported", out.Refused, len(out.Changes))
}
