package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Policies: what users and groups may do, in the AWS IAM language",
		Long: `Policies. A managed policy has a name of its own: create it, then attach it to users
and groups, or bound users by it. An inline policy belongs to one user or group: put
it there, and remove it. FILE holds the JSON document; - reads standard input.`,
		Example: `  latchkey policy create deployers deployers.json
  latchkey policy attach deployers --group web-team
  latchkey policy put night-shift night.json --user alice
  latchkey policy boundary set LatchkeyReadOnly --user contractor`,
	}
	conn := connectionFlags(cmd)
	return cli.Group(cmd, policyCreate(conn), policyUpdate(conn), policyDelete(conn), policyList(conn), policyShow(conn),
		policyPut(conn), policyRemove(conn), policyAttach(conn), policyDetach(conn), policyBoundary(conn))
}

// readDocument reads a policy's file, as text: so the server can say at which byte of
// the file it is wrong.
func readDocument(stdin io.Reader, path string) (json.RawMessage, error) {
	text, err := cli.Read(stdin, path, maxInput)
	switch {
	case err != nil:
		return nil, cli.Usage("", "%v", err)
	case len(text) == 0:
		return nil, cli.Usage("", "%s is empty", path)
	case !utf8.Valid(text):
		return nil, cli.Usage("", "%s is not UTF-8", path)
	}
	return json.Marshal(string(text))
}

func policyCreate(conn *connection) *cobra.Command {
	return writing(conn, &cobra.Command{
		Use:   "create NAME FILE|-",
		Short: "Make a managed policy",
		Example: `  latchkey policy create deployers deployers.json
  latchkey policy create everything - < all.json`,
	}, func(name string, d json.RawMessage) asked {
		return asked{"CreatePolicy", controlplane.CreatePolicyRequest{PolicyName: name, PolicyDocument: d}}
	})
}

func policyUpdate(conn *connection) *cobra.Command {
	return writing(conn, &cobra.Command{
		Use:     "update NAME FILE|-",
		Short:   "Give a managed policy another document, for everybody who has it",
		Example: "  latchkey policy update deployers deployers.json",
	}, func(name string, d json.RawMessage) asked {
		return asked{"UpdatePolicy", controlplane.UpdatePolicyRequest{PolicyName: name, PolicyDocument: d}}
	})
}

// writing completes a command that sends a policy's document.
func writing(conn *connection, cmd *cobra.Command, ask func(name string, d json.RawMessage) asked) *cobra.Command {
	cmd.Args = cli.Args("NAME", "FILE")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := readDocument(cmd.InOrStdin(), args[1])
		if err != nil {
			return err
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		a := ask(args[0], d)
		return c.call(cmd.Context(), a.action, a.input, nil)
	}
	return cmd
}

func policyDelete(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a managed policy that nobody has",
		Example: "  latchkey policy delete deployers",
		Args:    cli.Args("NAME"),
	}, theName, func(name string, _ []string) asked {
		return asked{"DeletePolicy", controlplane.DeletePolicyRequest{PolicyName: name}}
	})
}

func policyList(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list [NAME...]",
		Short:   "List managed policies, built-in ones too: those named, or all",
		Example: "  latchkey policy list --json",
		Args:    cli.Args("[NAME...]"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		var resp controlplane.DescribePoliciesResponse
		if err := c.call(cmd.Context(), "DescribePolicies", controlplane.DescribePoliciesRequest{PolicyNames: args}, &resp); err != nil {
			return err
		}
		var rows [][]string
		for _, p := range resp.Policies {
			rows = append(rows, []string{p.PolicyName, yes(p.BuiltIn), strconv.FormatInt(p.AttachmentCount, 10), p.UpdatedAt})
		}
		return show(cmd, *asJSON, resp, []string{"NAME", "BUILT-IN", "ATTACHED", "UPDATED"}, rows)
	})
	return cmd
}

func policyShow(conn *connection) *cobra.Command {
	var h holderFlags
	cmd := &cobra.Command{
		Use:   "show NAME [--user USER | --group GROUP]",
		Short: "Print a policy's document, as JSON: a managed one, or an inline one of a user or group",
		Example: `  latchkey policy show LatchkeyReadOnly
  latchkey policy show night-shift --user alice`,
		Args: cli.Args("NAME"),
	}
	h.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if h != (holderFlags{}) {
			if err := h.check(); err != nil {
				return err
			}
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		d, err := c.document(cmd.Context(), h, args[0])
		if err != nil {
			return err
		}
		return cli.JSON(cmd.OutOrStdout(), d)
	}
	return cmd
}

func policyBoundary(conn *connection) *cobra.Command {
	var user string
	of := func(cmd *cobra.Command, run func(c *client, cmd *cobra.Command, arn string, args []string) error) *cobra.Command {
		cmd.Flags().StringVar(&user, "user", "", "the `USER`: a name or an ARN")
		cli.Require(cmd, "user")
		cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
			arn, err := c.userARN(user)
			if err != nil {
				return err
			}
			return run(c, cmd, arn, args)
		})
		return cmd
	}
	set := of(&cobra.Command{
		Use:     "set NAME --user USER",
		Short:   "Bound a user by a managed policy, in the place of another boundary",
		Example: "  latchkey policy boundary set LatchkeyReadOnly --user contractor",
		Args:    cli.Args("NAME"),
	}, func(c *client, cmd *cobra.Command, arn string, args []string) error {
		req := controlplane.PutUserPermissionsBoundaryRequest{IamUserArn: arn, PolicyName: args[0]}
		return c.call(cmd.Context(), "PutUserPermissionsBoundary", req, nil)
	})
	remove := of(&cobra.Command{
		Use:     "remove --user USER",
		Short:   "Take a user's boundary away",
		Example: "  latchkey policy boundary remove --user contractor",
		Args:    cli.Args(),
	}, func(c *client, cmd *cobra.Command, arn string, _ []string) error {
		return c.call(cmd.Context(), "DeleteUserPermissionsBoundary", controlplane.DeleteUserPermissionsBoundaryRequest{IamUserArn: arn}, nil)
	})
	return cli.Group(&cobra.Command{
		Use:     "boundary",
		Short:   "Permissions boundaries: more than one allows, a user may not, whatever he has",
		Example: "  latchkey policy boundary set LatchkeyReadOnly --user contractor",
	}, set, remove)
}

// shown refuses to print a policy that the server could not read.
func shown(d json.RawMessage, name string) (json.RawMessage, error) {
	if string(d) == "null" {
		return nil, fmt.Errorf("policy %s is malformed, and denies everything", name)
	}
	return d, nil
}
