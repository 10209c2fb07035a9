package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"latchkey/authz/iam"
)

// engine decides by the policy.
type engine struct {
	name string
	// decisions is how many make a sample: so many that the clock's grain does not
	// matter and that an engine which makes garbage also pays for its collection.
	decisions int
	// prepare reads a question into the form that the engine is asked in, and gives
	// what decides it. Reading is not part of a decision.
	prepare func(question) (decide func() bool, err error)
}

// latchkey is our own engine's name.
const latchkey = "latchkey"

// engines reads the policy into every engine; the first is the floor.
func engines() ([]engine, error) {
	ours, err := newLatchkey(statements)
	if err != nil {
		return nil, fmt.Errorf("latchkey: %v", err)
	}
	peer, err := newCedar(statements)
	if err != nil {
		return nil, fmt.Errorf("cedar-go: %v", err)
	}
	agent, err := newOPA(statements)
	if err != nil {
		return nil, fmt.Errorf("opa: %v", err)
	}
	floor := func(q question) (func() bool, error) {
		return func() bool { return scan(statements, q) }, nil
	}
	return []engine{
		{"scan", 20_000, floor},
		{latchkey, 50_000, ours},
		{"cedar-go", 30_000, peer},
		{"opa", 2000, agent},
	}, nil
}

func newLatchkey(policy []statement) (func(question) (func() bool, error), error) {
	doc, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", policy})
	if err != nil {
		return nil, err
	}
	parsed, err := iam.Parse(doc)
	if err != nil {
		return nil, err
	}
	policies := []iam.Policy{parsed}
	return func(q question) (func() bool, error) {
		action, err := iam.ParseAction(q.action)
		if err != nil {
			return nil, err
		}
		resource, err := iam.ParseResource(q.resource)
		if err != nil {
			return nil, err
		}
		r := iam.Request{Action: action, Resource: resource}
		return func() bool { return iam.Evaluate(policies, nil, r).Outcome == iam.Allowed }, nil
	}, nil
}

func newCedar(policy []statement) (func(question) (func() bool, error), error) {
	var text strings.Builder
	for _, s := range policy {
		if s.Action == stopPattern {
			s.Action = "opsworks:StopInstance"
		}
		effect := map[string]string{"Allow": "permit", "Deny": "forbid"}[s.Effect]
		conditions := strings.Join(s.conditions("context.%s == %q", "context.%s like %q"), " && ")
		fmt.Fprintf(&text, "%s (principal, action, resource) when { %s };\n", effect, conditions)
	}
	policies, err := cedar.NewPolicySetFromBytes("p8.cedar", []byte(text.String()))
	if err != nil {
		return nil, err
	}
	return func(q question) (func() bool, error) {
		r := cedar.Request{
			Principal: cedar.NewEntityUID("User", "ann"),
			Action:    cedar.NewEntityUID("Action", cedar.String(q.action)),
			Resource:  cedar.NewEntityUID("Resource", cedar.String(q.resource)),
			Context: cedar.NewRecord(cedar.RecordMap{
				"action": cedar.String(q.action), "resource": cedar.String(q.resource),
			}),
		}
		return func() bool {
			decision, _ := cedar.Authorize(policies, nil, r)
			return decision == cedar.Allow
		}, nil
	}, nil
}

func newOPA(policy []statement) (func(question) (func() bool, error), error) {
	var text strings.Builder
	text.WriteString("package p8\n\ndefault allow := false\n\nallow if {\n\tpermitted\n\tnot forbidden\n}\n")
	for _, s := range policy {
		effect := map[string]string{"Allow": "permitted", "Deny": "forbidden"}[s.Effect]
		conditions := strings.Join(s.conditions("input.%s == %q", "glob.match(%[2]q, null, input.%[1]s)"), "\n\t")
		fmt.Fprintf(&text, "\n%s if {\n\t%s\n}\n", effect, conditions)
	}
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.p8.allow"), rego.Module("p8.rego", text.String())).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	return func(q question) (func() bool, error) {
		input, err := ast.InterfaceToValue(map[string]any{"action": q.action, "resource": q.resource})
		if err != nil {
			return nil, err
		}
		return func() bool {
			answer, err := query.Eval(ctx, rego.EvalParsedInput(input))
			return err == nil && answer.Allowed()
		}, nil
	}, nil
}

// conditions are what has to hold for the statement to apply, with a format for a
// text and one for a pattern: of the name of what is compared, and of the text.
func (s statement) conditions(text, pattern string) []string {
	var all []string
	for _, c := range []struct{ subject, pattern string }{{"action", s.Action}, {"resource", s.Resource}} {
		switch {
		case c.pattern == "*":
		case strings.ContainsAny(c.pattern, "*?"):
			all = append(all, fmt.Sprintf(pattern, c.subject, c.pattern))
		default:
			all = append(all, fmt.Sprintf(text, c.subject, c.pattern))
		}
	}
	return all
}
