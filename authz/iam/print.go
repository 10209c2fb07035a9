package iam

import (
	"encoding/json"
	"strings"
)

// String prints the policy as JSON without white space, elements in IAM's usual
// order and a list of one as its value. Parsing what it prints gives the same
// policy. The zero value prints as "".
func (p Policy) String() string {
	if p.p == nil {
		return ""
	}
	var w printer
	w.open('{')
	w.member("Version", p.p.version)
	w.member("Id", p.p.id)
	w.key("Statement")
	w.open('[')
	for i := range p.p.statements {
		w.comma()
		w.statement(&p.p.statements[i])
	}
	w.close(']')
	w.close('}')
	return w.b.String()
}

// MarshalJSON prints the policy as String does, and null for the zero value.
func (p Policy) MarshalJSON() ([]byte, error) {
	if p.p == nil {
		return []byte("null"), nil
	}
	return []byte(p.String()), nil
}

// printer writes JSON. first is set after an opening bracket.
type printer struct {
	b     strings.Builder
	first bool
}

func (w *printer) open(c byte) {
	w.b.WriteByte(c)
	w.first = true
}

func (w *printer) close(c byte) {
	w.b.WriteByte(c)
	w.first = false
}

func (w *printer) comma() {
	if !w.first {
		w.b.WriteByte(',')
	}
	w.first = false
}

func (w *printer) text(s string) {
	quoted, _ := json.Marshal(s) // a string always has a JSON form
	w.b.Write(quoted)
}

func (w *printer) key(s string) {
	w.comma()
	w.text(s)
	w.b.WriteByte(':')
}

// member writes a string member, unless it is empty.
func (w *printer) member(key, value string) {
	if value != "" {
		w.key(key)
		w.text(value)
	}
}

func (w *printer) list(key string, values []string) {
	w.key(key)
	if len(values) == 1 {
		w.text(values[0])
		return
	}
	w.open('[')
	for _, v := range values {
		w.comma()
		w.text(v)
	}
	w.close(']')
}

func (w *printer) statement(s *statement) {
	w.open('{')
	w.member("Sid", s.sid)
	effect, action, resource := "Deny", "Action", "Resource"
	if s.effect == Allowed {
		effect = "Allow"
	}
	if s.notAction {
		action = "NotAction"
	}
	if s.notResource {
		resource = "NotResource"
	}
	w.member("Effect", effect)
	w.list(action, texts(s.actions, func(p *actionPattern) string { return p.text }))
	w.list(resource, texts(s.resources, func(p *resourcePattern) string { return p.text }))
	if len(s.conditions) > 0 {
		w.conditions(s.conditions)
	}
	w.close('}')
}

// conditions writes the blocks; those of one operator stand side by side.
func (w *printer) conditions(all []condition) {
	w.key("Condition")
	w.open('{')
	for i := range all {
		if i == 0 || all[i-1].word != all[i].word {
			w.key(all[i].word)
			w.open('{')
		}
		w.list(all[i].key, all[i].values)
		if i == len(all)-1 || all[i+1].word != all[i].word {
			w.close('}')
		}
	}
	w.close('}')
}

func texts[T any](of []T, text func(*T) string) []string {
	all := make([]string, len(of))
	for i := range of {
		all[i] = text(&of[i])
	}
	return all
}
