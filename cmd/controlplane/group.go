package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newGroup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Groups: users who share policies",
		Example: `  latchkey group create web-team
  latchkey group add web-team alice bob`,
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, groupCreate(conn), groupDelete(conn), groupList(conn), groupShow(conn), groupAdd(conn), groupRemove(conn))
}

func groupCreate(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a group, without members and policies",
		Example: "  latchkey group create web-team",
		Args:    cli.Args("NAME"),
	}, theName, func(name string, _ []string) asked {
		return asked{"CreateGroup", controlplane.CreateGroupRequest{GroupName: name}}
	})
}

func groupDelete(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a group that has no members and no policies",
		Example: "  latchkey group delete web-team",
		Args:    cli.Args("NAME"),
	}, theName, func(name string, _ []string) asked {
		return asked{"DeleteGroup", controlplane.DeleteGroupRequest{GroupName: name}}
	})
}

func groupList(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list [NAME...]",
		Short:   "List groups: those named, or all",
		Example: "  latchkey group list --json",
		Args:    cli.Args("[NAME...]"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		var resp controlplane.DescribeGroupsResponse
		if err := c.call(cmd.Context(), "DescribeGroups", controlplane.DescribeGroupsRequest{GroupNames: args}, &resp); err != nil {
			return err
		}
		var rows [][]string
		for _, g := range resp.Groups {
			policies := len(g.InlinePolicies) + len(g.AttachedPolicies)
			rows = append(rows, []string{g.GroupName, strconv.Itoa(len(g.Members)), strconv.Itoa(policies), g.CreatedAt})
		}
		return show(cmd, *asJSON, resp, []string{"NAME", "MEMBERS", "POLICIES", "CREATED"}, rows)
	})
	return cmd
}

func groupShow(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a group's members and policies",
		Example: "  latchkey group show web-team",
		Args:    cli.Args("NAME"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		g, err := c.describeGroup(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var rows [][]string
		for _, m := range g.Members {
			rows = append(rows, []string{"member", m, ""})
		}
		return show(cmd, *asJSON, g, holdsHeader(), append(rows, policyRows(g.InlinePolicies, g.AttachedPolicies)...))
	})
	return cmd
}

func (c *client) describeGroup(ctx context.Context, name string) (controlplane.Group, error) {
	var resp controlplane.DescribeGroupsResponse
	if err := c.call(ctx, "DescribeGroups", controlplane.DescribeGroupsRequest{GroupNames: []string{name}}, &resp); err != nil {
		return controlplane.Group{}, err
	}
	return resp.Groups[0], nil
}

func groupAdd(conn *connection) *cobra.Command {
	return membership(conn, &cobra.Command{
		Use:     "add NAME USER...",
		Short:   "Put users into a group",
		Example: "  latchkey group add web-team alice bob",
	}, func(group, arn string) asked {
		return asked{"AddUserToGroup", controlplane.AddUserToGroupRequest{GroupName: group, IamUserArn: arn}}
	})
}

func groupRemove(conn *connection) *cobra.Command {
	return membership(conn, &cobra.Command{
		Use:     "remove NAME USER...",
		Short:   "Take users out of a group",
		Example: "  latchkey group remove web-team alice",
	}, func(group, arn string) asked {
		return asked{"RemoveUserFromGroup", controlplane.RemoveUserFromGroupRequest{GroupName: group, IamUserArn: arn}}
	})
}

// membership completes a command that asks the same for one user after the other, and
// stops at the first that is refused.
func membership(conn *connection, cmd *cobra.Command, ask func(group, arn string) asked) *cobra.Command {
	cmd.Args = cli.Args("NAME", "USER...")
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		arns, err := c.userARNs(args[1:])
		if err != nil {
			return err
		}
		for _, arn := range arns {
			a := ask(args[0], arn)
			if err := c.call(cmd.Context(), a.action, a.input, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}
