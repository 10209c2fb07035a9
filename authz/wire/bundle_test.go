package wire_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

const (
	keyA    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	keyB    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
	stackID = "11111111-1111-4111-8111-111111111111"
)

func TestOpen(t *testing.T) {
	signer, trusted := newSigner(t, "cp-1")
	want := newBundle()
	got, err := wire.Open(seal(t, want, signer), trusted, newTarget(t))
	if err != nil {
		t.Fatal(err)
	}
	if text, again := encode(t, want), encode(t, got); text != again {
		t.Errorf("got  %swant %s", again, text)
	}
	if at, err := got.IssuedAt(); err != nil || !at.Equal(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("issued at %v, error %v", at, err)
	}
}

// TestOpen_Golden fixes the format: any change of this text is a new format number.
func TestOpen_Golden(t *testing.T) {
	want := `{"format":1,"control_plane":"cp-1","stack":"11111111-1111-4111-8111-111111111111","epoch":2,"serial":7,` +
		`"issued":"2026-11-22T12:00:00Z","users":[{"id":"00020001-0000-4000-8000-000000000000","arn":"arn:aws:iam::123456789012:user/alice",` +
		`"name":"alice","uid":20001,"keys":["` + keyA + `"],"ssh":true,"sudo":true,"sudo_commands":[],"restricted":false,"not_after":""}],` +
		`"settings":{"keys_mode":"command","on_revoke":"lock","homes":"keep","unmanaged":"report","stale":"keep","min_rsa_bits":2048},` +
		`"log":{"size":3,"root":"00"},"confirmed_removals":[]}` + "\n"
	if got := encode(t, newBundle()); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

// TestOpen_Target holds R97 in part, R98, R99 in part and R169 in part.
func TestOpen_Target(t *testing.T) {
	signer, trusted := newSigner(t, "cp-1")
	for _, c := range []struct {
		name   string
		change func(*wire.Bundle, *wire.Target)
		want   *name.Refusal // nil: accepted
	}{
		{name: "first-bundle", change: func(_ *wire.Bundle, to *wire.Target) { to.Epoch, to.Serial = 0, 0 }},
		{name: "same-serial", change: func(_ *wire.Bundle, to *wire.Target) { to.Serial = 7 }},
		{name: "next-serial", change: func(_ *wire.Bundle, to *wire.Target) { to.Serial = 6 }},
		{name: "older-serial", change: func(_ *wire.Bundle, to *wire.Target) { to.Serial = 8 }, want: wire.ErrRollback},
		{name: "older-epoch", change: func(_ *wire.Bundle, to *wire.Target) { to.Epoch, to.Serial = 3, 1 }, want: wire.ErrRollback},
		{name: "newer-epoch-begins-again", change: func(_ *wire.Bundle, to *wire.Target) { to.Epoch, to.Serial = 1, 1000 }},
		{name: "furthest-jump", change: func(b *wire.Bundle, to *wire.Target) { b.Serial, to.Serial = 1<<28+1, 1 }},
		{name: "serial-too-far", change: func(b *wire.Bundle, to *wire.Target) { b.Serial, to.Serial = 1<<28+2, 1 }, want: wire.ErrJump},
		{name: "serial-of-10^9", change: func(b *wire.Bundle, _ *wire.Target) { b.Serial = 1_000_000_007 }, want: wire.ErrJump},
		{name: "largest-serial", change: func(b *wire.Bundle, _ *wire.Target) { b.Serial = math.MaxInt64 }, want: wire.ErrJump},
		{name: "serial-too-far-in-a-new-epoch", change: func(b *wire.Bundle, _ *wire.Target) { b.Epoch, b.Serial = 3, math.MaxInt64 }, want: wire.ErrJump},
		{name: "largest-epoch", change: func(b *wire.Bundle, _ *wire.Target) { b.Epoch = math.MaxInt64 }, want: wire.ErrJump},
		{name: "serial-zero", change: func(b *wire.Bundle, to *wire.Target) { b.Serial, to.Serial = 0, 0 }, want: wire.ErrNotCanonical},
		{name: "serial-negative", change: func(b *wire.Bundle, _ *wire.Target) { b.Serial = -1 }, want: wire.ErrNotCanonical},
		{name: "epoch-zero", change: func(b *wire.Bundle, to *wire.Target) { b.Epoch, to.Epoch = 0, 0 }, want: wire.ErrNotCanonical},
		{name: "other-stack", change: func(b *wire.Bundle, _ *wire.Target) { b.Stack = "22222222-2222-4222-8222-222222222222" }, want: wire.ErrTarget},
		{name: "other-control-plane", change: func(b *wire.Bundle, _ *wire.Target) { b.ControlPlane = "cp-2" }, want: wire.ErrTarget},
		{name: "stack-of-nobody", change: func(b *wire.Bundle, to *wire.Target) { b.Stack, to.Stack = "", authz.StackID{} }, want: wire.ErrTarget},
		{name: "control-plane-of-nobody", change: func(b *wire.Bundle, to *wire.Target) { b.ControlPlane, to.ControlPlane = "", "" }, want: wire.ErrTarget},
		{name: "format-2", change: func(b *wire.Bundle, _ *wire.Target) { b.Format = 2 }, want: wire.ErrFormat},
		{name: "format-0", change: func(b *wire.Bundle, _ *wire.Target) { b.Format = 0 }, want: wire.ErrFormat},
		{name: "format-10", change: func(b *wire.Bundle, _ *wire.Target) { b.Format = 10 }, want: wire.ErrFormat},
		{name: "issued-never", change: func(b *wire.Bundle, _ *wire.Target) { b.Issued = "" }, want: wire.ErrTime},
		{name: "issued-elsewhere", change: func(b *wire.Bundle, _ *wire.Target) { b.Issued = "2026-11-22T12:00:00+01:00" }, want: wire.ErrTime},
		{name: "issued-with-fractions", change: func(b *wire.Bundle, _ *wire.Target) { b.Issued = "2026-11-22T12:00:00.5Z" }, want: wire.ErrTime},
		{name: "unknown-keys-mode", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.KeysMode = "ftp" }, want: wire.ErrSettings},
		{name: "unknown-revocation", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.OnRevoke = "delete" }, want: wire.ErrSettings},
		{name: "unknown-homes", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.Homes = "" }, want: wire.ErrSettings},
		{name: "unknown-unmanaged", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.Unmanaged = "keep" }, want: wire.ErrSettings},
		{name: "homes-of-locked", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.Homes = wire.HomesDelete }, want: wire.ErrHomesOfLocked},
		{name: "homes-of-removed", change: func(b *wire.Bundle, _ *wire.Target) {
			b.Settings.OnRevoke, b.Settings.Homes = wire.RevokeRemove, wire.HomesDelete
		}},
		{name: "unknown-stale", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.Stale = "C:\\" }, want: wire.ErrSettings},
		{name: "small-rsa", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.MinRSABits = 1024 }, want: wire.ErrSettings},
		{name: "rsa-3072", change: func(b *wire.Bundle, _ *wire.Target) { b.Settings.MinRSABits = 3072 }},
		{name: "nobody", change: func(b *wire.Bundle, _ *wire.Target) { b.Users = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, to := newBundle(), newTarget(t)
			c.change(&b, &to)
			got, err := wire.Open(seal(t, b, signer), trusted, to)
			switch {
			case c.want == nil && (err != nil || got.Serial != b.Serial):
				t.Errorf("got %+v, error %v", got, err)
			case c.want != nil && (!errors.Is(err, c.want) || got.Users != nil || got.Serial != 0):
				t.Errorf("got %+v, error %v; want %v", got, err, c.want)
			}
		})
	}
}

