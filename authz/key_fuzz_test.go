package authz_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"latchkey/authz"
)

// keyForm is all that may ever reach a file of sshd's.
var keyForm = regexp.MustCompile(`^(ssh-ed25519|sk-ssh-ed25519@openssh\.com|ecdsa-sha2-nistp(256|384|521)|` +
	`sk-ecdsa-sha2-nistp256@openssh\.com|ssh-rsa) [A-Za-z0-9+/]+={0,2}$`)

// FuzzParseKey: what is accepted is printed in the one form and parses to itself; what
// is not gives no key and one of the named reasons (requirements R7 and R10).
func FuzzParseKey(f *testing.F) {
	for _, group := range [][]keyCase{
		keyLineCases(), keyTypeCases(), keyBase64Cases(), keyCommentCases(), keyPrivateCases(), ed25519Cases(), ecdsaCases(),
	} {
		for _, c := range group {
			if len(c.text) <= authz.MaxKeyText {
				f.Add(c.text)
			}
		}
	}
	f.Add(rsaText(65537, modulus(2048)))
	f.Fuzz(func(t *testing.T, text string) {
		k, err := authz.ParseKey(text, authz.KeyPolicy{Sealed: true}) // a full search would leave the fuzzer idle
		if err != nil {
			var reason *authz.Refusal
			if !k.IsZero() || !errors.As(err, &reason) || err != error(reason) || reason == authz.ErrKeyParserStopped {
				t.Fatalf("got key %q, error %v", k, err)
			}
			return
		}
		if !keyForm.MatchString(k.String()) || len(text) > authz.MaxKeyText || strings.Count(text, "\n") > 1 {
			t.Fatalf("%q was accepted as %q", text, k)
		}
		if again, err := authz.ParseKey(k.String(), authz.KeyPolicy{Sealed: true}); err != nil || again != k {
			t.Fatalf("%q parses to %q, error %v", k, again, err)
		}
		if !strings.Contains(text, k.String()[strings.IndexByte(k.String(), ' ')+1:]) {
			t.Fatalf("%q was accepted as %q, which is not in it", text, k)
		}
	})
}
