package controlplane

import (
	"context"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// principalTags is what the condition keys of a caller's own tags begin with.
const principalTags = "aws:PrincipalTag/"

// TagUser gives a user tags, or his tags other values. Where his policies ask about
// his tags, it may change what he may do, and is judged as giving that.
func (c *ControlPlane) TagUser(ctx context.Context, caller Caller, req TagUserRequest) (Nothing, error) {
	arn, err := parseARN(req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	tags, err := parseTags(req.Tags)
	if err != nil {
		return Nothing{}, invalid("Tags", err)
	}
	on := target{user: arn, tags: map[string]string{}}
	detail := map[string]string{}
	for _, tag := range tags {
		on.tags[tag.Key] = tag.Value
		detail["tag "+tag.Key] = tag.Value
	}
	return Nothing{}, c.alterTags(ctx, caller, "latchkey:TagUser", on, detail, func(a alteration, of store.Tagged) error {
		for _, tag := range tags {
			if err := a.SetTag(ctx, of, tag); err != nil {
				return err
			}
		}
		all, err := a.Tags(ctx, of)
		if err != nil {
			return err
		}
		return checkTags(all)
	})
}

// UntagUser takes tags away; keys that are not there are passed over.
func (c *ControlPlane) UntagUser(ctx context.Context, caller Caller, req UntagUserRequest) (Nothing, error) {
	arn, err := parseARN(req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	if len(req.TagKeys) == 0 {
		return Nothing{}, invalid("Tag Keys", errNoTags)
	}
	keys, err := parseAll(req.TagKeys, parseTagKey)
	if err != nil {
		return Nothing{}, invalid("Tag Keys", err)
	}
	detail := map[string]string{}
	for _, key := range keys {
		detail["tag "+key] = ""
	}
	on := target{user: arn, tagKeys: keys}
	return Nothing{}, c.alterTags(ctx, caller, "latchkey:UntagUser", on, detail, func(a alteration, of store.Tagged) error {
		for _, key := range keys {
			if err := a.DeleteTag(ctx, of, key); err != nil {
				return err
			}
		}
		return nil
	})
}

// alterTags changes the tags of the user that on names.
func (c *ControlPlane) alterTags(
	ctx context.Context, caller Caller, action authz.Action, on target, detail map[string]string,
	do func(alteration, store.Tagged) error,
) error {
	return c.alter(ctx, caller, action, on, func(a alteration) error {
		u, err := knownUser(ctx, a.View, on.user)
		if err != nil {
			return err
		}
		frees, err := c.dependent(ctx, a.View, u, principalTags)
		if err != nil {
			return err
		}
		a.Record(on.user.String(), detail)
		return c.carryOut(ctx, a, outcome{frees: frees}, func() error { return do(a, store.OfUser(u.ID)) })
	})
}
