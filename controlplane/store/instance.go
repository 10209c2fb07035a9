package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"latchkey/authz"
)

// Instance is one machine that has joined. The facts are what it says of itself,
// already bounded and printable.
type Instance struct {
	ID           authz.InstanceID
	Stack        authz.StackID
	PublicKey    string // Ed25519, base64
	RegisteredBy authz.ARN
	Facts        Facts
	CreatedAt    time.Time
	LastSeen     time.Time // zero: not since it joined
	// GivenHostname is shown in the place of the instance's own; empty: none given.
	GivenHostname string
	// Settings is the JSON of what UpdateInstance was given; the store does not read it.
	Settings []byte
	// LastServiceError is the id of the newest; empty: none. Read only.
	LastServiceError string
}

// Facts are what an instance says about itself.
type Facts struct {
	Hostname, OS, Platform, Architecture, Agent, Address string
}

const selectInstance = `
	SELECT id, stack_id, public_key, registered_by, hostname, os, platform, architecture, agent, address,
		created_at, last_seen, given_hostname, settings,
		(SELECT e.id FROM service_errors e WHERE e.instance_id = instances.id ORDER BY e.seq DESC LIMIT 1)
	FROM instances`

// Instance finds an instance, or returns ErrNotFound.
func (v View) Instance(ctx context.Context, id authz.InstanceID) (Instance, error) {
	return one(ctx, v, scanInstance, selectInstance+` WHERE id = $1`, id.String())
}

// Instances returns all instances, sorted by host name.
func (v View) Instances(ctx context.Context) ([]Instance, error) {
	return list(ctx, v, scanInstance, selectInstance+` ORDER BY coalesce(given_hostname, hostname), id`)
}

// InstancesOf returns the instances of a stack, sorted by host name.
func (v View) InstancesOf(ctx context.Context, stack authz.StackID) ([]Instance, error) {
	return list(ctx, v, scanInstance, selectInstance+` WHERE stack_id = $1 ORDER BY coalesce(given_hostname, hostname), id`, stack.String())
}

// CountInstances returns how many instances a stack has.
func (v View) CountInstances(ctx context.Context, stack authz.StackID) (int64, error) {
	return v.count(ctx, `SELECT count(*) FROM instances WHERE stack_id = $1`, stack.String())
}

// InstanceKeyTaken reports whether an instance has the public key.
func (v View) InstanceKeyTaken(ctx context.Context, publicKey string) (bool, error) {
	n, err := v.count(ctx, `SELECT count(*) FROM instances WHERE public_key = $1`, publicKey)
	return n > 0, err
}

func scanInstance(s scanner) (i Instance, err error) {
	var id, stack, by string
	var created int64
	var seen sql.NullInt64
	var given, lastError sql.NullString
	f := &i.Facts
	if err := s.Scan(&id, &stack, &i.PublicKey, &by, &f.Hostname, &f.OS, &f.Platform, &f.Architecture, &f.Agent,
		&f.Address, &created, &seen, &given, &i.Settings, &lastError); err != nil {
		return i, err
	}
	i.CreatedAt, i.LastSeen = time.Unix(created, 0).UTC(), instant(seen)
	i.GivenHostname, i.LastServiceError = given.String, lastError.String
	if i.ID, err = authz.ParseInstanceID(id); err != nil {
		return Instance{}, fmt.Errorf("%w: instance: %v", ErrCorrupt, err)
	}
	if i.Stack, err = authz.ParseStackID(stack); err != nil {
		return Instance{}, fmt.Errorf("%w: instance %s: %v", ErrCorrupt, i.ID, err)
	}
	if i.RegisteredBy, err = authz.ParseARN(by); err != nil {
		return Instance{}, fmt.Errorf("%w: instance %s: %v", ErrCorrupt, i.ID, err)
	}
	return i, nil
}

