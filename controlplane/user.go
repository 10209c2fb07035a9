package controlplane

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// profileWish is what a request wants of a profile; nil keeps what is.
type profileWish struct {
	arn            authz.ARN
	login          *authz.Username
	keys           *[]authz.Key
	selfManagement *bool
	uid            *authz.UID // to go with login; nil: any
}

func parseWish(arn string, login, key *string, selfManagement *bool) (w profileWish, err error) {
	if w.arn, err = parseARN(arn); err != nil {
		return w, err
	}
	if login != nil {
		canonical, err := name.Canonical(*login)
		if err != nil {
			return w, invalid("Ssh Username", err)
		}
		w.login = &canonical
	}
	if key != nil {
		keys, err := parseKeys(*key)
		if err != nil {
			return w, invalid("Ssh Public Key", err)
		}
		w.keys = &keys
	}
	w.selfManagement = selfManagement
	return w, nil
}

// parseKeys reads the one key of the API; the empty string is no key.
func parseKeys(text string) ([]authz.Key, error) {
	if text == "" {
		return nil, nil
	}
	key, err := authz.ParseKey(text, authz.KeyPolicy{})
	if err != nil {
		return nil, err
	}
	return []authz.Key{key}, nil
}

// CreateUserProfile makes a profile. Without an SSH user name, or with an empty
// one, the name is derived from the ARN; a given one is brought into canonical
// form. The user has iam_only and no flags on every stack.
func (c *ControlPlane) CreateUserProfile(
	ctx context.Context, caller Caller, req CreateUserProfileRequest,
) (CreateUserProfileResponse, error) {
	if req.SshUsername != nil && *req.SshUsername == "" {
		req.SshUsername = nil
	}
	wish, err := parseWish(req.IamUserArn, req.SshUsername, req.SshPublicKey, req.AllowSelfManagement)
	if err != nil {
		return CreateUserProfileResponse{}, err
	}
	const action = "opsworks:CreateUserProfile"
	p := authz.Profile{ID: newID(authz.ParseUserID), ARN: wish.arn}
	err = c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, authz.StackID{}); err != nil {
			return err
		}
		return c.createUser(ctx, ch, &p, wish)
	})
	if err != nil {
		return CreateUserProfileResponse{}, err
	}
	return CreateUserProfileResponse{IamUserArn: p.ARN.String(), SshUsername: p.Username.String()}, nil
}

func (c *ControlPlane) createUser(ctx context.Context, ch *change, p *authz.Profile, wish profileWish) error {
	switch _, err := ch.UserByARN(ctx, wish.arn); {
	case err == nil:
		return refused("Iam User Arn: %s already has a profile", wish.arn)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if wish.login == nil {
		derived, err := authz.DeriveUsername(wish.arn)
		if err != nil {
			return invalid("Ssh Username, derived from the ARN", err)
		}
		wish.login = &derived
	}
	if err := c.fulfil(ctx, ch, p, wish); err != nil {
		return err
	}
	ch.Record(p.ARN.String(), profileDetail(*p))
	return ch.InsertUser(ctx, *p)
}

// UpdateUserProfile changes what the request names and keeps the rest. A new SSH
// user name is a new account on the instances, with a new uid: the account of the
// old name is revoked there like any other and never becomes the new one
// (requirement R32).
func (c *ControlPlane) UpdateUserProfile(ctx context.Context, caller Caller, req UpdateUserProfileRequest) (Nothing, error) {
	wish, err := parseWish(req.IamUserArn, req.SshUsername, req.SshPublicKey, req.AllowSelfManagement)
	if err != nil {
		return Nothing{}, err
	}
	const action = "opsworks:UpdateUserProfile"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, authz.StackID{}); err != nil {
			return err
		}
		if err := c.mayRekey(ctx, ch, wish); err != nil {
			return err
		}
		return c.updateUser(ctx, ch, wish)
	})
}

