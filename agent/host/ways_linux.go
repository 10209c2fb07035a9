package host

import (
	"context"
	"time"

	"latchkey/agent/plan"
)

// Ways says for people what lets an account of this machine in, or gives it more, that
// is not ours, and what keeps it out all the same. It changes nothing. An account that
// is not in the account files has one line that says so.
func (h *Host) Ways(ctx context.Context, user LocalName, owned plan.Ledger, now time.Time) ([]string, error) {
	a, groups, found, err := login(user)
	if err != nil {
		return nil, err
	}
	if !found {
		return []string{"there is no account " + user.String() + " in " + passwdFile}, nil
	}
	in, err := h.Inventory(ctx, owned)
	if err != nil {
		return nil, err
	}
	ways := in.Ways(a, groups)
	settings, err := h.runningSettings(ctx, user)
	if err == nil {
		err = closedAccount(a, groups, settings, now)
	}
	if err != nil {
		ways = append(ways, "but "+err.Error())
	}
	for _, u := range in.Unread {
		ways = append(ways, "not read: "+u.Place+": "+u.Reason)
	}
	return append(ways, in.Notes...), nil
}