// InsertInstance adds an instance.
func (t *Tx) InsertInstance(ctx context.Context, i Instance) error {
	f := i.Facts
	_, err := t.exec(ctx, `
		INSERT INTO instances (id, stack_id, public_key, registered_by, hostname, os, platform, architecture, agent,
			address, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		i.ID.String(), i.Stack.String(), i.PublicKey, i.RegisteredBy.String(), f.Hostname, f.OS, f.Platform,
		f.Architecture, f.Agent, f.Address, t.Now().Unix())
	if err != nil {
		return fmt.Errorf("insert instance %s: %w", i.ID, err)
	}
	return nil
}

// UpdateInstance writes the given host name and the settings of an instance.
func (t *Tx) UpdateInstance(ctx context.Context, i Instance) error {
	n, err := t.exec(ctx, `UPDATE instances SET given_hostname = $1, settings = $2 WHERE id = $3`,
		optional(i.GivenHostname), string(i.Settings), i.ID.String())
	if err != nil {
		return fmt.Errorf("update instance %s: %w", i.ID, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// DeleteInstance removes an instance with its receipts, tags and service errors. When
// keys were used on it stays known.
func (t *Tx) DeleteInstance(ctx context.Context, id authz.InstanceID) error {
	if err := t.forgetWhere(ctx, id); err != nil {
		return err
	}
	n, err := t.exec(ctx, `DELETE FROM instances WHERE id = $1`, id.String())
	if err != nil {
		return fmt.Errorf("delete instance %s: %w", id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// SetLastSeen notes when an instance was last heard of; an unknown one is passed over.
func (o Observation) SetLastSeen(ctx context.Context, id authz.InstanceID, at time.Time) error {
	if _, err := o.exec(ctx, `UPDATE instances SET last_seen = $1 WHERE id = $2`, at.Unix(), id.String()); err != nil {
		return fmt.Errorf("note last sight of %s: %w", id, err)
	}
	return nil
}

// Receipt is an instance's word on what it did with a bundle.
type Receipt struct {
	Instance      authz.InstanceID
	Epoch, Serial int64
	ReceivedAt    time.Time
	Body          []byte // JSON; the store does not read it
}

// PutReceipt keeps a receipt and the facts that came with it, and of the
// instance's older receipts as many as make keep in all. An unknown instance is
// ErrNotFound.
func (o Observation) PutReceipt(ctx context.Context, r Receipt, f Facts, keep int) error {
	n, err := o.exec(ctx, `
		UPDATE instances SET hostname = $1, os = $2, platform = $3, architecture = $4, agent = $5, address = $6,
			last_seen = $7 WHERE id = $8`,
		f.Hostname, f.OS, f.Platform, f.Architecture, f.Agent, f.Address, r.ReceivedAt.Unix(), r.Instance.String())
	if err != nil {
		return fmt.Errorf("update facts of %s: %w", r.Instance, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	_, err = o.exec(ctx, `
		INSERT INTO receipts (instance_id, epoch, serial, received_at, body) VALUES ($1, $2, $3, $4, $5)`,
		r.Instance.String(), r.Epoch, r.Serial, r.ReceivedAt.Unix(), string(r.Body))
	if err != nil {
		return fmt.Errorf("insert receipt of %s: %w", r.Instance, err)
	}
	_, err = o.exec(ctx, `
		DELETE FROM receipts WHERE instance_id = $1 AND id NOT IN
			(SELECT id FROM receipts WHERE instance_id = $1 ORDER BY id DESC LIMIT $2)`, r.Instance.String(), keep)
	if err != nil {
		return fmt.Errorf("forget old receipts of %s: %w", r.Instance, err)
	}
	return nil
}

// Receipts returns an instance's receipts, newest first.
func (v View) Receipts(ctx context.Context, id authz.InstanceID) ([]Receipt, error) {
	return list(ctx, v, scanReceipt, `
		SELECT instance_id, epoch, serial, received_at, body FROM receipts WHERE instance_id = $1 ORDER BY id DESC`,
		id.String())
}

// LastReceipts returns the newest receipt of each instance that has sent one, without
// its body.
func (v View) LastReceipts(ctx context.Context) ([]Receipt, error) {
	return list(ctx, v, scanReceipt, `
		SELECT instance_id, epoch, serial, received_at, NULL FROM receipts
		WHERE id IN (SELECT max(id) FROM receipts GROUP BY instance_id)`)
}

func scanReceipt(s scanner) (r Receipt, err error) {
	var id string
	var at int64
	if err := s.Scan(&id, &r.Epoch, &r.Serial, &at, &r.Body); err != nil {
		return r, err
	}
	r.ReceivedAt = time.Unix(at, 0).UTC()
	r.Instance, err = authz.ParseInstanceID(id)
	return r, err
}
