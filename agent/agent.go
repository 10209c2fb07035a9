// Package agent is the loop: fetch the bundle, open and store it, observe the
// machine, apply what differs, report. One goroutine owns all state; a timer, a
// new bundle and an expiry only wake it, and every pass looks afresh.
//
// Logins never depend on it: what sshd and sudo read is on the disk.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"latchkey/agent/cache"
	"latchkey/agent/client"
	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// Source is the control plane. It is an interface so that tests can lose,
// delay and damage what comes.
type Source interface {
	// Bundle returns a sealed bundle other than the version given, or not
	// changed after the wait.
	Bundle(ctx context.Context, epoch, serial int64, wait time.Duration) (sealed []byte, changed bool, err error)
	Report(ctx context.Context, r wire.Report) error
}

// Machine is what is managed. It is an interface so that tests can let any step
// go wrong.
type Machine interface {
	Observe(ctx context.Context, grants []authz.Grant, owned plan.Ledger) (plan.State, error)
	Apply(ctx context.Context, s plan.Step) error
	// Clean removes what a killed process left half done.
	Clean() error
}

// Batcher is a Machine that applies steps that plan.Together found faster at once. The
// errors are those that Apply would have given, one for each step.
type Batcher interface {
	ApplyAll(ctx context.Context, steps []plan.Step) []error
}

// Agent manages one machine.
type Agent struct {
	Identity cache.Identity
	Cache    *cache.Dir
	Source   Source
	Machine  Machine
	Layout   plan.Layout
	Facts    wire.Facts
	Log      *slog.Logger
	// Interval is how often the machine is looked at when nothing else wakes the
	// agent.
	Interval time.Duration
	// Wake asks for a look at once; see Watch. nil never does.
	Wake <-chan struct{}
	// Homes is told after each pass in whose homes sshd may read lines of ours; nil is told
	// nothing.
	Homes func(homes map[authz.Username]authz.UID)
	// TakeRemovals takes a bundle whatever it removes; see ErrHeld.
	TakeRemovals bool
	// Now is the wall clock, which may be wrong. Waits do not use it.
	Now func() time.Time
	// Built is when the program was made; zero when that is not known. It was never
	// earlier.
	Built time.Time
	// BreakGlass says what is wrong with the machine's account for emergencies; nil
	// looks at none. The ledger says which accounts are ours.
	BreakGlass func(ctx context.Context, owned plan.Ledger) error
	// ProveKeys says in what sshd, in this mode, would not find a grant's first key as
	// the grant wants it; nil asks nobody.
	ProveKeys func(ctx context.Context, mode plan.KeysMode, g authz.Grant) error
	// Logins returns the logins that sshd's log tells of since the mark, and the mark
	// after them; nil reads none. Foreign lists the access that is not of the ledger,
	// where keys in homes of our accounts may be allowed; nil looks for none. Both are
	// called beside the passes, one at a time.
	Logins  func(ctx context.Context, mark string) (uses []wire.Use, next string, err error)
	Foreign func(ctx context.Context, owned plan.Ledger, allowed bool) (wire.Inventory, error)
	// Locals returns the accounts of the account files by name, and the names of those
	// with a primary group. Only adopting needs it.
	Locals func(group string) (all map[string]plan.Local, members []string, err error)
	// ForeignKeys reads the key files in the homes of the ledger's accounts, for a stack
	// that wants something done about them; nil reads none.
	ForeignKeys func(owned plan.Ledger) map[authz.Username][]plan.ForeignFile

	bundle *wire.Bundle // the newest accepted; nil before the first
	opened wire.Opened  // the same with all that was proved of it: the next one need not be again
	// What the bundle says, parsed once: every look asks for it.
	access   authz.Access
	rejected []wire.Rejected
	held     *wire.Bundle // a newer one that is held; nil when none is
	holds    authz.Access // what that one says
	lost     error        // why one that was held cannot be read, until the control plane has answered
	sealed   []byte
	forgot   bool // adopted keys, and the stored ledger still names them
	// When the control plane last answered: by the wall clock, for people and over a
	// restart, and by the monotonic one.
	contact, answered time.Time

	trouble error
	// The content of the last pass's report, and what is left of it when nothing
	// more happens: neither is news.
	reported, settled string

	breaker breaker
	contest contest
	clock   clock
	glass   glass
	beside  beside
	untrue  error                        // what the last self-test found
	froze   bool                         // the last pass found the machine frozen
	looked  time.Time                    // when the last pass ended
	homes   map[authz.Username]authz.UID // that have lines of ours since then

	clockNoted bool // the last pass found the clock wrong
}

