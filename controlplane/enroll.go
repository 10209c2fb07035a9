package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

const (
	minTokenLife = time.Minute
	maxTokenLife = time.Hour
	// rememberTokens is how long after its end a token is kept, so that the reply
	// to an enrolment can be asked for again.
	rememberTokens = 24 * time.Hour
)

// Reasons for refusing an enrolment or a join token.
var (
	ErrTokenUnknown = name.Refuse("token_unknown", "join token is not known")
	ErrTokenUsed    = name.Refuse("token_used", "join token was used already")
	ErrTokenExpired = name.Refuse("token_expired", "join token has expired")
	ErrKeyKnown     = name.Refuse("instance_key_known", "an instance with this key has joined already; each machine makes its own")
	errTokenLife    = name.Refuse("token_life", "must be 60 to 3600")
)

// CreateJoinToken makes a token that lets one machine join a stack, once, for 60 to
// 3600 seconds. The store keeps only a hash of it.
func (c *ControlPlane) CreateJoinToken(ctx context.Context, caller Caller, req CreateJoinTokenRequest) (CreateJoinTokenResponse, error) {
	stack, err := parseStack(req.StackId)
	if err != nil {
		return CreateJoinTokenResponse{}, err
	}
	life := maxTokenLife
	if req.TtlSeconds != nil {
		if s := *req.TtlSeconds; s < int64(minTokenLife/time.Second) || s > int64(maxTokenLife/time.Second) {
			return CreateJoinTokenResponse{}, invalid("Ttl Seconds", errTokenLife)
		}
		life = time.Duration(*req.TtlSeconds) * time.Second
	}
	var random [32]byte
	rand.Read(random[:]) // never fails
	token := wire.NewJoinToken(random, c.cfg.Pin)
	var ends time.Time
	const action = "latchkey:CreateJoinToken"
	err = c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, stack); err != nil {
			return err
		}
		if _, err := ch.Serial(ctx, stack); errors.Is(err, store.ErrNotFound) {
			return noStack(stack)
		} else if err != nil {
			return err
		}
		ends = ch.Now().Add(life)
		ch.Record(stack.String(), map[string]string{"expires_at": timestamp(ends)})
		return ch.InsertJoinToken(ctx, store.JoinToken{
			Hash: wire.HashSecret(token.Secret()), Stack: stack, CreatedBy: ch.who.ID, ExpiresAt: ends,
		}, ch.Now().Add(-rememberTokens))
	})
	if err != nil {
		return CreateJoinTokenResponse{}, err
	}
	return CreateJoinTokenResponse{Token: token.String(), ExpiresAt: timestamp(ends)}, nil
}

// Enroll lets the machine that holds a join token and proves its key join the
// token's stack, and gives it an id. The same token with the same key gets the
// same answer again, so a lost reply is harmless. Refusals are *Error with the
// reason in Err: ErrTokenUnknown, ErrTokenUsed, ErrTokenExpired, ErrKeyKnown or
// wire.ErrProof.
func (c *ControlPlane) Enroll(ctx context.Context, req wire.Enroll) (wire.Enrolled, error) {
	if _, err := req.Key(); err != nil {
		return wire.Enrolled{}, &Error{Code: Denied, Message: err.Error(), Err: err}
	}
	hash := wire.HashSecret(req.Secret)
	id := newID(authz.ParseInstanceID)
	entry := c.bySystem("latchkey:Enroll")
	entry.Actor = "instance " + id.String()
	err := c.cfg.Store.Write(ctx, entry, func(tx *store.Tx) error { return enroll(ctx, tx, hash, id, req) })
	if errors.Is(err, ErrTokenUsed) {
		if answer, err := c.enrolled(ctx, hash, req.PublicKey); !errors.Is(err, store.ErrNotFound) {
			return answer, err
		}
	}
	if err != nil {
		return wire.Enrolled{}, err
	}
	return c.enrolled(ctx, hash, req.PublicKey)
}

func enroll(ctx context.Context, tx *store.Tx, hash string, id authz.InstanceID, req wire.Enroll) error {
	won, err := tx.UseJoinToken(ctx, hash, id, req.PublicKey)
	if err != nil {
		return err
	}
	token, err := tx.JoinToken(ctx, hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if !won {
		reason := whyNot(token, err)
		return &Error{Code: Denied, Message: reason.Text, Err: reason}
	}
	known, err := tx.InstanceKeyTaken(ctx, req.PublicKey)
	if err != nil {
		return err
	}
	if known {
		return &Error{Code: Denied, Message: ErrKeyKnown.Text, Err: ErrKeyKnown}
	}
	i := store.Instance{
		ID: id, Stack: token.Stack, PublicKey: req.PublicKey, RegisteredBy: token.Maker, Facts: cleanFacts(req.Facts),
	}
	tx.Record(id.String(), map[string]string{
		"stack": i.Stack.String(), "hostname": i.Facts.Hostname, "token_by": token.Maker.String(),
	})
	return tx.InsertInstance(ctx, i)
}

// whyNot says why a token could not be used: it is not there, or used, or else it
// has ended.
func whyNot(token store.JoinToken, err error) *authz.Refusal {
	switch {
	case err != nil:
		return ErrTokenUnknown
	case token.Used:
		return ErrTokenUsed
	default:
		return ErrTokenExpired
	}
}

// enrolled answers the machine that used a token; ErrNotFound if another key did,
// or if its instance was deregistered since.
func (c *ControlPlane) enrolled(ctx context.Context, hash, publicKey string) (wire.Enrolled, error) {
	var token store.JoinToken
	var st store.Stack
	err := c.cfg.Store.Read(ctx, func(v store.View) (err error) {
		if token, err = v.JoinToken(ctx, hash); err != nil {
			return err
		}
		if token.PublicKey != publicKey {
			return store.ErrNotFound
		}
		if _, err = v.Instance(ctx, token.Instance); err != nil {
			return err
		}
		st, err = v.Stack(ctx, token.Stack)
		return err
	})
	if err != nil {
		return wire.Enrolled{}, err
	}
	return wire.Enrolled{
		Instance: token.Instance.String(), Stack: st.ID.String(), StackName: st.Name,
		ControlPlane: c.id, Keys: c.cfg.VerifierKeys, Epoch: c.epoch,
	}, nil
}
