package main

import (
	"context"

	"github.com/spf13/cobra"

	"latchkey/authz"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// theInstance checks the id of an instance that is to be changed. A machine says itself
// what its host name is, so by that nothing is changed.
func theInstance(_ *client, _ context.Context, given string) (string, error) {
	id, err := authz.ParseInstanceID(given)
	if err != nil {
		return "", cli.Usage("latchkey instance list shows the ids", "%q is not the id of an instance", given)
	}
	return id.String(), nil
}

func instanceRename(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:   "rename ID NEW",
		Short: "Show an instance with another host name",
		Long: `Show an instance with another host name. The machine keeps its own. The empty name
shows the machine's own again.`,
		Example: "  latchkey instance rename 5b2f6a2e-0f6b-4d0c-9d53-3c1b0c2f7f10 web-1",
		Args:    cli.Args("ID", "NEW"),
	}, theInstance, func(id string, args []string) asked {
		return asked{"UpdateInstance", controlplane.UpdateInstanceRequest{InstanceId: id, Hostname: &args[0]}}
	})
}

func instanceCommands(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "commands NAME|ID",
		Short:   "List what an instance did and has to do, newest first",
		Example: "  latchkey instance commands web-1",
		Args:    cli.Args("NAME|ID"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		id, err := c.instanceID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var resp controlplane.DescribeCommandsResponse
		if err := c.call(cmd.Context(), "DescribeCommands", controlplane.DescribeCommandsRequest{InstanceId: id}, &resp); err != nil {
			return err
		}
		var rows [][]string
		for _, k := range resp.Commands {
			rows = append(rows, []string{k.Type, k.Status, k.CreatedAt, k.CompletedAt, k.CommandId})
		}
		return show(cmd, *asJSON, resp, []string{"TYPE", "STATUS", "CREATED", "COMPLETED", "ID"}, rows)
	})
	return cmd
}

func instanceErrors(conn *connection) *cobra.Command {
	var stack string
	cmd := &cobra.Command{
		Use:   "errors [NAME|ID]",
		Short: "List what instances reported to have gone wrong, newest first",
		Example: `  latchkey instance errors --stack web
  latchkey instance errors web-1`,
		Args: cli.Args("[NAME|ID]"),
	}
	cmd.Flags().StringVar(&stack, "stack", "", "only those of the instances of the `STACK`: a name or an id")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if len(args) == 1 && stack != "" {
			return cli.Usage("give one of them", "an instance and --stack are both given")
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		var req controlplane.DescribeServiceErrorsRequest
		if len(args) == 1 {
			if req.InstanceId, err = c.instanceID(cmd.Context(), args[0]); err != nil {
				return err
			}
		}
		if _, req.StackId, err = c.named(cmd.Context(), "", stack); err != nil {
			return err
		}
		var resp controlplane.DescribeServiceErrorsResponse
		if err := c.call(cmd.Context(), "DescribeServiceErrors", req, &resp); err != nil {
			return err
		}
		var rows [][]string
		for _, e := range resp.ServiceErrors {
			rows = append(rows, []string{e.CreatedAt, e.Type, e.Message, e.InstanceId})
		}
		return show(cmd, *asJSON, resp, []string{"WHEN", "TYPE", "WHAT", "INSTANCE"}, rows)
	}
	return cmd
}