// mayRekey refuses a new key for somebody who may enter where the caller could not
// let himself in.
func (c *ControlPlane) mayRekey(ctx context.Context, ch *change, wish profileWish) error {
	if wish.keys == nil || len(*wish.keys) == 0 {
		return nil
	}
	other, err := ch.UserByARN(ctx, wish.arn)
	if errors.Is(err, store.ErrNotFound) {
		return noUser(wish.arn)
	}
	if err != nil {
		return err
	}
	return c.mayEnterAs(ctx, ch, other)
}

func (c *ControlPlane) updateUser(ctx context.Context, ch *change, wish profileWish) error {
	before, err := ch.UserByARN(ctx, wish.arn)
	if errors.Is(err, store.ErrNotFound) {
		return noUser(wish.arn)
	}
	if err != nil {
		return err
	}
	after := before
	if err := c.fulfil(ctx, ch, &after, wish); err != nil {
		return err
	}
	if err := ch.UpdateUser(ctx, after); err != nil {
		return err
	}
	ch.Record(after.ARN.String(), profileDetail(after))
	permissions, err := ch.PermissionsOf(ctx, after.ID)
	if err != nil {
		return err
	}
	for _, p := range permissions {
		if err := ch.raiseIf(ctx, p.Stack, before.ID, ch.access(before, p), ch.access(after, p)); err != nil {
			return err
		}
	}
	return nil
}

// fulfil changes a profile as wished, after checking that name and key are free.
func (c *ControlPlane) fulfil(ctx context.Context, ch *change, p *authz.Profile, wish profileWish) error {
	if wish.login != nil && (*wish.login != p.Username || wish.uid != nil && *wish.uid != p.UID) {
		taken, err := ch.UsernameTaken(ctx, *wish.login, p.ID)
		if err != nil {
			return err
		}
		if taken {
			return refused("Ssh Username: %s is already taken", *wish.login)
		}
		if err := c.rename(ctx, ch.Tx, p, *wish.login, wish.uid); err != nil {
			return err
		}
	}
	if wish.keys != nil {
		for _, k := range *wish.keys {
			taken, err := ch.KeyTaken(ctx, k, p.ID)
			if err != nil {
				return err
			}
			if taken { // it does not say whose: that would tell who uses which key
				return refused("Ssh Public Key: is already in use")
			}
		}
		p.Keys = *wish.keys
	}
	if wish.selfManagement != nil {
		p.SelfManagement = *wish.selfManagement
	}
	return nil
}

// rename gives a profile a login name and, since the name is another account on
// the instances, a uid that nobody ever had: the one wanted, if one is.
func (c *ControlPlane) rename(ctx context.Context, tx *store.Tx, p *authz.Profile, login authz.Username, wanted *authz.UID) error {
	if wanted != nil {
		p.Username, p.UID = login, *wanted
		err := tx.ClaimUID(ctx, p.ID, login, *wanted)
		if errors.Is(err, store.ErrUIDUsed) {
			return invalid("Unix Uid", err)
		}
		return err
	}
	uid, err := tx.AllocateUID(ctx, p.ID, login, c.cfg.MinUID, c.cfg.MaxUID)
	if errors.Is(err, store.ErrUIDsUsedUp) {
		return invalid("Ssh Username", err)
	}
	p.Username, p.UID = login, uid
	return err
}

func profileDetail(p authz.Profile) map[string]string {
	detail := map[string]string{
		"user": p.ID.String(), "ssh_username": p.Username.String(), "uid": p.UID.String(),
		"self_management": strconv.FormatBool(p.SelfManagement),
	}
	for i, k := range p.Keys {
		detail[fmt.Sprintf("key_%d", i+1)] = k.Type() + " " + k.Fingerprint()
	}
	return detail
}

// DeleteUserProfile ends a user with everything he holds: his access to every
// stack, his access keys, policies and the join tokens he made, all in one
// transaction (requirement R118). Nobody can delete himself, so the last
// administrator stays.
func (c *ControlPlane) DeleteUserProfile(ctx context.Context, caller Caller, req DeleteUserProfileRequest) (Nothing, error) {
	arn, err := parseARN(req.IamUserArn)
	if err != nil {
		return Nothing{}, err
	}
	const action = "opsworks:DeleteUserProfile"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, authz.StackID{}); err != nil {
			return err
		}
		if arn == ch.who.ARN {
			return refused("Cannot delete self")
		}
		return deleteUser(ctx, ch, arn)
	})
}

