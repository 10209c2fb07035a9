// Package iam is the AWS IAM JSON policy language, complete for identity policies
// and permissions boundaries: it parses and validates policies, and decides
// requests by them.
//
// Parse, ParseAction, ParseResource and NewContext make the values of a decision
// and refuse what is malformed, with its place and reason; Evaluate only
// compares. An explicit deny wins, then an allow, and what nothing allows is
// denied. A policy, an action or a resource that no parser made denies.
//
// The package follows the IAM User Guide ("IAM JSON policy reference"). Where the
// guide is silent, the comment at the place says what was chosen. Nothing here
// reads a clock: aws:CurrentTime is a context value like any other. All values
// are immutable and may be used from many goroutines at once.
package iam

import "latchkey/authz/name"

// Outcome is the answer to a request. The zero value denies.
type Outcome int

// The three answers, in IAM's words.
const (
	// ImplicitDeny: no statement allows the request.
	ImplicitDeny Outcome = iota
	// ExplicitDeny: a statement denies it, or something about it is malformed.
	ExplicitDeny
	// Allowed: a statement allows it, and so does the boundary if there is one.
	Allowed
)

// String returns the word that IAM's policy simulator uses.
func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allowed"
	case ExplicitDeny:
		return "explicitDeny"
	default:
		return "implicitDeny"
	}
}

// Reasons for a denial.
var (
	ErrRequest       = name.Refuse("request_malformed", "the request names no action or no resource")
	ErrPolicy        = name.Refuse("policy_malformed", "a policy that applies is malformed")
	ErrDenied        = name.Refuse("policy_denies", "a policy statement denies it")
	ErrBoundaryDeny  = name.Refuse("boundary_denies", "a statement of the permissions boundary denies it")
	ErrNotAllowed    = name.Refuse("policy_silent", "no policy statement allows it")
	ErrBoundaryLimit = name.Refuse("boundary_silent", "no statement of the permissions boundary allows it")
)

// Request is one question: may this action be done on this resource? Who asks is
// in the context (aws:PrincipalArn, aws:username and so on), because an identity
// policy names no principal.
type Request struct {
	Action   Action
	Resource Resource
	Context  Context
}

// Match names a statement. Statement counts from 0 within its policy. Policy is
// the index among the policies given, or 0 where Boundary is set.
type Match struct {
	Policy    int
	Statement int
	Sid       string
	Boundary  bool
}

// Decision answers a Request. The zero value denies.
type Decision struct {
	Outcome Outcome
	// Reason is nil when allowed.
	Reason *name.Refusal
	// By is the first statement that denied, or else the first that allowed. It
	// has no meaning when Reason is one of ErrRequest, ErrNotAllowed and
	// ErrBoundaryLimit, and names only a policy when it is ErrPolicy.
	By Match
}

// Evaluate decides a request by the policies of a principal, and by his
// permissions boundary unless that is nil: an explicit deny in any of them wins,
// then one of the policies must allow the request and the boundary too. It takes
// time linear in the number of statements, and in the length of a text times the
// length of its pattern. It allocates nothing unless a case-insensitive or
// boolean comparison holds a policy variable.
func Evaluate(policies []Policy, boundary *Policy, r Request) Decision {
	if r.Action.verb == "" || r.Resource.text == "" {
		return Decision{Outcome: ExplicitDeny, Reason: ErrRequest}
	}
	by, granted := 0, answer{}
	for i := range policies {
		switch a := policies[i].decide(&r, granted.outcome == Allowed); a.outcome {
		case ExplicitDeny:
			return policies[i].denial(a.statement, ErrDenied, Match{Policy: i})
		case Allowed:
			by, granted = i, a
		}
	}
	if boundary != nil {
		switch a := boundary.decide(&r, false); {
		case a.outcome == ExplicitDeny:
			return boundary.denial(a.statement, ErrBoundaryDeny, Match{Boundary: true})
		case granted.outcome == Allowed && a.outcome != Allowed:
			return Decision{Reason: ErrBoundaryLimit}
		}
	}
	if granted.outcome != Allowed {
		return Decision{Reason: ErrNotAllowed}
	}
	return Decision{Outcome: Allowed, By: policies[by].name(granted.statement, Match{Policy: by})}
}

// Explain decides as Evaluate does and lists the statements that decided: all that
// deny where the outcome is ExplicitDeny, all that allow where it is Allowed
// (those of the boundary last), none otherwise, as IAM's simulator lists them.
func Explain(policies []Policy, boundary *Policy, r Request) (Decision, []Match) {
	d := Evaluate(policies, boundary, r)
	if d.Outcome == ImplicitDeny || d.Reason == ErrRequest {
		return d, nil
	}
	var matches []Match
	for i, p := range policies {
		matches = p.matches(matches, Match{Policy: i}, &r, d.Outcome)
	}
	if boundary != nil {
		matches = boundary.matches(matches, Match{Boundary: true}, &r, d.Outcome)
	}
	return d, matches
}

// answer is what one policy says, and the first statement that says so.
type answer struct {
	outcome   Outcome
	statement int
}

func (p Policy) denial(statement int, why *name.Refusal, at Match) Decision {
	if p.p == nil {
		return Decision{Outcome: ExplicitDeny, Reason: ErrPolicy, By: at}
	}
	return Decision{Outcome: ExplicitDeny, Reason: why, By: p.name(statement, at)}
}

// name completes a Match with a statement of the policy.
func (p Policy) name(statement int, at Match) Match {
	at.Statement, at.Sid = statement, p.p.statements[statement].sid
	return at
}

// decide asks one policy. A malformed one denies. Where the request is allowed
// already, only a denial still matters, and the rest is passed over.
func (p Policy) decide(r *Request, allowed bool) answer {
	if p.p == nil {
		return answer{outcome: ExplicitDeny}
	}
	var found answer
	for i := range p.p.statements {
		s := &p.p.statements[i]
		switch {
		case s.effect == Allowed && allowed, !s.gate.open(&r.Action), !s.applies(r):
		case s.effect == ExplicitDeny:
			return answer{ExplicitDeny, i}
		default:
			found, allowed = answer{Allowed, i}, true
		}
	}
	return found
}

// matches adds the statements of one effect that apply.
func (p Policy) matches(to []Match, at Match, r *Request, effect Outcome) []Match {
	if p.p == nil {
		return to
	}
	for i := range p.p.statements {
		s := &p.p.statements[i]
		if s.effect == effect && s.applies(r) {
			to = append(to, p.name(i, at))
		}
	}
	return to
}

// applies reports whether action, resource and conditions of the statement all
// hold for the request.
func (s *statement) applies(r *Request) bool {
	return s.actsOn(&r.Action) && s.covers(&r.Resource, &r.Context) && s.holds(&r.Context)
}

func (s *statement) actsOn(a *Action) bool {
	for i := range s.actions {
		if s.actions[i].match(a) {
			return !s.notAction
		}
	}
	return s.notAction
}

// covers decides Resource and NotResource. A variable without a value matches
// nothing. As nobody can tell what a NotResource then spares, it spares nothing
// from a deny, and from an allow all that the rest of the pattern leaves open.
func (s *statement) covers(r *Resource, ctx *Context) bool {
	unknown := false
	for i := range s.resources {
		p := &s.resources[i]
		if p.rest.variables && !p.rest.resolved(ctx) {
			unknown = unknown || p.near(r)
			continue
		}
		if p.match(r, ctx) {
			return !s.notResource
		}
	}
	return s.notResource && (!unknown || s.effect == ExplicitDeny)
}

func (s *statement) holds(ctx *Context) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(ctx) {
			return false
		}
	}
	return true
}
