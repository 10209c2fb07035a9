package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// maxRounds bounds how often one pass looks again: one round does the work, one
// proves it, and one more is for an account that had to go before its heir came.
const maxRounds = 3

// Plan observes the machine and says what a pass would do first, changing
// nothing. It waits for a pass that is under way.
func (a *Agent) Plan(ctx context.Context) (p plan.Plan, err error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return plan.Plan{}, err
	}
	defer func() { err = errors.Join(err, release()) }()
	owned, err := a.Cache.Ledger()
	if err != nil {
		return plan.Plan{}, err
	}
	p, _, err = a.look(ctx, owned)
	return p, err
}

// Pass makes the machine what the newest bundle says and proves it by looking
// again. A step that does not succeed stops nothing but what depends on it. The
// report says what was done and what was not.
func (a *Agent) Pass(ctx context.Context) (report wire.Report, err error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, release()) }()
	return a.LockedPass(ctx)
}

// LockedPass is Pass for a caller who holds the cache's lock.
func (a *Agent) LockedPass(ctx context.Context) (report wire.Report, err error) {
	a.catchUp()
	if a.bundle == nil && (a.breaker.aside || a.held != nil) {
		return a.finish(wire.Report{Facts: a.Facts, Steps: []wire.Result{}, Refused: []wire.Result{}}, nil)
	}
	if a.bundle == nil {
		return report, errors.Join(ErrNoBundle, a.trouble)
	}
	owned, err := a.Cache.Ledger()
	if err != nil {
		return report, err
	}
	defer func() { a.homes = owned.InHomes() }()
	report = wire.Report{Epoch: a.bundle.Epoch, Serial: a.bundle.Serial, Facts: a.Facts,
		Steps: []wire.Result{}, Refused: []wire.Result{}}
	a.noteClock()
	a.checkGlass(ctx, owned)
	why := a.Frozen()
	a.noteFreeze(why)
	if why != nil {
		return a.frozenPass(ctx, report, owned, why)
	}
	if err := a.Machine.Clean(); err != nil {
		a.Log.Warn("left-over files stay", "reason", err) // they are read by nobody
	}
	a.disown(&owned)
	for round := range maxRounds {
		a.outlive(&owned)
		p, have, err := a.look(ctx, owned)
		if err != nil {
			return report, err
		}
		if p.Empty() {
			report.Refused = refusals(p.Refused)
			err = a.settle(owned, have)
		}
		if err != nil || p.Empty() || round == maxRounds-1 {
			report.Refused = refusals(p.Refused)
			a.selfTest(ctx, anyDone(report.Steps), have, owned)
			report.Steps = withUndone(report.Steps, p)
			return a.finish(report, err)
		}
		results, err := Apply(ctx, a.Machine, a.Cache, a.Log, p, &owned, a.users())
		report.Steps = appendNew(report.Steps, results)
		if err != nil {
			return report, err
		}
		if !anyDone(results) {
			a.selfTest(ctx, anyDone(report.Steps), have, owned)
			report.Refused = refusals(p.Refused)
			return a.finish(report, nil)
		}
	}
	return report, nil
}

func (a *Agent) look(ctx context.Context, owned plan.Ledger) (plan.Plan, plan.State, error) {
	if a.bundle == nil {
		return plan.Plan{}, plan.State{}, errors.Join(ErrNoBundle, a.trouble)
	}
	access, rejected := a.wanted()
	owned.Outlive(a.Now())
	want := plan.Desired{Grants: access.Grants, SSHD: owned.SSHD, KeysMode: a.keysMode(), Leave: a.leave(owned)}
	want.Unmanaged, want.MinRSABits = a.unmanaged(), a.bundle.Settings.MinRSABits
	for _, r := range rejected {
		want.Rejected = append(want.Rejected, plan.Refused{Name: r.Name, Reason: r.Reason})
	}
	have, err := a.Machine.Observe(ctx, want.Grants, owned)
	if err != nil {
		return plan.Plan{}, plan.State{}, fmt.Errorf("observe the machine: %w", err)
	}
	a.forgot = owned.Closed(have, want.Grants) || a.forgot
	if a.ForeignKeys != nil && want.Unmanaged.Acts() {
		have.Foreign = a.ForeignKeys(owned)
	}
	p := plan.Diff(have, want, owned, a.Layout)
	if a.lost != nil {
		p.Steps = p.TakesAway()
		p.Refused = append(p.Refused, plan.Refused{Name: "held bundle", Reason: a.lost})
	}
	return p, have, nil
}

