package controlplane

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

// target is what an action works on: a stack, a user, something else with an ARN that
// policies alone decide about, or none of these, which is the account.
type target struct {
	stack authz.StackID
	user  authz.ARN
	other iam.Resource
	// tags are those that the request gives; keys only, without values, those that it
	// takes away.
	tags    map[string]string
	tagKeys []string
	// at is when it is asked for; the zero time: now.
	at time.Time
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

// question completes what authz.Decide is asked with what the store has.
func (c *ControlPlane) question(
	ctx context.Context, v store.View, who principal, action authz.Action, on target,
) (authz.Request, error) {
	p, tags, err := c.facts(ctx, v, who, on)
	if err != nil {
		return authz.Request{}, err
	}
	return c.request(who, action, on, p, tags)
}

// facts reads what bears on one question: the permission on its stack, and the tags
// of its resource.
func (c *ControlPlane) facts(
	ctx context.Context, v store.View, who principal, on target,
) (p authz.Permission, tags []store.Tag, err error) {
	switch {
	case !on.stack.IsZero():
		if p, err = v.Permission(ctx, on.stack, who.ID); err != nil {
			return p, nil, err
		}
		tags, err = v.Tags(ctx, store.OfStack(on.stack))
	case !on.user.IsZero():
		tags, err = tagsOfUser(ctx, v, on.user)
	}
	return p, tags, err
}

// request is the question in full.
func (c *ControlPlane) request(
	who principal, action authz.Action, on target, p authz.Permission, tags []store.Tag,
) (authz.Request, error) {
	q := authz.Request{
		Principal: who.ARN, Action: action, Stack: on.stack, Level: inForce(p, cmp.Or(on.at, c.cfg.Now())).Level,
		Rights: who.rights, SelfManagement: who.SelfManagement,
	}
	var err error
	if q.Resource, err = c.resource(on); err != nil {
		return q, err
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
	case !on.other.IsZero():
		return on.other, nil
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
	permission, err := permissionsEverywhere(ctx, v, who.ID)
	if err != nil {
		return nil, err
	}
	tags, err := v.StackTags(ctx)
	if err != nil {
		return nil, err
	}
	return func(action authz.Action, stack authz.StackID) authz.Decision {
		q, err := c.request(who, action, target{stack: stack}, permission(stack), tags[stack])
		if err != nil {
			q.Resource = iam.Resource{} // in doubt nothing is allowed
		}
		return authz.Decide(q)
	}, nil
}

// permissionsEverywhere reads somebody's permissions on all stacks, once.
func permissionsEverywhere(ctx context.Context, v store.View, user authz.UserID) (func(authz.StackID) authz.Permission, error) {
	own, err := v.PermissionsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	byStack := make(map[authz.StackID]authz.Permission, len(own))
	for _, p := range own {
		byStack[p.Stack] = p
	}
	return func(stack authz.StackID) authz.Permission {
		if p, found := byStack[stack]; found {
			return p
		}
		return store.DefaultPermission(stack, user)
	}, nil
}
