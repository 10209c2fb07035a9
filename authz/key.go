package authz

import (
	"crypto/sha256"
	"encoding/base64"
)

// Key is one sound SSH public key. Only ParseKey makes one.
type Key struct {
	typ  string
	blob string // base64 of the wire form, padded
}

// KeyPolicy is what a stack asks of keys beyond soundness.
type KeyPolicy struct {
	// MinRSABits is the smallest RSA modulus accepted; 0 means 2048.
	MinRSABits int
}

// Type returns the key type as sshd names it, "ssh-ed25519".
func (k Key) Type() string { return k.typ }

// String returns the key as TYPE BASE64, printed from what was parsed.
func (k Key) String() string { return k.typ + " " + k.blob }

// Fingerprint returns the key's SHA-256 fingerprint as ssh-keygen prints it.
func (k Key) Fingerprint() string {
	raw, err := base64.StdEncoding.DecodeString(k.blob)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.typ == "" }
