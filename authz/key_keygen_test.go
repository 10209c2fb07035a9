package authz_test

import (
	"encoding/base64"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/authz"
)

// TestParseKey_LikeKeygen is the differential check of requirement R13 in part: every
// key that we accept, ssh-keygen reads too, and both print the same fingerprint.
func TestParseKey_LikeKeygen(t *testing.T) {
	needTool(t, "ssh-keygen")
	for situation, args := range map[string][]string{
		"ed25519": {"-t", "ed25519"}, "p256": {"-t", "ecdsa", "-b", "256"}, "p384": {"-t", "ecdsa", "-b", "384"},
		"p521": {"-t", "ecdsa", "-b", "521"}, "rsa-2048": {"-t", "rsa", "-b", "2048"}, "rsa-3072": {"-t", "rsa", "-b", "3072"},
		"rsa-4096": {"-t", "rsa", "-b", "4096"},
	} {
		t.Run(situation, func(t *testing.T) {
			text := readFile(t, keygen(t, append(args, "-N", "")...)+".pub")
			k := mustKey(t, text)
			if want := strings.Join(strings.Fields(text)[:2], " "); k.String() != want {
				t.Errorf("printed %q, want %q", k, want)
			}
			sameFingerprints(t, []authz.Key{k})
		})
	}
	t.Run("accepted-cases", func(t *testing.T) {
		var keys []authz.Key
		for _, group := range [][]keyCase{keyLineCases(), keyBase64Cases(), keyCommentCases(), rsaSizeCases(), rsaWeakCases(), ecdsaCases()} {
			for _, c := range group {
				if k, err := authz.ParseKey(c.text, c.policy); err == nil {
					keys = append(keys, k)
				}
			}
		}
		sameFingerprints(t, keys)
	})
	t.Run("bytes-changed", func(t *testing.T) {
		sameFingerprints(t, changedKeys(t))
	})
}

// changedKeys changes bytes in the wire forms of good keys, always the same ones, and
// returns what is still accepted.
func changedKeys(t *testing.T) []authz.Key {
	t.Helper()
	seeds := []string{"ssh-ed25519 " + keyA, rsaText(65537, modulus(2048))}
	for _, c := range append(ecdsaCases(), keyBase64Cases()...) {
		if c.want == nil {
			seeds = append(seeds, c.kept)
		}
	}
	slices.Sort(seeds)
	random := rand.New(rand.NewPCG(1, 2))
	var keys []authz.Key
	for range 20_000 {
		typ, blob, _ := strings.Cut(seeds[random.IntN(len(seeds))], " ")
		raw := rawKey(strings.Fields(blob)[0])
		for range 1 + random.IntN(2) {
			raw[random.IntN(len(raw))] = byte(random.Uint32())
		}
		if k, err := authz.ParseKey(typ+" "+base64.StdEncoding.EncodeToString(raw), authz.KeyPolicy{Sealed: true}); err == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) < 1000 {
		t.Fatalf("%d changed keys were accepted, which compares next to nothing", len(keys))
	}
	return keys
}

// sameFingerprints lets ssh-keygen read the keys, one a line, and compares.
func sameFingerprints(t *testing.T, keys []authz.Key) {
	t.Helper()
	var file strings.Builder
	for _, k := range keys {
		file.WriteString(k.String() + "\n")
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-l", "-f", path).Output()
	if err != nil {
		t.Fatalf("ssh-keygen -l: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, k := range keys {
		if i == len(lines) || strings.Fields(lines[i])[1] != k.Fingerprint() {
			t.Fatalf("ssh-keygen passes over key %d of %d, %s with fingerprint %s", i+1, len(keys), k, k.Fingerprint())
		}
	}
	if len(lines) != len(keys) {
		t.Errorf("ssh-keygen read %d keys of the %d accepted", len(lines), len(keys))
	}
}
