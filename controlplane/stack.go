package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

const (
	maxStackName    = 64        // characters, as in the original
	maxStackMembers = 256 << 10 // bytes of JSON; CustomJson is by far the largest
	filtered        = "*****FILTERED*****"
)

// Reasons for refusing a stack's members.
var (
	errNameEmpty  = name.Refuse("stack_name_empty", "is required")
	errNameLong   = name.Refuse("stack_name_long", "is longer than 64 characters")
	errNameText   = name.Refuse("stack_name_character", "holds a character that cannot be printed")
	errRegion     = name.Refuse("region_malformed", "is not a word of a-z, 0-9 and -")
	errMembersBig = name.Refuse("stack_large", "is larger than 256 KiB")
)

// CreateStack makes a stack, keeps every member of the request and shows it again.
// Secrets of a cookbook source are the exception: nothing here uses them, so they
// are not kept at all. A stack without a region is in the control plane's.
func (c *ControlPlane) CreateStack(ctx context.Context, caller Caller, req CreateStackRequest) (CreateStackResponse, error) {
	if req.Region == "" {
		req.Region = c.cfg.Region
	}
	st := store.Stack{ID: newID(authz.ParseStackID), Name: req.Name}
	var err error
	if st.Members, err = stackMembers(req); err != nil {
		return CreateStackResponse{}, err
	}
	const action = "opsworks:CreateStack"
	err = c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, authz.StackID{}); err != nil {
			return err
		}
		ch.Record(st.ID.String(), map[string]string{"name": st.Name})
		return ch.InsertStack(ctx, st)
	})
	if err != nil {
		return CreateStackResponse{}, err
	}
	return CreateStackResponse{StackId: st.ID.String()}, nil
}

func stackMembers(req CreateStackRequest) ([]byte, error) {
	switch {
	case req.Name == "":
		return nil, invalid("Name", errNameEmpty)
	case utf8.RuneCountInString(req.Name) > maxStackName:
		return nil, invalid("Name", errNameLong)
	case !printable(req.Name):
		return nil, invalid("Name", errNameText)
	case !regionForm.MatchString(req.Region):
		return nil, invalid("Region", errRegion)
	}
	if source := req.CustomCookbooksSource; source != nil {
		shown := *source
		hide(&shown.Password)
		hide(&shown.SshKey)
		req.CustomCookbooksSource = &shown
	}
	members, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode stack: %w", err)
	}
	if len(members) > maxStackMembers {
		return nil, invalid("Stack", errMembersBig)
	}
	return members, nil
}

func hide(secret *string) {
	if *secret != "" {
		*secret = filtered
	}
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// DescribeStacks lists the stacks named, each of which the caller must be allowed
// to see, or all that he may see, by name.
func (c *ControlPlane) DescribeStacks(ctx context.Context, caller Caller, req DescribeStacksRequest) (DescribeStacksResponse, error) {
	ids, err := parseAll(req.StackIds, parseStack)
	if err != nil {
		return DescribeStacksResponse{}, err
	}
	out := DescribeStacksResponse{Stacks: []Stack{}}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		stacks, err := c.stacksFor(ctx, v, who, ids)
		if err != nil {
			return err
		}
		for _, st := range stacks {
			shown, err := c.showStack(st)
			if err != nil {
				return err
			}
			out.Stacks = append(out.Stacks, shown)
		}
		return nil
	})
	return out, err
}

func (c *ControlPlane) stacksFor(ctx context.Context, v store.View, who principal, ids []authz.StackID) ([]store.Stack, error) {
	const action = "opsworks:DescribeStacks"
	if len(ids) == 0 {
		return c.stacksSeen(ctx, v, who, action)
	}
	var stacks []store.Stack
	for _, id := range ids {
		if err := c.authorise(ctx, v, who, action, id); err != nil {
			return nil, err
		}
		st, err := stackNamed(ctx, v, id)
		if err != nil {
			return nil, err
		}
		stacks = append(stacks, st)
	}
	return stacks, nil
}

// stackNamed finds a stack that must be there.
func stackNamed(ctx context.Context, v store.View, id authz.StackID) (store.Stack, error) {
	st, err := v.Stack(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return st, noStack(id)
	}
	return st, err
}

func (c *ControlPlane) stacksSeen(ctx context.Context, v store.View, who principal, action authz.Action) ([]store.Stack, error) {
	all, err := v.Stacks(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := c.permitted(ctx, v, who, action)
	if err != nil {
		return nil, err
	}
	var stacks []store.Stack
	for _, st := range all {
		if seen(st.ID) {
			stacks = append(stacks, st)
		}
	}
	return stacks, nil
}

func (c *ControlPlane) showStack(st store.Stack) (Stack, error) {
	out := Stack{StackId: st.ID.String(), Arn: c.stackARN(st.ID), CreatedAt: timestamp(st.CreatedAt)}
	if err := json.Unmarshal(st.Members, &out.CreateStackRequest); err != nil {
		return Stack{}, fmt.Errorf("members of stack %s: %w", st.ID, err)
	}
	return out, nil
}

// DeleteStack ends a stack that holds no instances, with its permissions and join
// tokens.
func (c *ControlPlane) DeleteStack(ctx context.Context, caller Caller, req DeleteStackRequest) (Nothing, error) {
	id, err := parseStack(req.StackId)
	if err != nil {
		return Nothing{}, err
	}
	const action = "opsworks:DeleteStack"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, id); err != nil {
			return err
		}
		st, err := stackNamed(ctx, ch.View, id)
		if err != nil {
			return err
		}
		left, err := ch.CountInstances(ctx, id)
		if err != nil {
			return err
		}
		if left > 0 {
			return refused("Stack Id: stack still holds instances (%d); deregister them first", left)
		}
		ch.Record(id.String(), map[string]string{"name": st.Name})
		ch.raised = append(ch.raised, id)
		return ch.DeleteStack(ctx, id)
	})
}
