package plan_test

import (
	"strings"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// An account whose making did not succeed gets no sudo rule: its name may be
// somebody else's. Any other failure takes no rule away that is in force.
func TestStep_Without(t *testing.T) {
	alice, bob := mustName(t, "alice"), mustName(t, "bob")
	only := func(u authz.Username) map[authz.Username]bool { return map[authz.Username]bool{u: true} }
	for _, c := range []struct {
		name            string
		inForce         []plan.Rule
		failed, unmade  map[authz.Username]bool
		alice, bobStays bool
	}{
		{"unmade", nil, only(alice), only(alice), false, true},
		{"unmade-and-in-force", []plan.Rule{{User: alice}}, only(alice), only(alice), false, true},
		{"failed", nil, only(alice), nil, false, true},
		{"failed-and-in-force", []plan.Rule{{User: alice}}, only(alice), nil, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := plan.Step{Op: plan.OpGiveSudo, Rules: []plan.Rule{{User: alice}, {User: bob}}, InForce: c.inForce}
			got := string(plan.SudoersFile(s.Without(c.failed, c.unmade).Rules))
			if strings.Contains(got, "alice") != c.alice || strings.Contains(got, "bob ALL=(ALL:ALL) NOPASSWD: ALL\n") != c.bobStays {
				t.Errorf("file is\n%s", got)
			}
		})
	}
}

// TestTogether: neighbours of one kind that give, and nothing else, may be applied at
// once.
func TestTogether(t *testing.T) {
	const create, keys, lock = plan.OpCreateAccount, plan.OpWriteKeys, plan.OpLock
	for _, test := range []struct {
		ops  []plan.Op
		want int
	}{
		{[]plan.Op{create}, 1}, {[]plan.Op{create, create, create}, 3}, {[]plan.Op{create, create, keys}, 2}, {[]plan.Op{keys, keys, create}, 2},
		{[]plan.Op{lock, lock}, 1}, {[]plan.Op{plan.OpGiveSudo, create}, 1}, {[]plan.Op{create, plan.OpRepair, create}, 1},
	} {
		var steps []plan.Step
		for _, op := range test.ops {
			steps = append(steps, plan.Step{Op: op})
		}
		if got := len(plan.Together(steps)); got != test.want {
			t.Errorf("%v: %d together, want %d", test.ops, got, test.want)
		}
	}
}
