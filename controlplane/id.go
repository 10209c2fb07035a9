package controlplane

import (
	"crypto/rand"
	"fmt"

	"latchkey/authz"
)

// newUUID makes a random UUID (RFC 9562, version 4) in lower case.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// newID makes an identifier with its parser. A UUID just made always parses.
func newID[T any](parse func(string) (T, error)) T {
	id, err := parse(newUUID())
	if err != nil {
		panic("a new UUID does not parse: " + err.Error())
	}
	return id
}

// The parsers of what requests name, each refusing with its attribute.

func parseStack(s string) (authz.StackID, error) {
	id, err := authz.ParseStackID(s)
	if err != nil {
		return id, invalid("Stack Id", err)
	}
	return id, nil
}

func parseInstance(s string) (authz.InstanceID, error) {
	id, err := authz.ParseInstanceID(s)
	if err != nil {
		return id, invalid("Instance Id", err)
	}
	return id, nil
}

func parseARN(s string) (authz.ARN, error) {
	arn, err := authz.ParseARN(s)
	if err != nil {
		return arn, invalid("Iam User Arn", err)
	}
	return arn, nil
}

// parseAll parses every element, or refuses with the first fault.
func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	all := make([]T, 0, len(texts))
	for _, s := range texts {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
