// Package wire is what crosses between control plane and instances, and how it
// is proved: the sealed bundle, the enrolment and report messages, the signature
// on an instance's requests, the join token.
//
// It is pure. Everything read here is bounded and decoded strictly: a document
// is accepted only in the one form this package itself would print, so missing,
// duplicate, unknown, null or wrongly typed fields, trailing data and invalid
// UTF-8 all refuse the whole of it (requirement R76). A change of any field is
// therefore a new format number.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"latchkey/authz/name"
)

// Format is the number of the bundle format this package reads and writes.
const Format = 1

// Limits in bytes of what is read from the other side.
const (
	MaxBundle  = 64 << 20 // 100,000 users with two keys are about 30 MB
	MaxMessage = 4 << 20  // a report of 10,000 steps; everything else is far smaller
)

// Reasons for refusing a message as a whole.
var (
	ErrNotCanonical = name.Refuse("not_canonical", "document is not in its canonical form")
	ErrTooLarge     = name.Refuse("too_large", "document is larger than its limit")
)

// Decode reads the canonical JSON of v and nothing else.
func Decode(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrNotCanonical, err)
	}
	again, err := Encode(v)
	if err != nil || !bytes.Equal(again, data) {
		return ErrNotCanonical
	}
	return nil
}

// Encode prints the canonical JSON of v: no white space, no HTML escaping, a
// newline at the end.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %v", v, err)
	}
	return b.Bytes(), nil
}
