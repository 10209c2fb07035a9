package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"latchkey/e2e/fleet"
	"latchkey/e2e/machine"
)

const (
	grantRounds = 60
	grantPort   = 8448
)

// grantToLogin measures P7: from the answer to SetPermission, for a user the
// machine has never seen, to the end of the first login that works, in which sshd
// has accepted his key. The floor is a login alone, with a key that is in place;
// so what is above it is ours.
func grantToLogin(ctx context.Context) ([]Row, error) {
	row := Row{ID: "P7", What: "SetPermission answered → first login of a new user done", Target: Target{P99: time.Second},
		Floor: "a login alone"}
	f, err := newGrantField(ctx)
	if err != nil {
		return nil, err
	}
	defer f.close()
	for i := range grantRounds {
		progress("P7", i, grantRounds)
		user := fmt.Sprintf("user%d", i)
		took, err := f.grant(ctx, user)
		if err != nil {
			return nil, err
		}
		row.Times = append(row.Times, took)
		if took, err = f.login(ctx, user); err != nil {
			return nil, err
		}
		row.FloorTimes = append(row.FloorTimes, took)
	}
	return []Row{row}, nil
}

// grantField is a control plane with one instance.
type grantField struct {
	dir    string
	server *fleet.Server
	m      *machine.Machine
	stack  string
}

func newGrantField(ctx context.Context) (f *grantField, err error) {
	if err := machine.CanBoot(ctx); err != nil {
		return nil, err
	}
	f = &grantField{}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.dir, err = os.MkdirTemp("", "latchkey-bench-"); err != nil {
		return f, err
	}
	programs, err := fleet.Build(ctx, f.dir)
	if err != nil {
		return f, err
	}
	if f.server, err = fleet.Start(ctx, programs, filepath.Join(f.dir, "server"), machine.HostAddress, grantPort); err != nil {
		return f, err
	}
	tree, err := machine.Tree(ctx, "bookworm", "", nil)
	if err != nil {
		return f, err
	}
	if f.m, err = machine.Boot(ctx, machine.Options{Name: "bench", Tree: tree, Index: 1}); err != nil {
		return f, err
	}
	if _, err = f.server.CLI(ctx, "stack", "create", "bench"); err != nil {
		return f, err
	}
	var got struct{ Stacks []struct{ StackId string } }
	if err = f.server.Call(ctx, "DescribeStacks", struct{}{}, &got); err != nil {
		return f, err
	}
	f.stack = got.Stacks[0].StackId
	if err = fleet.Install(ctx, programs, f.m); err != nil {
		return f, err
	}
	if err = f.server.Enroll(ctx, f.m, "bench"); err != nil {
		return f, err
	}
	return f, fleet.StartAgent(ctx, f.m)
}

func (f *grantField) close() {
	if f.m != nil {
		_ = f.m.Stop() // the namespaces end with the program in any case
	}
	if f.server != nil {
		_ = f.server.Stop()
	}
	if f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
}

// grant makes a user, grants, and logs in until it works.
func (f *grantField) grant(ctx context.Context, user string) (time.Duration, error) {
	key := filepath.Join(f.dir, user)
	line, err := machine.NewKey(ctx, key, user)
	if err != nil {
		return 0, err
	}
	arn := "arn:aws:iam::000000000000:user/" + user
	if err := f.server.Call(ctx, "CreateUserProfile", map[string]any{"IamUserArn": arn, "SshPublicKey": line}, nil); err != nil {
		return 0, err
	}
	if err := f.server.Call(ctx, "SetPermission", map[string]any{"StackId": f.stack, "IamUserArn": arn, "AllowSsh": true}, nil); err != nil {
		return 0, err
	}
	answered := time.Now()
	for {
		_, err := f.login(ctx, user)
		if err == nil || time.Since(answered) > time.Minute || ctx.Err() != nil {
			return time.Since(answered), err
		}
	}
}

func (f *grantField) login(ctx context.Context, user string) (time.Duration, error) {
	began := time.Now()
	r, err := machine.SSH(ctx, f.m, user, filepath.Join(f.dir, user), "true")
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("login of %s: status %d: %s", user, r.Code, r.Stderr)
	}
	return time.Since(began), err
}
