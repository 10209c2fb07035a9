package authz

import (
	"strconv"

	"latchkey/authz/iam"
	"latchkey/authz/name"
)

// Request is one question: may this principal do this, here?
type Request struct {
	Principal ARN
	Action    Action
	// Resource is what policies compare: the ARN of the stack or of the user that
	// the action works on, or * for the account, or for a list that will be
	// filtered stack by stack. The zero value denies. An action on the account or on
	// the caller's own profile has no resource, and is always asked about as *.
	Resource iam.Resource
	// Stack is the stack the action works on; zero where it works on none.
	Stack StackID
	// Level is the principal's level on Stack; ignored where Stack is zero.
	Level          Level
	Rights         Rights
	SelfManagement bool
	// Context holds the condition keys; see Circumstances.
	Context iam.Context
}

// Rule is the rule that decided.
type Rule string

// The rules, in the order in which they are asked.
const (
	RuleAction         Rule = "action" // the action is not known
	RuleLevel          Rule = "level"
	RulePolicy         Rule = "policy"
	RuleBoundary       Rule = "boundary"
	RuleSelfManagement Rule = "self-management"
	RuleNone           Rule = "none" // nothing allows it
)

// Decision answers a Request. The zero value denies without a reason, which no
// code of ours returns.
type Decision struct {
	Outcome iam.Outcome
	// Reason is nil when allowed.
	Reason *Refusal
	Rule   Rule
	// By says in words which rule decided.
	By string
	// Policy is the origin of the policy that decided, and Match its statement; ""
	// where none did.
	Policy string
	Match  iam.Match
}

// Allowed reports whether the principal may.
func (d Decision) Allowed() bool { return d.Outcome == iam.Allowed }

// Reasons for a denial, beside those of package iam.
var (
	ErrActionUnknown = name.Refuse("action_unknown", "the action is not known")
	ErrLevelDeny     = name.Refuse("level_deny", "the user's level on the stack is deny")
	ErrNotGranted    = name.Refuse("not_granted", "no policy and no level allows it")
)

// Decide evaluates level and policies together: a deny level wins, then an
// explicit denial in a policy, then an allowing policy, then the level's action
// set, then self-management; anything else is denied. What a permissions boundary
// does not allow is not allowed by any of them.
func Decide(r Request) Decision {
	rule := r.Action.Rule()
	switch rule.Scope {
	case ScopeUnknown:
		return denied(iam.ImplicitDeny, RuleAction, ErrActionUnknown)
	case ScopeAccount, ScopeSelf:
		r.Resource, r.Stack = iam.Everything(), StackID{}
	}
	if !r.Stack.IsZero() && r.Level.denies() {
		return denied(iam.ExplicitDeny, RuleLevel, ErrLevelDeny)
	}
	asked := iam.Request{Action: r.Action.asked(), Resource: r.Resource, Context: r.Context}
	d := r.Rights.evaluate(asked)
	if d.Outcome != iam.ImplicitDeny || d.Reason == iam.ErrBoundaryLimit {
		return byPolicy(r.Rights, d)
	}
	by, granted := r.grant(rule)
	switch {
	case !granted:
		return denied(iam.ImplicitDeny, RuleNone, ErrNotGranted)
	case r.Rights.bars(asked):
		return denied(iam.ImplicitDeny, RuleBoundary, iam.ErrBoundaryLimit)
	}
	return by
}

// grant is what the level or the self-management flag gives.
func (r Request) grant(rule ActionRule) (by Decision, granted bool) {
	switch {
	case rule.Scope == ScopeStack && !r.Stack.IsZero() && rule.Level != LevelDeny && r.Level >= rule.Level:
		return Decision{Outcome: iam.Allowed, Rule: RuleLevel, By: "level " + r.Level.String()}, true
	case rule.Scope == ScopeSelf && r.SelfManagement:
		return Decision{Outcome: iam.Allowed, Rule: RuleSelfManagement, By: "self-management"}, true
	}
	return Decision{}, false
}

func denied(o iam.Outcome, rule Rule, why *Refusal) Decision {
	return Decision{Outcome: o, Reason: why, Rule: rule, By: why.Text}
}

// byPolicy puts what the policies said into words.
func byPolicy(r Rights, d iam.Decision) Decision {
	out := Decision{Outcome: d.Outcome, Reason: d.Reason, Rule: RulePolicy}
	switch d.Reason {
	case iam.ErrBoundaryLimit, iam.ErrRequest:
		out.By = d.Reason.Text
		if d.Reason == iam.ErrBoundaryLimit {
			out.Rule = RuleBoundary
		}
		return out
	case iam.ErrPolicy:
		out.Policy, out.Match = r.origin(d.By), d.By
		out.By = out.Policy + " is malformed"
	case nil:
		out.Policy, out.Match = r.origin(d.By), d.By
		out.By = out.Policy + ", " + statement(d.By)
	default:
		out.Policy, out.Match = r.origin(d.By), d.By
		out.By = out.Policy + ", " + statement(d.By) + ", denies it"
	}
	if d.By.Boundary {
		out.Rule = RuleBoundary
	}
	return out
}

// statement names a statement as iam.Error's paths do, with its Sid if it has one.
func statement(m iam.Match) string {
	text := "Statement[" + strconv.Itoa(m.Statement) + "]"
	if m.Sid != "" {
		text += " " + m.Sid
	}
	return text
}
