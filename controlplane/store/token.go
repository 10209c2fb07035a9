package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"latchkey/authz"
)

// JoinToken lets one machine join one stack. Hash is wire.HashSecret of the
// token's secret; the secret itself is nowhere.
type JoinToken struct {
	Hash      string
	Stack     authz.StackID
	CreatedBy authz.UserID
	Maker     authz.ARN // of CreatedBy; read only
	ExpiresAt time.Time
	// Used tells whether a machine has joined with it; Instance and PublicKey are
	// that machine's.
	Used      bool
	Instance  authz.InstanceID
	PublicKey string
}

// JoinToken finds a token by its hash, or returns ErrNotFound. The index compares
// hashes of 32 random bytes, so how long it takes tells nothing about a secret.
func (v View) JoinToken(ctx context.Context, hash string) (JoinToken, error) {
	return one(ctx, v, scanToken, `
		SELECT t.hash, t.stack_id, t.created_by, u.arn, t.expires_at, t.used_at, t.instance_id, t.public_key
		FROM join_tokens t JOIN users u ON u.id = t.created_by WHERE t.hash = $1`, hash)
}

func scanToken(s scanner) (t JoinToken, err error) {
	var stack, maker, arn string
	var expires int64
	var used sql.NullInt64
	var instance, key sql.NullString
	if err := s.Scan(&t.Hash, &stack, &maker, &arn, &expires, &used, &instance, &key); err != nil {
		return t, err
	}
	t.ExpiresAt, t.Used, t.PublicKey = time.Unix(expires, 0).UTC(), used.Valid, key.String
	if t.Stack, err = authz.ParseStackID(stack); err != nil {
		return JoinToken{}, fmt.Errorf("%w: join token's stack: %v", ErrCorrupt, err)
	}
	if t.CreatedBy, err = authz.ParseUserID(maker); err != nil {
		return JoinToken{}, fmt.Errorf("%w: join token's maker: %v", ErrCorrupt, err)
	}
	if t.Maker, err = authz.ParseARN(arn); err != nil {
		return JoinToken{}, fmt.Errorf("%w: join token's maker: %v", ErrCorrupt, err)
	}
	if t.Used {
		t.Instance, err = authz.ParseInstanceID(instance.String)
	}
	return t, err
}

// InsertJoinToken adds an unused token, and forgets those that ended before the
// instant given: by then even a repeated enrolment has long had its answer.
func (t *Tx) InsertJoinToken(ctx context.Context, token JoinToken, forget time.Time) error {
	if _, err := t.exec(ctx, `DELETE FROM join_tokens WHERE expires_at < $1`, forget.Unix()); err != nil {
		return fmt.Errorf("forget old join tokens: %w", err)
	}
	_, err := t.exec(ctx, `
		INSERT INTO join_tokens (hash, stack_id, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		token.Hash, token.Stack.String(), token.CreatedBy.String(), t.Now().Unix(), token.ExpiresAt.Unix())
	if err != nil {
		return fmt.Errorf("insert join token: %w", err)
	}
	return nil
}

// UseJoinToken uses a token up for an instance, in one statement that holds every
// condition: known, not used, not ended (requirement R83). It reports whether it did.
func (t *Tx) UseJoinToken(ctx context.Context, hash string, instance authz.InstanceID, publicKey string) (bool, error) {
	n, err := t.exec(ctx, `
		UPDATE join_tokens SET used_at = $1, instance_id = $2, public_key = $3
		WHERE hash = $4 AND used_at IS NULL AND expires_at > $1`,
		t.Now().Unix(), instance.String(), publicKey, hash)
	if err != nil {
		return false, fmt.Errorf("use join token: %w", err)
	}
	return n == 1, nil
}
