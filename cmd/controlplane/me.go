package main

import (
	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func userMe(conn *connection) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "me",
		Short: "Show your own profile, or change your own key",
		Long: `Show your own profile, or with --key-file change your own SSH key. Your profile must
allow self-management, or a policy the action.`,
		Example: `  latchkey user me --json
  latchkey user me --key-file ~/.ssh/id_ed25519.pub`,
		Args: cli.Args(),
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "`FILE` with the new SSH public key; - reads standard input")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		changing := cmd.Flags().Changed("key-file")
		var key string
		var err error
		if changing {
			if key, err = readPublicKey(cmd.InOrStdin(), keyFile); err != nil {
				return err
			}
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		if changing {
			return c.call(cmd.Context(), "UpdateMyUserProfile", controlplane.UpdateMyUserProfileRequest{SshPublicKey: &key}, nil)
		}
		var resp controlplane.DescribeMyUserProfileResponse
		if err := c.call(cmd.Context(), "DescribeMyUserProfile", controlplane.DescribeMyUserProfileRequest{}, &resp); err != nil {
			return err
		}
		u := resp.UserProfile
		row := []string{u.Name, u.SshUsername, keyCount(u.SshPublicKey), u.IamUserArn}
		return show(cmd, *asJSON, resp, []string{"NAME", "LOGIN", "KEYS", "ARN"}, [][]string{row})
	}
	return cmd
}
