package controlplane

import (
	"context"
	"errors"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// Caller is an authenticated principal: whoever made it has checked the proof.
type Caller struct {
	ARN authz.ARN
	// AccessKeyID is the key that proved it; empty for another proof. A key that
	// was deleted since is refused, also when the request was proved before.
	AccessKeyID string
	// SourceIP and RequestID are for the audit log; policies may ask about the
	// former, and about the two that follow.
	SourceIP, RequestID string
	UserAgent           string
	// Secure says that the request came over TLS.
	Secure bool
}

// Credential is what package api verifies a request's signature with.
type Credential struct {
	Caller Caller // SourceIP and RequestID are for the api to fill in
	Secret string
}

// Nothing is the response of an action without output.
type Nothing struct{}

var (
	errNoCaller  = errors.New("no caller is named")
	errKeyGone   = errors.New("access key is not known, or not active")
	errNoProfile = errors.New("caller has no profile")
)

// Credential finds an access key. An unknown one is an *Error Unauthenticated.
func (c *ControlPlane) Credential(ctx context.Context, accessKeyID string) (Credential, error) {
	var key store.AccessKey
	err := c.cfg.Store.Read(ctx, func(v store.View) (err error) {
		key, err = v.AccessKey(ctx, accessKeyID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && !key.Active {
		return Credential{}, unauthenticated(errKeyGone)
	}
	if err != nil {
		return Credential{}, err
	}
	secret, err := c.cfg.Secrets.Open(key.Secret, secretPurpose(key.ID))
	if err != nil {
		return Credential{}, err
	}
	return Credential{Caller: Caller{ARN: key.ARN, AccessKeyID: key.ID}, Secret: string(secret)}, nil
}

func secretPurpose(accessKeyID string) string { return "access key " + accessKeyID }

// withProfile calls f; if the caller turns out to have no profile it makes one and
// calls f again. A profile comes with the first authenticated use, as it did in
// the original.
func (c *ControlPlane) withProfile(ctx context.Context, caller Caller, f func() error) error {
	err := f()
	if !errors.Is(err, errNoProfile) {
		return err
	}
	err = c.cfg.Store.Write(ctx, c.entry(caller, "latchkey:CreateImplicitProfile"), func(tx *store.Tx) error {
		if _, err := tx.UserByARN(ctx, caller.ARN); err == nil {
			return errHasProfile
		}
		p, err := c.insertImplicit(ctx, tx, caller.ARN)
		if err != nil {
			return err
		}
		tx.Record(p.ARN.String(), map[string]string{"ssh_username": p.Username.String()})
		return nil
	})
	if err != nil && !errors.Is(err, errHasProfile) {
		return err
	}
	if err = f(); errors.Is(err, errNoProfile) { // deleted again in between
		return unauthenticated(err)
	}
	return err
}

var errHasProfile = errors.New("caller has a profile by now")

// insertImplicit makes a profile that nobody asked for: with the login name that
// the ARN gives if that is a name and free, otherwise without one.
func (c *ControlPlane) insertImplicit(ctx context.Context, tx *store.Tx, arn authz.ARN) (authz.Profile, error) {
	p := authz.Profile{ID: newID(authz.ParseUserID), ARN: arn}
	login, err := authz.DeriveUsername(arn)
	if err == nil {
		taken, err := tx.UsernameTaken(ctx, login, p.ID)
		if err != nil {
			return p, err
		}
		if !taken {
			if err := c.rename(ctx, tx, &p, login, nil); err != nil {
				return p, err
			}
		}
	}
	return p, tx.InsertUser(ctx, p)
}

// read runs f for a caller on one state of the store.
func (c *ControlPlane) read(ctx context.Context, caller Caller, f func(store.View, principal) error) error {
	return c.withProfile(ctx, caller, func() error {
		return c.cfg.Store.Read(ctx, func(v store.View) error {
			who, err := c.identify(ctx, v, caller)
			if err != nil {
				return err
			}
			return f(v, who)
		})
	})
}

// change is a transaction with the caller who asked for it.
type change struct {
	*store.Tx
	caller Caller
	who    principal
	raised []authz.StackID
}

// write runs f for a caller in one transaction with one audit entry, and then
// tells those who wait for the stacks that f raised.
func (c *ControlPlane) write(ctx context.Context, caller Caller, action authz.Action, f func(*change) error) error {
	var raised []authz.StackID
	err := c.withProfile(ctx, caller, func() error {
		return c.cfg.Store.Write(ctx, c.entry(caller, action), func(tx *store.Tx) error {
			who, err := c.identify(ctx, tx.View, caller)
			if err != nil {
				return err
			}
			ch := &change{Tx: tx, caller: caller, who: who}
			err = f(ch)
			raised = ch.raised
			return err
		})
	})
	if err == nil {
		c.changes.tell(raised)
	}
	return err
}

func (c *ControlPlane) entry(caller Caller, action authz.Action) store.Entry {
	return store.Entry{
		At: c.cfg.Now(), Actor: caller.ARN.String(), AccessKey: caller.AccessKeyID,
		SourceIP: caller.SourceIP, RequestID: caller.RequestID, Action: string(action),
	}
}