// TestOpen_NotCanonical signs documents that are not canonical: a good signature does
// not excuse the form (requirement R76 in part).
func TestOpen_NotCanonical(t *testing.T) {
	signer, trusted := newSigner(t, "cp-1")
	good := encode(t, newBundle())
	for situation, c := range map[string][2]string{
		"users-null":        {`"confirmed_removals":[]`, `"confirmed_removals":null`},
		"users-object":      {`"users":[`, `"users":{},"x":[`},
		"duplicate-users":   {`"users":[`, `"users":[],"users":[`},
		"missing-users":     {`"users":[`, `"people":[`},
		"keys-null":         {`"keys":["` + keyA + `"]`, `"keys":null`},
		"sudo-string":       {`"sudo":true`, `"sudo":"false"`},
		"sudo-number":       {`"sudo":true`, `"sudo":1`},
		"sudo-null":         {`"sudo":true`, `"sudo":null`},
		"sudo-twice":        {`"sudo":true`, `"sudo":false,"sudo":true`},
		"case-changed":      {`"sudo":true`, `"Sudo":true`},
		"unknown-field":     {`"sudo":true`, `"sudo":true,"command":"id"`},
		"missing-field":     {`"ssh":true,`, ``},
		"1e400":             {`"uid":20001`, `"uid":1e400`},
		"2^63":              {`"serial":7`, `"serial":9223372036854775808`},
		"minus-zero":        {`"uid":20001`, `"uid":-0`},
		"trailing-document": {"}\n", "}\n{}\n"},
		"white-space":       {`"serial":7`, `"serial":  7`},
	} {
		t.Run(situation, func(t *testing.T) {
			text := strings.Replace(good, c[0], c[1], 1)
			if text == good {
				t.Fatalf("%q is not in the bundle", c[0])
			}
			sealed, err := note.Sign(&note.Note{Text: text}, signer)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := wire.Open(sealed, trusted, newTarget(t)); !errors.Is(err, wire.ErrNotCanonical) || b.Users != nil {
				t.Errorf("got %+v, error %v; want %v", b, err, wire.ErrNotCanonical)
			}
		})
	}
}

