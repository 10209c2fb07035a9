package authz_test

import (
	"testing"

	"latchkey/authz"
	"latchkey/authz/iam"
)

// TestLevelPolicy: a level decides every action as its policy does for somebody whose
// level is iam_only.
func TestLevelPolicy(t *testing.T) {
	stack := mustStack(t, "11111111-1111-4111-8111-111111111111")
	for level := authz.LevelDeny; level <= authz.LevelManage; level++ {
		as := authz.Rights{}
		if level != authz.LevelIAMOnly {
			as = as.With(authz.LevelPolicy(level, stackARN))
		}
		allowed := 0
		for _, a := range authz.Actions() {
			if a.Rule().Scope != authz.ScopeStack {
				continue
			}
			q := authz.Request{Action: a, Resource: resource(t, stackARN), Stack: stack, Level: level}
			byLevel := authz.Decide(q)
			q.Level, q.Rights = authz.LevelIAMOnly, as
			byPolicy := authz.Decide(q)
			if byLevel.Outcome != byPolicy.Outcome {
				t.Errorf("%s with %s: %v by level, %v by policy", a, level, byLevel.Outcome, byPolicy.Outcome)
			}
			if byLevel.Allowed() {
				allowed++
			}
		}
		if (allowed > 0) != (level > authz.LevelIAMOnly) {
			t.Errorf("%s allows %d actions", level, allowed)
		}
	}
}

func TestRights_Covers(t *testing.T) {
	const own = `{"Effect":"Allow","Action":"opsworks:*","Resource":"` + stackARN + `"}`
	elsewhere := `{"Effect":"Allow","Action":"opsworks:DescribeStacks","Resource":"arn:aws:opsworks:*:*:stack/*"}`
	full, some := rights(t, "", authz.FullAccess), rights(t, "", own)
	for _, c := range []struct {
		name     string
		who      authz.Rights
		what     authz.Rights
		covers   bool
		document string // "": only what is compared
	}{
		{"full-covers-all", full, rights(t, "", authz.OpsWorksFullAccess, elsewhere), true, authz.FullAccess},
		{"some-does-not-cover-full", some, full, false, authz.FullAccess},
		{"the-same", some, rights(t, "", own), true, own},
		{"less", some, rights(t, "", `{"Effect":"Allow","Action":"opsworks:StopInstance","Resource":"`+stackARN+`"}`), true, ""},
		{"elsewhere", some, rights(t, "", elsewhere), false, ""},
		{"nothing", authz.Rights{}, authz.Rights{}, true, ""},
		{"nothing-covers-nothing-more", authz.Rights{}, some, false, own},
		{"their-boundary-bounds", some, rights(t, own, authz.FullAccess), true, ""},
		{"own-boundary-bounds", rights(t, own, authz.FullAccess), full, false, authz.FullAccess},
		{"a-deny-level-bounds-full", full.With(authz.LevelPolicy(authz.LevelDeny, stackARN)), full, false, authz.FullAccess},
		{"a-level-covers", authz.Rights{}.With(authz.LevelPolicy(authz.LevelManage, stackARN)),
			rights(t, "", `{"Effect":"Allow","Action":["opsworks:StopInstance","opsworks:DescribeStacks"],"Resource":"`+stackARN+`"}`), true, ""},
	} {
		if got := c.who.CoversAll(c.what); got != c.covers {
			t.Errorf("%s: %v", c.name, got)
		}
		if c.document != "" {
			if got := c.who.Covers(policy(t, c.document).Document); got != c.covers {
				t.Errorf("%s, as a document: %v", c.name, got)
			}
		}
	}
	if full.Covers(iam.Policy{}) {
		t.Error("a malformed policy is covered")
	}
}
