package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func stackRename(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "rename NAME|ID NEW",
		Short:   "Give a stack another name",
		Example: "  latchkey stack rename web www",
		Args:    cli.Args("NAME|ID", "NEW"),
	}, (*client).stackID, func(id string, args []string) asked {
		return asked{"UpdateStack", controlplane.UpdateStackRequest{StackId: id, Name: &args[0]}}
	})
}

func stackClone(conn *connection) *cobra.Command {
	var permissions bool
	cmd := &cobra.Command{
		Use:     "clone NAME|ID NEW",
		Short:   "Make a stack like another and print its id",
		Example: "  latchkey stack clone web web-test --permissions",
		Args:    cli.Args("NAME|ID", "NEW"),
	}
	cmd.Flags().BoolVar(&permissions, "permissions", false, "everybody has on it what they have on the other")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		id, err := c.stackID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var resp controlplane.CloneStackResponse
		req := controlplane.CloneStackRequest{SourceStackId: id, Name: &args[1], ClonePermissions: &permissions}
		if err := c.call(cmd.Context(), "CloneStack", req, &resp); err != nil {
			return err
		}
		return showOne(cmd, *asJSON, resp, resp.StackId)
	})
	return cmd
}

func stackSummary(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "summary NAME|ID",
		Short:   "Count a stack's instances by status",
		Example: "  latchkey stack summary web",
		Args:    cli.Args("NAME|ID"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		id, err := c.stackID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var resp controlplane.DescribeStackSummaryResponse
		if err := c.call(cmd.Context(), "DescribeStackSummary", controlplane.DescribeStackSummaryRequest{StackId: id}, &resp); err != nil {
			return err
		}
		n := resp.StackSummary.InstancesCount
		row := []string{resp.StackSummary.Name, fmt.Sprint(n.Registered), fmt.Sprint(n.Online), fmt.Sprint(n.ConnectionLost)}
		return show(cmd, *asJSON, resp, []string{"STACK", "REGISTERED", "ONLINE", "LOST"}, [][]string{row})
	})
	return cmd
}
