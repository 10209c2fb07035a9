package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"latchkey/authz"
	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

const (
	changeRounds = 1000
	countRounds  = 500 // of single changes
	batchRounds  = 30
	batchSize    = 100
)

// acknowledged measures P9: from the request to its answer, when the grant, its
// audit row and the stack's serial are on the disk. The floor is one flush of
// 4 KiB appended to a file beside the database.
//
// The sooner a disk acknowledges, the more the ratio shows what the processor does
// around the flush. How many flushes a change costs does not depend on the disk, so that
// is counted too, for one change and for many in one transaction of the store;
// there is no action of the API yet that makes many changes.
func acknowledged(ctx context.Context) ([]Row, error) {
	// Not the folder for temporary files, which may be in memory.
	dir, err := os.MkdirTemp("/var/tmp", "latchkey-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	g, err := newGranter(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer g.close()
	floor, ours, err := g.time(ctx, changeRounds)
	if err != nil {
		return nil, err
	}
	each, err := countFlushes(ctx, dir, countRounds, func(i int) error { return g.set(ctx, i%2 == 0) })
	if err != nil {
		return nil, err
	}
	batch, err := countFlushes(ctx, dir, batchRounds, func(i int) error { return g.setAll(ctx, i%2 == 0) })
	if err != nil {
		return nil, err
	}
	if slices.Min(each) == 0 || slices.Min(batch) == 0 {
		return nil, errors.New("a change was acknowledged without a flush")
	}
	return []Row{
		{ID: "P9", What: "SetPermission acknowledged: grant, audit row, serial", Target: Target{Ratio: 1.5},
			Floor: "4 KiB appended, fdatasync", FloorTimes: floor, Times: ours},
		{ID: "P9", What: "its flushes, counted by strace", Target: Target{Count: new(1)}, Counts: each},
		{ID: "P9", What: fmt.Sprintf("flushes of %d permissions set by one Write of the store", batchSize), Target: Target{Count: new(2)}, Counts: batch},
	}, nil
}

// granter is a control plane with a stack and users, and a file to flush.
type granter struct {
	store  *store.Store
	cp     *controlplane.ControlPlane
	admin  controlplane.Caller
	stack  string
	beside *os.File
}

func newGranter(ctx context.Context, dir string) (g *granter, err error) {
	g = &granter{}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if g.beside, err = os.Create(filepath.Join(dir, "floor")); err != nil {
		return g, err
	}
	data, _, err := datadir.Open(filepath.Join(dir, "server"), datadir.Options{})
	if err != nil {
		return g, err
	}
	if g.store, err = store.Open(ctx, data.DatabasePath()); err != nil {
		return g, err
	}
	g.cp, err = controlplane.New(ctx, controlplane.Config{
		Store: g.store, Signer: data.Signer(), VerifierKeys: data.VerifierKeys(), Pin: data.Pin(),
		Account: "000000000000", Region: "us-east-1", Secrets: data.Sealer(),
	})
	if err != nil {
		return g, err
	}
	if _, err = g.cp.FirstRun(ctx, data.AdminKey); err != nil {
		return g, err
	}
	key, err := data.AdminKey()
	if err != nil {
		return g, err
	}
	admin, err := g.cp.Credential(ctx, key.ID)
	if err != nil {
		return g, err
	}
	g.admin = admin.Caller
	return g, g.fill(ctx)
}

// fill makes the stack and the users, of whom the first has a key.
func (g *granter) fill(ctx context.Context) error {
	made, err := g.cp.CreateStack(ctx, g.admin, controlplane.CreateStackRequest{Name: "bench"})
	if err != nil {
		return err
	}
	g.stack = made.StackId
	for i := range batchSize {
		req := controlplane.CreateUserProfileRequest{IamUserArn: userARN(i)}
		if i == 0 {
			req.SshPublicKey = new("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICUQMBDimJfK7ztMGek9v2hdB6WwdbSx5yJtHJP9Bk7f")
		}
		if _, err := g.cp.CreateUserProfile(ctx, g.admin, req); err != nil {
			return err
		}
	}
	return nil
}

func userARN(i int) string { return "arn:aws:iam::000000000000:user/user" + strconv.Itoa(i) }

func (g *granter) close() {
	if g.store != nil {
		_ = g.store.Close() // the folder is removed in any case
	}
	if g.beside != nil {
		_ = g.beside.Close()
	}
}

// time flushes and changes in turn.
func (g *granter) time(ctx context.Context, rounds int) (floor, ours Times, err error) {
	for i := range rounds {
		began := time.Now()
		if err := g.flush(); err != nil {
			return nil, nil, err
		}
		flushed := time.Now()
		if err := g.set(ctx, i%2 == 0); err != nil {
			return nil, nil, err
		}
		floor, ours = append(floor, flushed.Sub(began)), append(ours, time.Since(flushed))
	}
	return floor, ours, nil
}

// flush is the floor: the least that is durable.
func (g *granter) flush() error {
	if _, err := g.beside.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return syscall.Fdatasync(int(g.beside.Fd()))
}

// set opens the stack's machines to the first user, or closes them.
func (g *granter) set(ctx context.Context, ssh bool) error {
	_, err := g.cp.SetPermission(ctx, g.admin, controlplane.SetPermissionRequest{
		StackId: g.stack, IamUserArn: userARN(0), AllowSsh: &ssh,
	})
	return err
}

// setAll does so for everybody, in one transaction of the store.
func (g *granter) setAll(ctx context.Context, ssh bool) error {
	stack, err := authz.ParseStackID(g.stack)
	if err != nil {
		return err
	}
	entry := store.Entry{At: time.Now(), Actor: "bench", Action: "latchkey:SetPermissions"}
	return g.store.Write(ctx, entry, func(tx *store.Tx) error {
		users, err := tx.Identities(ctx)
		if err != nil {
			return err
		}
		for _, u := range users {
			p := authz.Permission{Stack: stack, User: u.ID, Level: authz.LevelShow, AllowSSH: ssh}
			if err := tx.SetPermission(ctx, p); err != nil {
				return err
			}
		}
		return tx.RaiseSerial(ctx, stack)
	})
}
