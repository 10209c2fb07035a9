package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/authz/wire"
)

// How often is looked, beside the passes, for what a report also carries. None of it is
// urgent, and a look costs a program's run and many files.
const (
	usesEvery      = 10 * time.Minute
	inventoryEvery = time.Hour
)

// findings are what one look beside the passes came to.
type findings struct {
	logins    bool // the log was read
	uses      []wire.Use
	mark      string
	foreign   bool // an inventory was taken
	inventory wire.Inventory
	err       error
}

// beside is the state of those looks.
type beside struct {
	busy                bool
	usesAt, inventoryAt time.Time // when the last ones began
	last                wire.Report
	told                string // the last error, so that it is logged once
}

// lookBeside begins a look that is due, unless one is under way. It never holds up a
// pass: what it finds comes through the channel.
func (a *Agent) lookBeside(ctx context.Context, found chan<- findings) {
	now := time.Now()
	logins := a.Logins != nil && (a.beside.usesAt.IsZero() || now.Sub(a.beside.usesAt) >= usesEvery)
	foreign := a.Foreign != nil && (a.beside.inventoryAt.IsZero() || now.Sub(a.beside.inventoryAt) >= inventoryEvery)
	if a.beside.busy || a.bundle == nil || !logins && !foreign {
		return
	}
	a.beside.busy = true
	if logins {
		a.beside.usesAt = now
	}
	if foreign {
		a.beside.inventoryAt = now
	}
	allowed := a.bundle.Settings.Unmanaged == wire.UnmanagedAllow
	go func() {
		f := a.find(ctx, logins, foreign, allowed)
		select {
		case <-ctx.Done():
		case found <- f:
		}
	}()
}

// find looks. It uses nothing that a pass changes but files, which are whole at every
// moment.
func (a *Agent) find(ctx context.Context, logins, foreign, allowed bool) (f findings) {
	if logins {
		seen, err := a.Cache.Uses()
		if err == nil {
			f.uses, f.mark, err = a.Logins(ctx, seen.Mark)
		}
		f.logins, f.err = err == nil, err
	}
	if foreign {
		owned, err := a.Cache.Ledger()
		if err == nil {
			f.inventory, err = a.Foreign(ctx, owned, allowed)
		}
		f.foreign, f.err = err == nil, errors.Join(f.err, err)
	}
	return f
}

// found stores what a look came to, and sends what of it is news.
func (a *Agent) found(f findings, out *outbox) {
	a.beside.busy = false
	err := errors.Join(f.err, a.keep(f))
	a.noteBeside(err)
	if a.beside.last.Serial == 0 || out.carries() {
		return // there is no report to go with, or the last one is still on its way
	}
	r := a.beside.last
	if err := a.carry(&r); err == nil && carries(r) {
		out.put(r)
	}
}

// keep stores findings durably.
func (a *Agent) keep(f findings) error {
	var errs []error
	if f.logins {
		errs = append(errs, a.keepUses(f))
	}
	if f.foreign {
		errs = append(errs, a.keepForeign(f.inventory))
	}
	return errors.Join(errs...)
}

func (a *Agent) keepUses(f findings) error {
	owned, err := a.Cache.Ledger()
	if err != nil {
		return err
	}
	seen, err := a.Cache.Uses()
	if err != nil {
		return err
	}
	if !remember(&seen, f.uses, owned) && seen.Mark == f.mark {
		return nil
	}
	seen.Mark = f.mark
	return a.Cache.SaveUses(seen)
}

func (a *Agent) keepForeign(in wire.Inventory) error {
	before, err := a.Cache.Foreign()
	if err != nil {
		return err
	}
	if before.Inventory.At != "" && before.Inventory.More == in.More && slices.Equal(before.Inventory.Entries, in.Entries) {
		return nil
	}
	before.Inventory, before.Told = in, false
	return a.Cache.SaveForeign(before)
}

// noteBeside logs an error once.
func (a *Agent) noteBeside(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != a.beside.told {
		a.Log.Warn("last uses or access of others not read", "reason", err)
	}
	a.beside.told = text
}

// carries reports whether a report carries more than what a pass came to.
func carries(r wire.Report) bool { return len(r.Uses) > 0 || r.Inventory.At != "" }

// carry adds to a report what the control plane has not acknowledged yet.
func (a *Agent) carry(r *wire.Report) error {
	seen, err := a.Cache.Uses()
	if err != nil {
		return err
	}
	foreign, err := a.Cache.Foreign()
	if err != nil {
		return err
	}
	r.Uses = untold(seen)
	if !foreign.Told {
		r.Inventory = foreign.Inventory
	}
	return nil
}

// acknowledged stores that the control plane has what a report carried.
func (a *Agent) acknowledged(r wire.Report) error {
	var errs []error
	if len(r.Uses) > 0 {
		seen, err := a.Cache.Uses()
		if err == nil {
			acknowledge(&seen, r.Uses)
			err = a.Cache.SaveUses(seen)
		}
		errs = append(errs, err)
	}
	if r.Inventory.At != "" {
		foreign, err := a.Cache.Foreign()
		if err == nil && foreign.Inventory.At == r.Inventory.At {
			foreign.Told = true
			err = a.Cache.SaveForeign(foreign)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Send reads sshd's log, and sends a report with the logins that were not told yet.
// Whatever is wrong with them, the report itself is sent.
func (a *Agent) Send(ctx context.Context, r wire.Report) error {
	var err error
	if a.Logins != nil {
		f := a.find(ctx, true, false, false)
		err = errors.Join(f.err, a.keep(f), a.carry(&r))
	}
	if sent := a.Source.Report(ctx, r); sent != nil {
		return errors.Join(sent, err)
	}
	return errors.Join(err, a.acknowledged(r))
}
