package store

import (
	"context"
	"fmt"
)

// MetaKey names one of the few facts about the control plane itself.
type MetaKey string

// The facts.
const (
	ControlPlaneID MetaKey = "control_plane"
	Epoch          MetaKey = "epoch"
	FirstAdmin     MetaKey = "first_admin" // set once the first administrator was made
)

// Meta returns a fact, or ErrNotFound.
func (v View) Meta(ctx context.Context, key MetaKey) (string, error) {
	return one(ctx, v, scanText, `SELECT value FROM meta WHERE key = $1`, string(key))
}

// SetMeta states a fact for the first time; stating it again is an error.
func (t *Tx) SetMeta(ctx context.Context, key MetaKey, value string) error {
	if _, err := t.exec(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2)`, string(key), value); err != nil {
		return fmt.Errorf("set %s: %w", key, err)
	}
	return nil
}

func scanText(s scanner) (text string, err error) { return text, s.Scan(&text) }
