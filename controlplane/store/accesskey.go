package store

import (
	"context"
	"fmt"

	"latchkey/authz"
)

// AccessKey is an API credential. Its secret is sealed with a key that is not in
// the database.
type AccessKey struct {
	ID     string
	User   authz.UserID
	ARN    authz.ARN // of the user; read only
	Secret []byte
}

// AccessKey finds an access key with its owner's ARN, or returns ErrNotFound.
func (v View) AccessKey(ctx context.Context, id string) (AccessKey, error) {
	return one(ctx, v, scanAccessKey, `
		SELECT k.id, k.user_id, u.arn, k.secret FROM access_keys k JOIN users u ON u.id = k.user_id
		WHERE k.id = $1`, id)
}

func scanAccessKey(s scanner) (k AccessKey, err error) {
	var user, arn string
	if err := s.Scan(&k.ID, &user, &arn, &k.Secret); err != nil {
		return k, err
	}
	if k.User, err = authz.ParseUserID(user); err != nil {
		return AccessKey{}, fmt.Errorf("%w: access key's user: %v", ErrCorrupt, err)
	}
	if k.ARN, err = authz.ParseARN(arn); err != nil {
		return AccessKey{}, fmt.Errorf("%w: access key's user: %v", ErrCorrupt, err)
	}
	return k, nil
}

// InsertAccessKey adds an access key.
func (t *Tx) InsertAccessKey(ctx context.Context, k AccessKey) error {
	_, err := t.exec(ctx, `INSERT INTO access_keys (id, user_id, secret, created_at) VALUES ($1, $2, $3, $4)`,
		k.ID, k.User.String(), k.Secret, t.Now().Unix())
	if err != nil {
		return fmt.Errorf("insert access key of %s: %w", k.User, err)
	}
	return nil
}
