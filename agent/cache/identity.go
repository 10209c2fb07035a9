package cache

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
	"latchkey/authz/wire"
)

// Identity is who this instance is and whom it trusts. The private key was made
// here and never leaves.
type Identity struct {
	Server       string           `json:"server"` // https://HOST:PORT
	Pin          string           `json:"pin"`    // base64 of wire.Pin
	Instance     authz.InstanceID `json:"instance"`
	Stack        authz.StackID    `json:"stack"`
	StackName    string           `json:"stack_name"`
	ControlPlane string           `json:"control_plane"`
	Keys         []string         `json:"keys"` // verifier keys, all trusted
	Seed         string           `json:"seed"` // Ed25519, base64
}

// errIdentity is returned for an identity file that is whole but makes no sense.
var errIdentity = errors.New("identity is damaged; enrol this machine again")

// NewKey makes the instance's key pair.
func NewKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(nil)
	return key, err
}

// SetKey stores the private key in the identity.
func (i *Identity) SetKey(key ed25519.PrivateKey) {
	i.Seed = base64.StdEncoding.EncodeToString(key.Seed())
}

// Key returns the private key.
func (i Identity) Key() (ed25519.PrivateKey, error) {
	seed, err := base64.StdEncoding.Strict().DecodeString(i.Seed)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errIdentity
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// SetPin stores the control plane's pin.
func (i *Identity) SetPin(p wire.Pin) { i.Pin = base64.StdEncoding.EncodeToString(p[:]) }

// ServerPin returns the control plane's pin.
func (i Identity) ServerPin() (wire.Pin, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(i.Pin)
	if err != nil || len(raw) != len(wire.Pin{}) {
		return wire.Pin{}, errIdentity
	}
	return wire.Pin(raw), nil
}

// Trusted returns the keys whose signature on a bundle counts.
func (i Identity) Trusted() (note.Verifiers, error) {
	var list []note.Verifier
	for _, k := range i.Keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errIdentity, err)
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return nil, errIdentity
	}
	return note.VerifierList(list...), nil
}

// Identity returns who this instance is, or fs.ErrNotExist before it enrolled.
func (d *Dir) Identity() (Identity, error) {
	var i Identity
	err := d.load(identityFile, maxIdentity, &i)
	return i, err
}

// SaveIdentity stores who this instance is.
func (d *Dir) SaveIdentity(i Identity) error { return d.store(identityFile, i) }
