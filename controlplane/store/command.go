package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"latchkey/authz"
)

// Command is one kind of work of an instance on a serial of its stack.
type Command struct {
	ID            string // a UUID
	Instance      authz.InstanceID
	Stack         authz.StackID // of the instance; read only
	Epoch, Serial int64
	Type          string
	Status        string // pending, successful, failed, skipped
	CreatedAt     time.Time
	CompletedAt   time.Time // zero: pending
}

const selectCommand = `
	SELECT c.id, c.instance_id, i.stack_id, c.epoch, c.serial, c.type, c.status, c.created_at, c.completed_at
	FROM commands c JOIN instances i ON i.id = c.instance_id`

// Command finds a command, or returns ErrNotFound.
func (v View) Command(ctx context.Context, id string) (Command, error) {
	return one(ctx, v, scanCommand, selectCommand+` WHERE c.id = $1`, id)
}

// CommandsOf returns the commands of an instance, newest first.
func (v View) CommandsOf(ctx context.Context, id authz.InstanceID) ([]Command, error) {
	return list(ctx, v, scanCommand, selectCommand+`
		WHERE c.instance_id = $1 ORDER BY c.epoch DESC, c.serial DESC, c.type`, id.String())
}

// RaisedAt returns when a serial of a stack began: for the present one when it was
// raised, for an older one when its bundle was issued. A serial of which nothing is
// known any more is ErrNotFound.
func (v View) RaisedAt(ctx context.Context, stack authz.StackID, epoch, serial int64) (time.Time, error) {
	at, err := one(ctx, v, scanNumber, `
		SELECT raised_at FROM stacks WHERE id = $1 AND serial = $3
		UNION ALL SELECT issued_at FROM bundles WHERE stack_id = $1 AND epoch = $2 AND serial = $3 LIMIT 1`,
		stack.String(), epoch, serial)
	return time.Unix(at, 0).UTC(), err
}

func scanCommand(s scanner) (c Command, err error) {
	var instance, stack string
	var created int64
	var completed sql.NullInt64
	if err := s.Scan(&c.ID, &instance, &stack, &c.Epoch, &c.Serial, &c.Type, &c.Status, &created, &completed); err != nil {
		return c, err
	}
	c.CreatedAt, c.CompletedAt = time.Unix(created, 0).UTC(), instant(completed)
	if c.Instance, err = authz.ParseInstanceID(instance); err != nil {
		return Command{}, fmt.Errorf("%w: command %s: %v", ErrCorrupt, c.ID, err)
	}
	if c.Stack, err = authz.ParseStackID(stack); err != nil {
		return Command{}, fmt.Errorf("%w: command %s: %v", ErrCorrupt, c.ID, err)
	}
	return c, nil
}

// PutCommand keeps a command. One of the same instance, epoch, serial and type gets
// its status, if it is not pending, and keeps its id and when it was created.
func (o Observation) PutCommand(ctx context.Context, c Command) error {
	_, err := o.exec(ctx, `
		INSERT INTO commands (id, instance_id, epoch, serial, type, status, created_at, completed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (instance_id, epoch, serial, type) DO UPDATE SET
			status = excluded.status, completed_at = excluded.completed_at
			WHERE excluded.status <> 'pending' AND excluded.status <> commands.status`,
		c.ID, c.Instance.String(), c.Epoch, c.Serial, c.Type, c.Status, c.CreatedAt.Unix(), seconds(c.CompletedAt))
	if err != nil {
		return fmt.Errorf("insert command of %s: %w", c.Instance, err)
	}
	return nil
}

// SkipCommands ends the pending commands of an instance on serials before one that
// it has done, and keeps of its commands so many, the newest.
func (o Observation) SkipCommands(ctx context.Context, id authz.InstanceID, epoch, serial int64, at time.Time, keep int) error {
	_, err := o.exec(ctx, `
		UPDATE commands SET status = 'skipped', completed_at = $1
		WHERE instance_id = $2 AND status = 'pending' AND (epoch < $3 OR (epoch = $3 AND serial < $4))`,
		at.Unix(), id.String(), epoch, serial)
	if err != nil {
		return fmt.Errorf("skip commands of %s: %w", id, err)
	}
	_, err = o.exec(ctx, `
		DELETE FROM commands WHERE instance_id = $1 AND id NOT IN
			(SELECT id FROM commands WHERE instance_id = $1 ORDER BY epoch DESC, serial DESC LIMIT $2)`, id.String(), keep)
	if err != nil {
		return fmt.Errorf("forget old commands of %s: %w", id, err)
	}
	return nil
}
