package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/authz"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// userUnused lists the users who did not log in for so long.
func userUnused(cmd *cobra.Command, c *client, given string, asJSON bool) error {
	since, err := parseAgo(given, time.Now())
	if err != nil {
		return err
	}
	var resp controlplane.ListLastUsesResponse
	if err := c.call(cmd.Context(), "ListLastUses", controlplane.ListLastUsesRequest{UnusedSince: since}, &resp); err != nil {
		return err
	}
	if asJSON {
		return cli.JSON(cmd.OutOrStdout(), resp)
	}
	var rows [][]string
	for _, u := range resp.Users {
		rows = append(rows, []string{u.SshUsername, never(u.LastLoginAt), u.IamUserArn})
	}
	return cli.Table(cmd.OutOrStdout(), []string{"LOGIN", "LAST LOGIN", "ARN"}, rows)
}

// parseAgo turns 90d, 36h or an instant into the API's form.
func parseAgo(given string, now time.Time) (string, error) {
	d, err := time.ParseDuration(given)
	if days, isDays := strings.CutSuffix(given, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
		if n > 36500 {
			d = 0
		}
	}
	if err == nil && d > 0 {
		return now.Add(-d).UTC().Format(time.RFC3339), nil
	}
	if t, err := time.Parse(time.RFC3339, given); err == nil {
		return t.UTC().Format(time.RFC3339), nil
	}
	return "", cli.Usage("it looks like 90d, 36h or 2026-08-01T22:53:42Z", "--unused-since: %q is no time that was", given)
}

func never(at string) string {
	if at == "" {
		return "never"
	}
	return at
}

// useRows shows a user's keys and when they were last used, and the last login.
func useRows(u controlplane.DescribeUserResponse) (rows [][]string) {
	for _, k := range u.SshKeys {
		kind, used := k.Type, "never used"
		if k.LastUsedAt != "" {
			used = "last used " + k.LastUsedAt + " on " + where(k)
		}
		if kind == "" {
			kind = "not the user's"
		}
		if k.Fingerprint == "" {
			kind, k.Fingerprint = "no known key", "-"
		}
		rows = append(rows, []string{"ssh key", k.Fingerprint, kind + ", " + used})
	}
	return append(rows, []string{"last login", never(u.LastLoginAt), ""})
}

func where(k controlplane.SshKeyUse) string {
	text := first(k.Hostname, first(k.InstanceId, "an instance that is gone"))
	if !k.Proved {
		text += ", as a log file says"
	}
	return text
}

func instanceShow(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME|ID",
		Short: "Show an instance and the access to it that latchkey does not manage",
		Long: `Show an instance and what lets people into it beside its stack, as it last
reported: SSH keys in homes and in system folders, sudo rules, members of privileged
groups, accounts with uid 0 or a password. With the stack setting "unmanaged allow"
keys in the homes of managed accounts are not told.`,
		Example: "  latchkey instance show web-1",
		Args:    cli.Args("NAME|ID"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		found, err := c.instance(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		shown := struct {
			Instance  controlplane.Instance
			Unmanaged controlplane.DescribeUnmanagedAccessResponse
		}{Instance: found}
		req := controlplane.DescribeUnmanagedAccessRequest{InstanceId: shown.Instance.InstanceId}
		if err := c.call(cmd.Context(), "DescribeUnmanagedAccess", req, &shown.Unmanaged); err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), shown)
		}
		return printInstance(cmd, shown.Instance, shown.Unmanaged)
	})
	return cmd
}

// instanceID finds an instance by its host name among those that the caller may see. An
// id it takes as it is.
func (c *client) instanceID(ctx context.Context, given string) (string, error) {
	if id, err := authz.ParseInstanceID(given); err == nil {
		return id.String(), nil
	}
	i, err := c.instance(ctx, given)
	return i.InstanceId, err
}

// instance finds an instance by its id or its host name among those that the caller may
// see.
func (c *client) instance(ctx context.Context, given string) (controlplane.Instance, error) {
	var resp controlplane.DescribeInstancesResponse
	if err := c.call(ctx, "DescribeInstances", controlplane.DescribeInstancesRequest{}, &resp); err != nil {
		return controlplane.Instance{}, err
	}
	var found []controlplane.Instance
	for _, i := range resp.Instances {
		if i.InstanceId == given {
			return i, nil
		}
		if i.Hostname == given {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return controlplane.Instance{}, cli.Usage("latchkey instance list shows those you may see", "no instance has the name or the id %q", given)
	}
	return controlplane.Instance{}, cli.Usage("give the id; latchkey instance list shows it", "%d instances have the name %q", len(found), given)
}

func printInstance(cmd *cobra.Command, i controlplane.Instance, u controlplane.DescribeUnmanagedAccessResponse) error {
	rows := [][]string{
		{"hostname", i.Hostname}, {"id", i.InstanceId}, {"stack", i.StackId}, {"status", i.Status}, {"os", i.Os}, {"agent", i.ReportedAgentVersion},
		{"joined", i.CreatedAt}, {"access beside the stack", "as of " + first(u.TakenAt, "never: nothing was reported yet")},
	}
	if u.More > 0 {
		rows = append(rows, []string{"not listed", strconv.FormatInt(u.More, 10) + " more: latchkey-agent inventory on the machine"})
	}
	if err := cli.Table(cmd.OutOrStdout(), []string{"WHAT", "VALUE"}, rows); err != nil || len(u.Access) == 0 {
		return err
	}
	rows = nil
	for _, a := range u.Access {
		rows = append(rows, []string{a.Kind, a.Account, a.What, a.Place})
	}
	cmd.Println()
	return cli.Table(cmd.OutOrStdout(), []string{"KIND", "ACCOUNT", "WHAT", "FILE"}, rows)
}
