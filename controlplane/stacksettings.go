package controlplane

import (
	"context"
	"errors"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

var errStale = name.Refuse("stale_malformed", "is none of keep, drop-sudo:HOURSh and drop-all:HOURSh, with 1 to 8784 hours, like drop-sudo:168h")

// settings are what instances of a stack are told to do. What does not parse any more
// is as if nobody had chosen.
func settings(ctx context.Context, v store.View, stack authz.StackID) (wire.Settings, error) {
	set := wire.DefaultSettings()
	chosen, err := v.StackSettings(ctx, stack)
	if err != nil {
		return set, err
	}
	if stale, err := wire.ParseStale(chosen.Stale); err == nil {
		set.Stale = stale.String()
	}
	return set, nil
}

func showSettings(set wire.Settings) StackSettings {
	return StackSettings{
		KeysMode: set.KeysMode, OnRevoke: set.OnRevoke, Homes: set.Homes, Stale: set.Stale, MinRsaBits: int64(set.MinRSABits),
	}
}

// UpdateStackSettings changes what a stack wants of its instances; what the request
// leaves out stays.
func (c *ControlPlane) UpdateStackSettings(ctx context.Context, caller Caller, req UpdateStackSettingsRequest) (Nothing, error) {
	id, err := parseStack(req.StackId)
	if err != nil {
		return Nothing{}, err
	}
	var stale *wire.Stale
	if req.Stale != nil {
		parsed, err := wire.ParseStale(*req.Stale)
		if err != nil {
			return Nothing{}, invalid("Stale", errStale)
		}
		stale = &parsed
	}
	const action = "latchkey:UpdateStackSettings"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, id); err != nil {
			return err
		}
		before, err := settingsNamed(ctx, ch.View, id)
		if err != nil {
			return err
		}
		after := before
		if stale != nil {
			after.Stale = stale.String()
		}
		ch.Record(id.String(), map[string]string{"stale from": before.Stale, "stale to": after.Stale})
		if after == before {
			return nil
		}
		ch.raised = append(ch.raised, id)
		return errors.Join(ch.SetStackSettings(ctx, id, store.StackSettings{Stale: after.Stale}), ch.RaiseSerial(ctx, id))
	})
}

// settingsNamed finds the settings of a stack that must be there.
func settingsNamed(ctx context.Context, v store.View, id authz.StackID) (wire.Settings, error) {
	set, err := settings(ctx, v, id)
	if errors.Is(err, store.ErrNotFound) {
		return set, noStack(id)
	}
	return set, err
}

// DescribeStackSettings shows what a stack wants of its instances.
func (c *ControlPlane) DescribeStackSettings(
	ctx context.Context, caller Caller, req DescribeStackSettingsRequest,
) (DescribeStackSettingsResponse, error) {
	var out DescribeStackSettingsResponse
	id, err := parseStack(req.StackId)
	if err != nil {
		return out, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "latchkey:DescribeStackSettings", id); err != nil {
			return err
		}
		set, err := settingsNamed(ctx, v, id)
		out.Settings = showSettings(set)
		return err
	})
	return out, err
}
