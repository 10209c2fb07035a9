package wire_test

import (
	"strings"
	"testing"

	"latchkey/authz/wire"
)

// TestParseJoinToken holds R83.
func TestParseJoinToken(t *testing.T) {
	var random [32]byte
	var pin wire.Pin
	for i := range random {
		random[i], pin[i] = byte(i), byte(255-i)
	}
	token := wire.NewJoinToken(random, pin)
	const text = "lkj1.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8.__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA"
	if token.String() != text {
		t.Fatalf("got  %s\nwant %s", token, text)
	}
	for _, s := range []string{text, text + "\n", " " + text + "\r\n"} {
		if got, err := wire.ParseJoinToken(s); err != nil || got != token || got.Pin() != pin || got.Secret() != token.Secret() {
			t.Errorf("%q: got %v, error %v", s, got, err)
		}
	}
	for i := range text { // truncated, and with a character changed
		tokenRefused(t, text[:i])
		tokenRefused(t, text[:i]+"!"+text[i+1:])
		tokenRefused(t, text[:i]+"\n"+text[i+1:])
		if i > 0 { // a line break before it all is white space around it
			tokenRefused(t, text[:i]+"\n"+text[i:])
		}
	}
	for _, s := range []string{
		text + "A", text + ".", text + "=", "lkj1." + text, strings.ToUpper(text), strings.Replace(text, "lkj1", "lkj2", 1),
		strings.Replace(text, ".", ":", 1), text[:len(text)-1] + "B", "lkj1..", "lkj1.", "'; drop table tokens", "https://example.com/" + text,
		strings.NewReplacer("-", "+", "_", "/").Replace(text), text + " " + text, strings.Repeat(text, 10_000),
	} {
		tokenRefused(t, s)
	}
}

func tokenRefused(t *testing.T, s string) {
	t.Helper()
	if got, err := wire.ParseJoinToken(s); err != error(wire.ErrToken) || got != (wire.JoinToken{}) {
		t.Errorf("%.100q: got %v, error %v", s, got, err)
	}
}

// TestHashSecret holds R119 in part.
func TestHashSecret(t *testing.T) {
	a, b := wire.HashSecret("a"), wire.HashSecret("b")
	if a == b || len(a) != 64 || a != wire.HashSecret("a") || strings.Contains(a, "a\n") {
		t.Errorf("got %s and %s", a, b)
	}
}

func FuzzParseJoinToken(f *testing.F) {
	f.Add(wire.NewJoinToken([32]byte{1}, wire.Pin{2}).String())
	f.Add("lkj1..")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := wire.ParseJoinToken(s)
		if err != nil {
			if err != error(wire.ErrToken) || token != (wire.JoinToken{}) {
				t.Errorf("%q: got %v, error %v", s, token, err)
			}
			return
		}
		if token.String() != strings.TrimSpace(s) {
			t.Errorf("%q was accepted as %q", s, token)
		}
	})
}
