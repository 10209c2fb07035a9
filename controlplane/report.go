package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// What is kept of an instance's own words: it is treated as hostile text.
const (
	maxFact        = 255 // bytes
	maxReportLines = 1000
	maxReportText  = 512 // bytes of one member of a line
	receiptsKept   = 10  // of each instance
)

// errSerialUnknown refuses a report about a bundle that was never made.
var errSerialUnknown = name.Refuse("serial_unknown", "report is about a serial that was never issued")

// Report keeps an instance's receipt, what it says of itself, what that comes to in
// commands and service errors, when it saw people log in and what access on it is not
// ours, and counts as a sight. The newest ten receipts of an instance are kept; of each at
// most a thousand lines, bounded and printable.
func (c *ControlPlane) Report(ctx context.Context, id authz.InstanceID, r wire.Report) error {
	now := c.cfg.Now()
	facts := cleanFacts(r.Facts)
	r.Facts = wire.Facts(facts)
	r.At, r.Steps, r.Refused = clean(r.At, maxFact), cleanLines(r.Steps), cleanLines(r.Refused)
	said := r // less what is kept by itself
	said.Uses, said.Inventory = nil, wire.Inventory{}
	body, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("encode report of %s: %w", id, err)
	}
	err = c.cfg.Store.Observe(ctx, func(o store.Observation) error {
		i, err := o.Instance(ctx, id)
		if err != nil {
			return err
		}
		serial, err := o.Serial(ctx, i.Stack)
		if err != nil {
			return err
		}
		if r.Serial < 0 || r.Epoch < 0 || r.Epoch > c.epoch || r.Epoch == c.epoch && r.Serial > serial {
			return &Error{Code: Invalid, Message: errSerialUnknown.Text, Err: errSerialUnknown}
		}
		if err := keepUses(ctx, o, i, r.Uses, now); err != nil {
			return err
		}
		if err := keepInventory(ctx, o, i, r.Inventory, now); err != nil {
			return err
		}
		before, err := o.Receipts(ctx, id)
		if err != nil || onlyCarries(before, r) {
			return err
		}
		if err := o.PutServiceErrors(ctx, id, serviceErrors(before, r, now), serviceErrorsKept); err != nil {
			return err
		}
		if err := c.reportCommands(ctx, o, i, r, now); err != nil {
			return err
		}
		receipt := store.Receipt{Instance: id, Epoch: r.Epoch, Serial: r.Serial, ReceivedAt: now, Body: body}
		return o.PutReceipt(ctx, receipt, facts, receiptsKept)
	})
	if errors.Is(err, store.ErrNotFound) {
		return unauthenticated(errInstanceGone)
	}
	if err == nil {
		c.sights.add(id, now)
	}
	return err
}

func cleanFacts(f wire.Facts) store.Facts {
	return store.Facts{
		Hostname: clean(f.Hostname, maxFact), OS: clean(f.OS, maxFact), Platform: clean(f.Platform, maxFact),
		Architecture: clean(f.Architecture, maxFact), Agent: clean(f.Agent, maxFact), Address: clean(f.Address, maxFact),
	}
}

func cleanLines(lines []wire.Result) []wire.Result {
	kept := make([]wire.Result, 0, min(len(lines), maxReportLines))
	for _, l := range lines[:min(len(lines), maxReportLines)] {
		kept = append(kept, wire.Result{
			What: clean(l.What, maxReportText), Code: clean(l.Code, maxReportText), Error: clean(l.Error, maxReportText),
		})
	}
	return kept
}

// clean keeps the printable characters of a text that a machine sent, up to so
// many bytes. Directional marks and the like are not printable.
func clean(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > most {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
