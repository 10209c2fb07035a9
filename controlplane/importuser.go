package controlplane

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

func (im *iamImport) user(ctx context.Context, u importedUser) error {
	e := &importEntity{kind: importUser, name: u.name}
	return im.try(ctx, e, func() error {
		if u.arn.IsZero() {
			return u.fault
		}
		return im.putUser(ctx, e, u)
	})
}

// putUser takes away what the file does not have before it looks at anything else,
// so that the entry of a user who is refused names it.
func (im *iamImport) putUser(ctx context.Context, e *importEntity, u importedUser) error {
	p, err := im.UserByARN(ctx, u.arn)
	e.created = errors.Is(err, store.ErrNotFound)
	if err != nil && !e.created {
		return err
	}
	var before store.Holdings
	if !e.created {
		if before, err = im.Holdings(ctx, p.ID); err != nil {
			return err
		}
	}
	have := heldByUser(p.ID, before)
	if err := im.take(ctx, e, have, u.importedHolder); err != nil {
		return err
	}
	if err := im.leave(ctx, e, p.ID, before, u); err != nil {
		return err
	}
	if u.fault != nil {
		return u.fault
	}
	if e.created {
		if p, err = im.newcomer(ctx, e, u.arn); err != nil {
			return err
		}
		have.Holder = store.HeldByUser(p.ID)
	}
	if err := im.bound(ctx, e, p.ID, before.Boundary, u.boundary); err != nil {
		return err
	}
	given, err := im.give(ctx, e, have, u.importedHolder)
	if err != nil {
		return err
	}
	if err := im.join(ctx, e, p.ID, before, u); err != nil {
		return err
	}
	return im.checkUser(ctx, e, p, have.Holder, given)
}

// checkUser judges a user as he is after the import.
func (im *iamImport) checkUser(ctx context.Context, e *importEntity, p authz.Profile, h store.Holder, given []iam.Policy) error {
	if !e.created && len(e.lines) == 0 {
		return nil
	}
	if len(given) > 0 {
		if err := checkInline(ctx, im.View, h, iam.MaxInlineUser, errInlineUser); err != nil {
			return err
		}
	}
	if err := im.mayGive(ctx, given, []store.Identity{{ID: p.ID, ARN: p.ARN}}); err != nil {
		return err
	}
	if p.ID != im.who.ID {
		return nil
	}
	return im.keepsRight(ctx)
}

func heldByUser(id authz.UserID, all store.Holdings) importHeld {
	have := importHeld{Holder: store.HeldByUser(id), inline: map[string][]byte{}}
	for _, p := range all.Policies {
		switch {
		case p.Group != "":
		case p.Managed:
			have.attached = append(have.attached, p.Name)
		default:
			have.inline[p.Name] = p.Document
		}
	}
	return have
}

// newcomer makes the profile of a user who is not there.
func (im *iamImport) newcomer(ctx context.Context, e *importEntity, arn authz.ARN) (authz.Profile, error) {
	p, err := im.c.insertImplicit(ctx, im.Tx, arn)
	if err != nil {
		return p, err
	}
	login, fault := authz.DeriveUsername(arn)
	switch {
	case fault != nil:
		e.gives("no login name: %v", fault)
	case p.Username.IsZero():
		e.gives("no login name: %s is taken", login)
	default:
		e.gives("login name %s (uid %s)", p.Username, p.UID)
	}
	return p, nil
}

// leave takes a user out of groups, and takes tags from him.
func (im *iamImport) leave(ctx context.Context, e *importEntity, id authz.UserID, before store.Holdings, u importedUser) error {
	for _, g := range before.Groups {
		if _, stays := u.groups[strings.ToLower(g)]; stays {
			continue
		}
		e.takes("leave group %s", g)
		if err := im.RemoveMember(ctx, g, id); err != nil {
			return err
		}
	}
	for _, t := range before.Tags {
		if slices.ContainsFunc(u.tags, func(o store.Tag) bool { return o.Key == t.Key }) {
			continue
		}
		e.takes("tag %s removed", t.Key)
		if err := im.DeleteTag(ctx, store.OfUser(id), t.Key); err != nil {
			return err
		}
	}
	return nil
}

// join puts a user into groups, and gives him tags.
func (im *iamImport) join(ctx context.Context, e *importEntity, id authz.UserID, before store.Holdings, u importedUser) error {
	for _, folded := range slices.Sorted(maps.Keys(u.groups)) {
		g, err := im.joinable(ctx, u.groups[folded])
		if err != nil {
			return err
		}
		if containsName(before.Groups, g) {
			continue
		}
		e.gives("join group %s", g)
		if err := im.AddMember(ctx, g, id); err != nil {
			return err
		}
	}
	for _, t := range u.tags {
		if slices.Contains(before.Tags, t) {
			continue
		}
		e.takes("tag %s=%s", t.Key, t.Value) // another value may be one that a policy denies
		if err := im.SetTag(ctx, store.OfUser(id), t); err != nil {
			return err
		}
	}
	return nil
}

// bound gives a user the boundary that the file has, or takes it from him.
func (im *iamImport) bound(ctx context.Context, e *importEntity, id authz.UserID, before *store.Held, ref *importRef) error {
	had, boundary := "", ""
	if before != nil {
		had = before.Name
	}
	if ref != nil {
		var err error
		if boundary, err = im.attachable(ctx, *ref); err != nil {
			return err
		}
	}
	switch {
	case strings.EqualFold(had, boundary):
		return nil
	case boundary == "":
		e.gives("boundary %s removed", had)
	default:
		e.takes("boundary %s", boundary)
	}
	return im.SetBoundary(ctx, id, boundary)
}
