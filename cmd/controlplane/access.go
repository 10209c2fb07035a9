package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain USER STACK",
		Short: "Explain why a user may, or may not, enter a stack's instances",
		Long: `Explain why a user may, or may not, enter a stack's instances: level, flags, keys,
account, and what each instance last reported. On the machine itself, latchkey-agent
explain says it from what is there.`,
		Example: "  latchkey explain alice web",
		Args:    cli.Args("USER", "STACK"),
	}
	conn := connectionFlags(cmd)
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		arn, err := c.userARN(args[0])
		if err != nil {
			return err
		}
		id, err := c.stackID(cmd.Context(), args[1])
		if err != nil {
			return err
		}
		var resp controlplane.ExplainAccessResponse
		if err := c.call(cmd.Context(), "ExplainAccess", controlplane.ExplainAccessRequest{IamUserArn: arn, StackId: id}, &resp); err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), resp)
		}
		return printExplanation(cmd, resp)
	})
	return cmd
}

// printExplanation prints the answer, and what bears on it below.
func printExplanation(cmd *cobra.Command, e controlplane.ExplainAccessResponse) error {
	text := cli.Text(e.IamUserArn) + " on " + cli.Text(e.StackName) + ": " + cli.Text(e.Text) + "\n"
	for _, line := range e.Lines {
		text += "  " + cli.Text(line) + "\n"
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

func newAccess() *cobra.Command {
	var stack, user string
	cmd := &cobra.Command{
		Use:   "access [--stack STACK] [--user USER]",
		Short: "List who may enter a stack's instances, or where a user may",
		Long: `List who may enter a stack's instances, or where a user may: by the permissions of the
stack. What else lets people in, latchkey instance show tells.`,
		Example: `  latchkey access --stack web
  latchkey access --user alice`,
		Args: cli.Args(),
	}
	conn := connectionFlags(cmd)
	cmd.Flags().StringVar(&stack, "stack", "", "the `STACK`: a name or an id")
	cmd.Flags().StringVar(&user, "user", "", "the `USER`: a name or an ARN")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if stack == "" && user == "" {
			return cli.Usage("give --stack, --user or both", "whose access is not said")
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		arn, id, err := c.named(cmd.Context(), user, stack)
		if err != nil {
			return err
		}
		var resp controlplane.ListAccessResponse
		if err := c.call(cmd.Context(), "ListAccess", controlplane.ListAccessRequest{IamUserArn: arn, StackId: id}, &resp); err != nil {
			return err
		}
		return show(cmd, *asJSON, resp, []string{"STACK", "USER", "LOGIN", "UID", "SUDO", "KEYS", "EXPIRES"}, accessRows(resp.Access))
	}
	return cmd
}

func accessRows(all []controlplane.AccessEntry) (rows [][]string) {
	for _, a := range all {
		rows = append(rows, []string{
			a.StackName, a.IamUserArn, a.SshUsername, strconv.FormatInt(a.Uid, 10), sudoText(a.Sudo, a.SudoCommands), strconv.FormatInt(a.Keys, 10), a.ExpiresAt,
		})
	}
	return rows
}
