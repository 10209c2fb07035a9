package iam

import (
	"strings"
	"unicode/utf8"

	"latchkey/authz/name"
)

// ErrResource is returned for text that does not name one resource.
var ErrResource = name.Refuse("resource_malformed", "neither * nor an ARN of six parts without wildcards")

// Resource is what an action works on: an ARN, or "*" for an action that has no
// resource. Its case matters. Only ParseResource makes one.
type Resource struct {
	text  string
	parts [4]string // partition, service, region, account
	rest  string
	head  uint64 // of rest
}

// ParseResource reads "*" or arn:partition:service:region:account:resource, at
// most 2048 bytes. Region and account may be empty. A wildcard in a request would
// ask about many resources at once, which has no single answer, and is refused.
func ParseResource(s string) (Resource, error) {
	if s == "*" {
		return Resource{text: s}, nil
	}
	part, whole := cutARN(s, false)
	switch {
	case len(s) > 2048, strings.ContainsAny(s, "*?"), control(s), !utf8.ValidString(s):
		return Resource{}, ErrResource
	case !whole || part[0] != "arn" || part[1] == "" || part[2] == "" || part[5] == "":
		return Resource{}, ErrResource
	}
	return makeResource(s, part), nil
}

func makeResource(s string, part [6]string) Resource {
	return Resource{s, [4]string(part[1:5]), part[5], head(part[5])}
}

// Everything is the resource "*", of an action that has none.
func Everything() Resource { return Resource{text: "*"} }

// String returns the resource as it was parsed, or "" for the zero value.
func (r Resource) String() string { return r.text }

// IsZero reports whether r is no resource.
func (r Resource) IsZero() bool { return r.text == "" }

// resourcePattern is an entry of Resource or NotResource. Each of the six parts
// between colons is matched by itself, so a wildcard does not reach past its
// colon, but for a final * of a shortened ARN, which stands for all that follows.
type resourcePattern struct {
	text  string // as written, to print
	shape shape
	// plain is the text to compare the whole ARN with: all of it (shapeExact), its
	// beginning (shapePrefix), or the part before the first wildcard (shapeParts).
	plain string
	fixed int // so many of the parts, from the first, stand whole in plain
	parts [4]glob
	lead  lead // of rest
	rest  glob
}

// shape says how a pattern is compared. The zero value fits nothing.
type shape int

const (
	shapeNone shape = iota
	shapeAll
	shapeExact
	shapePrefix
	shapeAffix
	shapeParts
)

// parseResourcePattern reads "*" or an ARN with wildcards, and variables in its
// last part if the policy's version has them. An ARN of fewer than six parts
// must end in *: without it IAM is said to allow everything below, which nobody
// reads out of it.
func parseResourcePattern(s string, variables bool) (resourcePattern, *name.Refusal) {
	if s == "*" {
		return resourcePattern{text: s, shape: shapeAll}, nil
	}
	part := strings.SplitN(s, ":", 6)
	short := len(part) < 6
	switch {
	case part[0] != "arn" || len(part) < 2 || control(s):
		return resourcePattern{}, ErrResourcePattern
	case short && !strings.HasSuffix(s, "*"):
		return resourcePattern{}, ErrResourceShort
	}
	for len(part) < 6 {
		part = append(part, "*")
	}
	p := resourcePattern{text: s}
	for i := range p.parts {
		if variables && strings.Contains(part[i+1], "${") {
			return resourcePattern{}, ErrVariablePlace
		}
		p.parts[i] = literalGlob(part[i+1], true)
	}
	rest, err := parseGlob(part[5], true, variables)
	if err != nil {
		return resourcePattern{}, err
	}
	if part[1] == "" || part[2] == "" || part[5] == "" {
		return resourcePattern{}, ErrResourcePattern
	}
	p.rest, p.lead = rest, rest.lead()
	p.shape, p.plain = shapeOf(s, rest)
	p.fixed = min(strings.Count(p.plain, ":")-1, len(p.parts))
	return p, nil
}

// shapeOf finds the quickest right way to compare. Where the only wildcard is a
// final *, what precedes it fixes every colon that it could reach past.
func shapeOf(s string, rest glob) (shape, string) {
	first := strings.IndexAny(s, "*?")
	if rest.variables || strings.Contains(s, "${") {
		if dollar := strings.IndexByte(s, '$'); first < 0 || dollar < first {
			first = dollar
		}
		return shapeParts, s[:first]
	}
	switch {
	case first < 0:
		return shapeExact, s
	case first == len(s)-1 && s[first] == '*':
		return shapePrefix, s[:first]
	}
	return shapeParts, s[:first]
}

func (p *resourcePattern) match(r *Resource, ctx *Context) bool {
	switch {
	case p.shape == shapeAll:
		return true
	case p.shape == shapeNone:
		return false
	case p.shape == shapeExact:
		return r.text == p.plain
	case p.shape == shapePrefix:
		return strings.HasPrefix(r.text, p.plain)
	case !p.lead.fits(r.head) || !strings.HasPrefix(r.text, p.plain):
		return false
	}
	for i := p.fixed; i < len(p.parts); i++ {
		if g := &p.parts[i]; g.shape != shapeAll && !g.match(r.parts[i], nil) {
			return false
		}
	}
	return p.rest.match(r.rest, ctx)
}

// near reports whether the pattern could match for some value of its variables.
func (p *resourcePattern) near(r *Resource) bool {
	for i := range p.parts {
		if !p.parts[i].match(r.parts[i], nil) {
			return false
		}
	}
	first := p.rest.chunks[0]
	return len(first) == 0 || first[0].kind != pieceLiteral || strings.HasPrefix(r.rest, first[0].text)
}

// control reports whether s holds a control character.
func control(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