// TestOpen_EachByte changes every byte of a sealed bundle in several ways, cuts it at
// every place, and finds nothing accepted (requirement R96 in part and T-S3 in part).
func TestOpen_EachByte(t *testing.T) {
	signer, trusted := newSigner(t, "cp-1")
	b := newBundle()
	b.Users = nil
	sealed := seal(t, b, signer)
	target := newTarget(t)
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if _, err := wire.Open(changed, trusted, target); !errors.Is(err, wire.ErrSignature) {
				t.Errorf("bit %d of byte %d changed (%q): got error %v", bit, i, changed[i], err)
			}
		}
		if _, err := wire.Open(sealed[:i], trusted, target); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("cut at byte %d: got error %v", i, err)
		}
		removed := append(bytes.Clone(sealed[:i]), sealed[i+1:]...)
		if _, err := wire.Open(removed, trusted, target); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("byte %d removed: got error %v", i, err)
		}
	}
}

// TestOpen_Signature holds R96 in part, R102 in part, R103 in part and R169 in part.
func TestOpen_Signature(t *testing.T) {
	signer, trusted := newSigner(t, "cp-1")
	stranger, _ := newSigner(t, "cp-1")
	newKey, _ := newSigner(t, "cp-1-next")
	target := newTarget(t)
	sealed := string(seal(t, newBundle(), signer))
	other := newBundle()
	other.Serial = 8
	line := func(sealed string) string { return sealed[strings.LastIndex(sealed, "\n\n")+2:] }
	text := strings.TrimSuffix(sealed, line(sealed))
	for situation, forged := range map[string]string{
		"stranger":             string(seal(t, newBundle(), stranger)),
		"signature-of-another": text + line(string(seal(t, other, signer))),
		"no-signature":         text,
		"nothing":              "",
		"only-a-signature":     line(sealed),
		"two-of-one-key":       sealed + line(sealed),
		"second-of-one-key":    sealed + line(string(seal(t, other, signer))),
		"zero-signature":       text + "— cp-1 " + base64.StdEncoding.EncodeToString(make([]byte, 68)) + "\n",
		"windows-newlines":     strings.ReplaceAll(sealed, "\n", "\r\n"),
		"not-a-note":           encode(t, newBundle()),
	} {
		if _, err := wire.Open([]byte(forged), trusted, target); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s: got error %v, want %v", situation, err, wire.ErrSignature)
		}
	}
	if _, err := wire.Open([]byte(sealed), nil, target); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("no trusted keys: got error %v", err)
	}
	if _, err := wire.Open(make([]byte, wire.MaxBundle+1), trusted, target); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("too large: got error %v", err)
	}
	// While keys change, the bundle carries the next key's signature too, before or
	// behind the one that is trusted.
	for situation, signers := range map[string][]note.Signer{"behind": {signer, newKey}, "before": {newKey, signer}} {
		both, err := note.Sign(&note.Note{Text: encode(t, newBundle())}, signers...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Open(both, trusted, target); err != nil {
			t.Errorf("next key's signature %s: %v", situation, err)
		}
	}
}

