package main

import (
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Join tokens: each lets one machine join a stack, once",
		Example: "  latchkey token create --stack web",
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, tokenCreate(conn))
}

func tokenCreate(conn *connection) *cobra.Command {
	var stack string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "create --stack STACK",
		Short: "Make a join token and print it",
		Long: `Make a join token and print it, alone, on standard output. It is shown this once, lets
one machine join the stack, and is a secret until then: hand it on in a file or a pipe.`,
		Example: `  latchkey token create --stack web --ttl 10m |
    ssh root@machine latchkey-agent enroll --server https://HOST:8443 --token-file -`,
		Args: cli.Args(),
	}
	cmd.Flags().StringVar(&stack, "stack", "", "the `STACK`: a name or an id")
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "`TIME` for which it can be used: 1m to 1h")
	cli.Require(cmd, "stack")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if ttl < time.Minute || ttl > time.Hour {
			return cli.Usage("", "--ttl: %s is not between 1m and 1h", ttl)
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		id, err := c.stackID(cmd.Context(), stack)
		if err != nil {
			return err
		}
		seconds := int64(ttl / time.Second)
		var resp controlplane.CreateJoinTokenResponse
		req := controlplane.CreateJoinTokenRequest{StackId: id, TtlSeconds: &seconds}
		if err := c.call(cmd.Context(), "CreateJoinToken", req, &resp); err != nil {
			return err
		}
		return showOne(cmd, *asJSON, resp, resp.Token)
	}
	return cmd
}
