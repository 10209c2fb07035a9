package iam

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"latchkey/authz/name"
)

// condition is one key of one operator's block, with its values.
type condition struct {
	operator
	key    string   // as written, to print
	lower  string   // to look up
	values []string // as written, to print

	// Of these, one holds the values compiled, by the operator's family.
	globs   []glob
	arns    []arnPattern
	numbers []float64
	dates   []time.Time
	ranges  []netip.Prefix
}

// operator is a condition operator's name taken apart.
type operator struct {
	word     string // as IAM writes it, with set prefix and IfExists
	family   family
	negated  bool // NotEquals, NotLike, NotIpAddress
	compare  comparison
	set      set
	ifExists bool
}

// family is what an operator compares.
type family int

const (
	familyString family = iota
	familyFold          // strings, ignoring case
	familyLike
	familyNumeric
	familyDate
	familyBool
	familyBinary
	familyIP
	familyARN
	familyNull
)

// comparison is the order that a numeric or date operator asks for.
type comparison int

const (
	equal comparison = iota
	less
	lessEqual
	greater
	greaterEqual
)

// set is the quantifier over the values of a multi-valued key.
type set int

const (
	setNone set = iota
	setAll      // ForAllValues
	setAny      // ForAnyValue
)

// parseOperator reads [ForAllValues:|ForAnyValue:]Name[IfExists]. Null takes
// neither suffix nor prefix: it asks about the key, not about its values.
func parseOperator(word string) (operator, bool) {
	o := operator{word: word}
	base := word
	if rest, found := strings.CutPrefix(base, "ForAllValues:"); found {
		o.set, base = setAll, rest
	} else if rest, found := strings.CutPrefix(base, "ForAnyValue:"); found {
		o.set, base = setAny, rest
	}
	base, o.ifExists = strings.CutSuffix(base, "IfExists")
	if !o.named(base) || o.family == familyNull && (o.ifExists || o.set != setNone) {
		return operator{}, false
	}
	return o, true
}

// named sets what the operator's plain name says.
func (o *operator) named(base string) bool {
	if rest, found := strings.CutPrefix(base, "Numeric"); found {
		o.family = familyNumeric
		return o.ordered(rest)
	}
	if rest, found := strings.CutPrefix(base, "Date"); found {
		o.family = familyDate
		return o.ordered(rest)
	}
	switch base {
	case "StringEquals", "StringNotEquals":
		o.family = familyString
	case "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase":
		o.family = familyFold
	case "StringLike", "StringNotLike":
		o.family = familyLike
	case "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike":
		o.family = familyARN
	case "Bool":
		o.family = familyBool
	case "BinaryEquals":
		o.family = familyBinary
	case "IpAddress", "NotIpAddress":
		o.family = familyIP
	case "Null":
		o.family = familyNull
	default:
		return false
	}
	o.negated = strings.Contains(base, "Not")
	return true
}

func (o *operator) ordered(rest string) bool {
	switch rest {
	case "Equals":
	case "NotEquals":
		o.negated = true
	case "LessThan":
		o.compare = less
	case "LessThanEquals":
		o.compare = lessEqual
	case "GreaterThan":
		o.compare = greater
	case "GreaterThanEquals":
		o.compare = greaterEqual
	default:
		return false
	}
	return true
}

// add compiles one value. Variables have a meaning in the string, ARN and boolean
// families alone; elsewhere ${ is no value of the family and is refused.
func (c *condition) add(text string, variables bool) *name.Refusal {
	c.values = append(c.values, text)
	switch c.family {
	case familyNumeric:
		return keep(&c.numbers, text, parseNumber)
	case familyDate:
		return keep(&c.dates, text, parseDate)
	case familyIP:
		return keep(&c.ranges, text, parseRange)
	case familyARN:
		a, why := parseARNPattern(text, variables)
		c.arns = append(c.arns, a)
		return why
	case familyBinary:
		if !binary(text) {
			return ErrValue
		}
	case familyNull, familyBool:
		plain := c.family == familyNull || !variables || !strings.Contains(text, "${")
		if _, ok := parseBool(text); plain && !ok {
			return ErrValue
		}
	}
	g, why := parseGlob(text, c.family == familyLike, variables && c.family != familyBinary && c.family != familyNull)
	c.globs = append(c.globs, g)
	return why
}

