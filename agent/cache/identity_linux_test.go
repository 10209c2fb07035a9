package cache_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"latchkey/agent/cache"
)

func TestIdentity_Damaged(t *testing.T) {
	dir, _ := newDir(t)
	good := fill(t, dir).identity
	of := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for situation, seed := range map[string]string{
		"nothing": "", "31-bytes": of(31), "33-bytes": of(33), "64-bytes": of(64), "no-base64": strings.Repeat("!", 44),
		"url-base64": strings.Repeat("-", 43) + "=", "no-padding": strings.TrimRight(of(32), "="), "stray-bits": strings.Repeat("A", 42) + "B=",
	} {
		t.Run("key-"+situation, func(t *testing.T) {
			bad := good
			bad.Seed = seed
			must(t, dir.SaveIdentity(bad)) // a whole file that makes no sense
			stored, err := dir.Identity()
			must(t, err)
			if key, err := stored.Key(); err == nil {
				t.Errorf("the key is %x", key)
			}
			bad.Pin = seed
			if pin, err := bad.ServerPin(); err == nil {
				t.Errorf("the pin is %x", pin)
			}
		})
	}
	for situation, keys := range map[string][]string{
		"none": {}, "empty": {""}, "text": {"x"}, "wrong-hash": {"cp-1+00000000+AUaXyo8j3gBx4j0eEfkZfXG7Qi1Ib8Yk2IYAbCeKIkgm"},
		"one-of-two": {testVerifier(t), "x"}, "private": {"PRIVATE+KEY+cp-1+00000000+AAAA"},
	} {
		t.Run("trusted-"+situation, func(t *testing.T) {
			bad := good
			bad.Keys = keys
			if v, err := bad.Trusted(); err == nil || v != nil {
				t.Errorf("Trusted = %v, %v", v, err)
			}
		})
	}
	good.Keys = []string{testVerifier(t)}
	if v, err := good.Trusted(); err != nil || v == nil {
		t.Errorf("a good key: %v, %v", v, err)
	}
}

func testVerifier(t *testing.T) string {
	t.Helper()
	_, verifier, err := note.GenerateKey(nil, "cp-1")
	must(t, err)
	return verifier
}

func TestNewKey(t *testing.T) {
	a, err := cache.NewKey()
	must(t, err)
	b, err := cache.NewKey()
	must(t, err)
	if len(a) != ed25519.PrivateKeySize || bytes.Equal(a, b) {
		t.Errorf("keys of %d bytes, equal: %t", len(a), bytes.Equal(a, b))
	}
}
