package controlplane

import (
	"context"
	"errors"
	"maps"
	"slices"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

// target is what an action works on: a stack, a user, or neither, which is the
// account.
type target struct {
	stack authz.StackID
	user  authz.ARN
	// tags are those that the request gives; keys only, without values, those that it
	// takes away.
	tags    map[string]string
	tagKeys []string
}

// authorise asks authz.Decide about one action, on a stack or with the zero id on
// the account. A stack that does not exist is decided like any other: a caller
// who may not gets the same answer as for one that does.
func (c *ControlPlane) authorise(ctx context.Context, v store.View, who principal, action authz.Action, stack authz.StackID) error {
	return c.authoriseOn(ctx, v, who, action, target{stack: stack})
}

// authoriseOn does the same for every kind of target.
func (c *ControlPlane) authoriseOn(ctx context.Context, v store.View, who principal, action authz.Action, on target) error {
	request, err := c.question(ctx, v, who, action, on)
	if err != nil {
		return err
	}
	if d := authz.Decide(request); !d.Allowed() {
		return denied(request, d)
	}
	return nil
}

// question completes what authz.Decide is asked with the level and the tags that the
// store has.
func (c *ControlPlane) question(
	ctx context.Context, v store.View, who principal, action authz.Action, on target,
) (authz.Request, error) {
	q := authz.Request{
		Principal: who.ARN, Action: action, Stack: on.stack, Rights: who.rights, SelfManagement: who.SelfManagement,
		Context: who.context,
	}
	var err error
	if q.Resource, err = c.resource(on); err != nil {
		return q, err
	}
	var tags []store.Tag
	switch {
	case !on.stack.IsZero():
		p, err := v.Permission(ctx, on.stack, who.ID)
		if err != nil {
			return q, err
		}
		q.Level = inForce(p, c.cfg.Now()).Level
		tags, err = v.Tags(ctx, store.OfStack(on.stack))
		if err != nil {
			return q, err
		}
	case !on.user.IsZero():
		if tags, err = tagsOfUser(ctx, v, on.user); err != nil {
			return q, err
		}
	}
	q.Context, err = withTags(who.context, tags, on)
	return q, err
}

// tagsOfUser returns the tags of a user; one who is not there has none.
func tagsOfUser(ctx context.Context, v store.View, arn authz.ARN) ([]store.Tag, error) {
	u, err := v.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return v.Tags(ctx, store.OfUser(u.ID))
}

// resource is what policies know a target by.
func (c *ControlPlane) resource(on target) (iam.Resource, error) {
	switch {
	case !on.stack.IsZero():
		return iam.ParseResource(c.stackARN(on.stack))
	case !on.user.IsZero():
		return iam.ParseResource(on.user.String())
	}
	return iam.Everything(), nil
}

// withTags adds the condition keys of a resource's tags and of a request's.
func withTags(base iam.Context, of []store.Tag, on target) (iam.Context, error) {
	if len(of) == 0 && len(on.tags) == 0 && len(on.tagKeys) == 0 {
		return base, nil
	}
	keys := map[string][]string{}
	for _, tag := range of {
		keys["aws:ResourceTag/"+tag.Key] = []string{tag.Value}
	}
	for key, value := range on.tags {
		keys["aws:RequestTag/"+key] = []string{value}
	}
	if all := slices.Concat(slices.Sorted(maps.Keys(on.tags)), on.tagKeys); len(all) > 0 {
		keys["aws:TagKeys"] = all
	}
	return base.With(keys)
}

func denied(r authz.Request, d authz.Decision) error {
	return &Error{
		Code: Denied,
		Message: "User: " + r.Principal.String() + " is not authorized to perform: " + string(r.Action) +
			" on resource: " + r.Resource.String() + " because " + d.By,
		Err: d.Reason,
	}
}

// permitted returns the decision for many stacks at once, for lists.
func (c *ControlPlane) permitted(ctx context.Context, v store.View, who principal, action authz.Action) (func(authz.StackID) bool, error) {
	decide, err := c.decider(ctx, v, who)
	if err != nil {
		return nil, err
	}
	return func(stack authz.StackID) bool { return decide(action, stack).Allowed() }, nil
}

// decider reads what decides about somebody on all stacks, once, and returns the
// decision for an action on one of them.
func (c *ControlPlane) decider(
	ctx context.Context, v store.View, who principal,
) (func(authz.Action, authz.StackID) authz.Decision, error) {
	own, err := v.PermissionsOf(ctx, who.ID)
	if err != nil {
		return nil, err
	}
	tags, err := v.StackTags(ctx)
	if err != nil {
		return nil, err
	}
	now := c.cfg.Now()
	levels := make(map[authz.StackID]authz.Level, len(own))
	for _, p := range own {
		levels[p.Stack] = inForce(p, now).Level
	}
	return func(action authz.Action, stack authz.StackID) authz.Decision {
		level, found := levels[stack]
		if !found {
			level = store.DefaultPermission(stack, who.ID).Level
		}
		on := target{stack: stack}
		resource, _ := c.resource(on) // the zero resource, of a faulty id, denies
		keys, err := withTags(who.context, tags[stack], on)
		if err != nil {
			resource = iam.Resource{} // in doubt about conditions nothing is allowed
		}
		return authz.Decide(authz.Request{
			Principal: who.ARN, Action: action, Resource: resource, Stack: stack, Level: level,
			Rights: who.rights, SelfManagement: who.SelfManagement, Context: keys,
		})
	}, nil
}
