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
// in; or, in another mode, the file is read that sshd reads. Nothing is taken back for its answer: that would help nobody who is kept out.

// ErrSelfTest is an alarm: logins may not work although everything is in its place.
var ErrSelfTest = name.Refuse("self_test", "sshd would not find keys as it should after the changes")

// selfTest asks the hook after a change, and as long as it was wrong before. have is
// the machine as the pass leaves it.
func (a *Agent) selfTest(ctx context.Context, changed bool, have plan.State, owned plan.Ledger) {
	if a.ProveKeys == nil || !owned.SSHD || !changed && a.untrue == nil {
		return
	}
	was := a.untrue
	a.untrue = nil
	access, _ := a.wanted()
	for _, g := range access.Grants {
		if !keysInPlace(g, have, owned.KeysMode(), a.Layout) {
			continue
		}
		if err := a.ProveKeys(ctx, owned.KeysMode(), g); err != nil {
			a.untrue = fmt.Errorf("%w: %v", ErrSelfTest, err)
		}
		break
	}
	if a.untrue != nil && was == nil {
		a.Log.Error("people may not be able to log in", "reason", a.untrue)
	}
}

// keysInPlace reports whether a grant's first key is in its file as sshd is to find it.
func keysInPlace(g authz.Grant, have plan.State, mode plan.KeysMode, l plan.Layout) bool {
	text := string(have.Files[l.KeyFile(g.Username)].Content)
	if mode == plan.KeysHome {
		text = "\n" + have.Blocks[g.Username].Lines
	}
	return len(g.Keys) > 0 && strings.Contains(text, "\n"+authz.AuthorizedKeysLine(g, g.Keys[0])+"\n")
}
