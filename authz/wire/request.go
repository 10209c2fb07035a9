package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
)

// Scheme is the word before an instance's signature in the Authorization header.
const Scheme = "Latchkey-Ed25519"

// MaxSkew is how far an instance's clock may be from the control plane's when it
// signs a request. It is wide because a machine with a wrong clock must still
// learn of revocations; replay is harmless, since every request of an instance
// is idempotent.
const MaxSkew = 24 * time.Hour

// Reasons for refusing an instance's request.
var (
	ErrCredentials = name.Refuse("bad_credentials", "request is not signed by a known instance")
	ErrSkew        = name.Refuse("clock_skew", "request was signed more than a day away from the control plane's time")
)

// Signature is a parsed Authorization header of an instance.
type Signature struct {
	Instance authz.InstanceID
	At       time.Time
	raw      []byte
}

// SignRequest returns the Authorization header of an instance's request. target
// is the path with the query as sent.
func SignRequest(key ed25519.PrivateKey, instance authz.InstanceID, method, target string, body []byte, now time.Time) string {
	sig := ed25519.Sign(key, signedText(instance, method, target, body, now))
	return Scheme + " " + instance.String() + "." + strconv.FormatInt(now.Unix(), 10) + "." +
		base64.RawURLEncoding.EncodeToString(sig)
}

// ParseSignature reads the header; the caller looks up the instance's key and
// calls Verify.
func ParseSignature(header string) (Signature, error) {
	rest, found := strings.CutPrefix(header, Scheme+" ")
	part := strings.Split(rest, ".")
	if !found || len(part) != 3 {
		return Signature{}, ErrCredentials
	}
	instance, err := authz.ParseInstanceID(part[0])
	if err != nil {
		return Signature{}, ErrCredentials
	}
	unix, err := strconv.ParseInt(part[1], 10, 64)
	if err != nil || strconv.FormatInt(unix, 10) != part[1] {
		return Signature{}, ErrCredentials
	}
	raw, err := decodeExactly(base64.RawURLEncoding, part[2])
	if err != nil || len(raw) != ed25519.SignatureSize {
		return Signature{}, ErrCredentials
	}
	return Signature{Instance: instance, At: time.Unix(unix, 0), raw: raw}, nil
}

// Verify checks the signature over the request as it was received.
func (s Signature) Verify(key ed25519.PublicKey, method, target string, body []byte, now time.Time) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signedText(s.Instance, method, target, body, s.At), s.raw) {
		return ErrCredentials
	}
	if d := now.Sub(s.At); d > MaxSkew || d < -MaxSkew {
		return ErrSkew
	}
	return nil
}

func signedText(instance authz.InstanceID, method, target string, body []byte, at time.Time) []byte {
	sum := sha256.Sum256(body)
	return []byte(strings.Join([]string{
		"latchkey request 1", instance.String(), method, target,
		strconv.FormatInt(at.Unix(), 10), hex.EncodeToString(sum[:]), "",
	}, "\n"))
}
