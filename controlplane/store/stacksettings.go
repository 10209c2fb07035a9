package store

import (
	"context"
	"fmt"

	"latchkey/authz"
)

// StackSettings are a stack's wishes about its instances, as they were stored.
type StackSettings struct {
	KeysMode, OnRevoke, Homes, Unmanaged, Stale string
}

// StackSettings returns what was chosen for a stack, or ErrNotFound.
func (v View) StackSettings(ctx context.Context, id authz.StackID) (StackSettings, error) {
	return one(ctx, v, scanStackSettings, `SELECT keys_mode, on_revoke, homes, unmanaged, stale FROM stacks WHERE id = $1`, id.String())
}

func scanStackSettings(s scanner) (set StackSettings, err error) {
	return set, s.Scan(&set.KeysMode, &set.OnRevoke, &set.Homes, &set.Unmanaged, &set.Stale)
}

// SetStackSettings replaces what was chosen for a stack.
func (t *Tx) SetStackSettings(ctx context.Context, id authz.StackID, set StackSettings) error {
	n, err := t.exec(ctx, `UPDATE stacks SET keys_mode = $1, on_revoke = $2, homes = $3, unmanaged = $4, stale = $5 WHERE id = $6`,
		set.KeysMode, set.OnRevoke, set.Homes, set.Unmanaged, set.Stale, id.String())
	if err != nil {
		return fmt.Errorf("set settings of stack %s: %w", id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
