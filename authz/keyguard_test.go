package authz

import "testing"

// TestGuarded plants a panic in the place of the parser: it must come out as a
// refusal, whatever the parser had returned by then (requirements R10, R169 in
// part).
func TestGuarded(t *testing.T) {
	for situation, fault := range map[string]func(){
		"text":          func() { panic("planted") },
		"nil":           func() { panic(nil) },
		"runtime-error": func() { var b []byte; _ = b[len(b)] },
	} {
		t.Run(situation, func(t *testing.T) {
			key, err := guarded(func() (k Key, err error) {
				k = Key{typeEd25519, "AAAA"}
				fault()
				return k, nil
			})
			if err != error(ErrKeyParserStopped) || !key.IsZero() {
				t.Errorf("got key %q, error %v", key, err)
			}
		})
	}
}

// TestPrimorial checks the product that moduli are divided by against plain trial
// division.
func TestPrimorial(t *testing.T) {
	product := primorial(100).String()
	if want := "1152783981972759212376551073665878035"; product != want {
		t.Errorf("product of the odd primes below 100: got %s, want %s", product, want)
	}
}
