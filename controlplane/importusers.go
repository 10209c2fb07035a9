package controlplane

import (
	"context"
	"errors"
	"slices"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// errImportSelf refuses what would end the caller's own access.
var errImportSelf = name.Refuse("import_self", "the caller's own profile would be replaced, and own permissions end; somebody else may do it")

// ImportUsers imports profiles of another control plane. A user is known by the ARN.
// One who is not there is made, and is at iam_only on every stack. One who is there
// and is different is replaced, as in the original: login name, key and
// self-management become those of the file, and all permissions end; but a deny
// stays, since an import is not to lift one. A new key for somebody who may enter
// where the caller could not let himself in is refused, although that entry ends
// too: whoever gives it back later gives it to the user he knows.
func (c *ControlPlane) ImportUsers(ctx context.Context, caller Caller, req ImportUsersRequest) (ImportUsersResponse, error) {
	wishes := make([]importedProfile, len(req.UserProfiles))
	for i, p := range req.UserProfiles {
		wishes[i] = parseImported(p)
	}
	out, err := c.importAll(ctx, caller, "latchkey:ImportUsers", req.Apply, func(im *importing) error {
		for _, w := range wishes {
			e := &importEntity{kind: importUser, name: w.name}
			if err := im.try(ctx, e, func() error { return im.profile(ctx, e, w) }); err != nil {
				return err
			}
		}
		return nil
	})
	return ImportUsersResponse{out}, err
}

// importedProfile is a wish for all of a profile, and why it is refused.
type importedProfile struct {
	name string // as the answer has it
	profileWish
	fault error
}

func parseImported(p ImportedProfile) importedProfile {
	w := importedProfile{name: importQuoted(p.IamUserArn)}
	login := &p.SshUsername
	if p.SshUsername == "" {
		login = nil
	}
	w.profileWish, w.fault = parseWish(p.IamUserArn, login, &p.SshPublicKey, &p.AllowSelfManagement)
	if login == nil {
		w.login = &authz.Username{}
	}
	if !w.arn.IsZero() {
		w.name = w.arn.String()
	}
	if w.fault == nil && p.UnixUid != nil {
		w.uid, w.fault = parseImportedUID(*p.UnixUid, w.login.IsZero())
	}
	return w
}

// errImportNoLogin refuses a uid that nothing goes with.
var errImportNoLogin = name.Refuse("import_no_login", "there is no login name that it goes with")

func parseImportedUID(n int64, noLogin bool) (*authz.UID, error) {
	if noLogin {
		return nil, invalid("Unix Uid", errImportNoLogin)
	}
	uid, err := authz.CheckUID(uint64(n)) // a negative one becomes huge
	if err != nil {
		return nil, invalid("Unix Uid", err)
	}
	return &uid, nil
}

func (im *importing) profile(ctx context.Context, e *importEntity, w importedProfile) error {
	if w.fault != nil {
		return w.fault
	}
	before, err := im.UserByARN(ctx, w.arn)
	e.created = errors.Is(err, store.ErrNotFound)
	switch {
	case err != nil && !e.created:
		return err
	case e.created:
		before = authz.Profile{ID: newID(authz.ParseUserID), ARN: w.arn}
	case w.is(before):
		return nil
	case before.ID == im.who.ID:
		return &Error{Code: Invalid, Message: errImportSelf.Text, Err: errImportSelf}
	}
	after := before
	if w.login.IsZero() { // which nobody else can have
		after.Username, after.UID, w.login = authz.Username{}, 0, nil
	}
	if err := im.c.fulfil(ctx, im.change, &after, w.profileWish); err != nil {
		return err
	}
	e.profile(before, after)
	if e.created {
		return im.InsertUser(ctx, after)
	}
	return im.replace(ctx, e, before, after)
}

// is reports whether a profile is as wished already.
func (w importedProfile) is(p authz.Profile) bool {
	same := func(a, b authz.Key) bool { return a.String() == b.String() }
	return *w.login == p.Username && (w.uid == nil || *w.uid == p.UID) && *w.selfManagement == p.SelfManagement && slices.EqualFunc(*w.keys, p.Keys, same)
}

// profile says how two profiles differ.
func (e *importEntity) profile(before, after authz.Profile) {
	switch {
	case before.Username == after.Username && before.UID == after.UID:
	case after.Username.IsZero():
		e.takes("login name %s removed", before.Username)
	case before.Username.IsZero():
		e.gives("login name %s (uid %s)", after.Username, after.UID)
	default:
		e.takes("login name %s (uid %s) instead of %s", after.Username, after.UID, before.Username)
	}
	holds := func(keys []authz.Key, wanted authz.Key) bool {
		return slices.ContainsFunc(keys, func(k authz.Key) bool { return k.String() == wanted.String() })
	}
	for _, k := range before.Keys {
		if !holds(after.Keys, k) {
			e.takes("key %s %s removed", k.Type(), k.Fingerprint())
		}
	}
	for _, k := range after.Keys {
		if !holds(before.Keys, k) {
			e.gives("key %s %s", k.Type(), k.Fingerprint())
		}
	}
	switch {
	case after.SelfManagement && !before.SelfManagement:
		e.gives("self-management")
	case before.SelfManagement && !after.SelfManagement:
		e.takes("self-management ends")
	}
}

// replace writes a changed profile and ends what the user may do on stacks.
func (im *importing) replace(ctx context.Context, e *importEntity, before, after authz.Profile) error {
	if rekeyed(before.Keys, after.Keys) {
		if err := im.c.mayEnterAs(ctx, im.change, before); err != nil {
			return err
		}
	}
	if err := im.UpdateUser(ctx, after); err != nil {
		return err
	}
	permissions, err := im.PermissionsOf(ctx, after.ID)
	if err != nil {
		return err
	}
	ended, denied := 0, 0
	for _, p := range permissions {
		left := over(p)
		if left.Level == authz.LevelDeny {
			denied++
		} else {
			ended++
		}
		if err := im.SetPermission(ctx, left); err != nil {
			return err
		}
		if err := im.raiseIf(ctx, p.Stack, before.ID, im.access(before, p), im.access(after, left)); err != nil {
			return err
		}
	}
	if ended > 0 {
		e.takes("permissions become iam_only (stacks: %d)", ended)
	}
	if denied > 0 {
		e.takes("deny stays, without SSH and sudo (stacks: %d)", denied)
	}
	return nil
}

// rekeyed reports whether there is a key that was not there.
func rekeyed(before, after []authz.Key) bool {
	return slices.ContainsFunc(after, func(k authz.Key) bool {
		return !slices.ContainsFunc(before, func(o authz.Key) bool { return o.String() == k.String() })
	})
}
