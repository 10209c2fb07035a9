package agent

import (
	"context"
	"errors"
	"slices"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// EnableSSHD makes what sshd needs from us and puts our drop-in in: checked,
// reloaded, proved, and taken back when sshd does not use it. The ledger then
// says that it belongs here, so a later pass repairs it. A frozen machine refuses it.
func (a *Agent) EnableSSHD(ctx context.Context) ([]wire.Result, error) {
	return a.EnableSSHDKeeping(ctx, "")
}

// EnableSSHDKeeping is EnableSSHD, and the login hook becomes the command given, which
// our drop-in displaces, when it does not know a key of an account of ours. An empty
// command is none, and takes back what was kept.
func (a *Agent) EnableSSHDKeeping(ctx context.Context, displaced string) ([]wire.Result, error) {
	if err := a.Frozen(); err != nil {
		return nil, err
	}
	if displaced != "" {
		if err := plan.CheckDisplaced(displaced); err != nil {
			return nil, err
		}
	}
	return a.changeSSHD(ctx, func(have plan.State, owned *plan.Ledger) plan.Plan {
		owned.Displaced = displaced
		return plan.PrepareSSHD(have, *owned, a.keysMode(), a.Layout)
	})
}

// DisableSSHD takes our drop-in out. Logins through us end; nothing else changes.
func (a *Agent) DisableSSHD(ctx context.Context) ([]wire.Result, error) {
	return a.changeSSHD(ctx, func(have plan.State, owned *plan.Ledger) plan.Plan {
		return plan.RemoveSSHD(have, *owned, a.Layout)
	})
}

func (a *Agent) changeSSHD(ctx context.Context, what func(plan.State, *plan.Ledger) plan.Plan) (results []wire.Result, err error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	owned, err := a.Cache.Ledger()
	if err != nil {
		return nil, err
	}
	if err := a.Machine.Clean(); err != nil {
		a.Log.Warn("left-over files stay", "reason", err) // they are read by nobody
	}
	wanted := owned.SSHD
	have, err := a.Machine.Observe(ctx, nil, owned)
	if err != nil {
		return nil, err
	}
	p := what(have, &owned)
	results, err = Apply(ctx, a.Machine, a.Cache, a.Log, p, &owned, nil)
	if err != nil {
		return results, err
	}
	if last := firstError(results); last != nil {
		// Where the drop-in is not in, a pass must not try again unasked. What went wrong
		// may be another step.
		if !wanted && !owned.SSHDLoaded {
			owned.NoSSHD()
		}
		return results, errors.Join(last, a.Cache.SaveLedger(owned))
	}
	return results, nil
}

// Revert gives the machine back: everything the ledger names is undone, and the
// agent's own folder goes last, when nothing is left. It returns the homes kept.
func (a *Agent) Revert(ctx context.Context) (results []wire.Result, homes []string, err error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	p, have, owned, err := a.revertPlan(ctx)
	if err != nil {
		return nil, nil, err
	}
	for user := range owned.Accounts {
		if home := a.Layout.Home(user); have.Homes[home].Real {
			homes = append(homes, home)
		}
	}
	slices.Sort(homes)
	if err := a.Machine.Clean(); err != nil {
		return nil, homes, err
	}
	results, err = Apply(ctx, a.Machine, a.Cache, a.Log, p, &owned, nil)
	if err != nil {
		return results, homes, err
	}
	if failed := firstError(results); failed != nil {
		return results, homes, failed
	}
	return results, homes, a.Cache.Forget()
}

// RevertPlan says what Revert would do. It waits for a pass that is under way.
func (a *Agent) RevertPlan(ctx context.Context) (p plan.Plan, err error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return plan.Plan{}, err
	}
	defer func() { err = errors.Join(err, release()) }()
	p, _, _, err = a.revertPlan(ctx)
	return p, err
}

func (a *Agent) revertPlan(ctx context.Context) (plan.Plan, plan.State, plan.Ledger, error) {
	owned, err := a.Cache.Ledger()
	if err != nil {
		return plan.Plan{}, plan.State{}, owned, err
	}
	have, err := a.Machine.Observe(ctx, nil, owned)
	return plan.Revert(have, owned, a.Layout), have, owned, err
}

func firstError(results []wire.Result) error {
	for _, r := range results {
		if r.Error != "" {
			return errors.New(r.Error)
		}
	}
	return nil
}