// brokenSigner is a signer whose key is out of reach.
type brokenSigner struct{ note.Signer }

var errOutOfReach = errors.New("key is out of reach")

func (brokenSigner) Sign([]byte) ([]byte, error) { return nil, errOutOfReach }

func TestSeal_SignerFails(t *testing.T) {
	signer, _ := newSigner(t, "cp-1")
	if sealed, err := wire.Seal(newBundle(), brokenSigner{signer}); !errors.Is(err, errOutOfReach) || sealed != nil {
		t.Errorf("got %q, error %v", sealed, err)
	}
}

// FuzzOpen holds R96 in part.
func FuzzOpen(f *testing.F) {
	signer, trusted := newSigner(f, "cp-1")
	target := newTarget(f)
	sealed := seal(f, newBundle(), signer)
	f.Add(sealed)
	f.Add(bytes.ReplaceAll(sealed, []byte(":true"), []byte(":null")))
	f.Add([]byte("{}\n\n— cp-1 AAAA\n"))
	before, err := wire.OpenAfter(wire.Opened{}, sealed, trusted, target)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The fuzzer has no key: whatever it makes is refused, but for the sealed bytes
		// with signatures of strangers beside theirs.
		b, err := wire.Open(data, trusted, target)
		if err == nil && encode(t, b) != encode(t, newBundle()) {
			t.Errorf("%q was accepted", data)
		}
		if err != nil && !errors.Is(err, wire.ErrSignature) && !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("got error %v", err)
		}
		// The same text under a good signature: accepted only as it would be printed.
		n, err := note.Sign(&note.Note{Text: string(data) + "\n"}, signer)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := wire.Open(n, trusted, target); err == nil {
			if encode(t, b) != string(data)+"\n" {
				t.Errorf("%q was accepted as %q", data, encode(t, b))
			}
			b.Access()
		}
		accepted := 0
		sameAsOpen(t, before, n, trusted, &accepted)
	})
}

func newBundle() wire.Bundle {
	return wire.Bundle{
		Format: wire.Format, ControlPlane: "cp-1", Stack: stackID, Epoch: 2, Serial: 7,
		Issued: "2026-11-22T12:00:00Z", Users: []wire.User{newUser("alice", 20001)},
		Settings: wire.DefaultSettings(), Log: wire.LogHead{Size: 3, Root: "00"},
	}
}

func newTarget(t testing.TB) wire.Target {
	t.Helper()
	stack, err := authz.ParseStackID(stackID)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Target{ControlPlane: "cp-1", Stack: stack, Epoch: 2, Serial: 5}
}

func newSigner(t testing.TB, name string) (note.Signer, note.Verifiers) {
	t.Helper()
	private, public, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, note.VerifierList(verifier)
}

func seal(t testing.TB, b wire.Bundle, signer note.Signer) []byte {
	t.Helper()
	sealed, err := wire.Seal(b, signer)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func encode(t testing.TB, v any) string {
	t.Helper()
	text, err := wire.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
