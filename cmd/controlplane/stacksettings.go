package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func stackSettings(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "settings NAME|ID [--stale WHAT]",
		Short: "Show what a stack wants of its instances, or change it",
		Long: `settings shows what instances of a stack are told, after changing what is given.

--stale says what becomes of access on an instance that has not heard from the control
plane for so long: keep (the default), drop-sudo:HOURSh or drop-all:HOURSh. All comes
back with the next answer. Accounts that are not managed are never touched.`,
		Example: `  latchkey stack settings web
  latchkey stack settings web --stale drop-sudo:168h`,
		Args: cli.Args("NAME|ID"),
	}
	stale := cmd.Flags().String("stale", "", "`WHAT` goes without an answer from the control plane")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := conn.dial()
		if err != nil {
			return err
		}
		id, err := c.stackID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("stale") {
			req := controlplane.UpdateStackSettingsRequest{StackId: id, Stale: stale}
			if err := c.call(cmd.Context(), "UpdateStackSettings", req, nil); err != nil {
				return err
			}
		}
		var resp controlplane.DescribeStackSettingsResponse
		if err := c.call(cmd.Context(), "DescribeStackSettings", controlplane.DescribeStackSettingsRequest{StackId: id}, &resp); err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), resp)
		}
		s := resp.Settings
		return cli.Table(cmd.OutOrStdout(), []string{"SETTING", "VALUE"}, [][]string{
			{"keys mode", s.KeysMode}, {"on revoke", s.OnRevoke}, {"homes", s.Homes}, {"stale", s.Stale},
			{"min rsa bits", strconv.FormatInt(s.MinRsaBits, 10)},
		})
	}
	return cmd
}
