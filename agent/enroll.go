package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"latchkey/agent/cache"
	"latchkey/agent/client"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// ErrEnrolled is returned when the machine belongs to a stack already.
var ErrEnrolled = errors.New("this machine is already enrolled")

// Enroll makes the machine an instance of the token's stack. The key pair is made
// here and stored before it is used, so an enrolment whose answer was lost is
// finished by running it again with the same token.
func Enroll(ctx context.Context, dir *cache.Dir, server string, token wire.JoinToken, facts wire.Facts, log *slog.Logger) (cache.Identity, error) {
	if err := dir.Make(); err != nil {
		return cache.Identity{}, err
	}
	release, err := dir.Lock()
	if err != nil {
		return cache.Identity{}, err
	}
	defer release()
	identity, key, err := begin(dir, server, token)
	if err != nil {
		return cache.Identity{}, err
	}
	c, err := client.New(server, token.Pin(), authz.InstanceID{}, nil, log)
	if err != nil {
		return cache.Identity{}, err
	}
	message := wire.Enroll{Secret: token.Secret(), Facts: facts}
	message.Sign(key)
	answer, err := c.Enroll(ctx, message)
	if err != nil {
		return cache.Identity{}, err
	}
	if err := complete(&identity, answer); err != nil {
		return cache.Identity{}, err
	}
	return identity, dir.SaveIdentity(identity)
}

// begin returns the identity to complete: a new one with a new key, or the one
// an earlier try left.
func begin(dir *cache.Dir, server string, token wire.JoinToken) (cache.Identity, ed25519.PrivateKey, error) {
	identity, err := dir.Identity()
	switch {
	case err == nil && !identity.Instance.IsZero():
		return identity, nil, ErrEnrolled
	case err == nil:
		identity.Server = server
		identity.SetPin(token.Pin())
		key, err := identity.Key()
		return identity, key, err
	case !errors.Is(err, fs.ErrNotExist):
		return identity, nil, err
	}
	key, err := cache.NewKey()
	if err != nil {
		return identity, nil, err
	}
	identity = cache.Identity{Server: server, Keys: []string{}}
	identity.SetPin(token.Pin())
	identity.SetKey(key)
	return identity, key, dir.SaveIdentity(identity)
}

func complete(identity *cache.Identity, answer wire.Enrolled) error {
	var err error
	if identity.Instance, err = authz.ParseInstanceID(answer.Instance); err != nil {
		return fmt.Errorf("answer of the control plane: instance: %w", err)
	}
	if identity.Stack, err = authz.ParseStackID(answer.Stack); err != nil {
		return fmt.Errorf("answer of the control plane: stack: %w", err)
	}
	identity.StackName, identity.ControlPlane, identity.Keys = answer.StackName, answer.ControlPlane, answer.Keys
	if _, err := identity.Trusted(); err != nil {
		return fmt.Errorf("answer of the control plane: %w", err)
	}
	return nil
}
