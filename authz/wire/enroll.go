package wire

import (
	"crypto/ed25519"
	"encoding/base64"

	"latchkey/authz"
	"latchkey/authz/name"
)

// Enroll asks to join. Proof is a signature by the instance's new key over the
// other fields, so nobody can enrol another's public key (requirement R85).
type Enroll struct {
	Secret    string `json:"secret"`     // JoinToken.Secret
	PublicKey string `json:"public_key"` // Ed25519, base64
	Facts     Facts  `json:"facts"`
	Proof     string `json:"proof"` // base64
}

// Facts are what an instance says about itself. The control plane treats them
// as hostile text: it stores bounded, printable forms and decides nothing by them.
type Facts struct {
	Hostname     string `json:"hostname"`
	OS           string `json:"os"`       // linux, windows
	Platform     string `json:"platform"` // "debian 12"
	Architecture string `json:"architecture"`
	Agent        string `json:"agent"` // version
	Address      string `json:"address"`
}

// Enrolled answers Enroll. The same token with the same key gets the same
// answer again, so a lost reply is harmless.
type Enrolled struct {
	Instance     string   `json:"instance"`
	Stack        string   `json:"stack"`
	StackName    string   `json:"stack_name"`
	ControlPlane string   `json:"control_plane"`
	Keys         []string `json:"keys"` // verifier keys of sumdb/note, all trusted
	Epoch        int64    `json:"epoch"`
}

// ErrProof is returned for an enrolment that its key did not sign.
var ErrProof = name.Refuse("bad_proof", "enrolment is not signed by the key it brings")

// Sign sets PublicKey and Proof.
func (e *Enroll) Sign(key ed25519.PrivateKey) {
	e.PublicKey = base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	e.Proof = base64.StdEncoding.EncodeToString(ed25519.Sign(key, e.proved()))
}

// Key verifies the proof and returns the public key.
func (e Enroll) Key() (ed25519.PublicKey, error) {
	key, err := ParsePublicKey(e.PublicKey)
	if err != nil {
		return nil, err
	}
	proof, err := decodeExactly(base64.StdEncoding, e.Proof)
	if err != nil || !ed25519.Verify(key, e.proved(), proof) {
		return nil, ErrProof
	}
	return key, nil
}

// ParsePublicKey reads an instance's Ed25519 public key from base64. A key that
// anybody can sign for is none.
func ParsePublicKey(s string) (ed25519.PublicKey, error) {
	raw, err := decodeExactly(base64.StdEncoding, s)
	if err != nil || authz.CheckEd25519(raw) != nil {
		return nil, ErrProof
	}
	return raw, nil
}

// proved is the message without its proof, under a name of its own.
func (e Enroll) proved() []byte {
	e.Proof = ""
	text, err := Encode(e)
	if err != nil {
		panic("enrolment of plain strings did not encode: " + err.Error())
	}
	return append([]byte("latchkey enroll 1\n"), text...)
}
