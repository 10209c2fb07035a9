package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/authz/wire"
)

const instanceID = "33333333-3333-4333-8333-333333333333"

// request is what an instance signs.
type request struct {
	instance string
	method   string
	target   string
	body     string
	at       time.Time
}

func newRequest() request {
	return request{instanceID, "POST", "/agent/v1/report?serial=7", `{"serial":7}`, time.Unix(1_790_000_000, 0)}
}

func (r request) header(t testing.TB) string {
	t.Helper()
	instance, err := authz.ParseInstanceID(r.instance)
	if err != nil {
		t.Fatal(err)
	}
	return wire.SignRequest(instanceKey(1), instance, r.method, r.target, []byte(r.body), r.at)
}

// instanceKey is the same key each time.
func instanceKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func publicKey(seed byte) ed25519.PublicKey {
	return instanceKey(seed).Public().(ed25519.PublicKey)
}

func TestSignRequest(t *testing.T) {
	r := newRequest()
	sig, err := wire.ParseSignature(r.header(t))
	if err != nil || sig.Instance.String() != instanceID || !sig.At.Equal(r.at) {
		t.Fatalf("got %+v, error %v", sig, err)
	}
	for _, now := range []time.Time{r.at, r.at.Add(wire.MaxSkew), r.at.Add(-wire.MaxSkew)} {
		if err := sig.Verify(publicKey(1), r.method, r.target, []byte(r.body), now); err != nil {
			t.Errorf("at %v: %v", now, err)
		}
	}
	for _, now := range []time.Time{r.at.Add(wire.MaxSkew + 1), r.at.Add(-wire.MaxSkew - 1), {}, time.Unix(1<<40, 0)} {
		if err := sig.Verify(publicKey(1), r.method, r.target, []byte(r.body), now); err != error(wire.ErrSkew) {
			t.Errorf("at %v: got %v, want %v", now, err, wire.ErrSkew)
		}
	}
}

// TestVerify_EachPart changes each part of a signed request by itself (requirement
// R72).
func TestVerify_EachPart(t *testing.T) {
	good := newRequest()
	header := good.header(t)
	for situation, change := range map[string]func(*request){
		"method":          func(r *request) { r.method = "GET" },
		"method-case":     func(r *request) { r.method = "post" },
		"path":            func(r *request) { r.target = "/agent/v1/bundle?serial=7" },
		"path-case":       func(r *request) { r.target = "/agent/v1/Report?serial=7" },
		"query":           func(r *request) { r.target = "/agent/v1/report?serial=8" },
		"no-query":        func(r *request) { r.target = "/agent/v1/report" },
		"escaped-path":    func(r *request) { r.target = "/agent/v1/%72eport?serial=7" },
		"body":            func(r *request) { r.body = `{"serial":8}` },
		"longer-body":     func(r *request) { r.body += " " },
		"no-body":         func(r *request) { r.body = "" },
		"other-border":    func(r *request) { r.method, r.target = "POST/agent", "/v1/report?serial=7" },
		"method-and-path": func(r *request) { r.method, r.target = "POST\n/agent", "/v1/report?serial=7" },
	} {
		sig, err := wire.ParseSignature(header)
		if err != nil {
			t.Fatal(err)
		}
		r := good
		change(&r)
		if err := sig.Verify(publicKey(1), r.method, r.target, []byte(r.body), r.at); err != error(wire.ErrCredentials) {
			t.Errorf("%s: got %v, want %v", situation, err, wire.ErrCredentials)
		}
	}
	for situation, c := range map[string][2]string{
		"instance": {instanceID, "44444444-4444-4444-8444-444444444444"},
		"time":     {".1790000000.", ".1790000001."},
	} {
		sig, err := wire.ParseSignature(strings.Replace(header, c[0], c[1], 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := sig.Verify(publicKey(1), good.method, good.target, []byte(good.body), good.at); err != error(wire.ErrCredentials) {
			t.Errorf("%s: got %v, want %v", situation, err, wire.ErrCredentials)
		}
	}
}

// TestVerify_Key holds R169 in part.
func TestVerify_Key(t *testing.T) {
	r := newRequest()
	sig, err := wire.ParseSignature(r.header(t))
	if err != nil {
		t.Fatal(err)
	}
	for situation, key := range map[string]ed25519.PublicKey{
		"another": publicKey(2), "none": nil, "short": publicKey(1)[:31], "long": append(bytes.Clone(publicKey(1)), 0),
	} {
		if err := sig.Verify(key, r.method, r.target, []byte(r.body), r.at); err != error(wire.ErrCredentials) {
			t.Errorf("%s key: got %v, want %v", situation, err, wire.ErrCredentials)
		}
	}
	if err := (wire.Signature{}).Verify(publicKey(1), r.method, r.target, []byte(r.body), r.at); err != error(wire.ErrCredentials) {
		t.Errorf("the zero signature: got %v, want %v", err, wire.ErrCredentials)
	}
}

// TestVerify_EachByte changes every character of the header.
func TestVerify_EachByte(t *testing.T) {
	r := newRequest()
	header := r.header(t)
	for i := range header {
		for _, c := range []byte{header[i] ^ 1, header[i] ^ 2, header[i] ^ 0x20, 'A', '=', '\n', '\r', ' '} {
			changed := header[:i] + string(c) + header[i+1:]
			if changed == header {
				continue
			}
			sig, err := wire.ParseSignature(changed)
			if err == nil {
				err = sig.Verify(publicKey(1), r.method, r.target, []byte(r.body), r.at)
			}
			if err != error(wire.ErrCredentials) {
				t.Errorf("character %d changed to %q: got %v", i, c, err)
			}
		}
	}
}

func TestParseSignature_Refused(t *testing.T) {
	header := newRequest().header(t)
	_, rest, _ := strings.Cut(header, " ")
	part := strings.Split(rest, ".")
	for situation, text := range map[string]string{
		"nothing": "", "scheme-alone": wire.Scheme, "scheme-and-blank": wire.Scheme + " ", "without-scheme": rest,
		"other-scheme": "Basic " + rest, "lower-case-scheme": strings.ToLower(wire.Scheme) + " " + rest, "two-blanks": wire.Scheme + "  " + rest,
		"tail": header + ".x", "newline": header + "\n", "padding": header + "==", "twice": header + ", " + header,
		"no-signature":     wire.Scheme + " " + part[0] + "." + part[1] + ".",
		"no-time":          wire.Scheme + " " + part[0] + ".." + part[2],
		"zero-before-time": wire.Scheme + " " + part[0] + ".0" + part[1] + "." + part[2],
		"plus-before-time": wire.Scheme + " " + part[0] + ".+" + part[1] + "." + part[2],
		"endless-time":     wire.Scheme + " " + part[0] + ".99999999999999999999." + part[2],
		"upper-case-id":    wire.Scheme + " 0A1B2C3D-4E5F-4678-9ABC-DEF012345678." + part[1] + "." + part[2],
		"newline-inside":   wire.Scheme + " " + part[0] + "." + part[1] + "." + part[2][:40] + "\n" + part[2][40:],
		"other-alphabet":   wire.Scheme + " " + part[0] + "." + part[1] + "." + strings.Repeat("+", 86),
	} {
		if sig, err := wire.ParseSignature(text); err != error(wire.ErrCredentials) || !sig.Instance.IsZero() {
			t.Errorf("%s: got %+v, error %v", situation, sig, err)
		}
	}
}
