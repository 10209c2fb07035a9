package main

import (
	"slices"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newInstance() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "instance",
		Short: "Instances: machines that run the agent",
		Long: `Instances: machines that run the agent. A machine says itself what its host name is:
what changes an instance therefore takes its id, which latchkey instance list shows.`,
		Example: "  latchkey instance list --stack web\n  latchkey instance show web-1",
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, instanceList(conn), instanceShow(conn), instanceRename(conn), instanceCommands(conn), instanceErrors(conn),
		instanceDeregister(conn))
}

func instanceList(conn *connection) *cobra.Command {
	var stack string
	var lost bool
	cmd := &cobra.Command{
		Use:   "list [--stack STACK] [--lost]",
		Short: "List the instances of a stack, or all that you may see",
		Long: `List the instances of a stack, or all that you may see. With --lost only those are
listed that have not been heard of for three minutes, and the exit status is 1 if there
are any: for whatever watches your machines. The server's log tells them too.`,
		Example: "  latchkey instance list --stack web",
		Args:    cli.Args(),
	}
	cmd.Flags().StringVar(&stack, "stack", "", "the `STACK`: a name or an id")
	cmd.Flags().BoolVar(&lost, "lost", false, "only those that have fallen silent; exit status 1 if there are any")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, _ []string) error {
		names, err := c.stackNames(cmd.Context())
		if err != nil {
			return err
		}
		_, id, err := c.named(cmd.Context(), "", stack)
		if err != nil {
			return err
		}
		var resp controlplane.DescribeInstancesResponse
		if err := c.call(cmd.Context(), "DescribeInstances", controlplane.DescribeInstancesRequest{StackId: id}, &resp); err != nil {
			return err
		}
		if lost {
			resp.Instances = slices.DeleteFunc(resp.Instances, func(i controlplane.Instance) bool { return i.Status != statusLost })
		}
		err = show(cmd, *asJSON, resp, []string{"HOSTNAME", "STACK", "STATUS", "OS", "AGENT", "ID"}, instanceRows(resp.Instances, names))
		if err == nil && lost && len(resp.Instances) > 0 {
			return cli.Exit(exitLost)
		}
		return err
	})
	return cmd
}

// statusLost is the API's word for an instance that has fallen silent, exitLost the
// status that says that there is one.
const (
	statusLost = "connection_lost"
	exitLost   = 1
)

func instanceRows(all []controlplane.Instance, stacks map[string]string) (rows [][]string) {
	for _, i := range all {
		rows = append(rows, []string{i.Hostname, first(stacks[i.StackId], i.StackId), i.Status, i.Os, i.ReportedAgentVersion, i.InstanceId})
	}
	return rows
}

func instanceDeregister(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:   "deregister ID",
		Short: "Forget an instance; the machine keeps its last state",
		Long: `Forget an instance. It gets nothing more from this server, and keeps the state it
has: to give the machine back, run "latchkey-agent revert" on it first.`,
		Example: "  latchkey instance deregister 5b2f6a2e-0f6b-4d0c-9d53-3c1b0c2f7f10",
		Args:    cli.Args("ID"),
	}, theInstance, func(id string, _ []string) asked {
		return asked{"DeregisterInstance", controlplane.DeregisterInstanceRequest{InstanceId: id}}
	})
}
