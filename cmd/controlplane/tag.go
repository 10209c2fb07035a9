package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// stackARN finds a stack's ARN, as tags want it, by its name or id.
func (c *client) stackARN(ctx context.Context, given string) (string, error) {
	id, err := c.stackID(ctx, given)
	if err != nil {
		return "", err
	}
	var resp controlplane.DescribeStacksResponse
	if err := c.call(ctx, "DescribeStacks", controlplane.DescribeStacksRequest{StackIds: []string{id}}, &resp); err != nil {
		return "", err
	}
	return resp.Stacks[0].Arn, nil
}

// parseTags reads arguments of the form KEY=VALUE.
func parseTags(args []string) (map[string]string, error) {
	tags := map[string]string{}
	for _, a := range args {
		key, value, found := strings.Cut(a, "=")
		if !found || key == "" {
			return nil, cli.Usage("", "%q is not KEY=VALUE", a)
		}
		tags[key] = value
	}
	return tags, nil
}

func stackTag(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:     "tag NAME|ID KEY=VALUE...",
		Short:   "Give a stack tags; others that it has stay",
		Example: "  latchkey stack tag web team=payments cost-center=42",
		Args:    cli.Args("NAME|ID", "KEY=VALUE..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			tags, err := parseTags(args[1:])
			if err != nil {
				return err
			}
			c, err := conn.dial()
			if err != nil {
				return err
			}
			arn, err := c.stackARN(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), "TagResource", controlplane.TagResourceRequest{ResourceArn: arn, Tags: tags}, nil)
		},
	}
}

func stackUntag(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:     "untag NAME|ID KEY...",
		Short:   "Take tags away from a stack",
		Example: "  latchkey stack untag web team",
		Args:    cli.Args("NAME|ID", "KEY..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := conn.dial()
			if err != nil {
				return err
			}
			arn, err := c.stackARN(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), "UntagResource", controlplane.UntagResourceRequest{ResourceArn: arn, TagKeys: args[1:]}, nil)
		},
	}
}

func stackTags(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tags NAME|ID",
		Short:   "List a stack's tags",
		Example: "  latchkey stack tags web --json",
		Args:    cli.Args("NAME|ID"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := conn.dial()
		if err != nil {
			return err
		}
		arn, err := c.stackARN(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var resp controlplane.ListTagsResponse
		if err := c.call(cmd.Context(), "ListTags", controlplane.ListTagsRequest{ResourceArn: arn}, &resp); err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(cmd.OutOrStdout(), resp)
		}
		var rows [][]string
		for _, key := range slices.Sorted(maps.Keys(resp.Tags)) {
			rows = append(rows, []string{key, resp.Tags[key]})
		}
		return cli.Table(cmd.OutOrStdout(), []string{"KEY", "VALUE"}, rows)
	}
	return cmd
}
