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

// tagArgs is the check of the arguments of a command that gives tags to what the first
// names.
func tagArgs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cli.Args(what, "KEY=VALUE...")(cmd, args); err != nil {
			return err
		}
		for _, a := range args[1:] {
			if key, _, found := strings.Cut(a, "="); !found || key == "" {
				return cli.Usage("", "%q is not KEY=VALUE", a)
			}
		}
		return nil
	}
}

// tagsOf reads arguments that tagArgs has checked.
func tagsOf(args []string) map[string]string {
	tags := map[string]string{}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		tags[key] = value
	}
	return tags
}

func stackTag(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "tag NAME|ID KEY=VALUE...",
		Short:   "Give a stack tags; others that it has stay",
		Example: "  latchkey stack tag web team=payments cost-center=42",
		Args:    tagArgs("NAME|ID"),
	}, (*client).stackARN, func(arn string, tags []string) asked {
		return asked{"TagResource", controlplane.TagResourceRequest{ResourceArn: arn, Tags: tagsOf(tags)}}
	})
}

func stackUntag(conn *connection) *cobra.Command {
	return changing(conn, &cobra.Command{
		Use:     "untag NAME|ID KEY...",
		Short:   "Take tags away from a stack",
		Example: "  latchkey stack untag web team",
		Args:    cli.Args("NAME|ID", "KEY..."),
	}, (*client).stackARN, func(arn string, keys []string) asked {
		return asked{"UntagResource", controlplane.UntagResourceRequest{ResourceArn: arn, TagKeys: keys}}
	})
}

func stackTags(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tags NAME|ID",
		Short:   "List a stack's tags",
		Example: "  latchkey stack tags web --json",
		Args:    cli.Args("NAME|ID"),
	}
	asJSON := cli.JSONFlag(cmd)
	cmd.RunE = conn.with(func(c *client, cmd *cobra.Command, args []string) error {
		arn, err := c.stackARN(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var resp controlplane.ListTagsResponse
		if err := c.call(cmd.Context(), "ListTags", controlplane.ListTagsRequest{ResourceArn: arn}, &resp); err != nil {
			return err
		}
		var rows [][]string
		for _, key := range slices.Sorted(maps.Keys(resp.Tags)) {
			rows = append(rows, []string{key, resp.Tags[key]})
		}
		return show(cmd, *asJSON, resp, []string{"KEY", "VALUE"}, rows)
	})
	return cmd
}
