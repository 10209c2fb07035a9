package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
)

// with returns what a command does that needs the server.
func (c *connection) with(run func(c *client, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cl, err := c.dial()
		if err != nil {
			return err
		}
		return run(cl, cmd, args)
	}
}

// asked is an action and its input.
type asked struct {
	action string
	input  any
}

// finder turns what a person types into what the API wants.
type finder func(c *client, ctx context.Context, given string) (string, error)

func theName(_ *client, _ context.Context, given string) (string, error) { return given, nil }
func theUser(c *client, _ context.Context, given string) (string, error) { return c.userARN(given) }

// changing completes a command that asks for one change of what its first argument
// names. ask gets what was found, and the arguments behind it.
func changing(conn *connection, cmd *cobra.Command, find finder, ask func(found string, args []string) asked) *cobra.Command {
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		found, err := find(c, cmd.Context(), args[0])
		if err != nil {
			return err
		}
		a := ask(found, args[1:])
		return c.call(cmd.Context(), a.action, a.input, nil)
	})
	return cmd
}

// show prints an answer as it came, as JSON, or as a table.
func show(cmd *cobra.Command, asJSON bool, answer any, header []string, rows [][]string) error {
	if asJSON {
		return cli.JSON(cmd.OutOrStdout(), answer)
	}
	return cli.Table(cmd.OutOrStdout(), header, rows)
}

// showOne prints an answer as it came, as JSON, or the one thing that counts of it.
func showOne(cmd *cobra.Command, asJSON bool, answer any, text string) error {
	if asJSON {
		return cli.JSON(cmd.OutOrStdout(), answer)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), cli.Text(text))
	return err
}
