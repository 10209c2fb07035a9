package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func userKey(conn *connection) *cobra.Command {
	return cli.Group(&cobra.Command{
		Use:   "key",
		Short: "Access keys, with which a user calls the API; SSH keys are in his profile",
		Long: `Access keys, with which a user calls the API: two at most, so that one can replace
the other. Without USER they are your own.`,
		Example: `  latchkey user key create alice --out alice-credentials
  latchkey user key deactivate LKIAEXAMPLE234567ABC alice`,
	}, keyCreate(conn), keyList(conn), keyStatus(conn, "activate", "Active", "Make an access key work again"),
		keyStatus(conn, "deactivate", "Inactive", "Make an access key prove nothing, until it is activated"), keyDelete(conn))
}

func keyCreate(conn *connection) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "create [USER]",
		Short: "Make an access key and print it, in the AWS shared-credentials format",
		Long: `Make an access key and print it, in the AWS shared-credentials format: for
--credentials FILE, or for AWS_SHARED_CREDENTIALS_FILE. The secret is shown this once.`,
		Example: `  latchkey user key create alice --out alice-credentials
  latchkey user key create --json`,
		Args: cli.Args("[USER]"),
	}
	cmd.Flags().StringVar(&out, "out", "", "write the key to this new `FILE`, which only you can read, and print its id")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		arn, err := c.userOrSelf(args)
		if err != nil {
			return err
		}
		var k controlplane.CreateAccessKeyResponse
		create := func(w io.Writer) error {
			if err := c.call(cmd.Context(), "CreateAccessKey", controlplane.CreateAccessKeyRequest{IamUserArn: arn}, &k); err != nil {
				return err
			}
			if *asJSON {
				return cli.JSON(w, k)
			}
			_, err := fmt.Fprintf(w, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", cli.Text(k.AccessKeyId), cli.Text(k.SecretAccessKey))
			return err
		}
		if out != "" {
			if err := toNewFile(out, create); err != nil {
				return keyLost(k, err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), cli.Text(k.AccessKeyId))
			return err
		}
		if err := create(cmd.OutOrStdout()); err != nil {
			return keyLost(k, err)
		}
		_, err = fmt.Fprintln(cmd.ErrOrStderr(), "the secret is shown this once")
		return err
	})
	return cmd
}

// keyLost says what to do about a key that was made and could not be shown.
func keyLost(k controlplane.CreateAccessKeyResponse, err error) error {
	if err == nil || k.AccessKeyId == "" {
		return err
	}
	return cli.Hint(err, "the secret is lost: latchkey user key delete "+k.AccessKeyId+" "+k.IamUserArn)
}

// toNewFile makes a file that must not be there yet, for its owner alone, before write
// makes what goes into it, so that this has a place. It leaves none that is not whole.
func toNewFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return cli.Usage("name a file that is not there", "--out: %s is there already", path)
	}
	if err != nil {
		return cli.Usage("", "--out: %v", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	return f.Sync()
}

func keyList(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list [USER]",
		Short:   "List a user's access keys, by default your own",
		Example: "  latchkey user key list alice",
		Args:    cli.Args("[USER]"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		arn, err := c.userOrSelf(args)
		if err != nil {
			return err
		}
		var resp controlplane.ListAccessKeysResponse
		if err := c.call(cmd.Context(), "ListAccessKeys", controlplane.ListAccessKeysRequest{IamUserArn: arn}, &resp); err != nil {
			return err
		}
		var rows [][]string
		for _, k := range resp.AccessKeys {
			rows = append(rows, []string{k.AccessKeyId, k.Status, k.CreatedAt})
		}
		return show(cmd, *asJSON, resp, []string{"ID", "STATUS", "CREATED"}, rows)
	})
	return cmd
}

func keyStatus(conn *connection, verb, status, short string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " KEY [USER]",
		Short:   short,
		Example: "  latchkey user key " + verb + " LKIAEXAMPLE234567ABC alice",
		Args:    cli.Args("KEY", "[USER]"),
		RunE: conn.with(func(c *client, cmd *cobra.Command, args []string) error {
			arn, err := c.userOrSelf(args[1:])
			if err != nil {
				return err
			}
			req := controlplane.UpdateAccessKeyRequest{IamUserArn: arn, AccessKeyId: args[0], Status: status}
			return c.call(cmd.Context(), "UpdateAccessKey", req, nil)
		}),
	}
}

func keyDelete(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:     "delete KEY [USER]",
		Short:   "End an access key for good",
		Example: "  latchkey user key delete LKIAEXAMPLE234567ABC alice",
		Args:    cli.Args("KEY", "[USER]"),
		RunE: conn.with(func(c *client, cmd *cobra.Command, args []string) error {
			arn, err := c.userOrSelf(args[1:])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), "DeleteAccessKey", controlplane.DeleteAccessKeyRequest{IamUserArn: arn, AccessKeyId: args[0]}, nil)
		}),
	}
}
