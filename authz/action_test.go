package authz

import (
	"os"
	"strings"
	"testing"
)

// TestActionRules compares the table with the original's 74 actions, one by one,
// and finds nothing of the original's prefix beside them.
func TestActionRules(t *testing.T) {
	text, err := os.ReadFile("testdata/actions.txt")
	if err != nil {
		t.Fatal(err)
	}
	scopes := map[string]Scope{"stack": ScopeStack, "account": ScopeAccount, "self": ScopeSelf}
	want := map[Action]ActionRule{}
	for line := range strings.Lines(string(text)) {
		field := strings.Fields(line)
		if field[0] == "#" {
			continue
		}
		level, err := ParseLevel(field[2])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		want[Action("opsworks:"+field[0])] = ActionRule{scopes[field[1]], level}
	}
	if len(want) != 74 {
		t.Fatalf("the golden table holds %d actions", len(want))
	}
	for action, rule := range want {
		if got := action.Rule(); got != rule {
			t.Errorf("%s: got scope %d, level %s; want scope %d, level %s", action, got.Scope, got.Level, rule.Scope, rule.Level)
		}
	}
	count := map[string]int{}
	for action, rule := range actionRules {
		prefix, _, _ := strings.Cut(string(action), ":")
		count[prefix]++
		if rule.Scope == ScopeUnknown {
			t.Errorf("%s is in the table with an unknown scope", action)
		}
	}
	if count["opsworks"] != 74 || count["opsworks"]+count["latchkey"] != len(actionRules) {
		t.Errorf("actions by prefix: %v", count)
	}
}

// TestActionsAsked: every action of the table is one that policies can name.
func TestActionsAsked(t *testing.T) {
	for _, a := range Actions() {
		if a.asked().IsZero() || !strings.EqualFold(a.asked().String(), string(a)) {
			t.Errorf("%s is asked about as %q", a, a.asked())
		}
	}
	if len(actionNames) != len(actionRules) {
		t.Errorf("%d names for %d actions: two differ in case alone", len(actionNames), len(actionRules))
	}
}

func TestParseAction(t *testing.T) {
	for given, want := range map[string]Action{
		"opsworks:StopInstance": "opsworks:StopInstance", "OPSWORKS:stopinstance": "opsworks:StopInstance",
		"latchkey:authorize": "latchkey:Authorize", "opsworks:Nonsense": "opsworks:Nonsense", "s3:GetObject": "s3:GetObject",
	} {
		if got, err := ParseAction(given); err != nil || got != want {
			t.Errorf("%s: got %s, %v", given, got, err)
		}
	}
	for _, bad := range []string{"", "StopInstance", "opsworks:", "opsworks:Stop*", "a:b:c", "opsworks:Stop Instance"} {
		if got, err := ParseAction(bad); err == nil || got != "" {
			t.Errorf("%q: got %s", bad, got)
		}
	}
	for given, want := range map[Action]Scope{"s3:GetObject": ScopeForeign, "opsworks:Nonsense": ScopeUnknown, "OpsWorks:Nonsense": ScopeUnknown, "nonsense": ScopeUnknown} {
		if got := given.Rule().Scope; got != want {
			t.Errorf("%s: scope %d", given, got)
		}
	}
}
