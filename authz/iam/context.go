package iam

import (
	"strings"

	"latchkey/authz/name"
)

// ErrContext is returned for a context that names one key twice, or names none.
var ErrContext = name.Refuse("context_malformed", "a context key is empty, or is given twice in different case")

// Context holds what is known of a request besides its action and resource, by
// condition key (aws:SourceIp). Key names are case-insensitive. Only NewContext
// makes one that holds anything; the zero value holds nothing.
type Context struct{ values map[string][]string }

// NewContext takes condition keys and their values. Numbers, dates, booleans and
// addresses are given as text and binary values in base64. A key with an empty
// list counts as absent; one with several values is multi-valued and can be met
// only by ForAllValues and ForAnyValue. The lists are copied.
func NewContext(values map[string][]string) (Context, error) {
	kept := make(map[string][]string, len(values))
	for key, list := range values {
		lower := strings.ToLower(key)
		if _, twice := kept[lower]; twice || key == "" {
			return Context{}, ErrContext
		}
		kept[lower] = append([]string(nil), list...)
	}
	return Context{kept}, nil
}

// get returns the values under a lower-case key, or nil.
func (c *Context) get(key string) []string { return c.values[key] }
