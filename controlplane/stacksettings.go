package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

var errStale = name.Refuse("stale_malformed", "is none of keep, drop-sudo:HOURSh and drop-all:HOURSh, with 1 to 8784 hours, like drop-sudo:168h")

// settings are what instances of a stack are told to do. What is not known any more
// is as if nobody had chosen.
func settings(ctx context.Context, v store.View, stack authz.StackID) (wire.Settings, error) {
	set := wire.DefaultSettings()
	chosen, err := v.StackSettings(ctx, stack)
	if err != nil {
		return set, err
	}
	known := set
	known.KeysMode, known.OnRevoke, known.Homes = chosen.KeysMode, chosen.OnRevoke, chosen.Homes
	known.Unmanaged, known.Stale = chosen.Unmanaged, chosen.Stale
	if known.Check() == nil {
		set = known
	}
	return set, nil
}

func storedSettings(set wire.Settings) store.StackSettings {
	return store.StackSettings{
		KeysMode: set.KeysMode, OnRevoke: set.OnRevoke, Homes: set.Homes, Unmanaged: set.Unmanaged, Stale: set.Stale,
	}
}

func showSettings(set wire.Settings) StackSettings {
	return StackSettings{
		KeysMode: set.KeysMode, OnRevoke: set.OnRevoke, Homes: set.Homes, Unmanaged: set.Unmanaged, Stale: set.Stale,
		MinRsaBits: int64(set.MinRSABits),
	}
}

// chosenSettings lays what a request names over the settings before.
func chosenSettings(before wire.Settings, req UpdateStackSettingsRequest) (wire.Settings, error) {
	after := before
	for _, c := range []struct {
		field, setting string
		asked, to      *string
	}{
		{"KeysMode", "keys_mode", req.KeysMode, &after.KeysMode},
		{"OnRevoke", "on_revoke", req.OnRevoke, &after.OnRevoke},
		{"Homes", "homes", req.Homes, &after.Homes},
		{"Unmanaged", "unmanaged", req.Unmanaged, &after.Unmanaged},
	} {
		if known := wire.Choices()[c.setting]; c.asked != nil && !slices.Contains(known, *c.asked) {
			last := len(known) - 1
			return after, invalid(c.field, fmt.Errorf("is none of %s and %s", strings.Join(known[:last], ", "), known[last]))
		}
		if c.asked != nil {
			*c.to = *c.asked
		}
	}
	if req.Stale != nil {
		stale, err := wire.ParseStale(*req.Stale)
		if err != nil {
			return after, invalid("Stale", errStale)
		}
		after.Stale = stale.String()
	}
	if err := after.Check(); err != nil {
		return after, invalid("Homes", err)
	}
	return after, nil
}

// UpdateStackSettings changes what a stack wants of its instances; what the request
// leaves out stays.
func (c *ControlPlane) UpdateStackSettings(ctx context.Context, caller Caller, req UpdateStackSettingsRequest) (Nothing, error) {
	id, err := parseStack(req.StackId)
	if err != nil {
		return Nothing{}, err
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
		after, err := chosenSettings(before, req)
		if err != nil {
			return err
		}
		ch.Record(id.String(), changedSetting(before, after))
		if after == before {
			return nil
		}
		ch.raised = append(ch.raised, id)
		return errors.Join(ch.SetStackSettings(ctx, id, storedSettings(after)), ch.RaiseSerial(ctx, id))
	})
}

// changedSetting says for the log what changes.
func changedSetting(before, after wire.Settings) map[string]string {
	details := map[string]string{}
	for _, c := range [][3]string{
		{"keys mode", before.KeysMode, after.KeysMode}, {"on revoke", before.OnRevoke, after.OnRevoke},
		{"homes", before.Homes, after.Homes}, {"unmanaged", before.Unmanaged, after.Unmanaged}, {"stale", before.Stale, after.Stale},
	} {
		if c[1] != c[2] {
			details[c[0]+" from"], details[c[0]+" to"] = c[1], c[2]
		}
	}
	return details
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
