package iam

import (
	"slices"
	"strings"
)

// Covers reports whether whoever has the policies and the boundary may do
// everything that p allows, whatever the request and its context, and whoever
// gets p (requirement R112: nobody gives rights beyond his own). It is sound and
// not complete: it may say no where a cleverer proof says yes, never yes where
// there is a request that p allows and the others do not. Where it says no, the
// Match names the first statement of p that is not covered, unless p, the
// boundary or one of the policies is malformed, which covers nothing.
//
// A statement is covered when one statement of the policies allows each pair of
// its actions and resources, so does one of the boundary, and none of either may
// deny any of it. Statements of p that deny take away only and are passed over.
// The time grows with the product of the documents' lengths, so a caller applies
// the limits of size.go first.
func Covers(policies []Policy, boundary *Policy, p Policy) (bool, Match) {
	if p.IsZero() || slices.ContainsFunc(policies, Policy.IsZero) || boundary != nil && boundary.IsZero() {
		return false, Match{}
	}
	for i := range p.p.statements {
		s := &p.p.statements[i]
		if s.effect == Allowed && !(s.within(policies) && (boundary == nil || s.within([]Policy{*boundary}))) {
			return false, Match{Statement: i, Sid: s.sid}
		}
	}
	return true, Match{}
}

// Denies reports whether the policy takes something away from what others allow, so
// that to lose it is to gain. The zero policy, which denies everything, does.
func (p Policy) Denies() bool {
	return p.IsZero() || anyOf(p.p.statements, func(s *statement) bool { return s.effect == ExplicitDeny })
}

// Mentions reports whether what the policy says depends on a condition key that
// begins with prefix, in a condition or in a variable. It may say yes where the text
// is no variable. The case of letters does not matter.
func (p Policy) Mentions(prefix string) bool {
	prefix = strings.ToLower(prefix)
	named := func(text *string) bool { return strings.Contains(strings.ToLower(*text), "${"+prefix) }
	return !p.IsZero() && anyOf(p.p.statements, func(s *statement) bool {
		return anyOf(s.resources, func(r *resourcePattern) bool { return named(&r.text) }) ||
			anyOf(s.conditions, func(c *condition) bool {
				return strings.HasPrefix(c.lower, prefix) || anyOf(c.values, named)
			})
	})
}

// within reports whether the policies surely allow all of s and deny none of it.
func (s *statement) within(policies []Policy) bool {
	actions, resources := s.widest()
	covered := make([]bool, len(actions)*len(resources))
	for _, p := range policies {
		for i := range p.p.statements {
			h := &p.p.statements[i]
			switch {
			case h.effect == ExplicitDeny && h.touches(actions, resources):
				return false
			case h.effect == Allowed && !h.notAction && !h.notResource && h.asksNoMore(s):
				h.mark(covered, actions, resources)
			}
		}
	}
	return !slices.Contains(covered, false)
}

// widest returns patterns that match whatever s applies to. What a Not form spares
// is not looked at.
func (s *statement) widest() ([]actionPattern, []resourcePattern) {
	actions, resources := s.actions, s.resources
	if s.notAction {
		actions = []actionPattern{{verb: literalGlob("*", true)}}
	}
	if s.notResource {
		resources = []resourcePattern{{shape: shapeAll}}
	}
	return actions, resources
}

// mark sets the pairs of an action and a resource that the statement covers. Each
// is compared once, and not again for every pair.
func (s *statement) mark(covered []bool, actions []actionPattern, resources []resourcePattern) {
	var inside []int
	for j := range resources {
		if anyOf(s.resources, func(r *resourcePattern) bool { return r.covers(&resources[j]) }) {
			inside = append(inside, j)
		}
	}
	for i := range actions {
		if len(inside) > 0 && anyOf(s.actions, func(a *actionPattern) bool { return a.covers(&actions[i]) }) {
			for _, j := range inside {
				covered[i*len(resources)+j] = true
			}
		}
	}
}

// touches reports whether a statement might apply to some of the actions on some
// of the resources, whatever its conditions. A Not form stays away from what its
// patterns cover.
func (s *statement) touches(actions []actionPattern, resources []resourcePattern) bool {
	return anyOf(actions, func(a *actionPattern) bool {
		if s.notAction {
			return !anyOf(s.actions, func(p *actionPattern) bool { return p.covers(a) })
		}
		return anyOf(s.actions, func(p *actionPattern) bool { return p.overlaps(a) })
	}) && anyOf(resources, func(r *resourcePattern) bool {
		if s.notResource {
			return !anyOf(s.resources, func(p *resourcePattern) bool { return p.covers(r) })
		}
		return anyOf(s.resources, func(p *resourcePattern) bool { return p.overlaps(r) })
	})
}