func keep[T any](to *[]T, text string, parse func(string) (T, bool)) *name.Refusal {
	value, ok := parse(text)
	if !ok {
		return ErrValue
	}
	*to = append(*to, value)
	return nil
}

// holds decides the condition.
//
// A key that is absent (or has an empty list) meets no operator, but a negated
// one, one with IfExists and ForAllValues; ForAnyValue it never meets, IfExists or
// not, because no value is there to be the one. A key with several values meets
// only operators with a set prefix. To those, a single empty string is an empty
// set.
func (c *condition) holds(ctx *Context) bool {
	values := ctx.get(c.lower)
	if c.family == familyNull {
		return c.null(len(values) == 0)
	}
	if c.set != setNone && len(values) == 1 && values[0] == "" {
		values = nil
	}
	switch c.set {
	case setAll:
		for _, v := range values {
			if !c.meets(v, ctx) {
				return false
			}
		}
		return true
	case setAny:
		for _, v := range values {
			if c.meets(v, ctx) {
				return true
			}
		}
		return false
	}
	if len(values) == 0 {
		return c.negated || c.ifExists
	}
	return len(values) == 1 && c.meets(values[0], ctx)
}

// null decides the Null operator: true asks for an absent key, false for a present
// one.
func (c *condition) null(absent bool) bool {
	for _, text := range c.values {
		if wanted, _ := parseBool(text); wanted == absent {
			return true
		}
	}
	return false
}

// meets compares one value of the request with the policy's: it must be like one
// of them, or, negated, like none. A value that is not of the operator's type
// cannot be compared and meets neither. A policy value whose variable has no value
// is like nothing, so a negated operator passes over it.
func (c *condition) meets(value string, ctx *Context) bool {
	found := false
	switch c.family {
	case familyNumeric:
		n, ok := parseNumber(value)
		if !ok {
			return false
		}
		for _, p := range c.numbers {
			found = found || c.compare.holds(cmp.Compare(n, p))
		}
	case familyDate:
		t, ok := parseDate(value)
		if !ok {
			return false
		}
		for _, p := range c.dates {
			found = found || c.compare.holds(t.Compare(p))
		}
	case familyIP:
		a, ok := parseAddress(value)
		if !ok {
			return false
		}
		for _, p := range c.ranges {
			found = found || p.Contains(a)
		}
	case familyARN:
		return c.meetsARN(value, ctx)
	default:
		return c.meetsText(value, ctx)
	}
	return found != c.negated
}

func (c *condition) meetsARN(value string, ctx *Context) bool {
	var r Resource
	if !splitARN(value, &r) {
		return false
	}
	for i := range c.arns {
		if c.arns[i].match(&r, ctx) {
			return !c.negated
		}
	}
	return c.negated
}

func (c *condition) meetsText(value string, ctx *Context) bool {
	switch c.family {
	case familyBool:
		if _, ok := parseBool(value); !ok {
			return false
		}
	case familyBinary:
		if !binary(value) {
			return false
		}
	}
	for i := range c.globs {
		if c.like(&c.globs[i], value, ctx) {
			return !c.negated
		}
	}
	return c.negated
}

func (c *condition) like(g *glob, value string, ctx *Context) bool {
	if c.family != familyFold && c.family != familyBool {
		return g.match(value, ctx)
	}
	text, ok := g.expand(ctx)
	return ok && strings.EqualFold(text, value)
}

func (c comparison) holds(order int) bool {
	switch c {
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterEqual:
		return order >= 0
	default:
		return order == 0
	}
}
