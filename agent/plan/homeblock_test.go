package plan_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestDiff_homeLoses holds R29 in part: a key that goes, and an end that comes sooner, are
// taken out of a home before anything is given to anybody, whether or not the account is
// there; who has a key more waits for his turn.
func TestDiff_homeLoses(t *testing.T) {
	const take = "put our lines into /home/alice/.ssh/authorized_keys: holds what it should not\n"
	for situation, c := range map[string]struct {
		change  func(*plan.State, *authz.Grant)
		home    string // the step for the home
		created bool
	}{
		"key-gone":      {func(_ *plan.State, g *authz.Grant) { g.Keys = g.Keys[:1] }, take, false},
		"end":           {func(_ *plan.State, g *authz.Grant) { g.NotAfter = end }, take, false},
		"last-key-gone": {func(_ *plan.State, g *authz.Grant) { g.Keys = nil }, "take our lines out of /home/alice/.ssh/authorized_keys\n", false},
		"foreign-line":  {func(s *plan.State, g *authz.Grant) { addLine(s, g.Username) }, take, false},
		"no-account":    {func(s *plan.State, g *authz.Grant) { delete(s.Accounts, "alice"); g.NotAfter = end }, take, true},
		"key-exchanged": {func(_ *plan.State, g *authz.Grant) { g.Keys = []authz.Key{parsed(t, keyOther), parsed(t, keyThird)} }, take, false},
		"nothing-gone":  {func(*plan.State, *authz.Grant) {}, "", false},
		"a-key-more":    {func(_ *plan.State, g *authz.Grant) { g.Keys = append(slices.Clone(g.Keys), parsed(t, keyThird)) }, "", false},
		"home-of-other": {func(s *plan.State, g *authz.Grant) {
			s.Homes["/home/alice"] = plan.Folder{Real: true, UID: 1}
			g.NotAfter = end
		}, "", false},
		"damaged": {func(s *plan.State, g *authz.Grant) {
			s.Blocks[g.Username] = plan.Block{Err: plan.ErrBlock}
			g.NotAfter = end
		}, "", false},
		"block-gone-too": {func(s *plan.State, g *authz.Grant) { s.Blocks[g.Username] = plan.Block{}; g.NotAfter = end }, "", false},
	} {
		t.Run(situation, func(t *testing.T) {
			want := both(t, plan.KeysHome)
			want.Grants[0].Keys = []authz.Key{mustKey(t), parsed(t, keyOther)}
			s, l := fresh(), plan.NewLedger()
			settle(t, &s, &l, want, end)
			want.Grants = append(want.Grants, grant(t, "carol", 20003, false))
			c.change(&s, &want.Grants[0])
			p := plan.Diff(s, want, l, layout)
			var taken strings.Builder
			for _, step := range p.TakesAway() {
				if step.Op == plan.OpTakeBlock {
					taken.WriteString(step.String() + "\n")
				}
			}
			if taken.String() != c.home {
				t.Errorf("before anything is given:\n%s\nwant\n%s\nof the plan\n%s", taken.String(), c.home, p)
			}
			text := p.String()
			if strings.Contains(text, "create account alice") != c.created || c.home != "" && strings.Count(text, "/home/alice/") != 1 {
				t.Errorf("plan is\n%s", text)
			}
			apply(t, &s, &l, p)
			if situation == "damaged" || situation == "home-of-other" {
				return
			}
			if l.Accounts[want.Grants[0].Username].Block != (len(want.Grants[0].Keys) > 0) {
				t.Errorf("the ledger says %+v", l.Accounts)
			}
			if p := plan.Diff(s, want, l, layout); !p.Empty() {
				t.Errorf("still to be done:\n%s", p)
			}
		})
	}
}

// addLine puts a line that is not ours between our marks.
func addLine(s *plan.State, user authz.Username) {
	b := s.Blocks[user]
	b.Lines += "ssh-ed25519 AAAA mallory\n"
	s.Blocks[user] = b
}