func deleteUser(ctx context.Context, ch *change, arn authz.ARN) error {
	p, err := ch.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return noUser(arn)
	}
	if err != nil {
		return err
	}
	permissions, err := ch.PermissionsOf(ctx, p.ID)
	if err != nil {
		return err
	}
	for _, perm := range permissions {
		if err := ch.raiseIf(ctx, perm.Stack, p.ID, ch.access(p, perm), stackAccess{}); err != nil {
			return err
		}
	}
	ch.Record(arn.String(), profileDetail(p))
	return ch.DeleteUser(ctx, p.ID)
}

// stackAccess is what one user has on a stack.
type stackAccess struct {
	grants []authz.Grant // one, or none
	told   []wire.User   // how he stands in a bundle, if he does
}

// access is what one user has on the stack of a permission. A stack's access is the sum
// of its users', so a change to one user can be judged by him alone.
func (ch *change) access(u authz.Profile, p authz.Permission) stackAccess {
	users, permissions, now := []authz.Profile{u}, []authz.Permission{p}, ch.Now()
	return stackAccess{authz.Resolve(p.Stack, users, permissions, now).Grants, usersIn(p.Stack, users, permissions, now)}
}

// loses reports whether after has less than before: no place in the bundle, no grant,
// less sudo.
func (before stackAccess) loses(after stackAccess) bool {
	switch {
	case len(after.told) == 0, len(before.grants) > 0 && len(after.grants) == 0:
		return len(before.told) > 0
	}
	return len(before.grants) > 0 && !before.grants[0].KeepsSudo(after.grants[0])
}

// raiseIf raises a stack's serial if a user's access changed, and confirms what the
// change takes away: somebody asked for it.
func (ch *change) raiseIf(ctx context.Context, stack authz.StackID, user authz.UserID, before, after stackAccess) error {
	if slices.EqualFunc(before.told, after.told, func(b, a wire.User) bool { return reflect.DeepEqual(b, a) }) {
		return nil
	}
	if before.loses(after) {
		if err := ch.ConfirmRemoval(ctx, stack, user); err != nil {
			return err
		}
	}
	ch.raised = append(ch.raised, stack)
	return ch.RaiseSerial(ctx, stack)
}

// DescribeUserProfiles lists the profiles named, or all, by ARN.
func (c *ControlPlane) DescribeUserProfiles(
	ctx context.Context, caller Caller, req DescribeUserProfilesRequest,
) (DescribeUserProfilesResponse, error) {
	arns, err := parseAll(req.IamUserArns, parseARN)
	if err != nil {
		return DescribeUserProfilesResponse{}, err
	}
	out := DescribeUserProfilesResponse{UserProfiles: []UserProfile{}}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "opsworks:DescribeUserProfiles", authz.StackID{}); err != nil {
			return err
		}
		users, err := usersNamed(ctx, v, arns)
		for _, u := range users {
			out.UserProfiles = append(out.UserProfiles, showProfile(u))
		}
		return err
	})
	return out, err
}

func usersNamed(ctx context.Context, v store.View, arns []authz.ARN) ([]authz.Profile, error) {
	if len(arns) == 0 {
		return v.Users(ctx)
	}
	var users []authz.Profile
	for _, arn := range arns {
		u, err := v.UserByARN(ctx, arn)
		if errors.Is(err, store.ErrNotFound) {
			return nil, noUser(arn)
		}
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

func showProfile(p authz.Profile) UserProfile {
	out := UserProfile{
		IamUserArn: p.ARN.String(), Name: p.ARN.Name(), SshUsername: p.Username.String(),
		AllowSelfManagement: p.SelfManagement,
	}
	if len(p.Keys) > 0 {
		out.SshPublicKey = p.Keys[0].String()
	}
	return out
}
