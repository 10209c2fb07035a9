package main

import (
	"context"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// holdsHeader is the header of what somebody holds: a kind, a name, and what else is to
// say.
func holdsHeader() []string { return []string{"HOLDS", "NAME", "DETAIL"} }

func policyRows(inline []controlplane.InlinePolicy, attached []string) (rows [][]string) {
	for _, p := range inline {
		rows = append(rows, []string{"policy", p.PolicyName, "inline"})
	}
	for _, name := range attached {
		rows = append(rows, []string{"policy", name, "managed"})
	}
	return rows
}

func userShow(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [USER]",
		Short: "Show all that a user, by default you, holds besides permissions on stacks",
		Long: `Show all that a user, by default you, holds besides permissions on stacks: policies,
groups, boundary, tags, access keys; and when each SSH key was last used, and where.
Permissions are in latchkey permission list --user USER.`,
		Example: "  latchkey user show alice",
		Args:    cli.Args("[USER]"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		arn, err := c.userOrSelf(args)
		if err != nil {
			return err
		}
		u, err := c.describeUser(cmd.Context(), arn)
		if err != nil {
			return err
		}
		return show(cmd, *asJSON, u, holdsHeader(), userRows(u))
	})
	return cmd
}

// userOrSelf returns the ARN of the user that args may name; "" stands for oneself.
func (c *client) userOrSelf(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	return c.userARN(args[0])
}

func (c *client) describeUser(ctx context.Context, arn string) (u controlplane.DescribeUserResponse, err error) {
	err = c.call(ctx, "DescribeUser", controlplane.DescribeUserRequest{IamUserArn: arn}, &u)
	return u, err
}

func userRows(u controlplane.DescribeUserResponse) [][]string {
	rows := policyRows(u.InlinePolicies, u.AttachedPolicies)
	for _, g := range u.Groups {
		rows = append(rows, []string{"group", g, ""})
	}
	for _, p := range u.GroupPolicies {
		how := "inline"
		if p.Managed {
			how = "managed"
		}
		rows = append(rows, []string{"policy", p.PolicyName, how + ", of group " + p.GroupName})
	}
	if u.PermissionsBoundary != "" {
		rows = append(rows, []string{"boundary", u.PermissionsBoundary, ""})
	}
	for _, key := range slices.Sorted(maps.Keys(u.Tags)) {
		rows = append(rows, []string{"tag", key, u.Tags[key]})
	}
	for _, k := range u.AccessKeys {
		rows = append(rows, []string{"access key", k.AccessKeyId, k.Status})
	}
	return append(rows, useRows(u)...)
}

func userTag(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "tag USER KEY=VALUE...",
		Short:   "Give a user tags, which policies can ask about; others that he has stay",
		Example: "  latchkey user tag alice team=payments",
		Args:    tagArgs("USER"),
	}, theUser, func(arn string, tags []string) asked {
		return asked{"TagUser", controlplane.TagUserRequest{IamUserArn: arn, Tags: tagsOf(tags)}}
	})
}

func userUntag(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "untag USER KEY...",
		Short:   "Take tags away from a user",
		Example: "  latchkey user untag alice team",
		Args:    cli.Args("USER", "KEY..."),
	}, theUser, func(arn string, keys []string) asked {
		return asked{"UntagUser", controlplane.UntagUserRequest{IamUserArn: arn, TagKeys: keys}}
	})
}
