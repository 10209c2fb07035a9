package authz

import "latchkey/authz/name"

// Policy is the name of a managed policy that a user has.
type Policy string

// FullAccess is the administrator's policy: every action on every resource.
const FullAccess Policy = "AWSOpsWorks_FullAccess"

// Request is one question: may this principal do this, here?
type Request struct {
	Principal ARN
	Action    Action
	// Stack is the stack the action works on; zero for an action on the account,
	// or for a list that will be filtered stack by stack.
	Stack StackID
	// Level is the principal's level on Stack; ignored where Stack is zero.
	Level          Level
	Policies       []Policy
	SelfManagement bool
}

// Decision answers a Request. The zero value denies without a reason, which no
// code of ours returns.
type Decision struct {
	Allowed bool
	// Reason is nil when allowed.
	Reason *Refusal
	// By says in words which rule decided.
	By string
}

// Reasons for a denial.
var (
	ErrActionUnknown = name.Refuse("action_unknown", "the action is not known")
	ErrLevelDeny     = name.Refuse("level_deny", "the user's level on the stack is deny")
	ErrNotGranted    = name.Refuse("not_granted", "no policy and no level allows it")
)

// Decide evaluates level and policies together: a deny level wins, then an
// allowing policy, then the level's action set, then self-management; anything
// else is denied.
func Decide(r Request) Decision {
	rule := r.Action.Rule()
	switch {
	case rule.Scope == ScopeUnknown:
		return denied(ErrActionUnknown)
	case rule.Scope == ScopeStack && !r.Stack.IsZero() && r.Level.denies():
		return denied(ErrLevelDeny)
	}
	for _, p := range r.Policies {
		if p == FullAccess {
			return allowed("policy " + string(p))
		}
	}
	switch {
	case rule.Scope == ScopeStack && !r.Stack.IsZero() && rule.Level != LevelDeny && r.Level >= rule.Level:
		return allowed("level " + r.Level.String())
	case rule.Scope == ScopeSelf && r.SelfManagement:
		return allowed("self-management")
	}
	return denied(ErrNotGranted)
}

func denied(why *Refusal) Decision { return Decision{Reason: why, By: why.Text} }

func allowed(by string) Decision { return Decision{Allowed: true, By: by} }
