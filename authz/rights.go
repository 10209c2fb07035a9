package authz

import (
	"encoding/json"
	"slices"

	"latchkey/authz/iam"
)

// Policy is one policy as somebody has it. Origin says in words which it is and
// how he came by it: "policy AWSOpsWorks_FullAccess of group admins".
type Policy struct {
	Origin   string
	Document iam.Policy // the zero value is malformed and denies
}

// Rights are all the policies that decide what somebody may do, besides his
// levels: his own, those of his groups, and his permissions boundary. The zero
// value holds none. It is immutable.
type Rights struct {
	documents []iam.Policy
	origins   []string // of the documents, by position
	boundary  *iam.Policy
	bounded   string // origin of the boundary
}

// NewRights collects policies. The boundary is nil where there is none.
func NewRights(policies []Policy, boundary *Policy) Rights {
	r := Rights{documents: make([]iam.Policy, len(policies)), origins: make([]string, len(policies))}
	for i, p := range policies {
		r.documents[i], r.origins[i] = p.Document, p.Origin
	}
	if boundary != nil {
		r.boundary, r.bounded = &boundary.Document, boundary.Origin
	}
	return r
}

// Origins returns where the policies come from, in words and in the order in which
// they were given, without the boundary.
func (r Rights) Origins() []string { return slices.Clone(r.origins) }

// evaluate asks policies and boundary.
func (r Rights) evaluate(q iam.Request) iam.Decision { return iam.Evaluate(r.documents, r.boundary, q) }

// bars reports whether there is a boundary and it does not allow the request. A
// level is a grant like a policy's, so the boundary holds for it too.
func (r Rights) bars(q iam.Request) bool {
	return r.boundary != nil && iam.Evaluate([]iam.Policy{*r.boundary}, nil, q).Outcome != iam.Allowed
}

// origin names the policy that a decision was by.
func (r Rights) origin(m iam.Match) string {
	if m.Boundary {
		return r.bounded
	}
	return r.origins[m.Policy]
}

// Covers reports whether whoever has r may do all that p allows, whatever the
// request. It says no in doubt (see iam.Covers).
func (r Rights) Covers(p iam.Policy) bool {
	covered, _ := iam.Covers(r.documents, r.boundary, p)
	return covered
}

// CoversAll reports whether whoever has r may do all that o gives; no in doubt. What
// somebody else has reaches no further than his boundary.
func (r Rights) CoversAll(o Rights) bool {
	if o.boundary != nil && r.Covers(*o.boundary) {
		return true
	}
	for _, p := range o.documents {
		if !r.Covers(p) {
			return false
		}
	}
	return true
}

// With returns the rights with more policies.
func (r Rights) With(more ...Policy) Rights {
	added := NewRights(more, nil)
	r.documents = slices.Concat(r.documents, added.documents)
	r.origins = slices.Concat(r.origins, added.origins)
	return r
}

// LevelPolicy is a level as a policy: it allows, or for deny denies, on the stack of
// that ARN what the level does ("each permission level behaves like an IAM policy",
// the original's user guide). Decide does not need it; comparing what two people may
// do does.
func LevelPolicy(l Level, stackARN string) Policy {
	statement := map[string]any{"Effect": "Allow", "Resource": stackARN}
	var actions []Action
	for a, rule := range actionRules {
		if rule.Scope == ScopeStack && rule.Level != LevelDeny && rule.Level <= l {
			actions = append(actions, a)
		}
	}
	statement["Action"] = actions
	if l.denies() {
		statement["Effect"], statement["Action"] = "Deny", "*"
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{statement}})
	p := Policy{Origin: "level " + l.String()}
	if err != nil || l == LevelIAMOnly {
		return p
	}
	p.Document, _ = iam.Parse(text) // a text that does not parse denies
	return p
}
