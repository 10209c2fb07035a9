package iam

import "unicode"

// IAM's limits on the size of policies, in characters without white space ("IAM
// and AWS STS quotas"). The caller applies them: those for inline policies are to
// the sum of all that one user or group has.
const (
	MaxInlineUser  = 2048
	MaxInlineGroup = 5120
	MaxManaged     = 6144
)

// Size counts a document as IAM does: its characters without white space.
func Size(doc []byte) int {
	n := 0
	for _, c := range string(doc) {
		if !unicode.IsSpace(c) {
			n++
		}
	}
	return n
}
