//go:build !race

package agent_test

import (
	"context"
	"errors"
	"fmt"

	"latchkey/agent/plan"
)

// simMany is how many accounts agent/host makes in another way than one by one.
const simMany = 16

// ApplyAll takes steps at once, accounts in stages, each for all of them, as agent/host
// does.
func (h *simHost) ApplyAll(ctx context.Context, steps []plan.Step) []error {
	if len(steps) < simMany || steps[0].Op != plan.OpCreateAccount || h.s.bug.do != nil {
		var errs []error
		for _, s := range steps {
			errs = append(errs, h.Apply(ctx, s))
		}
		return errs
	}
	h.toolEnds()
	h.s.point("before the steps")
	var views []stepView
	for _, s := range steps {
		h.applied = append(h.applied, s.String())
		views = append(views, h.s.before(s))
	}
	errs := h.bulk(steps)
	for i, s := range steps {
		h.s.say("  at once %s: %v", s, errs[i])
		h.s.after(s, views[i], errs[i])
	}
	if h.s.bug.all != nil {
		h.s.bug.all(h, steps)
	}
	h.s.point("after the steps")
	return errs
}

// bulk makes accounts in stages, between which the agent may be killed.
func (h *simHost) bulk(steps []plan.Step) []error {
	errs, late := make([]error, len(steps)), make([]error, len(steps))
	for i, s := range steps {
		errs[i] = h.refuses(s)
		f := h.faultOf(s)
		if f == nil {
			continue
		}
		h.s.say("  fault for %s: %s", s.User, f.how)
		h.s.pass.taint(s)
		if err := fmt.Errorf("%s: %w", s, f.err); f.how == "after" {
			late[i] = err
		} else {
			errs[i] = err // what is there is looked at, so that nothing lies
		}
	}
	stages := []func(plan.Step) error{
		func(s plan.Step) error {
			h.state.Groups[s.User.String()] = plan.Group{Name: s.User.String(), GID: uint32(s.UID)}
			return nil
		},
		func(s plan.Step) error { return h.bulkAccount(s, "!*") },
		func(s plan.Step) error { return h.bulkAccount(s, "!*", layout.MarkerGroup) },
		func(s plan.Step) error { return h.bulkAccount(s, "*", layout.MarkerGroup) },
		h.bulkHome,
	}
	for n, stage := range stages {
		for i, s := range steps {
			if errs[i] == nil {
				errs[i] = stage(s)
			}
		}
		h.s.point(fmt.Sprintf("stage %d of the accounts", n+1))
	}
	for i := range errs {
		errs[i] = errors.Join(errs[i], late[i])
	}
	return errs
}

// bulkAccount is an account as a stage leaves it: without a home.
func (h *simHost) bulkAccount(s plan.Step, password string, groups ...string) error {
	h.madeAnew(s.User.String(), s.UID)
	h.state.Accounts[s.User.String()] = plan.Account{Name: s.User.String(), UID: uint32(s.UID), GID: uint32(s.UID), Home: layout.Home(s.User),
		Shell: s.Shell, Password: password, Groups: groups}
	return nil
}

func (h *simHost) bulkHome(s plan.Step) error {
	home := layout.Home(s.User)
	if _, found := h.state.Homes[home]; !found {
		h.state.Homes[home] = plan.Folder{Real: true, UID: uint32(s.UID)}
	}
	if h.state.Homes[home].UID != uint32(s.UID) {
		return plan.ErrHomeForeign
	}
	return nil
}
