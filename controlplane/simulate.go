package controlplane

import (
	"context"
	"encoding/json"
	"fmt"

	"latchkey/authz"
	"latchkey/authz/iam"
	"latchkey/controlplane/store"
)

// MaxSimulation is the largest request of SimulatePolicy in bytes: 8 MiB, so that a
// thousand cases may each have some 8 KiB of policies, more than IAM's longest.
const MaxSimulation = 8 << 20

// SimulatePolicy decides cases by the policies given in them alone: nothing that the
// control plane has enters into a decision. A document may be as long as package iam
// reads one (iam.MaxDocument); IAM's limits are on those that are kept.
//
// The caller is authorised first, against the order of other actions: reading the
// cases costs far more than reading a request, and tells nothing about what exists.
func (c *ControlPlane) SimulatePolicy(ctx context.Context, caller Caller, req SimulatePolicyRequest) (SimulatePolicyResponse, error) {
	err := c.read(ctx, caller, func(v store.View, who principal) error {
		return c.authorise(ctx, v, who, "latchkey:SimulatePolicy", authz.StackID{})
	})
	if err != nil {
		return SimulatePolicyResponse{}, err
	}
	if n := len(req.Cases); n < 1 || n > maxQuestions {
		return SimulatePolicyResponse{}, invalid("Cases", errQuestions)
	}
	parsed := simulation{}
	out := SimulatePolicyResponse{Decisions: make([]PolicyDecision, len(req.Cases))}
	for i, given := range req.Cases {
		if out.Decisions[i], err = parsed.decide(fmt.Sprintf("Cases[%d].", i), given); err != nil {
			return SimulatePolicyResponse{}, err
		}
		if err := ctx.Err(); err != nil {
			return SimulatePolicyResponse{}, err
		}
	}
	return out, nil
}

// simulation holds the documents of one request that were parsed, by their text: one
// that is in many cases is parsed once.
type simulation map[string]iam.Policy

func (s simulation) decide(place string, given PolicyCase) (PolicyDecision, error) {
	request, err := caseRequest(place, given)
	if err != nil {
		return PolicyDecision{}, err
	}
	policies := make([]iam.Policy, len(given.Policies))
	for i, raw := range given.Policies {
		if policies[i], err = s.parse(fmt.Sprintf("%sPolicies[%d]", place, i), raw); err != nil {
			return PolicyDecision{}, err
		}
	}
	var boundary *iam.Policy
	if given.PermissionsBoundary != nil {
		p, err := s.parse(place+"PermissionsBoundary", given.PermissionsBoundary)
		if err != nil {
			return PolicyDecision{}, err
		}
		boundary = &p
	}
	d, matches := iam.Explain(policies, boundary, request)
	out := PolicyDecision{Decision: d.Outcome.String(), MatchedStatements: make([]StatementMatch, len(matches))}
	for i, m := range matches {
		out.MatchedStatements[i] = showMatch(m)
	}
	return out, nil
}

// caseRequest reads what a case asks. Its principal is only checked.
func caseRequest(place string, given PolicyCase) (r iam.Request, err error) {
	if given.Principal != "" {
		if _, err := iam.ParseResource(given.Principal); err != nil {
			return r, invalid(place+"Principal", err)
		}
	}
	if r.Action, err = iam.ParseAction(given.Action); err != nil {
		return r, invalid(place+"Action", err)
	}
	r.Resource = iam.Everything()
	if given.Resource != "" {
		if r.Resource, err = iam.ParseResource(given.Resource); err != nil {
			return r, invalid(place+"Resource", err)
		}
	}
	if r.Context, err = iam.NewContext(given.Context); err != nil {
		return r, invalid(place+"Context", err)
	}
	return r, nil
}

func (s simulation) parse(attribute string, raw json.RawMessage) (iam.Policy, error) {
	return once(s, string(raw), func() (iam.Policy, error) {
		text, err := documentText(attribute, raw)
		if err != nil {
			return iam.Policy{}, err
		}
		p, err := iam.Parse(text)
		if err != nil {
			return iam.Policy{}, invalid(attribute, err)
		}
		return p, nil
	})
}

func showMatch(m iam.Match) StatementMatch {
	out := StatementMatch{Boundary: m.Boundary, Statement: int64(m.Statement)}
	if !m.Boundary {
		policy := int64(m.Policy)
		out.Policy = &policy
	}
	return out
}
