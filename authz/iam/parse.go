package iam

import (
	"strings"

	"latchkey/authz/name"
)

// MaxDocument is the longest document that Parse reads, in bytes with its white
// space. The limits that IAM sets are in size.go and are the caller's to apply.
const MaxDocument = 64 << 10

// Reasons for refusing a policy document.
var (
	ErrTooLarge        = name.Refuse("policy_too_large", "document is longer than 65536 bytes")
	ErrEncoding        = name.Refuse("policy_encoding", "document is not UTF-8")
	ErrSyntax          = name.Refuse("policy_syntax", "not JSON, or more than one JSON value")
	ErrDepth           = name.Refuse("policy_depth", "nested more deeply than a policy is")
	ErrDuplicate       = name.Refuse("policy_duplicate", "two members of one object have the same name")
	ErrType            = name.Refuse("policy_type", "value is not of the type that belongs here")
	ErrElement         = name.Refuse("policy_element", "element is not known here")
	ErrPrincipal       = name.Refuse("policy_principal", "an identity policy names no principal")
	ErrVersion         = name.Refuse("policy_version", "version is neither 2012-10-17 nor 2008-10-17")
	ErrMissing         = name.Refuse("policy_missing", "statement lacks Effect, Action or NotAction, or Resource or NotResource, or document lacks Statement")
	ErrBoth            = name.Refuse("policy_both", "an element and its Not form exclude each other")
	ErrEmptyList       = name.Refuse("policy_empty", "list or object is empty")
	ErrEffect          = name.Refuse("policy_effect", "effect is neither Allow nor Deny")
	ErrSid             = name.Refuse("policy_sid", "statement id holds a character other than A-Z, a-z and 0-9")
	ErrSidTwice        = name.Refuse("policy_sid_twice", "two statements have the same id")
	ErrActionPattern   = name.Refuse("policy_action", "action is neither * nor of the form service:Name, with wildcards in the name alone")
	ErrResourcePattern = name.Refuse("policy_resource", "resource is neither * nor an ARN")
	ErrResourceShort   = name.Refuse("policy_resource_short", "resource ARN has fewer than six parts and does not end in *")
	ErrVariable        = name.Refuse("policy_variable", "variable is not of the form ${key}, ${key, 'default'}, ${*}, ${?} or ${$}")
	ErrVariablePlace   = name.Refuse("policy_variable_place", "variable stands before the fifth colon of an ARN")
	ErrOperator        = name.Refuse("policy_operator", "condition operator is not known")
	ErrKey             = name.Refuse("policy_key", "condition key is not of the form service:name")
	ErrValue           = name.Refuse("policy_value", "condition value is not of the operator's type")
)

// Policy is an identity policy or a permissions boundary. Only Parse makes one;
// the zero value is malformed and denies everything.
type Policy struct{ p *policy }

// policy is what a document says, with every pattern compiled.
type policy struct {
	version, id string // "" where the document had none
	statements  []statement
}

type statement struct {
	sid         string
	effect      Outcome // Allowed or ExplicitDeny
	notAction   bool
	actions     []actionPattern
	gate        gate // open to all that actions match; with notAction to everything
	notResource bool
	resources   []resourcePattern
	conditions  []condition
}

const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Parse reads a policy document and validates it. A malformed one is refused with
// an *Error that says where and why; everything that Parse accepts, Evaluate can
// decide. Elements, operators and effects must be spelt exactly as IAM spells them.
// A document without Version is
// of version 2008-10-17, in which ${ is text and no variable.
func Parse(doc []byte) (Policy, error) {
	root, err := readTree(doc)
	if err != nil {
		return Policy{}, err
	}
	p, err := parsePolicy(root)
	if err != nil {
		return Policy{}, err
	}
	return Policy{p}, nil
}

// IsZero reports whether p was not made by Parse.
func (p Policy) IsZero() bool { return p.p == nil }

func parsePolicy(root node) (*policy, *Error) {
	if root.kind != '{' {
		return nil, root.refuse(ErrType)
	}
	p := &policy{}
	var statements node
	for i, key := range root.keys {
		item := root.items[i]
		switch key {
		case "Version":
			if item.kind != 's' || item.text != version2008 && item.text != version2012 {
				return nil, item.refuse(ErrVersion)
			}
			p.version = item.text
		case "Id":
			if item.kind != 's' {
				return nil, item.refuse(ErrType)
			}
			p.id = item.text
		case "Statement":
			statements = item
		default:
			return nil, &Error{Path: root.path, Offset: item.keyAt, Reason: ErrElement}
		}
	}
	if statements.kind == 0 {
		return nil, root.refuse(ErrMissing)
	}
	return p, p.readStatements(statements)
}

func (p *policy) readStatements(n node) *Error {
	list, err := n.list()
	if err != nil {
		return err
	}
	sids := map[string]bool{}
	for _, item := range list {
		s, err := parseStatement(item, p.version == version2012)
		if err != nil {
			return err
		}
		if s.sid != "" && sids[s.sid] {
			return item.refuse(ErrSidTwice)
		}
		sids[s.sid] = true
		p.statements = append(p.statements, s)
	}
	return nil
}

