package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// maxQuestions is how many a batch may hold.
const maxQuestions = 1000

// errQuestions refuses a batch; errUserUnknown is the reason of a decision.
var (
	errQuestions   = name.Refuse("questions_number", "must be 1 to 1000")
	errUserUnknown = name.Refuse("user_unknown", "no user has the ARN")
)

// ruleUser is the rule that denies whoever is no user.
const ruleUser authz.Rule = "user"

// Authorize answers whether a user may do an action, with what decides when he does
// it: authz.Decide, on his policies, levels and tags as they are now. Nothing of the
// caller's own request enters into it.
func (c *ControlPlane) Authorize(ctx context.Context, caller Caller, req AuthorizeRequest) (AuthorizeResponse, error) {
	if _, err := parseARN(req.IamUserArn); err != nil {
		return AuthorizeResponse{}, err
	}
	q, err := c.parseInquiry("", req, c.cfg.Now())
	if err != nil {
		return AuthorizeResponse{}, err
	}
	var out AuthorizeResponse
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authoriseOn(ctx, v, who, "latchkey:Authorize", target{user: q.user}); err != nil {
			return err
		}
		out, err = c.newAsker(v).answer(ctx, q)
		return err
	})
	return out, err
}

// BatchAuthorize answers up to a thousand questions on one state of the store, in
// their order. What one question is answered does not depend on the others.
func (c *ControlPlane) BatchAuthorize(ctx context.Context, caller Caller, req BatchAuthorizeRequest) (BatchAuthorizeResponse, error) {
	var out BatchAuthorizeResponse
	if n := len(req.Questions); n < 1 || n > maxQuestions {
		return out, invalid("Questions", errQuestions)
	}
	now := c.cfg.Now()
	questions := make([]inquiry, len(req.Questions))
	for i, asked := range req.Questions {
		var err error
		if questions[i], err = c.parseInquiry(fmt.Sprintf("Questions[%d].", i), asked, now); err != nil {
			return out, err
		}
	}
	err := c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "latchkey:BatchAuthorize", authz.StackID{}); err != nil {
			return err
		}
		a, err := c.newAsker(v).forMany(ctx)
		if err != nil {
			return err
		}
		out.Decisions = make([]AuthorizeResponse, len(questions))
		for i, q := range questions {
			if out.Decisions[i], err = a.answer(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// asker answers questions on one state of the store, and remembers what it read. It is
// for one goroutine.
type asker struct {
	*ControlPlane
	view     store.View
	subjects map[authz.ARN]principal
	stacks   map[authz.InstanceID]authz.StackID
	// bearing reads what bears on a request, as ControlPlane.facts does.
	bearing func(context.Context, store.View, principal, target) (authz.Permission, []store.Tag, error)
}

func (c *ControlPlane) newAsker(v store.View) *asker {
	return &asker{
		ControlPlane: c, view: v, subjects: map[authz.ARN]principal{}, stacks: map[authz.InstanceID]authz.StackID{}, bearing: c.facts,
	}
}

// forMany makes it read somebody's permissions on all stacks, and the tags of all of
// them, at once: a thousand questions are then a handful of queries.
func (a *asker) forMany(ctx context.Context) (*asker, error) {
	stackTags, err := a.view.StackTags(ctx)
	if err != nil {
		return nil, err
	}
	permissions := map[authz.UserID]func(authz.StackID) authz.Permission{}
	userTags := map[authz.ARN][]store.Tag{}
	a.bearing = func(ctx context.Context, v store.View, who principal, on target) (p authz.Permission, tags []store.Tag, err error) {
		if on.stack.IsZero() {
			tags, err = once(userTags, on.user, func() (tags []store.Tag, err error) {
				_, tags, err = a.facts(ctx, v, who, on)
				return tags, err
			})
			return p, tags, err
		}
		permission, err := once(permissions, who.ID, func() (func(authz.StackID) authz.Permission, error) {
			return permissionsEverywhere(ctx, v, who.ID)
		})
		if err != nil {
			return p, nil, err
		}
		return permission(on.stack), stackTags[on.stack], nil
	}
	return a, nil
}

// once returns what is known under a key, and learns it the first time.
func once[K comparable, V any](known map[K]V, key K, learn func() (V, error)) (V, error) {
	if v, found := known[key]; found {
		return v, nil
	}
	v, err := learn()
	if err == nil {
		known[key] = v
	}
	return v, err
}

// answer decides one question.
func (a *asker) answer(ctx context.Context, q inquiry) (AuthorizeResponse, error) {
	var err error
	if !q.instance.IsZero() {
		q.on.stack, err = once(a.stacks, q.instance, func() (authz.StackID, error) { return a.stackOf(ctx, q.instance) })
		if err != nil {
			return AuthorizeResponse{}, err
		}
	}
	them, err := once(a.subjects, q.user, func() (principal, error) { return a.subject(ctx, a.view, q.user) })
	switch {
	case err != nil:
		return AuthorizeResponse{}, err
	case them.ID.IsZero():
		r := authz.Request{}
		r.Resource, err = a.resource(q.on)
		return showDecision(r, because(errUserUnknown, ruleUser)), err
	}
	p, tags, err := a.bearing(ctx, a.view, them, q.on)
	if err != nil {
		return AuthorizeResponse{}, err
	}
	if them.context, err = them.context.With(q.keys); err != nil {
		return AuthorizeResponse{}, err
	}
	r, err := a.request(them, q.action, q.on, p, tags)
	if err != nil {
		return AuthorizeResponse{}, err
	}
	d := authz.Decide(r)
	if d.Allowed() && !r.Stack.IsZero() && q.action == grantAccessAction {
		d = alsoEnters(d, them.Profile, p, q.on.at)
	}
	return showDecision(r, d), nil
}

// alsoEnters denies what was allowed to somebody who may not enter the stack's
// machines: GrantAccess is for those who may.
func alsoEnters(d authz.Decision, u authz.Profile, p authz.Permission, now time.Time) authz.Decision {
	var why *authz.Refusal
	if _, err := authz.Enter(u, p, now); errors.As(err, &why) {
		return because(why, authz.RuleNone)
	}
	return d
}

// because is a decision that no part of authz.Decide made.
func because(why *authz.Refusal, rule authz.Rule) authz.Decision {
	return authz.Decision{Outcome: iam.ImplicitDeny, Reason: why, Rule: rule, By: why.Text}
}

// stackOf is the stack of an instance. One that is not there has none, and is judged
// on the account, as it is when it is acted on.
func (a *asker) stackOf(ctx context.Context, id authz.InstanceID) (authz.StackID, error) {
	i, err := a.view.Instance(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return authz.StackID{}, nil
	}
	return i.Stack, err
}

// subject is who a question is about, with the condition keys that say who he is and
// none of a request; the zero value where there is no such user.
func (c *ControlPlane) subject(ctx context.Context, v store.View, arn authz.ARN) (principal, error) {
	p, err := v.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return principal{}, nil
	}
	if err != nil {
		return principal{}, err
	}
	them, err := c.principal(ctx, v, p)
	if err != nil {
		return principal{}, err
	}
	them.context, err = iam.NewContext(c.circumstances(them, Caller{}).PrincipalKeys())
	return them, err
}

func showDecision(r authz.Request, d authz.Decision) AuthorizeResponse {
	out := AuthorizeResponse{
		Decision: d.Outcome.String(), Rule: string(d.Rule), Text: d.By, Policy: d.Policy, Sid: d.Match.Sid,
		Resource: r.Resource.String(),
	}
	if d.Reason != nil {
		out.Reason = d.Reason.Code
	}
	if d.Policy != "" && d.Reason != iam.ErrPolicy { // a malformed policy has no statements
		statement := int64(d.Match.Statement)
		out.Statement = &statement
	}
	if !r.Stack.IsZero() && !r.Principal.IsZero() {
		out.Level = r.Level.String()
	}
	return out
}
