package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"latchkey/authz/name"
)

// JoinToken lets one machine join one stack, once. It also names the key of the
// certificate authority, so the machine proves the server before it says
// anything (requirements R83, R84).
type JoinToken struct {
	secret [32]byte
	pin    Pin
}

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo.
type Pin [32]byte

// ErrToken is returned for text that is not a join token.
var ErrToken = name.Refuse("token_malformed", "not a join token: it looks like lkj1.SECRET.PIN")

const tokenPrefix = "lkj1."

// NewJoinToken makes a token of 32 random bytes and the pin.
func NewJoinToken(random [32]byte, pin Pin) JoinToken { return JoinToken{random, pin} }

// ParseJoinToken reads lkj1.SECRET.PIN, both parts base64url without padding.
func ParseJoinToken(s string) (JoinToken, error) {
	rest, found := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	secret, pin, two := strings.Cut(rest, ".")
	if !found || !two {
		return JoinToken{}, ErrToken
	}
	var t JoinToken
	if !decode32(t.secret[:], secret) || !decode32(t.pin[:], pin) {
		return JoinToken{}, ErrToken
	}
	return t, nil
}

// String prints the token. It is a secret: never log it.
func (t JoinToken) String() string {
	return tokenPrefix + t.Secret() + "." + base64.RawURLEncoding.EncodeToString(t.pin[:])
}

// Secret is the part that the control plane checks.
func (t JoinToken) Secret() string { return base64.RawURLEncoding.EncodeToString(t.secret[:]) }

// Pin is the part that the machine checks.
func (t JoinToken) Pin() Pin { return t.pin }

// HashSecret is what the control plane stores of a token's secret.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte("latchkey join token\n" + secret))
	return hex.EncodeToString(sum[:])
}

func decode32(into []byte, s string) bool {
	raw, err := decodeExactly(base64.RawURLEncoding, s)
	return err == nil && len(raw) == 32 && copy(into, raw) == 32
}

// decodeExactly reads base64 in the one form it can have, which is how it would
// be printed: decoding alone skips line breaks and stray bits.
func decodeExactly(enc *base64.Encoding, s string) ([]byte, error) {
	raw, err := enc.DecodeString(s)
	if err == nil && enc.EncodeToString(raw) != s {
		return nil, base64.CorruptInputError(0)
	}
	return raw, err
}
