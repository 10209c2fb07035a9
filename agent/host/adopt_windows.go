package host

import (
	"context"
	"errors"

	"latchkey/agent/plan"
)

// Locals is not there for Windows yet.
func (h *Host) Locals(string) (map[string]plan.Local, []string, error) {
	return nil, nil, errors.ErrUnsupported
}

// Leftovers is not there for Windows yet.
func (h *Host) Leftovers(context.Context, plan.Ledger) ([]Leftover, error) {
	return nil, errors.ErrUnsupported
}
