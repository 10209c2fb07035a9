package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

// Every change of policies, groups, boundaries and tags goes the same way: the caller
// is authorised, the change is made, and then what it gave is judged by rights.go, in
// one transaction. What takes access away only is not judged by what the caller has,
// so that it never waits for somebody mightier.

// alteration is a change of what people may do, while it is made.
type alteration struct {
	*change
	action authz.Action // that the caller asked for
	on     target
}

// outcome is what an alteration means for what people may do. The zero value takes
// access away, or does nothing.
type outcome struct {
	gives []iam.Policy     // documents that somebody has from now on
	frees []store.Identity // people who lose a denial or a limit, or whose policies ask about what changes
	undo  authz.Action     // what takes it back; "" where the same action does
}

// alter authorises the caller and calls f in one transaction.
func (c *ControlPlane) alter(
	ctx context.Context, caller Caller, action authz.Action, on target, f func(alteration) error,
) error {
	return c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authoriseOn(ctx, ch.View, ch.who, action, on); err != nil {
			return err
		}
		return f(alteration{ch, action, on})
	})
}

// carryOut makes a change, and refuses it if the caller gave more than his own or
// locked himself out.
func (c *ControlPlane) carryOut(ctx context.Context, a alteration, o outcome, do func() error) error {
	keep := []authz.Action{a.action}
	if o.undo != "" && c.authoriseOn(ctx, a.View, a.who, o.undo, a.on) == nil {
		keep = append(keep, o.undo)
	}
	if err := do(); err != nil {
		return err
	}
	if err := c.mayGive(ctx, a.change, o.gives, o.frees); err != nil {
		return err
	}
	for _, action := range keep {
		if err := c.keepsRight(ctx, a.change, action, a.on); err != nil {
			return err
		}
	}
	return nil
}

// replacing says what it means for those who have a document that they have another
// in its place; the zero before is a malformed one, which denied everything.
func replacing(before, after iam.Policy, people []store.Identity) outcome {
	if before.Denies() {
		return outcome{gives: []iam.Policy{after}, frees: people}
	}
	if narrower, _ := iam.Covers([]iam.Policy{before}, nil, after); narrower {
		return outcome{}
	}
	return outcome{gives: []iam.Policy{after}}
}

// removing says what it means for people that they lose a document: without a denial
// in it they only lose.
func removing(before iam.Policy, people []store.Identity) outcome {
	if before.Denies() {
		return outcome{frees: people}
	}
	return outcome{}
}

// dependent returns the user if what he may do depends on condition keys that begin
// so, and nobody otherwise.
func (c *ControlPlane) dependent(ctx context.Context, v store.View, user authz.Profile, keys string) ([]store.Identity, error) {
	held, err := v.Holdings(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	if held.Boundary != nil {
		held.Policies = append(held.Policies, *held.Boundary)
	}
	for _, h := range held.Policies {
		if c.policy(h).Document.Mentions(keys) {
			return []store.Identity{identity(user)}, nil
		}
	}
	return nil, nil
}

func identity(p authz.Profile) store.Identity { return store.Identity{ID: p.ID, ARN: p.ARN} }

// digest names a document in the audit log; one that is not there has none.
func digest(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// changed is the audit detail of a policy's document that became another; "" is none.
func changed(policy string, before, after []byte) map[string]string {
	return map[string]string{"policy": policy, "before": digest(before), "after": digest(after)}
}
