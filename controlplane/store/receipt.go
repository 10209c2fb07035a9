package store

import (
	"context"

	"latchkey/authz"
)

// NewestReceipts returns the newest receipt of each of a stack's instances that has
// any.
func (v View) NewestReceipts(ctx context.Context, stack authz.StackID) (map[authz.InstanceID]Receipt, error) {
	all, err := list(ctx, v, scanReceipt, `
		SELECT r.instance_id, r.epoch, r.serial, r.received_at, r.body
		FROM instances i JOIN receipts r ON r.id = (SELECT max(id) FROM receipts WHERE instance_id = i.id)
		WHERE i.stack_id = $1`, stack.String())
	newest := make(map[authz.InstanceID]Receipt, len(all))
	for _, r := range all {
		newest[r.Instance] = r
	}
	return newest, err
}
