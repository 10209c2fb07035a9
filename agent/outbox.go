package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"latchkey/agent/client"
	"latchkey/authz/wire"
)

// outbox sends reports beside the loop, so that a slow control plane never
// delays a revocation. It keeps the newest reports while there is no way out.
type outbox struct {
	source Source
	log    *slog.Logger
	wake   chan struct{}
	// taken gets each report that the control plane took, if it carried more than what
	// a pass came to.
	taken chan wire.Report

	mu      sync.Mutex
	waiting []wire.Report // guarded by mu
	sending wire.Report   // guarded by mu; zero: none
}

// maxWaiting bounds the reports kept; the oldest goes first.
const maxWaiting = 100

func newOutbox(source Source, log *slog.Logger) *outbox {
	return &outbox{source: source, log: log, wake: make(chan struct{}, 1), taken: make(chan wire.Report)}
}

func (o *outbox) put(r wire.Report) {
	o.mu.Lock()
	o.waiting = append(o.waiting, r)
	if len(o.waiting) > maxWaiting {
		o.waiting = o.waiting[1:]
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) next() (wire.Report, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending = wire.Report{}
	if len(o.waiting) == 0 {
		return wire.Report{}, false
	}
	o.sending = o.waiting[0]
	o.waiting = o.waiting[1:]
	return o.sending, true
}

// carries reports whether a report that carries more than what a pass came to is on its
// way, or taken and not yet noted.
func (o *outbox) carries() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return carries(o.sending) || slices.ContainsFunc(o.waiting, carries)
}

// run sends until the context ends.
func (o *outbox) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		for r, more := o.next(); more; r, more = o.next() {
			o.send(ctx, r)
		}
	}
}

// send tries until the report is taken, the control plane says no for good, or
// the context ends.
func (o *outbox) send(ctx context.Context, r wire.Report) {
	for attempt := 0; ; attempt++ {
		err := o.source.Report(ctx, r)
		if err == nil && carries(r) {
			select {
			case <-ctx.Done(): // it is told again: that does no harm
			case o.taken <- r:
			}
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if refused := (*client.Refused)(nil); errors.As(err, &refused) && refused.Status < 500 && refused.Status != 429 {
			o.log.Warn("report not taken", "serial", r.Serial, "reason", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(client.Pause(attempt)):
		}
	}
}
