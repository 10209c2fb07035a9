package host

import (
	"context"
	"errors"
	"slices"

	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// Observe is not there for Windows yet.
func (h *Host) Observe(context.Context, []authz.Grant, plan.Ledger) (plan.State, error) {
	return plan.State{}, errors.ErrUnsupported
}

// Clean is not there for Windows yet.
func (h *Host) Clean() error { return errors.ErrUnsupported }

func (h *Host) apply(context.Context, plan.Step) error { return errors.ErrUnsupported }

func (h *Host) applyAll(_ context.Context, steps []plan.Step) []error {
	return slices.Repeat([]error{errors.ErrUnsupported}, len(steps))
}

// Logins is not there for Windows yet.
func (h *Host) Logins(context.Context, string) ([]wire.Use, string, error) {
	return nil, "", errors.ErrUnsupported
}

// WatchHomes is not there for Windows: our lines lie in no homes there.
func (h *Host) WatchHomes(context.Context) (func(map[authz.Username]authz.UID), <-chan error, error) {
	return nil, nil, errors.ErrUnsupported
}

// ForeignKeys is not there for Windows yet: it finds none.
func (h *Host) ForeignKeys(plan.Ledger) map[authz.Username][]plan.ForeignFile { return nil }
