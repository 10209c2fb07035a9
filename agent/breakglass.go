package agent

import (
	"context"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// The account for emergencies is looked at every day, and every hour while something is
// wrong with it (requirement R144).
const (
	glassEvery = 24 * time.Hour
	glassAgain = time.Hour
)

// glass is what the last look at that account came to.
type glass struct {
	at    time.Time // monotonic; zero before the first look
	wrong error
	text  string // for the status; empty when nobody looks
}

// checkGlass looks if it is time to.
func (a *Agent) checkGlass(ctx context.Context, owned plan.Ledger) {
	every := glassEvery
	if a.glass.wrong != nil {
		every = glassAgain
	}
	if a.BreakGlass == nil || !a.glass.at.IsZero() && time.Since(a.glass.at) < every {
		return
	}
	wrong := a.BreakGlass(ctx, owned)
	if ctx.Err() != nil {
		return // it was cut short
	}
	if wrong != nil && a.glass.wrong == nil {
		a.Log.Error("nobody could get in in an emergency", "reason", wrong)
	}
	if wrong == nil && a.glass.wrong != nil {
		a.Log.Info("the account for emergencies is in order again")
	}
	a.glass = glass{at: time.Now(), wrong: wrong, text: "in order at " + wire.FormatTime(a.Now())}
	if wrong != nil {
		a.glass.text = wrong.Error()
	}
}
