package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// Adopting is the one way in which an account that is there becomes ours: somebody with
// root on the machine names it (requirement R15). It is recorded with all it was, durably,
// before anything about it changes; then it is an account as others are, which the
// ordinary plan repairs. What we did not make we never remove: revert gives it back, and
// a stack that removes accounts only has it closed.

// Adoption is what adopting would do, or did, for people and programs.
type Adoption struct {
	Take    []Taken   `json:"take"`
	Refused []NotOurs `json:"refused"` // named, and not taken
	Left    []NotOurs `json:"left"`    // of the group, and nobody is let in under the name
	Steps   []string  `json:"steps"`   // what a pass then does to those taken
	Notes   []string  `json:"notes"`
	adopted []plan.Adopted
}

// Taken is an account that is taken over.
type Taken struct {
	Name authz.Username `json:"name"`
	UID  authz.UID      `json:"uid"`
}

// NotOurs is an account that is not taken over. Its name is as it was typed or found.
type NotOurs struct {
	Name   string `json:"name"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// PlanAdoption says what adopting the accounts named would do, and those whose primary
// group is the one given; empty is none. It changes nothing.
func (a *Agent) PlanAdoption(ctx context.Context, names []string, group string) (out Adoption, err error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return Adoption{}, err
	}
	defer func() { err = errors.Join(err, release()) }()
	owned, err := a.Cache.Ledger()
	if err != nil {
		return Adoption{}, err
	}
	return a.adoption(ctx, owned, names, group)
}

// Adopt does it, and makes a pass. The report is the pass's. A frozen machine refuses it.
func (a *Agent) Adopt(ctx context.Context, names []string, group string) (out Adoption, report wire.Report, err error) {
	release, err := a.Cache.Lock()
	if err != nil {
		return Adoption{}, report, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := a.Frozen(); err != nil {
		return Adoption{}, report, err
	}
	owned, err := a.Cache.Ledger()
	if err != nil {
		return Adoption{}, report, err
	}
	out, err = a.adoption(ctx, owned, names, group)
	if err != nil || len(out.adopted) == 0 {
		return out, report, err
	}
	owned.Adopt(out.adopted)
	if err := a.Cache.SaveLedger(owned); err != nil {
		return out, report, fmt.Errorf("store what is adopted: %w", err)
	}
	for _, t := range out.adopted {
		a.Log.Info("account adopted", "account", t.Name.String(), "uid", t.UID.String())
	}
	report, err = a.LockedPass(ctx)
	return out, report, err
}

func (a *Agent) adoption(ctx context.Context, owned plan.Ledger, names []string, group string) (Adoption, error) {
	if a.bundle == nil {
		return Adoption{}, errors.Join(ErrNoBundle, a.trouble)
	}
	local, members, err := a.Locals(group)
	if err != nil {
		return Adoption{}, err
	}
	access, _ := a.wanted()
	have, err := a.Machine.Observe(ctx, access.Grants, owned)
	if err != nil {
		return Adoption{}, fmt.Errorf("observe the machine: %w", err)
	}
	found := plan.Adopt(have, local, access.Grants, append(slices.Clone(names), members...), owned, a.Layout)
	out := Adoption{Take: []Taken{}, Refused: []NotOurs{}, Left: []NotOurs{}, Steps: []string{}, Notes: []string{}, adopted: found.Take}
	for _, r := range found.Refused {
		out.refuse(r, slices.Contains(names, r.Name))
	}
	out.then(have, plan.Desired{Grants: access.Grants, SSHD: owned.SSHD}, owned, a.Layout)
	out.note(local, owned)
	return out, nil
}

// refuse tells of an account that is not taken. Of a group one expects some that nobody
// is let in by, or that are ours.
func (o *Adoption) refuse(r plan.Refused, asked bool) {
	n := NotOurs{Name: r.Name, Reason: r.Reason.Error()}
	var why *name.Refusal
	if errors.As(r.Reason, &why) {
		n.Code = why.Code
	}
	if !asked && (errors.Is(r.Reason, plan.ErrAdoptGrant) || errors.Is(r.Reason, plan.ErrAdoptOurs)) {
		o.Left = append(o.Left, n)
		return
	}
	o.Refused = append(o.Refused, n)
}

// then lists what a pass does to the accounts once they are ours.
func (o *Adoption) then(have plan.State, want plan.Desired, owned plan.Ledger, l plan.Layout) {
	owned.Accounts = maps.Clone(owned.Accounts)
	owned.Adopt(o.adopted)
	taken := map[authz.Username]bool{}
	for _, t := range o.adopted {
		taken[t.Name] = true
		o.Take = append(o.Take, Taken{t.Name, t.UID})
	}
	for _, s := range plan.Diff(have, want, owned, l).Steps {
		if taken[s.User] {
			o.Steps = append(o.Steps, s.String())
		}
	}
}

// note says what of the change is easily overlooked.
func (o *Adoption) note(local map[string]plan.Local, owned plan.Ledger) {
	shared, password := false, false
	for _, t := range o.adopted {
		a := local[t.Name.String()]
		shared = shared || a.GID != uint32(t.UID)
		password = password || a.Password == "set"
	}
	if shared {
		o.Notes = append(o.Notes, "each account gets a primary group of its own; files keep the group they have")
	}
	if password {
		o.Notes = append(o.Notes, "passwords stop working until the account is given back")
	}
	switch {
	case len(o.adopted) == 0:
	case owned.SSHD:
		o.Notes = append(o.Notes, "sshd no longer reads keys from the homes of these accounts")
	default:
		o.Notes = append(o.Notes, "sshd goes on reading keys from the homes of these accounts until  latchkey-agent sshd enable")
	}
}