// list returns the values of a list, or the value itself if it is none.
func (n node) list() ([]node, *Error) {
	switch {
	case n.kind != '[':
		return []node{n}, nil
	case len(n.items) == 0:
		return nil, n.refuse(ErrEmptyList)
	}
	return n.items, nil
}

func parseStatement(n node, variables bool) (statement, *Error) {
	if n.kind != '{' {
		return statement{}, n.refuse(ErrType)
	}
	var s statement
	for i, key := range n.keys {
		if err := s.readElement(n, key, n.items[i], variables); err != nil {
			return statement{}, err
		}
	}
	if s.effect == ImplicitDeny || s.actions == nil || s.resources == nil {
		return statement{}, n.refuse(ErrMissing)
	}
	if !s.notAction {
		s.gate = gateOf(s.actions)
	}
	return s, nil
}

func (s *statement) readElement(parent node, key string, n node, variables bool) (err *Error) {
	switch key {
	case "Sid":
		s.sid, err = parseSid(n)
	case "Effect":
		s.effect, err = parseEffect(n)
	case "Action", "NotAction":
		if s.actions != nil {
			return n.refuse(ErrBoth)
		}
		s.notAction = key == "NotAction"
		s.actions, err = each(n, parseActionPattern)
	case "Resource", "NotResource":
		if s.resources != nil {
			return n.refuse(ErrBoth)
		}
		s.notResource = key == "NotResource"
		s.resources, err = each(n, func(text string) (resourcePattern, *name.Refusal) {
			return parseResourcePattern(text, variables)
		})
	case "Condition":
		s.conditions, err = parseConditions(n, variables)
	case "Principal", "NotPrincipal":
		return n.refuse(ErrPrincipal)
	default:
		return &Error{Path: parent.path, Offset: n.keyAt, Reason: ErrElement}
	}
	return err
}

func parseSid(n node) (string, *Error) {
	if n.kind != 's' {
		return "", n.refuse(ErrType)
	}
	for i := 0; i < len(n.text); i++ {
		if c := n.text[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return "", n.refuse(ErrSid)
		}
	}
	return n.text, nil
}

func parseEffect(n node) (Outcome, *Error) {
	switch {
	case n.kind == 's' && n.text == "Allow":
		return Allowed, nil
	case n.kind == 's' && n.text == "Deny":
		return ExplicitDeny, nil
	}
	return ImplicitDeny, n.refuse(ErrEffect)
}

// each parses a string, or every string of a list.
func each[T any](n node, parse func(string) (T, *name.Refusal)) ([]T, *Error) {
	list, err := n.list()
	if err != nil {
		return nil, err
	}
	all := make([]T, 0, len(list))
	for _, item := range list {
		if item.kind != 's' {
			return nil, item.refuse(ErrType)
		}
		one, why := parse(item.text)
		if why != nil {
			return nil, item.refuse(why)
		}
		all = append(all, one)
	}
	return all, nil
}

// parseConditions reads the Condition element: operators, each with keys, each
// with values.
func parseConditions(n node, variables bool) ([]condition, *Error) {
	if err := n.object(); err != nil {
		return nil, err
	}
	var all []condition
	for i, word := range n.keys {
		block := n.items[i]
		op, known := parseOperator(word)
		if !known {
			return nil, &Error{Path: n.path, Offset: block.keyAt, Reason: ErrOperator}
		}
		if err := block.object(); err != nil {
			return nil, err
		}
		keys := map[string]bool{}
		for j, key := range block.keys {
			c, err := parseCondition(op, key, block.items[j], variables)
			if err != nil {
				return nil, err
			}
			if keys[c.lower] {
				return nil, &Error{Path: block.path, Offset: block.items[j].keyAt, Reason: ErrDuplicate}
			}
			keys[c.lower] = true
			all = append(all, c)
		}
	}
	return all, nil
}

// object refuses what is no object, or an empty one: an author who wrote an empty
// condition meant one.
func (n node) object() *Error {
	switch {
	case n.kind != '{':
		return n.refuse(ErrType)
	case len(n.items) == 0:
		return n.refuse(ErrEmptyList)
	}
	return nil
}

func parseCondition(op operator, key string, n node, variables bool) (condition, *Error) {
	c := condition{operator: op, key: key, lower: strings.ToLower(key)}
	if !conditionKey(key) {
		return c, n.refuse(ErrKey)
	}
	list, err := n.list()
	if err != nil {
		return c, err
	}
	for _, item := range list {
		if item.kind != 's' && item.kind != 'n' && item.kind != 'b' {
			return c, item.refuse(ErrType)
		}
		if why := c.add(item.text, variables); why != nil {
			return c, item.refuse(why)
		}
	}
	return c, nil
}

// conditionKey reports whether s is service:name. The name may hold what a tag's
// name may, so nearly everything.
func conditionKey(s string) bool {
	service, rest, found := strings.Cut(s, ":")
	return found && len(s) <= 512 && actionWord(service, "") && rest != "" && !control(rest)
}
