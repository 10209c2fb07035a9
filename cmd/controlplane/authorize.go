package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/authz"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// exitDenied is the status that says no.
const exitDenied = 1

func newAuthorize() *cobra.Command {
	var file string
	var keys []string
	cmd := &cobra.Command{
		Use:   "authorize USER ACTION [STACK|ARN]",
		Short: "Say whether a user may do an action, and what decides it",
		Long: `Say whether a user may do an action on a stack or anything else with an ARN, and what
decides it. The exit status is 0 if allowed, 1 if denied.

Of the request asked about, nothing is known but the time, which is now: give what
conditions of policies read with --context. With --file many questions are asked at
once, {"Questions":[{"IamUserArn":…,"Action":…,"Resource":…,"Context":{…}},…]}, and the
decisions are printed as JSON; the exit status then says only that they were answered.`,
		Example: `  latchkey authorize alice opsworks:CreateDeployment web
  latchkey authorize alice opsworks:StopInstance web --context aws:SourceIp=10.1.2.3
  latchkey authorize --file questions.json`,
		Args: cli.Args("[USER]", "[ACTION]", "[STACK|ARN]"),
	}
	conn := connectionFlags(cmd)
	cmd.Flags().StringVar(&file, "file", "", "`FILE` with questions as JSON; - reads standard input")
	cmd.Flags().StringArrayVar(&keys, "context", nil, "a condition key of the request, `KEY=VALUE`; again for another key or value")
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("file") {
			if len(args) > 0 || len(keys) > 0 {
				return cli.Usage("the file holds all of a question", "a question and --file are both given")
			}
			return authorizeAll(cmd, conn, file)
		}
		if len(args) < 2 {
			return cli.Usage("", "%s needs %s", cmd.CommandPath(), []string{"USER", "ACTION"}[len(args)])
		}
		return authorizeOne(cmd, conn, args, keys, *asJSON)
	}
	return cmd
}

func authorizeOne(cmd *cobra.Command, conn *connection, args, keys []string, asJSON bool) error {
	req := controlplane.AuthorizeRequest{Action: args[1]}
	if _, err := authz.ParseAction(req.Action); err != nil {
		return cli.Usage("it looks like opsworks:CreateDeployment", "%q is not an action", req.Action)
	}
	var err error
	if req.Context, err = parseContext(keys); err != nil {
		return err
	}
	c, err := conn.dial()
	if err != nil {
		return err
	}
	if req.IamUserArn, err = c.userARN(args[0]); err != nil {
		return err
	}
	if len(args) == 3 {
		req.Resource = args[2]
		if req.Resource != "*" && !strings.HasPrefix(req.Resource, "arn:") {
			if req.Resource, err = c.stackID(cmd.Context(), req.Resource); err != nil {
				return err
			}
		}
	}
	var resp controlplane.AuthorizeResponse
	if err := c.call(cmd.Context(), "Authorize", req, &resp); err != nil {
		return err
	}
	return printDecision(cmd.OutOrStdout(), resp, asJSON)
}

// parseContext reads condition keys: KEY=VALUE, a key with several values several times.
func parseContext(given []string) (map[string][]string, error) {
	keys := map[string][]string{}
	for _, pair := range given {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, cli.Usage("it looks like aws:SourceIp=10.1.2.3", "--context: %q is not KEY=VALUE", pair)
		}
		keys[key] = append(keys[key], value)
	}
	return keys, nil
}

func printDecision(w io.Writer, resp controlplane.AuthorizeResponse, asJSON bool) error {
	allowed := resp.Decision == "allowed"
	if asJSON {
		if err := cli.JSON(w, resp); err != nil {
			return err
		}
	} else {
		word := "denied"
		if allowed {
			word = "allowed"
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", word, cli.Text(resp.Text)); err != nil {
			return err
		}
	}
	if !allowed {
		return cli.Exit(exitDenied)
	}
	return nil
}

func authorizeAll(cmd *cobra.Command, conn *connection, file string) error {
	given := "@" + file
	if file == "-" {
		given = file
	}
	body, err := readObject(cmd.InOrStdin(), "file", given, `it looks like {"Questions":[{"IamUserArn":"…","Action":"opsworks:DescribeStacks"}]}`)
	if err != nil {
		return err
	}
	c, err := conn.dial()
	if err != nil {
		return err
	}
	answer, err := c.send(cmd.Context(), "BatchAuthorize", body)
	if err != nil {
		return err
	}
	return cli.JSON(cmd.OutOrStdout(), json.RawMessage(answer))
}
