package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// keysOfOneKept is how many keys of one user are remembered for each instance.
const keysOfOneKept = 16

// fingerprintForm is that of SHA-256, as ssh-keygen and sshd print it.
var fingerprintForm = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}$`)

// keepUses keeps when an instance saw people log in. It is believed about itself alone:
// of users who have a grant on its stack, also one that has ended meanwhile, and never
// later than now. What else it says is passed over.
func keepUses(ctx context.Context, o store.Observation, i store.Instance, uses []wire.Use, now time.Time) error {
	known := map[string]authz.UserID{}
	for _, u := range uses[:min(len(uses), wire.MaxUses)] {
		at, err := u.Instant()
		if err != nil || u.Fingerprint != "" && !fingerprintForm.MatchString(u.Fingerprint) {
			continue
		}
		user, seen := known[u.Name]
		if !seen {
			if user, err = granted(ctx, o.View, i.Stack, u.Name); err != nil {
				return err
			}
			known[u.Name] = user
		}
		if user.IsZero() {
			continue
		}
		use := store.KeyUse{User: user, Fingerprint: u.Fingerprint, Instance: i.ID, At: earlier(at, now), Proved: u.Proved}
		if err := o.PutKeyUse(ctx, use, keysOfOneKept); err != nil {
			return err
		}
	}
	return nil
}

// granted finds who has a grant on a stack under a login name, whether or not it has
// ended; zero: nobody.
func granted(ctx context.Context, v store.View, stack authz.StackID, text string) (authz.UserID, error) {
	login, err := name.ParseUsername(text)
	if err != nil {
		return authz.UserID{}, nil
	}
	u, err := v.UserByUsername(ctx, login)
	if errors.Is(err, store.ErrNotFound) {
		return authz.UserID{}, nil
	}
	if err != nil {
		return authz.UserID{}, err
	}
	p, err := v.Permission(ctx, stack, u.ID)
	if err != nil {
		return authz.UserID{}, err
	}
	if _, err := authz.Enter(u, p, time.Time{}); err != nil { // before every end
		return authz.UserID{}, nil
	}
	return u.ID, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// keepInventory keeps an instance's inventory, bounded and printable.
func keepInventory(ctx context.Context, o store.Observation, i store.Instance, in wire.Inventory, now time.Time) error {
	at, err := in.Instant()
	if err != nil {
		return nil // nothing is said
	}
	more := max(0, in.More)
	kept := make([]wire.Unmanaged, 0, min(len(in.Entries), wire.MaxUnmanaged))
	for _, e := range in.Entries {
		switch {
		case !slices.Contains(wire.UnmanagedKinds(), e.Kind):
		case len(kept) == wire.MaxUnmanaged:
			more++
		default:
			kept = append(kept, wire.Unmanaged{
				Kind: e.Kind, Account: clean(e.Account, maxFact), Place: clean(e.Place, maxFact), What: clean(e.What, maxFact),
			})
		}
	}
	body, err := json.Marshal(wire.Inventory{Entries: kept, More: more})
	if err != nil {
		return fmt.Errorf("encode inventory of %s: %w", i.ID, err)
	}
	return o.PutInventory(ctx, store.Inventory{Instance: i.ID, TakenAt: earlier(at, now), Body: body})
}

// onlyCarries reports whether a report says nothing of the instance's work that its last
// one did not: it was sent for what it carries besides.
func onlyCarries(before []store.Receipt, r wire.Report) bool {
	if len(r.Uses) == 0 && r.Inventory.At == "" || len(before) == 0 {
		return false
	}
	var last wire.Report
	if json.Unmarshal(before[0].Body, &last) != nil {
		return false
	}
	done := func(s wire.Result) bool { return s.Error == "" }
	return last.Epoch == r.Epoch && last.Serial == r.Serial && slices.Equal(last.Refused, r.Refused) &&
		slices.Equal(slices.DeleteFunc(last.Steps, done), r.Steps)
}

// ListLastUses lists when users were last seen to log in on any instance, by ARN.
func (c *ControlPlane) ListLastUses(ctx context.Context, caller Caller, req ListLastUsesRequest) (ListLastUsesResponse, error) {
	out := ListLastUsesResponse{Users: []LastUse{}}
	since := time.Time{}
	var err error
	if req.UnusedSince != "" {
		if since, err = time.Parse(time.RFC3339, req.UnusedSince); err != nil {
			return out, invalid("Unused Since", errExpiryForm)
		}
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authoriseOn(ctx, v, who, "latchkey:ListLastUses", target{}); err != nil {
			return err
		}
		users, err := v.Users(ctx)
		if err != nil {
			return err
		}
		all, err := v.LastUses(ctx)
		if err != nil {
			return err
		}
		byUser := map[authz.UserID][]store.KeyUse{}
		for _, u := range all {
			byUser[u.User] = append(byUser[u.User], u)
		}
		for _, u := range users {
			last := lastOf(byUser[u.ID])
			if req.UnusedSince == "" || last.Before(since) {
				out.Users = append(out.Users, LastUse{IamUserArn: u.ARN.String(), SshUsername: u.Username.String(),
					LastLoginAt: instantOf(last), Keys: showUses(u.Keys, byUser[u.ID], nil)})
			}
		}
		return nil
	})
	return out, err
}

// lastOf is the newest of uses, zero without any.
func lastOf(uses []store.KeyUse) (last time.Time) {
	for _, u := range uses {
		last = later(last, u.At)
	}
	return last
}

// instantOf prints an instant, and the zero one as nothing.
func instantOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return timestamp(t)
}

// showUses lists keys that a user has, in their order, and then others that were used,
// each with its newest use.
func showUses(keys []authz.Key, uses []store.KeyUse, hostnames map[authz.InstanceID]string) []SshKeyUse {
	newest := map[string]store.KeyUse{}
	var others []string
	for _, u := range uses {
		before, found := newest[u.Fingerprint]
		if !found {
			others = append(others, u.Fingerprint)
		}
		if !found || u.At.After(before.At) {
			newest[u.Fingerprint] = u
		}
	}
	out := []SshKeyUse{}
	for _, k := range keys {
		out = append(out, showUse(k.Type(), k.Fingerprint(), newest[k.Fingerprint()], hostnames))
		others = slices.DeleteFunc(others, func(f string) bool { return f == k.Fingerprint() })
	}
	for _, f := range others {
		out = append(out, showUse("", f, newest[f], hostnames))
	}
	return out
}

func showUse(kind, fingerprint string, u store.KeyUse, hostnames map[authz.InstanceID]string) SshKeyUse {
	out := SshKeyUse{Type: kind, Fingerprint: fingerprint, LastUsedAt: instantOf(u.At), Proved: u.Proved, Hostname: hostnames[u.Instance]}
	if !u.Instance.IsZero() {
		out.InstanceId = u.Instance.String()
	}
	return out
}

// usesOf shows a user's keys with their uses, and his last login.
func usesOf(ctx context.Context, v store.View, u authz.Profile) (keys []SshKeyUse, last string, err error) {
	uses, err := v.KeyUsesOf(ctx, u.ID)
	if err != nil {
		return nil, "", err
	}
	hostnames := map[authz.InstanceID]string{}
	for _, use := range uses {
		if _, found := hostnames[use.Instance]; found || use.Instance.IsZero() {
			continue
		}
		i, err := v.Instance(ctx, use.Instance)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, "", err
		}
		hostnames[use.Instance] = shownHostname(i)
	}
	return showUses(u.Keys, uses, hostnames), instantOf(lastOf(uses)), nil
}

// lastLogins are the newest of each user among uses.
func lastLogins(uses []store.KeyUse) map[authz.UserID]time.Time {
	last := map[authz.UserID]time.Time{}
	for _, u := range uses {
		last[u.User] = later(last[u.User], u.At)
	}
	return last
}

// explainUses says when the user was last seen on the stack's instances, with which keys
// and where.
func explainUses(ctx context.Context, v store.View, out *ExplainAccessResponse, stack authz.StackID, user authz.UserID) error {
	uses, err := v.KeyUsesOn(ctx, stack, user)
	if err != nil {
		return err
	}
	key, instance := map[string]time.Time{}, map[string]time.Time{}
	var last time.Time
	for _, u := range uses {
		key[u.Fingerprint], instance[u.Instance.String()] = later(key[u.Fingerprint], u.At), later(instance[u.Instance.String()], u.At)
		last = later(last, u.At)
	}
	for i, k := range out.Keys {
		out.Keys[i].LastUsedAt = instantOf(key[k.Fingerprint])
	}
	for i, k := range out.Instances {
		out.Instances[i].LastLoginAt = instantOf(instance[k.InstanceId])
	}
	if !last.IsZero() {
		out.Lines = append(out.Lines, "the user was last seen to log in at "+timestamp(last))
	}
	return nil
}

// DescribeUnmanagedAccess lists what an instance last reported of access that is not
// ours.
func (c *ControlPlane) DescribeUnmanagedAccess(
	ctx context.Context, caller Caller, req DescribeUnmanagedAccessRequest,
) (DescribeUnmanagedAccessResponse, error) {
	id, err := parseInstance(req.InstanceId)
	out := DescribeUnmanagedAccessResponse{InstanceId: id.String(), Access: []UnmanagedAccess{}}
	if err != nil {
		return out, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if _, err := c.instanceFor(ctx, v, who, "latchkey:DescribeUnmanagedAccess", id); err != nil {
			return err
		}
		kept, err := v.Inventory(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var in wire.Inventory
		if err := json.Unmarshal(kept.Body, &in); err != nil {
			return fmt.Errorf("inventory of %s: %w", id, err)
		}
		out.TakenAt, out.More = timestamp(kept.TakenAt), int64(in.More)
		for _, e := range in.Entries {
			out.Access = append(out.Access, UnmanagedAccess(e))
		}
		return nil
	})
	return out, err
}
