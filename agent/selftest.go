package agent

import (
	"context"
	"fmt"
	"strings"

	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/name"
)

// That files say what they should is proved by looking again, sudo's and sshd's own
// files by sudo and sshd before they count. What is left is the login hook: it may be a
// program of another version, or one that its user may not run (requirement R148). So
// after a pass that changed something it is asked, as sshd asks it, for one who may log
// in. Nothing is taken back for its answer: that would help nobody who is kept out.

// ErrSelfTest is an alarm: logins may not work although everything is in its place.
var ErrSelfTest = name.Refuse("self_test", "the login hook does not answer as it should after the changes")

// selfTest asks the hook after a change, and as long as it was wrong before. have is
// the machine as the pass leaves it.
func (a *Agent) selfTest(ctx context.Context, changed bool, have plan.State, owned plan.Ledger) {
	if a.ProveHook == nil || !owned.SSHD || !changed && a.untrue == nil {
		return
	}
	was := a.untrue
	a.untrue = nil
	access, _ := a.wanted()
	for _, g := range access.Grants {
		if !keysInPlace(g, have, a.Layout) {
			continue
		}
		if err := a.ProveHook(ctx, g); err != nil {
			a.untrue = fmt.Errorf("%w: %v", ErrSelfTest, err)
		}
		break
	}
	if a.untrue != nil && was == nil {
		a.Log.Error("people may not be able to log in", "reason", a.untrue)
	}
}

// keysInPlace reports whether a grant's first key is in its file as the hook is to give
// it out.
func keysInPlace(g authz.Grant, have plan.State, l plan.Layout) bool {
	return len(g.Keys) > 0 &&
		strings.Contains(string(have.Files[l.KeyFile(g.Username)].Content), "\n"+authz.AuthorizedKeysLine(g, g.Keys[0])+"\n")
}
