package agent

import (
	"context"
	"fmt"

	"latchkey/agent/plan"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// The freeze file is the switch of whoever has root on the machine (requirement
// R149). While it is there no pass takes a step: bundles still come and are stored,
// logins go on by what is on the disk, and what has an end in a key line or a sudo
// rule still ends, since sshd and sudo see to that. What root asks for by name, the
// sshd drop-in out or everything given back, is done.

// ErrFrozen is what a report says of every step that is not taken.
var ErrFrozen = name.Refuse("frozen", "changes are frozen on this machine")

// Frozen says why nothing is changed and since when, nil when there is no freeze.
func (a *Agent) Frozen() error {
	f, found := a.Cache.Frozen()
	if !found {
		return nil
	}
	err := error(ErrFrozen)
	if f.Since != "" {
		err = fmt.Errorf("%w since %s", err, f.Since)
	}
	if f.Reason != "" {
		err = fmt.Errorf("%w: %s", err, f.Reason)
	}
	return err
}

// frozenPass is a pass that only looks. What it would have done is in the report as
// not done, or the control plane would take the bundle for applied.
func (a *Agent) frozenPass(ctx context.Context, report wire.Report, owned plan.Ledger, why error) (wire.Report, error) {
	p, _, err := a.look(ctx, owned)
	if err != nil {
		return report, err
	}
	for _, s := range p.Steps {
		report.Steps = append(report.Steps, result(s.String(), fmt.Errorf("%s: %w", s, ErrFrozen)))
	}
	report.Refused = append(refusals(p.Refused), result("every change", why))
	return a.finish(report, nil)
}

// noteFreeze logs that a freeze began or ended, once.
func (a *Agent) noteFreeze(why error) {
	switch {
	case why != nil && !a.froze:
		a.Log.Warn("nothing is changed", "reason", why)
	case why == nil && a.froze:
		a.Log.Info("the freeze is over")
	}
	a.froze = why != nil
}
