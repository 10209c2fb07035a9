package main

import (
	"context"

	"latchkey/authz"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
)

// userARN expands a user's plain name to the ARN of an IAM user of the account;
// an ARN it takes as it is.
func (c *client) userARN(given string) (string, error) {
	if arn, err := authz.ParseARN(given); err == nil {
		return arn.String(), nil
	}
	arn, err := authz.ParseARN("arn:aws:iam::" + c.account + ":user/" + given)
	if err != nil {
		return "", cli.Usage("a name has letters, digits and +=,.@_- and may have a path before it: team/alice",
			"%q is neither the name of a user nor the ARN of one", given)
	}
	return arn.String(), nil
}

// userARNs expands each.
func (c *client) userARNs(given []string) ([]string, error) {
	var all []string
	for _, g := range given {
		arn, err := c.userARN(g)
		if err != nil {
			return nil, err
		}
		all = append(all, arn)
	}
	return all, nil
}

// stackID finds a stack by its id, or by its name among those that the caller may
// see.
func (c *client) stackID(ctx context.Context, given string) (string, error) {
	if id, err := authz.ParseStackID(given); err == nil {
		return id.String(), nil
	}
	stacks, err := c.stacks(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, s := range stacks {
		if s.Name == given {
			found = append(found, s.StackId)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", cli.Usage("latchkey stack list shows those you may see", "no stack has the name or the id %q", given)
	}
	return "", cli.Usage("give the id; latchkey stack list shows it", "%d stacks have the name %q", len(found), given)
}

// named finds a user and a stack, of which either may be left out as "".
func (c *client) named(ctx context.Context, user, stack string) (arn, id string, err error) {
	if user != "" {
		if arn, err = c.userARN(user); err != nil {
			return "", "", err
		}
	}
	if stack != "" {
		id, err = c.stackID(ctx, stack)
	}
	return arn, id, err
}

func (c *client) stacks(ctx context.Context) ([]controlplane.Stack, error) {
	var resp controlplane.DescribeStacksResponse
	err := c.call(ctx, "DescribeStacks", controlplane.DescribeStacksRequest{}, &resp)
	return resp.Stacks, err
}

// stackNames maps the ids of the stacks that the caller may see to their names.
func (c *client) stackNames(ctx context.Context) (map[string]string, error) {
	stacks, err := c.stacks(ctx)
	names := map[string]string{}
	for _, s := range stacks {
		names[s.StackId] = s.Name
	}
	return names, err
}
