package datadir

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrKeyFile is returned for a key file that is not in the form written here.
var ErrKeyFile = errors.New("is not a key file of this program")

// ErrSealed is returned for a sealed secret that was changed, or that was sealed
// with another key or for another purpose.
var ErrSealed = errors.New("sealed secret does not open")

// signer makes or reads the key that signs bundles. Its name in notes is random,
// so that no two control planes share one.
func (m *maker) signer() (note.Signer, string, error) {
	text, err := m.secret("signing key", signingKey, func() ([]byte, error) {
		private, _, err := note.GenerateKey(rand.Reader, "latchkey-"+randomHex(8))
		return []byte(private + "\n"), err
	})
	if err != nil {
		return nil, "", err
	}
	private := strings.TrimSuffix(string(text), "\n")
	s, err := note.NewSigner(private)
	if err != nil {
		return nil, "", fmt.Errorf("%s %w: %v", m.path(signingKey), ErrKeyFile, err)
	}
	public, err := verifierOf(private)
	if err != nil {
		return nil, "", fmt.Errorf("%s %w", m.path(signingKey), err)
	}
	return s, public, nil
}

// verifierOf derives the verifier key of PRIVATE+KEY+NAME+HASH+BASE64, where the
// last part is an algorithm byte and the seed of an Ed25519 key.
func verifierOf(private string) (string, error) {
	part := strings.SplitN(private, "+", 5)
	if len(part) != 5 {
		return "", ErrKeyFile
	}
	raw, err := base64.StdEncoding.DecodeString(part[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", ErrKeyFile
	}
	public := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(part[2], public)
}

func (m *maker) sealer() (*Sealer, error) {
	text, err := m.secret("secrets key", secretsKey, func() ([]byte, error) {
		return []byte(base64.StdEncoding.EncodeToString(randomBytes(32)) + "\n"), nil
	})
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(string(text), "\n"))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("%s %w", m.path(secretsKey), ErrKeyFile)
	}
	return NewSealer([32]byte(raw))
}

// Sealer encrypts small secrets for the database (AES-256-GCM with random
// nonces). It is safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer makes a sealer of a key.
func NewSealer(key [32]byte) (*Sealer, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead}, nil
}

// Seal encrypts a secret for one purpose, such as "access key LKIA…": in another
// row of the database it does not open.
func (s *Sealer) Seal(secret []byte, purpose string) []byte {
	return s.aead.Seal(nil, nil, secret, []byte(purpose))
}

// Open decrypts what Seal made for the same purpose, or returns ErrSealed.
func (s *Sealer) Open(sealed []byte, purpose string) ([]byte, error) {
	secret, err := s.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// randomBytes never fails: crypto/rand ends the program instead.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }
