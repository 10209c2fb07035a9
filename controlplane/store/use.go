package store

import (
	"context"
	"fmt"
	"time"

	"latchkey/authz"
)

// KeyUse is when a user was last seen to log in with a key on an instance.
type KeyUse struct {
	User        authz.UserID
	Fingerprint string           // empty: without a key, or with one that is not known
	Instance    authz.InstanceID // zero: one that is gone, or of several instances the newest
	At          time.Time
	Proved      bool // the instance knows it from its system, not from a log file alone
}

const selectUse = `SELECT u.user_id, u.fingerprint, u.instance_id, u.used_at, u.proved FROM key_uses u`

// KeyUsesOf returns when a user was seen, newest first.
func (v View) KeyUsesOf(ctx context.Context, user authz.UserID) ([]KeyUse, error) {
	return list(ctx, v, scanUse, selectUse+` WHERE u.user_id = $1 ORDER BY u.used_at DESC, u.fingerprint, u.instance_id`, user.String())
}

// KeyUsesOn returns when a user, the zero one is everybody, was seen on the instances of
// a stack, newest first.
func (v View) KeyUsesOn(ctx context.Context, stack authz.StackID, user authz.UserID) ([]KeyUse, error) {
	return list(ctx, v, scanUse, selectUse+` JOIN instances i ON i.id = u.instance_id
		WHERE i.stack_id = $1 AND ($2 = '' OR u.user_id = $2) ORDER BY u.used_at DESC, u.user_id, u.fingerprint, u.instance_id`,
		stack.String(), user.String())
}

// LastUses returns the newest use of each user and key, wherever it was.
func (v View) LastUses(ctx context.Context) ([]KeyUse, error) {
	return list(ctx, v, scanUse, `
		SELECT user_id, fingerprint, '', max(used_at), max(proved) FROM key_uses
		GROUP BY user_id, fingerprint ORDER BY user_id, fingerprint`)
}

func scanUse(s scanner) (u KeyUse, err error) {
	var user, instance string
	var at int64
	if err := s.Scan(&user, &u.Fingerprint, &instance, &at, &u.Proved); err != nil {
		return u, err
	}
	u.At = time.Unix(at, 0).UTC()
	if u.User, err = authz.ParseUserID(user); err != nil {
		return KeyUse{}, fmt.Errorf("%w: use of a key: %v", ErrCorrupt, err)
	}
	if instance == "" {
		return u, nil
	}
	if u.Instance, err = authz.ParseInstanceID(instance); err != nil {
		return KeyUse{}, fmt.Errorf("%w: use of a key of user %s: %v", ErrCorrupt, u.User, err)
	}
	return u, nil
}

// PutKeyUse keeps a use, if it is newer than what is kept of its user, key and instance,
// and of the user's keys on the instance so many, those last used.
func (o Observation) PutKeyUse(ctx context.Context, u KeyUse, keep int) error {
	n, err := o.exec(ctx, `
		INSERT INTO key_uses (user_id, fingerprint, instance_id, used_at, proved) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (user_id, fingerprint, instance_id) DO UPDATE SET used_at = excluded.used_at, proved = excluded.proved
			WHERE excluded.used_at > key_uses.used_at`,
		u.User.String(), u.Fingerprint, u.Instance.String(), u.At.Unix(), u.Proved)
	if err != nil || n == 0 {
		return wrapUse(u, err)
	}
	_, err = o.exec(ctx, `
		DELETE FROM key_uses WHERE user_id = $1 AND instance_id = $2 AND fingerprint NOT IN
			(SELECT fingerprint FROM key_uses WHERE user_id = $1 AND instance_id = $2 ORDER BY used_at DESC, fingerprint LIMIT $3)`,
		u.User.String(), u.Instance.String(), keep)
	return wrapUse(u, err)
}

func wrapUse(u KeyUse, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("keep use of a key of %s on %s: %w", u.User, u.Instance, err)
}

// forgetWhere makes the uses of an instance those of one that is gone, of which the
// newest of each key is kept.
func (t *Tx) forgetWhere(ctx context.Context, id authz.InstanceID) error {
	_, err := t.exec(ctx, `
		INSERT INTO key_uses (user_id, fingerprint, instance_id, used_at, proved)
		SELECT user_id, fingerprint, '', used_at, proved FROM key_uses WHERE instance_id = $1
		ON CONFLICT (user_id, fingerprint, instance_id) DO UPDATE SET used_at = excluded.used_at, proved = excluded.proved
			WHERE excluded.used_at > key_uses.used_at`, id.String())
	if err == nil {
		_, err = t.exec(ctx, `DELETE FROM key_uses WHERE instance_id = $1`, id.String())
	}
	if err != nil {
		return fmt.Errorf("keep uses of keys on %s: %w", id, err)
	}
	return nil
}

// Inventory is what an instance said of the access on it that is not ours.
type Inventory struct {
	Instance authz.InstanceID
	TakenAt  time.Time
	Body     []byte // JSON; the store does not read it
}

// Inventory returns the last one of an instance, or ErrNotFound.
func (v View) Inventory(ctx context.Context, id authz.InstanceID) (Inventory, error) {
	return one(ctx, v, scanInventory, `SELECT instance_id, taken_at, body FROM inventories WHERE instance_id = $1`, id.String())
}

func scanInventory(s scanner) (i Inventory, err error) {
	var id string
	var at int64
	if err := s.Scan(&id, &at, &i.Body); err != nil {
		return i, err
	}
	i.TakenAt = time.Unix(at, 0).UTC()
	i.Instance, err = authz.ParseInstanceID(id)
	return i, err
}

// PutInventory keeps an inventory in the place of the last.
func (o Observation) PutInventory(ctx context.Context, i Inventory) error {
	_, err := o.exec(ctx, `
		INSERT INTO inventories (instance_id, taken_at, body) VALUES ($1, $2, $3)
		ON CONFLICT (instance_id) DO UPDATE SET taken_at = excluded.taken_at, body = excluded.body`,
		i.Instance.String(), i.TakenAt.Unix(), string(i.Body))
	if err != nil {
		return fmt.Errorf("keep inventory of %s: %w", i.Instance, err)
	}
	return nil
}
