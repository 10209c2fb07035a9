package host

import (
	"fmt"
	"path/filepath"
	"strings"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// observeLeft looks for what an account that is gone left under its name, beside its
// home: mail, a crontab, its place among those who linger, ids for namespaces. Whoever
// gets the name next would get it too (requirements R15, R31). It looks for the names that are
// still to be made and never were ours, and passes over files of the user's own uid,
// which are what he left himself.
func (h *Host) observeLeft(grants []authz.Grant, owned plan.Ledger, accounts map[string]plan.Account) (map[authz.Username][]string, error) {
	var made []authz.Grant
	for _, g := range grants {
		_, ours := owned.Accounts[g.Username]
		if _, exists := accounts[g.Username.String()]; !ours && !exists {
			made = append(made, g)
		}
	}
	if len(made) == 0 {
		return nil, nil
	}
	left := map[authz.Username][]string{}
	for _, file := range h.Layout.SubIDs {
		text, err := optional(file)
		if err != nil {
			return nil, fmt.Errorf("read subordinate ids: %w", err)
		}
		named := map[string]bool{}
		for line := range strings.Lines(text) {
			owner, _, _ := strings.Cut(line, ":")
			named[owner] = true
		}
		for _, g := range made {
			if named[g.Username.String()] {
				left[g.Username] = append(left[g.Username], file)
			}
		}
	}
	h.leftInSpools(made, left)
	return left, nil
}

// leftInSpools adds the files of spools that have a user's name and another owner. One
// who lingers has a file of root's.
func (h *Host) leftInSpools(made []authz.Grant, left map[authz.Username][]string) {
	spools := append(append([]string{h.Layout.LingerDir}, h.Layout.CronSpools...), h.Layout.MailSpools...)
	for _, spool := range spools {
		if real, err := filepath.EvalSymlinks(spool); err != nil || real != spool {
			continue // it is not there, or another name of one that is looked at
		}
		named := namesIn(spool)
		for _, g := range made {
			path := filepath.Join(spool, g.Username.String())
			if !named(g.Username.String()) {
				continue
			}
			if owner, found := spooled(path); found && owner != uint32(g.UID) {
				left[g.Username] = append(left[g.Username], path)
			}
		}
	}
}