// asksNoMore reports whether every condition of s is one of other too: where those
// of other hold, for whomever, those of s do.
func (s *statement) asksNoMore(other *statement) bool {
	return !anyOf(s.conditions, func(c *condition) bool {
		return c.personal() || !anyOf(other.conditions, c.same)
	})
}

// same compares conditions as they print, but for the case of the key.
func (c *condition) same(d *condition) bool {
	return c.word == d.word && c.lower == d.lower && slices.Equal(c.values, d.values)
}

// personal reports whether the condition may hold for one principal and not for
// another in the same words: it asks who he is, or it has a variable. Any variable
// counts, as the same text is none in a policy of another version.
func (c *condition) personal() bool {
	switch c.lower {
	case "aws:username", "aws:userid", "aws:sourceidentity", "aws:federatedprovider":
		return true
	}
	return strings.HasPrefix(c.lower, "aws:principal") || strings.HasPrefix(c.lower, "latchkey:principal") ||
		slices.ContainsFunc(c.values, func(v string) bool { return strings.Contains(v, "${") })
}

func (p *actionPattern) covers(q *actionPattern) bool {
	return (p.service == service{} || p.service == q.service) && compare(&p.verb, &q.verb, inclusion)
}

func (p *actionPattern) overlaps(q *actionPattern) bool {
	return (p.service == service{} || q.service == service{} || p.service == q.service) && compare(&p.verb, &q.verb, intersection)
}

// covers reports whether p surely matches all that q may. Only * matches the
// resource *. A variable in p may stand for anything or nothing, so p covers
// nothing then.
func (p *resourcePattern) covers(q *resourcePattern) bool {
	if p.shape == shapeAll || q.shape == shapeAll {
		return p.shape == shapeAll
	}
	return !p.rest.variables && p.compare(q, inclusion)
}

// overlaps reports whether some resource may match both.
func (p *resourcePattern) overlaps(q *resourcePattern) bool {
	return p.shape == shapeAll || q.shape == shapeAll || p.compare(q, intersection)
}

// compare goes part by part, as match does.
func (p *resourcePattern) compare(q *resourcePattern, r relation) bool {
	for i := range p.parts {
		if !compare(&p.parts[i], &q.parts[i], r) {
			return false
		}
	}
	return compare(&p.rest, &q.rest, r)
}

// relation is a question about the texts that two patterns match.
type relation int

const (
	inclusion    relation = iota // all of the second are of the first
	intersection                 // some text is of both
)

// Symbols of a pattern that are no characters.
const (
	symbolStar rune = -1 - iota
	symbolOne
)

// symbols writes a glob as characters and wildcards. A variable becomes a star, so
// the result matches at least what the glob does. Beside a variable a ? does so
// too: a value that ends within a character leaves it less than one.
func (g *glob) symbols() []rune {
	var all []rune
	for i, c := range g.chunks {
		if i > 0 {
			all = append(all, symbolStar)
		}
		for _, p := range c {
			switch {
			case p.kind == pieceLiteral:
				all = append(all, []rune(p.text)...)
			case g.variables:
				all = append(all, symbolStar)
			default:
				all = append(all, symbolOne)
			}
		}
	}
	return all
}

// compare matches the symbols of p against those of q from their ends. For
// inclusion those of q are like characters, and a star of q is one that only a
// star of p can take; for intersection both may take the other's.
func compare(p, q *glob, r relation) bool {
	a, b := p.symbols(), q.symbols()
	// next and here say of what follows a[i+1:] and a[i:], and b[j:], whether they fit.
	next, here := make([]bool, len(b)+1), make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			inA, inB := i < len(a), j < len(b)
			switch {
			case inA && a[i] == symbolStar:
				here[j] = next[j] || inB && here[j+1]
			case inB && b[j] == symbolStar:
				here[j] = r == intersection && (here[j+1] || inA && next[j])
			case inA && inB:
				here[j] = next[j+1] && (a[i] == b[j] || a[i] == symbolOne || r == intersection && b[j] == symbolOne)
			default:
				here[j] = !inA && !inB
			}
		}
		next, here = here, next
	}
	return next[0]
}

func anyOf[T any](of []T, holds func(*T) bool) bool {
	for i := range of {
		if holds(&of[i]) {
			return true
		}
	}
	return false
}
