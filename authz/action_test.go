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
