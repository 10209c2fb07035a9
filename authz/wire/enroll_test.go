package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"latchkey/authz/wire"
)

// TestEnroll_Proof holds R85.
func TestEnroll_Proof(t *testing.T) {
	good := wire.Enroll{Secret: "secret", Facts: wire.Facts{Hostname: "web-1", OS: "linux", Platform: "debian 12", Architecture: "x86_64", Agent: "1", Address: "10.0.0.1"}}
	good.Sign(instanceKey(1))
	if key, err := good.Key(); err != nil || !key.Equal(publicKey(1)) {
		t.Fatalf("got key %x, error %v", key, err)
	}
	other := wire.Enroll{Secret: "another"}
	other.Sign(instanceKey(1))
	for situation, change := range map[string]func(*wire.Enroll){
		"secret":           func(e *wire.Enroll) { e.Secret = "Secret" },
		"hostname":         func(e *wire.Enroll) { e.Facts.Hostname = "web-2" },
		"os":               func(e *wire.Enroll) { e.Facts.OS = "windows" },
		"platform":         func(e *wire.Enroll) { e.Facts.Platform = "" },
		"architecture":     func(e *wire.Enroll) { e.Facts.Architecture = "arm64" },
		"agent":            func(e *wire.Enroll) { e.Facts.Agent = "2" },
		"address":          func(e *wire.Enroll) { e.Facts.Address = "10.0.0.2" },
		"key-of-another":   func(e *wire.Enroll) { e.PublicKey = base64.StdEncoding.EncodeToString(publicKey(2)) },
		"proof-of-another": func(e *wire.Enroll) { e.Proof = other.Proof },
		"no-proof":         func(e *wire.Enroll) { e.Proof = "" },
		"proof-cut":        func(e *wire.Enroll) { e.Proof = e.Proof[:84] },
		"proof-newline":    func(e *wire.Enroll) { e.Proof += "\n" },
		"no-key":           func(e *wire.Enroll) { e.PublicKey = "" },
		"key-newline":      func(e *wire.Enroll) { e.PublicKey = "\n" + e.PublicKey },
		"key-unpadded":     func(e *wire.Enroll) { e.PublicKey = strings.TrimRight(e.PublicKey, "=") },
	} {
		e := good
		change(&e)
		if key, err := e.Key(); err != error(wire.ErrProof) || key != nil {
			t.Errorf("%s: got key %x, error %v", situation, key, err)
		}
	}
}

// TestEnroll_WeakKey: the identity point verifies a constant signature of any
// message, so it proves nothing.
func TestEnroll_WeakKey(t *testing.T) {
	identity := append([]byte{1}, make([]byte, 31)...)
	e := wire.Enroll{PublicKey: base64.StdEncoding.EncodeToString(identity), Proof: base64.StdEncoding.EncodeToString(append(identity, make([]byte, 32)...))}
	if !ed25519.Verify(identity, []byte("anything"), append(bytes.Clone(identity), make([]byte, 32)...)) {
		t.Fatal("the constant signature does not verify, so this test shows nothing")
	}
	if key, err := e.Key(); err != error(wire.ErrProof) {
		t.Errorf("got key %x, error %v", key, err)
	}
}
