package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// maxAttached is IAM's: managed policies of a user, or of a group ("IAM and AWS STS
// quotas").
const maxAttached = 10

var errAttachedMany = name.Refuse("attached_many", "10 managed policies are attached already, which is the most; detach one first")

// holder is a user or a group, as what has policies.
type holder struct {
	store.Holder
	title  string // "user ARN", "group NAME"
	name   string // for the audit log
	limit  int    // of all inline policies together
	why    *authz.Refusal
	people func(context.Context, store.View) ([]store.Identity, error) // who has them through it
}

// userHolder finds a user as a holder.
func userHolder(ctx context.Context, v store.View, arn authz.ARN) (holder, error) {
	u, err := knownUser(ctx, v, arn)
	return holder{
		Holder: store.HeldByUser(u.ID), title: "user " + arn.String(), name: arn.String(),
		limit: iam.MaxInlineUser, why: errInlineUser,
		people: func(context.Context, store.View) ([]store.Identity, error) { return []store.Identity{identity(u)}, nil },
	}, err
}

// groupHolder finds a group as a holder.
func groupHolder(ctx context.Context, v store.View, given string) (holder, error) {
	g, err := knownGroup(ctx, v, given)
	return holder{
		Holder: store.HeldByGroup(g.Name), title: "group " + g.Name, name: g.Name,
		limit: iam.MaxInlineGroup, why: errInlineGroup,
		people: func(ctx context.Context, v store.View) ([]store.Identity, error) { return v.Members(ctx, g.Name) },
	}, err
}

func knownUser(ctx context.Context, v store.View, arn authz.ARN) (authz.Profile, error) {
	u, err := v.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return authz.Profile{}, noUser(arn)
	}
	return u, err
}

func knownGroup(ctx context.Context, v store.View, given string) (store.Group, error) {
	g, err := v.Group(ctx, given)
	if errors.Is(err, store.ErrNotFound) {
		return store.Group{}, &Error{Code: NotFound, Message: "Unable to find group with name " + given}
	}
	return g, err
}

func (h holder) lacks(policy string) *Error {
	return &Error{Code: NotFound, Message: "Unable to find policy " + policy + " of " + h.title}
}

// inline is an inline policy as a request gives it.
type inline struct {
	name string
	document
}

func parseInline(given string, raw json.RawMessage) (p inline, err error) {
	if p.name, err = parseName("Policy Name", given); err != nil {
		return p, err
	}
	p.document, err = parseDocument("Policy Document", raw)
	return p, err
}

// ownInline returns the text of an inline policy; nil is none.
func ownInline(ctx context.Context, v store.View, h holder, policy string) ([]byte, error) {
	all, err := v.InlinePolicies(ctx, h.Holder)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(p store.InlinePolicy) bool { return p.Name == policy })
	if i < 0 {
		return nil, nil
	}
	return all[i].Document, nil
}

func (c *ControlPlane) putInline(ctx context.Context, a alteration, h holder, p inline, undo authz.Action) error {
	before, err := ownInline(ctx, a.View, h, p.name)
	if err != nil {
		return err
	}
	o := outcome{gives: []iam.Policy{p.policy}}
	if before != nil {
		people, err := h.people(ctx, a.View)
		if err != nil {
			return err
		}
		o = replacing(c.documents.parse(before), p.policy, people)
	}
	o.undo = undo
	a.Record(h.name, changed(p.name, before, p.text))
	return c.carryOut(ctx, a, o, func() error {
		if err := a.PutInlinePolicy(ctx, h.Holder, store.InlinePolicy{Name: p.name, Document: p.text}); err != nil {
			return err
		}
		return checkInline(ctx, a.View, h.Holder, h.limit, h.why)
	})
}

func (c *ControlPlane) deleteInline(ctx context.Context, a alteration, h holder, policy string, undo authz.Action) error {
	before, err := ownInline(ctx, a.View, h, policy)
	if err != nil {
		return err
	}
	if before == nil {
		return h.lacks(policy)
	}
	people, err := h.people(ctx, a.View)
	if err != nil {
		return err
	}
	o := removing(c.documents.parse(before), people)
	o.undo = undo
	a.Record(h.name, changed(policy, before, nil))
	return c.carryOut(ctx, a, o, func() error { return a.DeleteInlinePolicy(ctx, h.Holder, policy) })
}

func (c *ControlPlane) attach(ctx context.Context, a alteration, h holder, policy string, undo authz.Action) error {
	m, err := c.managed(ctx, a.View, policy)
	if err != nil {
		return err
	}
	a.Record(h.name, map[string]string{"attached": m.Name})
	o := outcome{gives: []iam.Policy{c.documents.parse(m.Document)}, undo: undo}
	return c.carryOut(ctx, a, o, func() error {
		if err := a.AttachPolicy(ctx, h.Holder, m.Name); err != nil {
			return err
		}
		all, err := a.AttachedPolicies(ctx, h.Holder)
		if err == nil && len(all) > maxAttached {
			err = invalid("Policy Name", errAttachedMany)
		}
		return err
	})
}

// detach takes away also what names a policy that is not there, which denied
// everything.
func (c *ControlPlane) detach(ctx context.Context, a alteration, h holder, policy string, undo authz.Action) error {
	all, err := a.AttachedPolicies(ctx, h.Holder)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(n string) bool { return strings.EqualFold(n, policy) })
	if i < 0 {
		return h.lacks(policy)
	}
	text, err := managedDocument(ctx, a.View, all[i])
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	people, err := h.people(ctx, a.View)
	if err != nil {
		return err
	}
	o := removing(c.documents.parse(text), people)
	o.undo = undo
	a.Record(h.name, map[string]string{"detached": all[i]})
	return c.carryOut(ctx, a, o, func() error { return a.DetachPolicy(ctx, h.Holder, all[i]) })
}
