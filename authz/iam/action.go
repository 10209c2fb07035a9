package iam

import (
	"strings"

	"latchkey/authz/name"
)

// ErrAction is returned for text that is not the name of one action.
var ErrAction = name.Refuse("action_malformed", "not an action of the form service:Name")

// Action is the name of one action of one service, opsworks:StopInstance. Its case
// does not matter. Only ParseAction makes one.
type Action struct{ service, verb string }

// ParseAction reads service:Name, both of ASCII letters, digits and -._ and at most
// 256 bytes together; wildcards are not for requests.
func ParseAction(s string) (Action, error) {
	service, verb, found := strings.Cut(s, ":")
	if !found || len(s) > 256 || !actionWord(service, "") || !actionWord(verb, "") {
		return Action{}, ErrAction
	}
	return Action{strings.ToLower(service), strings.ToLower(verb)}, nil
}

// String returns the action in lower case, or "" for the zero value.
func (a Action) String() string {
	if a.IsZero() {
		return ""
	}
	return a.service + ":" + a.verb
}

// IsZero reports whether a is no action.
func (a Action) IsZero() bool { return a.service == "" }

// actionPattern is an entry of Action or NotAction.
type actionPattern struct {
	text    string // as written, to print
	service string // lower case; "" stands for every service
	verb    glob
}

// parseActionPattern reads "*" or service:Name with wildcards in the name. The
// service is a name without wildcards, or "*" alone ("*:*").
func parseActionPattern(s string) (actionPattern, *name.Refusal) {
	if s == "*" {
		return actionPattern{text: s, verb: literalGlob("*", true)}, nil
	}
	service, verb, found := strings.Cut(s, ":")
	switch {
	case !found, !actionWord(verb, "*?"), len(s) > 256:
		return actionPattern{}, ErrActionPattern
	case service == "*":
		service = ""
	case !actionWord(service, ""):
		return actionPattern{}, ErrActionPattern
	}
	return actionPattern{text: s, service: strings.ToLower(service), verb: literalGlob(strings.ToLower(verb), true)}, nil
}

func (p *actionPattern) match(a *Action) bool {
	return (p.service == "" || p.service == a.service) && p.verb.match(a.verb, nil)
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
