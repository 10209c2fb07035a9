package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"latchkey/authz"
)

// Held is one policy that a user has, and how he came by it.
type Held struct {
	Name     string
	Managed  bool
	Group    string // that he has it through; "": his own
	Document []byte // nil: managed and not in the store, so built in, or missing
}

// Holdings is all that decides what a user may do, besides levels.
type Holdings struct {
	// Policies are his own inline ones, his own managed ones, then of each group the
	// inline and the managed ones; groups and names are sorted.
	Policies []Held
	Boundary *Held    // nil: none
	Groups   []string // that he is in, sorted
	Tags     []Tag    // his own, sorted by key
}

// What a row of selectHoldings is. A managed policy sorts after an inline one.
const (
	rowInline   = "inline"
	rowManaged  = "managed"
	rowBoundary = "boundary"
	rowGroup    = "group"
	rowTag      = "tag"
)

// selectHoldings reads all in one query, because every call of the API asks for
// it. Sorting it here would cost as much again: SQLite sorts each part by itself.
const selectHoldings = `
	SELECT '` + rowInline + `', '', name, document FROM user_inline_policies WHERE user_id = $1
	UNION ALL
	SELECT '` + rowManaged + `', '', coalesce(m.name, p.policy), m.document
	FROM user_policies p LEFT JOIN managed_policies m ON m.name = p.policy WHERE p.user_id = $1
	UNION ALL
	SELECT '` + rowInline + `', g.group_name, p.name, p.document
	FROM group_members g JOIN group_inline_policies p ON p.group_name = g.group_name WHERE g.user_id = $1
	UNION ALL
	SELECT '` + rowManaged + `', g.group_name, coalesce(m.name, p.policy), m.document
	FROM group_members g JOIN group_policies p ON p.group_name = g.group_name
		LEFT JOIN managed_policies m ON m.name = p.policy WHERE g.user_id = $1
	UNION ALL
	SELECT '` + rowBoundary + `', '', coalesce(m.name, u.boundary), m.document
	FROM users u LEFT JOIN managed_policies m ON m.name = u.boundary WHERE u.id = $1 AND u.boundary IS NOT NULL
	UNION ALL
	SELECT '` + rowGroup + `', group_name, '', NULL FROM group_members WHERE user_id = $1
	UNION ALL
	SELECT '` + rowTag + `', '', key, value FROM user_tags WHERE user_id = $1`

// Holdings returns what a user has. One who is not in the store has nothing.
func (v View) Holdings(ctx context.Context, user authz.UserID) (Holdings, error) {
	rows, err := list(ctx, v, scanHolding, selectHoldings, user.String())
	if err != nil {
		return Holdings{}, err
	}
	slices.SortFunc(rows, func(a, b holding) int { // own ones first: their group is empty
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.row, b.row), strings.Compare(a.Name, b.Name))
	})
	var h Holdings
	for _, r := range rows {
		switch r.row {
		case rowInline, rowManaged:
			h.Policies = append(h.Policies, r.Held)
		case rowBoundary:
			h.Boundary = &r.Held
		case rowGroup:
			h.Groups = append(h.Groups, r.Group)
		case rowTag:
			h.Tags = append(h.Tags, Tag{r.Name, string(r.Document)})
		}
	}
	return h, nil
}

type holding struct {
	row string
	Held
}

func scanHolding(s scanner) (h holding, err error) {
	err = s.Scan(&h.row, &h.Group, &h.Name, &h.Document)
	h.Managed = h.row == rowManaged || h.row == rowBoundary
	return h, err
}

// Boundary returns the name of a user's permissions boundary, a managed policy;
// "" is none. An unknown user is ErrNotFound.
func (v View) Boundary(ctx context.Context, user authz.UserID) (string, error) {
	return one(ctx, v, scanText, `
		SELECT coalesce(m.name, u.boundary, '') FROM users u LEFT JOIN managed_policies m ON m.name = u.boundary
		WHERE u.id = $1`, user.String())
}

// SetBoundary bounds a user by a managed policy; "" removes his boundary. An
// unknown user is ErrNotFound.
func (t *Tx) SetBoundary(ctx context.Context, user authz.UserID, policy string) error {
	n, err := t.exec(ctx, `UPDATE users SET boundary = $1 WHERE id = $2`, optional(policy), user.String())
	if err != nil {
		return fmt.Errorf("set boundary of %s: %w", user, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
