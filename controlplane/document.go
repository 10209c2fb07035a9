package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// Reasons for refusing a policy or its name.
var (
	errPolicyName     = name.Refuse("policy_name", "is not 1 to 128 of A-Z a-z 0-9 + = , . @ _ -")
	errDocumentAbsent = name.Refuse("document_missing", "is required")
	errDocumentText   = name.Refuse("document_text", "is neither a JSON object nor text that holds one")
	errDocumentLarge  = name.Refuse("document_large", "is longer than 6144 characters without white space")
	errInlineUser     = name.Refuse("inline_user_large", "the inline policies of the user are longer than 2048 characters together, without white space; a managed policy has more room")
	errInlineGroup    = name.Refuse("inline_group_large", "the inline policies of the group are longer than 5120 characters together, without white space; a managed policy has more room")
)

// nameForm is IAM's for the names of policies and groups ("IAM and AWS STS quotas").
var nameForm = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,128}$`)

// parseName reads the name of a policy or a group.
func parseName(attribute, s string) (string, error) {
	if !nameForm.MatchString(s) {
		return "", invalid(attribute, errPolicyName)
	}
	return s, nil
}

// document is a policy as it is kept: parsed, and printed from what was parsed.
type document struct {
	policy iam.Policy
	text   []byte
}

// parseDocument reads a policy document as requests and IAM's own listings hold it
// (documentText), within IAM's limit on one that is kept. The refusal says where in
// the document and why.
func parseDocument(attribute string, raw json.RawMessage) (document, error) {
	return parseDocumentOf(attribute, raw, iam.MaxManaged)
}

// parseDocumentOf does the same for a document of another size, in IAM's measure.
func parseDocumentOf(attribute string, raw json.RawMessage, limit int) (document, error) {
	text, err := documentText(attribute, raw)
	if err != nil {
		return document{}, err
	}
	if iam.Size(text) > limit {
		return document{}, invalid(attribute, errDocumentLarge)
	}
	p, err := iam.Parse(text)
	if err != nil {
		return document{}, invalid(attribute, err)
	}
	return document{p, []byte(p.String())}, nil
}

// documentText is the document of a request: a JSON object, or text that holds one,
// percent-encoded as IAM's API answers or not.
func documentText(attribute string, raw json.RawMessage) ([]byte, error) {
	text := []byte(raw)
	var quoted string
	switch {
	case len(raw) == 0:
		return nil, invalid(attribute, errDocumentAbsent)
	case json.Unmarshal(raw, &quoted) == nil:
		text = []byte(unescaped(quoted))
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return nil, invalid(attribute, errDocumentText)
	}
	return text, nil
}

func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil && strings.HasPrefix(s, "%7B") {
		return plain
	}
	return s
}

// managedDocument returns the text of a managed policy, built in or stored.
func managedDocument(ctx context.Context, v store.View, name string) ([]byte, error) {
	if text := authz.BuiltinPolicy(name); text != "" {
		return []byte(text), nil
	}
	p, err := v.ManagedPolicy(ctx, name)
	return p.Document, err
}

// checkInline holds what a user or a group has in inline policies after a change to
// IAM's limit on their sum.
func checkInline(ctx context.Context, v store.View, h store.Holder, limit int, why *authz.Refusal) error {
	all, err := v.InlinePolicies(ctx, h)
	if err != nil {
		return err
	}
	sum := 0
	for _, p := range all {
		sum += iam.Size(p.Document)
	}
	if sum > limit {
		return invalid("Policy Document", why)
	}
	return nil
}
