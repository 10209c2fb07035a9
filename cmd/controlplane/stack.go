package main

import (
	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newStack() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "stack",
		Short:   "Stacks: sets of instances that share permissions",
		Example: "  latchkey stack create web",
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, stackCreate(conn), stackList(conn), stackSummary(conn), stackRename(conn), stackClone(conn),
		stackTag(conn), stackUntag(conn), stackTags(conn), stackSettings(conn), stackDelete(conn))
}

func stackCreate(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a stack and print its id",
		Example: "  latchkey stack create web",
		Args:    cli.Args("NAME"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		var resp controlplane.CreateStackResponse
		// The original wanted two roles; they mean nothing here and are not invented.
		req := controlplane.CreateStackRequest{Name: args[0], Region: c.region}
		if err := c.call(cmd.Context(), "CreateStack", req, &resp); err != nil {
			return err
		}
		return showOne(cmd, *asJSON, resp, resp.StackId)
	})
	return cmd
}

func stackList(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the stacks that you may see",
		Example: "  latchkey stack list --json",
		Args:    cli.Args(),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, _ []string) error {
		stacks, err := c.stacks(cmd.Context())
		if err != nil {
			return err
		}
		var rows [][]string
		for _, s := range stacks {
			rows = append(rows, []string{s.Name, s.StackId, s.CreatedAt})
		}
		return show(cmd, *asJSON, controlplane.DescribeStacksResponse{Stacks: stacks}, []string{"NAME", "ID", "CREATED"}, rows)
	})
	return cmd
}

func stackDelete(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "delete NAME|ID",
		Short:   "Delete a stack that holds no instances",
		Example: "  latchkey stack delete web",
		Args:    cli.Args("NAME|ID"),
	}, (*client).stackID, func(id string, _ []string) asked {
		return asked{"DeleteStack", controlplane.DeleteStackRequest{StackId: id}}
	})
}
