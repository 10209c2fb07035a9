package apimodel

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane/api"
)

// served returns the actions that are the model's.
func served() (all []api.Action) {
	for _, a := range api.Actions() {
		if strings.HasPrefix(string(a.IAM), "opsworks:") {
			all = append(all, a)
		}
	}
	return all
}

// TestOperationsAreKnown: the authoriser knows every operation, and what is served
// as one is one.
func TestOperationsAreKnown(t *testing.T) {
	m := readModel(t)
	for name := range m.Operations {
		if authz.Action("opsworks:"+name).Rule().Scope == authz.ScopeUnknown {
			t.Errorf("%s is not known", name)
		}
	}
	for _, a := range served() {
		if _, known := m.Operations[a.Name]; !known {
			t.Errorf("%s is not in the model", a.Name)
		}
	}
}

// TestTypes compares the Go types of requests and responses with the model: a
// request has every member, of its type, and where the model tells absent from false
// so do we; a response has none that is not in the model, but for our own.
func TestTypes(t *testing.T) {
	m := readModel(t)
	c := comparison{model: m, unused: own()}
	for _, a := range served() {
		op := m.Operations[a.Name]
		c.inRequest = true
		if op.Input == nil {
			if a.Request.NumField() > 0 {
				t.Errorf("%s: the model has no input", a.Name)
			}
		} else {
			c.compare(a.Request, op.Input.Shape, a.Name)
		}
		c.inRequest = false
		switch {
		case (op.Output == nil) != (a.Response == nil):
			t.Errorf("%s: output is not where the model has it", a.Name)
		case op.Output != nil:
			c.compare(a.Response, op.Output.Shape, a.Name)
		}
	}
	for _, f := range c.faults {
		t.Error(f)
	}
	if len(c.unused) > 0 {
		t.Errorf("listed as our own, and not there: %v", c.unused)
	}
}

type comparison struct {
	model     model
	inRequest bool
	faults    []string
	unused    []string
}

func (c *comparison) compare(t reflect.Type, name, path string) {
	s := c.model.Shapes[name]
	pointer := t.Kind() == reflect.Pointer
	if pointer {
		t = t.Elem()
	}
	kinds := map[string]reflect.Kind{
		"string": reflect.String, "boolean": reflect.Bool, "integer": reflect.Int64,
		"list": reflect.Slice, "map": reflect.Map, "structure": reflect.Struct,
	}
	if t.Kind() != kinds[s.Type] {
		c.faults = append(c.faults, path+": "+t.Kind().String()+" where the model has a "+s.Type)
		return
	}
	if c.inRequest && s.Box && !pointer {
		c.faults = append(c.faults, path+": absent is not told from zero")
	}
	switch s.Type {
	case "list":
		c.compare(t.Elem(), s.Member.Shape, path)
	case "map":
		c.compare(t.Elem(), s.Value.Shape, path)
	case "structure":
		c.compareMembers(t, name, path)
	}
}

func (c *comparison) compareMembers(t reflect.Type, name, path string) {
	s := c.model.Shapes[name]
	ours := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		ours[f.Name] = true
		ref, known := s.Members[f.Name]
		if known {
			c.compare(f.Type, ref.Shape, path+"."+f.Name)
			continue
		}
		if !slices.Contains(own(), name+"."+f.Name) {
			c.faults = append(c.faults, path+"."+f.Name+" is not in the model")
		}
		c.unused = slices.DeleteFunc(c.unused, func(o string) bool { return o == name+"."+f.Name })
	}
	for member := range s.Members {
		if c.inRequest && !ours[member] {
			c.faults = append(c.faults, path+"."+member+" is missing")
		}
	}
}
