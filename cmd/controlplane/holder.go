package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// holderFlags say whose policies are meant: a user's or a group's.
type holderFlags struct{ user, group string }

func (h *holderFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&h.user, "user", "", "the `USER`: a name or an ARN")
	cmd.Flags().StringVar(&h.group, "group", "", "the `GROUP`, by its name")
}

func (h *holderFlags) check() error {
	switch {
	case h.user == "" && h.group == "":
		return cli.Usage("give --user USER or --group GROUP", "whose policy is not said")
	case h.user != "" && h.group != "":
		return cli.Usage("give one of them", "--user and --group exclude each other")
	}
	return nil
}

// onHolder completes a command whose action is another one for a user than for a
// group. prepare, if any, reads what the arguments name before anything is sent.
func onHolder(
	conn *connection, cmd *cobra.Command, prepare func(*cobra.Command, []string) (json.RawMessage, error),
	ofUser, ofGroup func(holder, policy string, d json.RawMessage) asked,
) *cobra.Command {
	var h holderFlags
	h.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := h.check(); err != nil {
			return err
		}
		var d json.RawMessage
		if prepare != nil {
			var err error
			if d, err = prepare(cmd, args); err != nil {
				return err
			}
		}
		c, err := conn.dial()
		if err != nil {
			return err
		}
		ask := asked{}
		if h.group != "" {
			ask = ofGroup(h.group, args[0], d)
		} else {
			arn, err := c.userARN(h.user)
			if err != nil {
				return err
			}
			ask = ofUser(arn, args[0], d)
		}
		return c.call(cmd.Context(), ask.action, ask.input, nil)
	}
	return cmd
}

func policyPut(conn *connection) *cobra.Command {
	return onHolder(conn, &cobra.Command{
		Use:   "put NAME FILE|- --user USER | --group GROUP",
		Short: "Give a user or a group an inline policy, or another document in its place",
		Example: `  latchkey policy put night-shift night.json --user alice
  latchkey policy put night-shift - --group operators < night.json`,
		Args: cli.Args("NAME", "FILE"),
	}, func(cmd *cobra.Command, args []string) (json.RawMessage, error) {
		return readDocument(cmd.InOrStdin(), args[1])
	}, func(arn, policy string, d json.RawMessage) asked {
		return asked{"PutUserPolicy", controlplane.PutUserPolicyRequest{IamUserArn: arn, PolicyName: policy, PolicyDocument: d}}
	}, func(group, policy string, d json.RawMessage) asked {
		return asked{"PutGroupPolicy", controlplane.PutGroupPolicyRequest{GroupName: group, PolicyName: policy, PolicyDocument: d}}
	})
}

func policyRemove(conn *connection) *cobra.Command {
	return onHolder(conn, &cobra.Command{
		Use:     "remove NAME --user USER | --group GROUP",
		Short:   "Take an inline policy from a user or a group",
		Example: "  latchkey policy remove night-shift --user alice",
		Args:    cli.Args("NAME"),
	}, nil, func(arn, policy string, _ json.RawMessage) asked {
		return asked{"DeleteUserPolicy", controlplane.DeleteUserPolicyRequest{IamUserArn: arn, PolicyName: policy}}
	}, func(group, policy string, _ json.RawMessage) asked {
		return asked{"DeleteGroupPolicy", controlplane.DeleteGroupPolicyRequest{GroupName: group, PolicyName: policy}}
	})
}

func policyAttach(conn *connection) *cobra.Command {
	return onHolder(conn, &cobra.Command{
		Use:     "attach NAME --user USER | --group GROUP",
		Short:   "Give a user or a group a managed policy",
		Example: "  latchkey policy attach LatchkeyReadOnly --group auditors",
		Args:    cli.Args("NAME"),
	}, nil, func(arn, policy string, _ json.RawMessage) asked {
		return asked{"AttachUserPolicy", controlplane.AttachUserPolicyRequest{IamUserArn: arn, PolicyName: policy}}
	}, func(group, policy string, _ json.RawMessage) asked {
		return asked{"AttachGroupPolicy", controlplane.AttachGroupPolicyRequest{GroupName: group, PolicyName: policy}}
	})
}

func policyDetach(conn *connection) *cobra.Command {
	return onHolder(conn, &cobra.Command{
		Use:     "detach NAME --user USER | --group GROUP",
		Short:   "Take a managed policy from a user or a group",
		Example: "  latchkey policy detach LatchkeyReadOnly --group auditors",
		Args:    cli.Args("NAME"),
	}, nil, func(arn, policy string, _ json.RawMessage) asked {
		return asked{"DetachUserPolicy", controlplane.DetachUserPolicyRequest{IamUserArn: arn, PolicyName: policy}}
	}, func(group, policy string, _ json.RawMessage) asked {
		return asked{"DetachGroupPolicy", controlplane.DetachGroupPolicyRequest{GroupName: group, PolicyName: policy}}
	})
}

// document finds a policy: an inline one of the holder, or without a holder a managed
// one.
func (c *client) document(ctx context.Context, h holderFlags, policy string) (json.RawMessage, error) {
	var inline []controlplane.InlinePolicy
	switch {
	case h.user != "":
		arn, err := c.userARN(h.user)
		if err != nil {
			return nil, err
		}
		u, err := c.describeUser(ctx, arn)
		if err != nil {
			return nil, err
		}
		inline = u.InlinePolicies
	case h.group != "":
		g, err := c.describeGroup(ctx, h.group)
		if err != nil {
			return nil, err
		}
		inline = g.InlinePolicies
	default:
		var resp controlplane.DescribePoliciesResponse
		if err := c.call(ctx, "DescribePolicies", controlplane.DescribePoliciesRequest{PolicyNames: []string{policy}}, &resp); err != nil {
			return nil, err
		}
		return shown(resp.Policies[0].PolicyDocument, policy)
	}
	for _, p := range inline {
		if p.PolicyName == policy {
			return shown(p.PolicyDocument, policy)
		}
	}
	return nil, fmt.Errorf("%s has no inline policy %q", first(h.user, "group "+h.group), policy)
}
