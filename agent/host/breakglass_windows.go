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