// ErrNoBundle is returned when there is nothing yet to make true.
var ErrNoBundle = errors.New("no bundle has been received yet")

// Run works until the context ends: a pass at once from what is stored, then one
// for every new bundle, every interval and every expiry.
func (a *Agent) Run(ctx context.Context) error {
	a.arm()
	if err := a.Load(); err != nil {
		a.Log.Error("a stored bundle is not used", "works", a.Ready(), "reason", err)
		a.trouble = err
	}
	if a.BreakGlass == nil {
		a.glass.text = ""
	}
	ctx, cancel := context.WithCancel(ctx)
	out := newOutbox(a.Source, a.Log)
	sent := make(chan struct{})
	go func() { defer close(sent); out.run(ctx) }()
	defer func() { cancel(); <-sent }()

	answers, looked := make(chan fetched), make(chan findings)
	ask := func(after time.Duration) {
		epoch, serial := a.version()
		wait := client.MaxWait
		if a.trouble != nil {
			wait = 0 // that it answers again is news in itself
		}
		go a.ask(ctx, after, epoch, serial, wait, answers)
	}
	a.passAndReport(ctx, out, true)
	a.lookBeside(ctx, looked)
	ask(0)
	// The timer is set by passes alone: answers, good or bad, do not put off the
	// next look at the machine.
	timer := time.NewTimer(a.nextLook())
	defer timer.Stop()
	for errorsInRow := 0; ; {
		look, newer := false, false
		select {
		case <-ctx.Done():
			return nil
		case f := <-answers:
			var err error
			var back bool
			newer, back, err = a.received(f)
			errorsInRow = rest(newer, err, f.took, errorsInRow, ask)
			newer = newer || back // either is a cause of ours to change the machine
			look = newer
		case f := <-looked:
			a.found(f, out)
		case r := <-out.taken:
			a.noteBeside(a.acknowledged(r))
		case <-timer.C:
			look = true
		case <-a.Wake:
			wait := a.contest.pause(time.Now(), a.Interval) - time.Since(a.looked)
			look = wait <= 0
			if !look {
				timer.Reset(min(wait, a.nextLook()))
			}
		}
		if look {
			a.passAndReport(ctx, out, newer)
			a.lookBeside(ctx, looked)
			timer.Reset(a.nextLook())
		}
	}
}

// rest asks again: at once after a newer bundle or a whole wait, later after a bad
// answer or one that brought nothing and came too fast, so that no server can
// make an agent spin.
func rest(newer bool, err error, took time.Duration, errorsInRow int, ask func(time.Duration)) int {
	switch {
	case err != nil:
		ask(client.Pause(errorsInRow + 1))
		return errorsInRow + 1
	case !newer && took < time.Second:
		ask(time.Second + client.Pause(1))
	default:
		ask(0)
	}
	return 0
}

func (a *Agent) ask(ctx context.Context, after time.Duration, epoch, serial int64, wait time.Duration, answers chan<- fetched) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(after):
	}
	f := a.fetch(ctx, epoch, serial, wait)
	select {
	case <-ctx.Done():
	case answers <- f:
	}
}

// nextLook is when the next pass is due without any news: the interval, or
// sooner when a grant ends or the silence becomes too long.
func (a *Agent) nextLook() time.Duration {
	next := a.Interval
	if a.bundle == nil {
		return next
	}
	if left, will := a.staleIn(); will {
		next = min(next, left+10*time.Millisecond)
	}
	now := a.at()
	if a.clock.wrong != nil {
		return next
	}
	for _, g := range a.access.At(now).Grants {
		if left := g.NotAfter.Sub(now); !g.NotAfter.IsZero() && left < next {
			next = max(left, 0) + 10*time.Millisecond
		}
	}
	return next
}

// passAndReport makes a pass, which something new gave cause for or the machine
// alone.
func (a *Agent) passAndReport(ctx context.Context, out *outbox, newer bool) {
	if a.bundle != nil {
		a.begin(a.breaker.hash)
	}
	report, err := a.Pass(ctx)
	a.end(completed(report, err))
	a.looked = time.Now()
	if a.Homes != nil {
		a.Homes(a.homes)
	}
	if !newer {
		a.contest.repaired(done(report), a.looked)
	}
	switch {
	case errors.Is(err, ErrNoBundle):
	case err != nil:
		a.Log.Error("pass ended early", "reason", err)
	}
	text := content(report)
	if err != nil || text == a.reported {
		return
	}
	if text != a.settled {
		out.put(report)
	}
	report.Steps = slices.DeleteFunc(slices.Clone(report.Steps), func(s wire.Result) bool { return s.Error == "" })
	a.reported, a.settled, a.beside.last = text, content(report), report
}
