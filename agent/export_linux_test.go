//go:build !race

package agent

import (
	"context"
	"time"

	"latchkey/authz/wire"
)

// Loop is Run taken apart, for a test that is its own clock and decides itself what
// happens next: Run's select takes what comes first, which is not the same twice.
type Loop struct {
	*Agent
	out    *outbox
	unsent []wire.Report
}

// NewLoop begins as Run does, with a pass from what is stored.
func NewLoop(ctx context.Context, a *Agent) *Loop {
	l := &Loop{Agent: a, out: newOutbox(a.Source, a.Log)}
	a.arm()
	if err := a.Load(); err != nil {
		a.trouble = err
	}
	return l
}

// Ask asks the control plane once and reports whether a pass is due for its answer.
func (l *Loop) Ask(ctx context.Context) (due bool, err error) {
	epoch, serial := l.version()
	newer, back, err := l.received(l.fetch(ctx, epoch, serial, 0))
	return newer || back, err
}

// Look makes a pass, for an answer or for the machine alone, and sends what there is to
// report, until that goes wrong.
func (l *Loop) Look(ctx context.Context, newer bool) {
	l.passAndReport(ctx, l.out, newer)
	for r, more := l.out.next(); more; r, more = l.out.next() {
		l.unsent = append(l.unsent, r)
	}
	select {
	case <-l.out.wake:
	default:
	}
	for len(l.unsent) > 0 && l.Source.Report(ctx, l.unsent[0]) == nil {
		l.unsent = l.unsent[1:]
	}
}

// InUse is the bundle that is worked from, still sealed, and its version; zero before
// the first.
func (l *Loop) InUse() (sealed []byte, epoch, serial int64) {
	epoch, serial = l.version()
	return l.sealed, epoch, serial
}

// Held says when the bundle that is held was issued, "" when none is.
func (l *Loop) Held() (issued string) {
	if l.held == nil {
		return ""
	}
	return l.held.Issued
}

// NextLook is when the next pass is due without any news.
func (l *Loop) NextLook() time.Duration { return l.nextLook() }
