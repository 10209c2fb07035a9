package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// builtIn returns the name of a built-in policy as it is, in whatever case of letters
// it is given; "" is none.
func builtIn(given string) string {
	for _, n := range authz.BuiltinPolicies() {
		if strings.EqualFold(n, given) {
			return n
		}
	}
	return ""
}

// managed finds a managed policy, built in or not. Built-in ones have no times.
func (c *ControlPlane) managed(ctx context.Context, v store.View, given string) (store.ManagedPolicy, error) {
	if n := builtIn(given); n != "" {
		return store.ManagedPolicy{Name: n, Document: []byte(authz.BuiltinPolicy(n))}, nil
	}
	m, err := v.ManagedPolicy(ctx, given)
	if errors.Is(err, store.ErrNotFound) {
		return m, &Error{Code: NotFound, Message: "Unable to find policy with name " + given}
	}
	return m, err
}

// parseOwnPolicy reads the name of a managed policy that can be changed.
func parseOwnPolicy(given string) (string, error) {
	policy, err := parseName("Policy Name", given)
	if err != nil {
		return "", err
	}
	if n := builtIn(policy); n != "" {
		return "", refused("Policy Name: %s is built in, and stays as it is", n)
	}
	return policy, nil
}

// CreatePolicy makes a managed policy. Its document may hold no more than the caller
// may do, although nobody has it yet.
func (c *ControlPlane) CreatePolicy(ctx context.Context, caller Caller, req CreatePolicyRequest) (Nothing, error) {
	policy, d, err := parsePolicy(req.PolicyName, req.PolicyDocument)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alter(ctx, caller, "latchkey:CreatePolicy", target{}, func(a alteration) error {
		m, err := a.ManagedPolicy(ctx, policy)
		if err == nil {
			return refused("Policy Name: %s is already taken", m.Name)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return c.putManaged(ctx, a, store.ManagedPolicy{Name: policy}, d)
	})
}

func parsePolicy(given string, raw json.RawMessage) (string, document, error) {
	policy, err := parseOwnPolicy(given)
	if err != nil {
		return "", document{}, err
	}
	d, err := parseDocument("Policy Document", raw)
	return policy, d, err
}

// UpdatePolicy gives a managed policy another document, for everybody who has it or
// is bounded by it.
func (c *ControlPlane) UpdatePolicy(ctx context.Context, caller Caller, req UpdatePolicyRequest) (Nothing, error) {
	policy, d, err := parsePolicy(req.PolicyName, req.PolicyDocument)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alter(ctx, caller, "latchkey:UpdatePolicy", target{}, func(a alteration) error {
		m, err := c.managed(ctx, a.View, policy)
		if err != nil {
			return err
		}
		return c.putManaged(ctx, a, m, d)
	})
}

// putManaged gives a policy another document. One that was not there has been denying
// everything to those who have its name, if any.
func (c *ControlPlane) putManaged(ctx context.Context, a alteration, m store.ManagedPolicy, d document) error {
	use, err := a.PolicyUse(ctx, m.Name)
	if err != nil {
		return err
	}
	people := slices.Concat(use.Users, use.Bounded)
	for _, g := range use.Groups {
		members, err := a.Members(ctx, g)
		if err != nil {
			return err
		}
		people = append(people, members...)
	}
	o := replacing(c.documents.parse(m.Document), d.policy, people)
	if len(o.gives) > 0 && o.frees == nil {
		o.frees = use.Bounded
	}
	a.Record(m.Name, changed(m.Name, m.Document, d.text))
	return c.carryOut(ctx, a, o, func() error { return a.PutManagedPolicy(ctx, m.Name, d.text) })
}

// DeletePolicy removes a managed policy that nobody has.
func (c *ControlPlane) DeletePolicy(ctx context.Context, caller Caller, req DeletePolicyRequest) (Nothing, error) {
	policy, err := parseOwnPolicy(req.PolicyName)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, c.alter(ctx, caller, "latchkey:DeletePolicy", target{}, func(a alteration) error {
		m, err := c.managed(ctx, a.View, policy)
		if err != nil {
			return err
		}
		use, err := a.PolicyUse(ctx, m.Name)
		if err != nil {
			return err
		}
		if who := usedBy(use); who != "" {
			return refused("Policy Name: %s is attached to %s; detach it first", m.Name, who)
		}
		a.Record(m.Name, changed(m.Name, m.Document, nil))
		return a.DeleteManagedPolicy(ctx, m.Name)
	})
}

// maxUsers is how many of those who have a policy a refusal names.
const maxUsers = 5

// usedBy says who has a policy; "" is nobody.
func usedBy(use store.PolicyUse) string {
	var all []string
	for _, u := range use.Users {
		all = append(all, "user "+u.ARN.String())
	}
	for _, g := range use.Groups {
		all = append(all, "group "+g)
	}
	for _, u := range use.Bounded {
		all = append(all, "user "+u.ARN.String()+" as boundary")
	}
	if len(all) <= maxUsers {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:maxUsers], ", "), len(all)-maxUsers)
}

// DescribePolicies lists the managed policies named, or all, the built-in ones among
// them.
func (c *ControlPlane) DescribePolicies(ctx context.Context, caller Caller, req DescribePoliciesRequest) (DescribePoliciesResponse, error) {
	out := DescribePoliciesResponse{Policies: []ManagedPolicy{}}
	names, err := parseAll(req.PolicyNames, func(s string) (string, error) { return parseName("Policy Names", s) })
	if err != nil {
		return out, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authoriseOn(ctx, v, who, "latchkey:DescribePolicies", target{}); err != nil {
			return err
		}
		policies, err := c.policiesNamed(ctx, v, names)
		if err != nil {
			return err
		}
		uses, err := v.PolicyUses(ctx)
		for _, m := range policies {
			shown := c.showPolicy(m)
			shown.AttachmentCount = int64(uses[m.Name])
			out.Policies = append(out.Policies, shown)
		}
		return err
	})
	return out, err
}

func (c *ControlPlane) policiesNamed(ctx context.Context, v store.View, names []string) ([]store.ManagedPolicy, error) {
	if len(names) == 0 {
		all, err := v.ManagedPolicies(ctx)
		for _, n := range authz.BuiltinPolicies() {
			all = append(all, store.ManagedPolicy{Name: n, Document: []byte(authz.BuiltinPolicy(n))})
		}
		slices.SortFunc(all, func(a, b store.ManagedPolicy) int {
			return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		})
		return all, err
	}
	var policies []store.ManagedPolicy
	for _, n := range names {
		m, err := c.managed(ctx, v, n)
		if err != nil {
			return nil, err
		}
		policies = append(policies, m)
	}
	return policies, nil
}

func (c *ControlPlane) showPolicy(m store.ManagedPolicy) ManagedPolicy {
	out := ManagedPolicy{PolicyName: m.Name, PolicyDocument: c.showDocument(m.Document), BuiltIn: builtIn(m.Name) != ""}
	if !out.BuiltIn {
		out.CreatedAt, out.UpdatedAt = timestamp(m.CreatedAt), timestamp(m.UpdatedAt)
	}
	return out
}

// showDocument prints a stored document from what was parsed; one that is malformed is
// null.
func (c *ControlPlane) showDocument(text []byte) json.RawMessage {
	p := c.documents.parse(text)
	if p.IsZero() {
		return json.RawMessage("null")
	}
	return json.RawMessage(p.String())
}
