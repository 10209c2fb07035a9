package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newExport() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Export users for another control plane",
		Example: "  latchkey export users --out users.json",
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, exportUsers(conn))
}

func exportUsers(conn *connection) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Write all profiles as JSON, for latchkey import users",
		Long: `Write all profiles as JSON: ARN, login name, key, self-management. Permissions,
policies and access keys are not in it: what somebody may do is decided anew where
he is imported.`,
		Example: `  latchkey export users > users.json
  latchkey export users --out users.json`,
		Args: cli.Args(),
	}
	cmd.Flags().StringVar(&out, "out", "", "write to a new `FILE` instead of standard output")
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, _ []string) error {
		var resp controlplane.DescribeUserProfilesResponse
		if err := c.call(cmd.Context(), "DescribeUserProfiles", controlplane.DescribeUserProfilesRequest{}, &resp); err != nil {
			return err
		}
		file := usersFile{Format: usersFormat, UserProfiles: []controlplane.ImportedProfile{}}
		for _, u := range resp.UserProfiles {
			file.UserProfiles = append(file.UserProfiles, controlplane.ImportedProfile{
				IamUserArn: u.IamUserArn, SshUsername: u.SshUsername, SshPublicKey: u.SshPublicKey, AllowSelfManagement: u.AllowSelfManagement,
			})
		}
		if out == "" {
			return cli.JSON(cmd.OutOrStdout(), file)
		}
		if err := toNewFile(out, func(w io.Writer) error { return cli.JSON(w, file) }); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: %s\n", cli.Text(out), counted(int64(len(file.UserProfiles)), "user"))
		return err
	})
	return cmd
}
