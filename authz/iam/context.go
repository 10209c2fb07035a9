package iam

import (
	"strings"

	"latchkey/authz/name"
)

// ErrContext is returned for a context that names one key twice, or names none.
var ErrContext = name.Refuse("context_malformed", "a context key is empty, or is given twice in different case")

// Context holds what is known of a request besides its action and resource, by
// condition key (aws:SourceIp). Key names are case-insensitive. Only NewContext
// and With make one that holds anything; the zero value holds nothing.
type Context struct {
	values map[string][]string
	base   *Context // has other keys besides, or nil
}

// NewContext takes condition keys and their values. Numbers, dates, booleans and
// addresses are given as text and binary values in base64. A key with an empty
// list counts as absent; one with several values is multi-valued and can be met
// only by ForAllValues and ForAnyValue. The lists are copied.
func NewContext(values map[string][]string) (Context, error) {
	return Context{}.With(values)
}

// With returns a context that has these keys too, by the rules of NewContext: a
// key that c has may not be given again, even if its list is empty. What c holds
// is shared and not copied, so that one context can be the base of many. Looking
// up a key takes one step more for each With on the way.
func (c Context) With(values map[string][]string) (Context, error) {
	kept := make(map[string][]string, len(values))
	for key, list := range values {
		lower := strings.ToLower(key)
		_, twice := kept[lower]
		if _, known := c.find(lower); twice || known || key == "" {
			return Context{}, ErrContext
		}
		kept[lower] = append([]string(nil), list...)
	}
	switch {
	case len(kept) == 0:
		return c, nil
	case c.values == nil:
		return Context{values: kept}, nil
	}
	return Context{kept, &c}, nil
}

// get returns the values under a lower-case key, or nil.
func (c *Context) get(key string) []string {
	list, _ := c.find(key)
	return list
}

func (c *Context) find(key string) ([]string, bool) {
	for ; c != nil; c = c.base {
		if list, ok := c.values[key]; ok {
			return list, true
		}
	}
	return nil, false
}
