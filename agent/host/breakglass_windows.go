package host

import (
	"context"
	"errors"
	"time"

	"latchkey/agent/plan"
)

// BreakGlass is not there for Windows yet.
func (h *Host) BreakGlass(context.Context, LocalName, plan.Ledger, time.Time) error {
	return errors.ErrUnsupported
}

// Ways is not there for Windows yet.
func (h *Host) Ways(context.Context, LocalName, plan.Ledger, time.Time) ([]string, error) {
	return nil, errors.ErrUnsupported
}
