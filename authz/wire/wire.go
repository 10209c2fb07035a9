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
	"errors"
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
		return fmt.Errorf("%w: %s", ErrNotCanonical, fault(err))
	}
	again, err := Encode(v)
	if err != nil || !bytes.Equal(again, data) {
		return ErrNotCanonical
	}
	return nil
}

// fault says where a document is wrong, in words of ours: encoding/json's own
// text quotes the document.
func fault(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("no JSON from byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("wrong type of value at byte %d", kind.Offset)
	}
	return "cut short, or a field is not known"
}

// Encode prints the canonical JSON of v: no white space, no HTML escaping, a
// newline at the end, and a slice without elements as [] whether it is nil or
// empty. Messages hold no maps and no pointers.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %v", v, err)
	}
	return emptyForNull(b.Bytes()), nil
}

// emptyForNull replaces each null of a JSON text by []. Outside strings an n
// begins nothing else.
func emptyForNull(text []byte) []byte {
	if !bytes.Contains(text, []byte("null")) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i, quoted := 0, false; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			out = append(out, c, text[i+1])
			i++
		case c == 'n' && !quoted:
			out = append(out, "[]"...)
			i += len("null") - 1
		default:
			quoted = quoted != (c == '"')
			out = append(out, c)
		}
	}
	return out
}
