package main

import (
	"context"
	"errors"
	"io/fs"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

// data is what the server has open.
type data struct {
	dir          *datadir.Dir
	made         []string // what the first run made, a line each
	firstRun     bool
	store        *store.Store
	controlPlane *controlplane.ControlPlane
	unlock       func() error
}

// openData locks the data directory, makes what is missing in it and opens it. A
// directory that another server has is refused untouched.
func openData(ctx context.Context, cfg config) (_ *data, err error) {
	d := &data{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := d.lock(cfg.DataDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if d.dir, d.made, err = datadir.Open(cfg.DataDir, datadir.Options{Names: cfg.Names}); err != nil {
		return nil, err
	}
	if err := d.lock(cfg.DataDir); err != nil {
		return nil, err
	}
	if d.store, err = store.Open(ctx, d.dir.DatabasePath()); err != nil {
		return nil, err
	}
	return d, nil
}

// errLocked says that another process holds the lock.
var errLocked = errors.New("another server is using it")

// lock keeps other servers out until Close. Once locked it does nothing.
func (d *data) lock(dir string) (err error) {
	if d.unlock != nil {
		return nil
	}
	d.unlock, err = lockDir(dir)
	if errors.Is(err, errLocked) {
		return cli.Hint(err, "stop that one, or give this one a --data-dir of its own")
	}
	return err
}

// ready reports whether the database answers.
func (d *data) ready(ctx context.Context) error {
	return d.store.Read(ctx, func(v store.View) error {
		_, err := v.AuditHead(ctx)
		return err
	})
}

// Close closes what is open, in the order that loses nothing.
func (d *data) Close() error {
	var errs []error
	if d.controlPlane != nil {
		errs = append(errs, d.controlPlane.Close(context.Background()))
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	if d.unlock != nil {
		errs = append(errs, d.unlock())
	}
	return errors.Join(errs...)
}
