package iam

import (
	"strings"
	"unique"

	"latchkey/authz/name"
)

// ErrAction is returned for text that is not the name of one action.
var ErrAction = name.Refuse("action_malformed", "not an action of the form service:Name")

// Action is the name of one action of one service, opsworks:StopInstance. Its case
// does not matter. Only ParseAction makes one.
type Action struct {
	service service
	verb    string // lower case
	head    uint64 // of verb
}

// service is the name of a service in lower case. Equal names are one pointer, and
// compare as such. In a pattern the zero value stands for every service.
type service = unique.Handle[string]

// ParseAction reads service:Name, both of ASCII letters, digits and -._ and at most
// 256 bytes together; wildcards are not for requests.
func ParseAction(s string) (Action, error) {
	of, verb, found := strings.Cut(s, ":")
	if !found || len(s) > 256 || !actionWord(of, "") || !actionWord(verb, "") {
		return Action{}, ErrAction
	}
	verb = strings.ToLower(verb)
	return Action{unique.Make(strings.ToLower(of)), verb, head(verb)}, nil
}

// String returns the action in lower case, or "" for the zero value.
func (a Action) String() string {
	if a.IsZero() {
		return ""
	}
	return a.service.Value() + ":" + a.verb
}

// IsZero reports whether a is no action.
func (a Action) IsZero() bool { return a.verb == "" }

// actionPattern is an entry of Action or NotAction.
type actionPattern struct {
	text string // as written, to print
	gate
	verb glob
}

// parseActionPattern reads "*" or service:Name with wildcards in the name. The
// service is a name without wildcards, or "*" alone ("*:*").
func parseActionPattern(s string) (actionPattern, *name.Refusal) {
	if s == "*" {
		return actionPattern{text: s, verb: literalGlob("*", true)}, nil
	}
	of, verb, found := strings.Cut(s, ":")
	if !found || !actionWord(verb, "*?") || len(s) > 256 {
		return actionPattern{}, ErrActionPattern
	}
	p := actionPattern{text: s, verb: literalGlob(strings.ToLower(verb), true)}
	p.lead = p.verb.lead()
	switch {
	case of == "*":
	case !actionWord(of, ""):
		return actionPattern{}, ErrActionPattern
	default:
		p.service = unique.Make(strings.ToLower(of))
	}
	return p, nil
}

func (p *actionPattern) match(a *Action) bool {
	return p.open(a) && p.verb.match(a.verb, nil)
}

// gate keeps most actions from a pattern or a statement that is not about them. It
// is open to those of one service, whose verbs begin alike; the zero value to all.
type gate struct {
	service service
	lead    lead
}

func (g *gate) open(a *Action) bool {
	return (g.service == a.service || g.service == service{}) && g.lead.fits(a.head)
}

// gateOf is open to what one of the patterns may match.
func gateOf(patterns []actionPattern) gate {
	g := patterns[0].gate
	for i := range patterns {
		if g.service != patterns[i].service {
			g.service = service{}
		}
		g.lead = g.lead.either(patterns[i].lead)
	}
	return g
}

func actionWord(s, more string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		case strings.IndexByte(more, c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
