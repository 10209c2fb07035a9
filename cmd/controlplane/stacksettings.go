package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func stackSettings(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "settings NAME|ID [flags]",
		Short: "Show what a stack wants of its instances, or change it",
		Long: `settings shows what instances of a stack are told, after changing what is given.

--keys-mode says how sshd gets the keys: command (the default: it asks the login hook),
directory (it reads a root-owned folder itself) or home (it reads ~/.ssh/authorized_keys,
with a marked block of ours beside the user's own lines). Without the hook sshd before
9.1 lets nobody in whose permission has an end; the instance reports who that is.

--on-revoke says what becomes of an account whose user may not enter any more: lock (the
default) or remove. --homes says what becomes of the home of an account that is removed:
keep (the default), archive (one file that root alone reads) or delete. Removed is only
who is off the stack; whose time is over is closed. It concerns those closed before too,
and never an account that was adopted.

--unmanaged says what becomes of keys that somebody put into the home of a managed
account: report (the default), allow (nothing is told), adopt (they become keys of that
account on that instance) or quarantine (they are taken out and kept for root).

--stale says what becomes of access on an instance that has not heard from the control
plane for so long: keep (the default), drop-sudo:HOURSh or drop-all:HOURSh. All comes
back with the next answer. Accounts that are not managed are never touched.`,
		Example: `  latchkey stack settings web
  latchkey stack settings web --stale drop-sudo:168h
  latchkey stack settings web --on-revoke remove --homes archive`,
		Args: cli.Args("NAME|ID"),
	}
	var req controlplane.UpdateStackSettingsRequest
	choose := func(flag string, to **string, what string) { *to = cmd.Flags().String(flag, "", what) }
	choose("keys-mode", &req.KeysMode, "`HOW` sshd gets keys: command, directory or home")
	choose("on-revoke", &req.OnRevoke, "`WHAT` becomes of accounts: lock or remove")
	choose("homes", &req.Homes, "`WHAT` becomes of homes of removed accounts: keep, archive or delete")
	choose("unmanaged", &req.Unmanaged, "`WHAT` becomes of keys of others in managed homes: report, allow, adopt or quarantine")
	choose("stale", &req.Stale, "`WHAT` goes without an answer from the control plane: keep, drop-sudo:HOURSh or drop-all:HOURSh")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		id, err := c.stackID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		req.StackId = id
		if given := onlyGiven(cmd, req); given != (controlplane.UpdateStackSettingsRequest{StackId: req.StackId}) {
			if err := c.call(cmd.Context(), "UpdateStackSettings", given, nil); err != nil {
				return err
			}
		}
		var resp controlplane.DescribeStackSettingsResponse
		if err := c.call(cmd.Context(), "DescribeStackSettings", controlplane.DescribeStackSettingsRequest{StackId: req.StackId}, &resp); err != nil {
			return err
		}
		s := resp.Settings
		return show(cmd, *asJSON, resp, []string{"SETTING", "VALUE"}, [][]string{
			{"keys mode", s.KeysMode}, {"on revoke", s.OnRevoke}, {"homes", s.Homes}, {"unmanaged", s.Unmanaged},
			{"stale", s.Stale}, {"min rsa bits", strconv.FormatInt(s.MinRsaBits, 10)},
		})
	})
	return cmd
}

// onlyGiven leaves of a request what flags were given for.
func onlyGiven(cmd *cobra.Command, req controlplane.UpdateStackSettingsRequest) controlplane.UpdateStackSettingsRequest {
	for flag, to := range map[string]**string{
		"keys-mode": &req.KeysMode, "on-revoke": &req.OnRevoke, "homes": &req.Homes, "unmanaged": &req.Unmanaged, "stale": &req.Stale,
	} {
		if !cmd.Flags().Changed(flag) {
			*to = nil
		}
	}
	return req
}
