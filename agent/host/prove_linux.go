package host

import (
	"context"
	"fmt"
	"strings"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// ProveKeys says in what sshd would not find the first key of a grant, whose keys are in
// place, as the grant wants it; nil when it would.
func (h *Host) ProveKeys(ctx context.Context, mode plan.KeysMode, g authz.Grant) error {
	switch mode {
	case plan.KeysDirectory:
		text, err := runAs(ctx, uint32(g.UID), uint32(g.UID), "/bin/cat", "--", h.Layout.KeyFile(g.Username))
		return proveLine(g, text, err)
	case plan.KeysHome:
		text, _, err := safefile.ReadHome(h.homeOf(g.Username, g.UID), plan.KeysInHome)
		if err != nil {
			return proveLine(g, "", err)
		}
		lines, _, err := plan.ReadBlock(text)
		return proveLine(g, "\n"+lines, err)
	}
	return h.ProveHook(ctx, g)
}

// proveLine looks for the line of the first key in what was read.
func proveLine(g authz.Grant, text string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("for %s: %w", g.Username, err)
	case !strings.Contains(text, "\n"+authz.AuthorizedKeysLine(g, g.Keys[0])+"\n"):
		return fmt.Errorf("for %s the key is not in the file that sshd reads", g.Username)
	}
	return nil
}