// Apply stores the intent, applies the steps in order, and stores what was done.
// Its error is only for a ledger that could not be stored: then only what takes
// access away was done, or the ledger claims too much, which is safe.
func Apply(ctx context.Context, m Machine, dir *cache.Dir, log *slog.Logger, p plan.Plan, owned *plan.Ledger,
	users map[authz.Username]authz.UserID) ([]wire.Result, error) {
	owned.Intend(p.Steps, users)
	if err := dir.SaveLedger(*owned); err != nil {
		return apply(ctx, m, log, p.TakesAway(), owned), fmt.Errorf("store intent: %w", err)
	}
	results := apply(ctx, m, log, p.Steps, owned)
	if err := dir.SaveLedger(*owned); err != nil {
		return results, fmt.Errorf("store ledger: %w", err)
	}
	return results, nil
}

// apply applies steps in order, and records in the ledger what was done.
func apply(ctx context.Context, m Machine, log *slog.Logger, steps []plan.Step, owned *plan.Ledger) []wire.Result {
	failed, unmade, linger := map[authz.Username]bool{}, map[authz.Username]bool{}, map[authz.Username]bool{}
	lacking := false // keys somewhere
	var results []wire.Result
	for rest := steps; len(rest) > 0; {
		together := plan.Together(rest)
		rest = rest[len(together):]
		able := possible(together, failed, unmade, linger)
		lacking = lacking || together[0].GivesKeys() && len(able) < len(together)
		together = able
		for i, err := range applyAll(ctx, m, together, lacking) {
			s := together[i]
			results = append(results, result(s.String(), err))
			if err != nil {
				failed[s.User] = failed[s.User] || !ofKeys(s)
				linger[s.User] = linger[s.User] || ofKeys(s) && !ofUser(err)
				lacking = lacking || s.GivesKeys()
				unmade[s.User] = unmade[s.User] || mayBeOthers(s, err)
				log.Error("step not done", "step", s.String(), "reason", err)
				continue
			}
			owned.Done(s)
			log.Info("step done", "step", s.String())
		}
	}
	return results
}

// ofKeys reports whether a step is about files of keys alone. One that is not done, as in
// a home whose user damaged our marks, takes no sudo away and keeps no other key out: the
// account is ours.
func ofKeys(s plan.Step) bool {
	switch s.Op {
	case plan.OpWriteKeys, plan.OpWriteBlock, plan.OpTakeBlock, plan.OpQuarantine:
		return true
	}
	return false
}

// ofUser reports whether our lines in a home cannot be told from the user's own any more:
// they are his then, and keep us from nothing.
func ofUser(err error) bool {
	return errors.Is(err, plan.ErrBlock) || errors.Is(err, plan.ErrBlockForm)
}

// mayBeOthers reports whether a step that did not succeed leaves it open whose account
// the name is.
func mayBeOthers(s plan.Step, err error) bool {
	switch s.Op {
	case plan.OpCreateAccount, plan.OpDeleteAccount, plan.OpRetire:
		return true
	}
	return errors.Is(err, plan.ErrNameTaken) || errors.Is(err, fs.ErrNotExist)
}

// possible leaves out what an earlier step that failed leaves nothing to do of: that
// step is in the report. Nor is an account made for keys that linger: what is taken comes
// before what is given, so those were to go. Nor is one forgotten that leaves them in a home
// which stays for it.
func possible(steps []plan.Step, failed, unmade, linger map[authz.Username]bool) []plan.Step {
	var left []plan.Step
	for _, s := range steps {
		made, forgotten := s.Op == plan.OpCreateAccount, s.Op == plan.OpDeleteAccount && s.Home != ""
		if linger[s.User] && (made || forgotten) {
			unmade[s.User] = unmade[s.User] || made
			continue
		}
		s = s.Without(failed, unmade)
		if !(s.Follows() && failed[s.User] || s.Op == plan.OpGiveSudo && len(s.Rules) == 0) {
			left = append(left, s)
		}
	}
	return left
}

// applyAll gives an error for each step. While keys are lacking somewhere sshd is not
// told to look for them there.
func applyAll(ctx context.Context, m Machine, steps []plan.Step, lacking bool) []error {
	if lacking && len(steps) == 1 && steps[0].Switch {
		return []error{errLacking}
	}
	if b, able := m.(Batcher); able && len(steps) > 1 {
		return b.ApplyAll(ctx, steps)
	}
	errs := make([]error, len(steps))
	for i, s := range steps {
		errs[i] = m.Apply(ctx, s)
	}
	return errs
}

// settle records what was seen and not done: accounts whose making was cut short after all
// was done, and those that were closed with keys that they had adopted.
func (a *Agent) settle(owned plan.Ledger, have plan.State) error {
	if !owned.Settle(have) && !a.forgot {
		return nil
	}
	a.forgot = false
	return a.Cache.SaveLedger(owned)
}

// users maps the names of the bundle to the users behind them.
func (a *Agent) users() map[authz.Username]authz.UserID {
	users := make(map[authz.Username]authz.UserID, len(a.access.Grants))
	for _, g := range a.access.Grants {
		users[g.Username] = g.User
	}
	return users
}

// errLacking keeps sshd in its mode: what a new one needs is not in place.
var errLacking = errors.New("an earlier step that gives keys was not done")
