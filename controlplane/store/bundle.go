package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"latchkey/authz"
)

// Bundle is one signed bundle.
type Bundle struct {
	Stack         authz.StackID
	Epoch, Serial int64
	Note          []byte // exactly as signed
	Log           LogHead
	IssuedAt      time.Time
}

// Bundle returns the text of the bundle of a serial, or ErrNotFound when none was
// signed or a newer one has taken its place.
func (v View) Bundle(ctx context.Context, stack authz.StackID, epoch, serial int64) ([]byte, error) {
	return one(ctx, v, scanBytes, `
		SELECT note FROM bundles WHERE stack_id = $1 AND epoch = $2 AND serial = $3 AND note IS NOT NULL`,
		stack.String(), epoch, serial)
}

func scanBytes(s scanner) (b []byte, err error) { return b, s.Scan(&b) }

// PutBundle keeps a bundle, and of older bundles of the stack only the hash. It
// reports whether it did: a serial stands for the same bytes for ever, so a second
// bundle with the same epoch and serial is not kept.
func (o Observation) PutBundle(ctx context.Context, b Bundle) (bool, error) {
	sum := sha256.Sum256(b.Note)
	n, err := o.exec(ctx, `
		INSERT INTO bundles (stack_id, epoch, serial, note, note_hash, log_size, log_root, issued_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (stack_id, epoch, serial) DO NOTHING`,
		b.Stack.String(), b.Epoch, b.Serial, b.Note, hex.EncodeToString(sum[:]), b.Log.Size, b.Log.Hash, b.IssuedAt.Unix())
	if err != nil {
		return false, fmt.Errorf("insert bundle %d of %s: %w", b.Serial, b.Stack, err)
	}
	if n == 0 {
		return false, nil
	}
	_, err = o.exec(ctx, `
		UPDATE bundles SET note = NULL
		WHERE stack_id = $1 AND note IS NOT NULL AND (epoch < $2 OR (epoch = $2 AND serial < $3))`,
		b.Stack.String(), b.Epoch, b.Serial)
	if err != nil {
		return false, fmt.Errorf("forget old bundles of %s: %w", b.Stack, err)
	}
	return true, nil
}

// ConfirmRemoval says that a user's loss of access to a stack, or of sudo there, was
// asked for.
func (t *Tx) ConfirmRemoval(ctx context.Context, stack authz.StackID, user authz.UserID) error {
	_, err := t.exec(ctx, `
		INSERT INTO confirmed_removals (stack_id, removed, removed_at) VALUES ($1, $2, $3)
		ON CONFLICT (stack_id, removed) DO UPDATE SET removed_at = excluded.removed_at`,
		stack.String(), user.String(), t.Now().Unix())
	if err != nil {
		return fmt.Errorf("confirm removal on %s: %w", stack, err)
	}
	return nil
}

// ConfirmedRemovals returns whose removals were confirmed since an instant, sorted by id.
func (v View) ConfirmedRemovals(ctx context.Context, stack authz.StackID, since time.Time) ([]authz.UserID, error) {
	return list(ctx, v, scanUserID, `
		SELECT removed FROM confirmed_removals WHERE stack_id = $1 AND removed_at >= $2 ORDER BY removed`,
		stack.String(), since.Unix())
}

func scanUserID(s scanner) (authz.UserID, error) {
	var text string
	if err := s.Scan(&text); err != nil {
		return authz.UserID{}, err
	}
	id, err := authz.ParseUserID(text)
	if err != nil {
		err = fmt.Errorf("%w: user: %v", ErrCorrupt, err)
	}
	return id, err
}
