package store

import (
	"context"
	"fmt"
	"time"

	"latchkey/authz"
)

// AccessKey is an API credential. Its secret is sealed with a key that is not in
// the database.
type AccessKey struct {
	ID     string
	User   authz.UserID
	ARN    authz.ARN // of the user; read only
	Secret []byte
	// Active and CreatedAt are read only. A key that is not active proves nothing.
	Active    bool
	CreatedAt time.Time
}

const selectAccessKey = `
	SELECT k.id, k.user_id, u.arn, k.secret, k.active, k.created_at FROM access_keys k JOIN users u ON u.id = k.user_id`

// AccessKey finds an access key with its owner's ARN, active or not, or returns
// ErrNotFound.
func (v View) AccessKey(ctx context.Context, id string) (AccessKey, error) {
	return one(ctx, v, scanAccessKey, selectAccessKey+` WHERE k.id = $1`, id)
}

// AccessKeysOf returns the access keys of a user, oldest first.
func (v View) AccessKeysOf(ctx context.Context, user authz.UserID) ([]AccessKey, error) {
	return list(ctx, v, scanAccessKey, selectAccessKey+` WHERE k.user_id = $1 ORDER BY k.created_at, k.id`, user.String())
}

func scanAccessKey(s scanner) (k AccessKey, err error) {
	var user, arn string
	var created int64
	if err := s.Scan(&k.ID, &user, &arn, &k.Secret, &k.Active, &created); err != nil {
		return k, err
	}
	k.CreatedAt = time.Unix(created, 0).UTC()
	if k.User, err = authz.ParseUserID(user); err != nil {
		return AccessKey{}, fmt.Errorf("%w: access key's user: %v", ErrCorrupt, err)
	}
	if k.ARN, err = authz.ParseARN(arn); err != nil {
		return AccessKey{}, fmt.Errorf("%w: access key's user: %v", ErrCorrupt, err)
	}
	return k, nil
}

// InsertAccessKey adds an active access key.
func (t *Tx) InsertAccessKey(ctx context.Context, k AccessKey) error {
	_, err := t.exec(ctx, `INSERT INTO access_keys (id, user_id, secret, created_at) VALUES ($1, $2, $3, $4)`,
		k.ID, k.User.String(), k.Secret, t.Now().Unix())
	if err != nil {
		return fmt.Errorf("insert access key of %s: %w", k.User, err)
	}
	return nil
}

// SetAccessKeyActive says whether an access key proves anything from now on. An
// unknown one is ErrNotFound.
func (t *Tx) SetAccessKeyActive(ctx context.Context, id string, active bool) error {
	n, err := t.exec(ctx, `UPDATE access_keys SET active = $1 WHERE id = $2`, active, id)
	if err != nil {
		return fmt.Errorf("set access key %s active: %w", id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// DeleteAccessKey removes an access key, or returns ErrNotFound.
func (t *Tx) DeleteAccessKey(ctx context.Context, id string) error {
	n, err := t.exec(ctx, `DELETE FROM access_keys WHERE id = $1`, id)
	if err != nil {
		return fmt.Errorf("delete access key %s: %w", id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
