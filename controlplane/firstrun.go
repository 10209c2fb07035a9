package controlplane

import (
	"context"
	"errors"

	"latchkey/authz"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

// FirstRun makes the first administrator, arn:aws:iam::ACCOUNT:user/admin with
// the full-access policy and one access key, and reports whether it did. It does
// so once in the life of a store: an administrator deleted later stays deleted
// (requirement R116).
//
// key gives the access key and must give the same one when called again: it is
// called before anything is stored, so a run that is killed between the two is
// completed by the next. datadir.Dir.AdminKey is such a function.
func (c *ControlPlane) FirstRun(ctx context.Context, key func() (datadir.AccessKey, error)) (bool, error) {
	err := c.cfg.Store.Read(ctx, func(v store.View) error { return firstAdminMissing(ctx, v) })
	if errors.Is(err, errHasAdmin) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	k, err := key()
	if err != nil {
		return false, err
	}
	arn, err := authz.ParseARN("arn:aws:iam::" + c.cfg.Account + ":user/admin")
	if err != nil {
		return false, err
	}
	err = c.cfg.Store.Write(ctx, c.bySystem("latchkey:CreateFirstAdministrator"), func(tx *store.Tx) error {
		return c.createAdmin(ctx, tx, arn, k)
	})
	if errors.Is(err, errHasAdmin) { // another process was first
		return false, nil
	}
	return err == nil, err
}

var errHasAdmin = errors.New("the first administrator was made before")

func firstAdminMissing(ctx context.Context, v store.View) error {
	_, err := v.Meta(ctx, store.FirstAdmin)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errHasAdmin
}

func (c *ControlPlane) createAdmin(ctx context.Context, tx *store.Tx, arn authz.ARN, k datadir.AccessKey) error {
	if err := firstAdminMissing(ctx, tx.View); err != nil {
		return err
	}
	admin, err := tx.UserByARN(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		admin, err = c.insertImplicit(ctx, tx, arn)
	}
	if err != nil {
		return err
	}
	if err := tx.AttachPolicy(ctx, store.HeldByUser(admin.ID), authz.FullAccess); err != nil {
		return err
	}
	err = tx.InsertAccessKey(ctx, store.AccessKey{
		ID: k.ID, User: admin.ID, Secret: c.cfg.Secrets.Seal([]byte(k.Secret), secretPurpose(k.ID)),
	})
	if err != nil {
		return err
	}
	tx.Record(arn.String(), map[string]string{"access_key": k.ID, "policy": authz.FullAccess})
	return tx.SetMeta(ctx, store.FirstAdmin, arn.String())
}
