package store

import (
	"context"
	"fmt"
)

// Attempt calls f and keeps what it changes, or nothing of it if f returns an error,
// which Attempt returns as it is. What the transaction changed before stays. Only an
// Attempt that returns f's own error leaves a transaction to go on with.
func (t *Tx) Attempt(ctx context.Context, f func() error) error {
	if _, err := t.exec(ctx, `SAVEPOINT attempt`); err != nil {
		return fmt.Errorf("begin an attempt: %v", err)
	}
	fault := f()
	if fault != nil {
		if _, err := t.exec(ctx, `ROLLBACK TO SAVEPOINT attempt`); err != nil {
			return fmt.Errorf("undo an attempt: %v, after %v", err, fault)
		}
	}
	if _, err := t.exec(ctx, `RELEASE SAVEPOINT attempt`); err != nil {
		return fmt.Errorf("end an attempt: %v", err)
	}
	return fault
}
