package agent

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"latchkey/agent/doctor"
	"latchkey/authz/wire"
)

// Examine reads the agent's own folder and says what of it doctor should know, and
// whom to look at on the machine. It changes nothing and waits for a pass that is
// under way. A machine that is not enrolled is a fact too.
func (a *Agent) Examine(ctx context.Context) (doctor.Agent, doctor.Question) {
	f := doctor.Agent{Enrolled: !a.Identity.Instance.IsZero()}
	q := doctor.Question{}
	q.Owned, f.LedgerErr = a.Cache.Ledger()
	f.SSHD, f.KeysMode, f.Displaced = q.Owned.SSHD, q.Owned.KeysMode(), q.Owned.Displaced
	f.Status, f.StatusErr = a.lastStatus()
	if !f.Enrolled {
		return f, q
	}
	f.BundleErr = a.Load()
	if f.HasBundle = a.Ready(); !f.HasBundle {
		return f, q
	}
	f.Issued, _ = a.bundle.IssuedAt() // an opened bundle has it; without one its age is not shown
	access, _ := a.wanted()
	q.Grants = access.Grants
	now := a.Now()
	for _, g := range a.access.Grants {
		if !g.NotAfter.IsZero() && !now.Before(g.NotAfter) {
			f.Ended = append(f.Ended, g.Username.String())
		}
	}
	if f.LedgerErr != nil {
		return f, q
	}
	steps, err := a.Plan(ctx)
	f.PendingErr = err
	for _, s := range steps.Steps {
		f.Pending = append(f.Pending, s.String())
	}
	return f, q
}

// lastStatus returns nil before the first pass.
func (a *Agent) lastStatus() (*doctor.Status, error) {
	s, err := a.Cache.Status()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &doctor.Status{Trouble: s.Trouble, Refused: texts(s.Report.Refused), Undone: texts(s.Report.Steps)}
	if out.Pass, err = time.Parse(time.RFC3339, s.Pass); err != nil {
		return nil, err
	}
	if s.Contact != "" {
		out.Contact, err = time.Parse(time.RFC3339, s.Contact)
	}
	return out, err
}

// texts are the results with an error.
func texts(results []wire.Result) (out []string) {
	for _, r := range results {
		if r.Error != "" {
			out = append(out, r.What+": "+r.Error)
		}
	}
	return out
}
