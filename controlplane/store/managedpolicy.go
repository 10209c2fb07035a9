package store

import (
	"context"
	"fmt"
	"time"
)

// ManagedPolicy is a customer-managed policy's document, as it was stored. The
// built-in policies are not in the store. Names are the same in any case of
// letters, as in IAM, and are returned as they were first written.
type ManagedPolicy struct {
	Name                 string
	Document             []byte // JSON; the store does not read it
	CreatedAt, UpdatedAt time.Time
}

const selectManagedPolicy = `SELECT name, document, created_at, updated_at FROM managed_policies`

// ManagedPolicy finds a managed policy, or returns ErrNotFound.
func (v View) ManagedPolicy(ctx context.Context, name string) (ManagedPolicy, error) {
	return one(ctx, v, scanManagedPolicy, selectManagedPolicy+` WHERE name = $1`, name)
}

// ManagedPolicies returns all managed policies that are in the store, sorted by
// name.
func (v View) ManagedPolicies(ctx context.Context) ([]ManagedPolicy, error) {
	return list(ctx, v, scanManagedPolicy, selectManagedPolicy+` ORDER BY name`)
}

func scanManagedPolicy(s scanner) (p ManagedPolicy, err error) {
	var created, updated int64
	err = s.Scan(&p.Name, &p.Document, &created, &updated)
	p.CreatedAt, p.UpdatedAt = time.Unix(created, 0).UTC(), time.Unix(updated, 0).UTC()
	return p, err
}

// PutManagedPolicy adds a managed policy. One that is there gets the document, and
// keeps its name as first written and when it was created.
func (t *Tx) PutManagedPolicy(ctx context.Context, name string, document []byte) error {
	_, err := t.exec(ctx, `
		INSERT INTO managed_policies (name, document, created_at, updated_at) VALUES ($1, $2, $3, $3)
		ON CONFLICT (name) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at`,
		name, string(document), t.Now().Unix())
	if err != nil {
		return fmt.Errorf("put managed policy %s: %w", name, err)
	}
	return nil
}

// DeleteManagedPolicy removes a managed policy, or returns ErrNotFound. Who has it
// keeps its name: it is for the caller to see to it with PolicyUse that nobody has.
func (t *Tx) DeleteManagedPolicy(ctx context.Context, name string) error {
	n, err := t.exec(ctx, `DELETE FROM managed_policies WHERE name = $1`, name)
	if err != nil {
		return fmt.Errorf("delete managed policy %s: %w", name, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// PolicyUse says who has a managed policy.
type PolicyUse struct {
	Users   []Identity // to whom it is attached, sorted by ARN
	Groups  []string   // to which it is attached, sorted
	Bounded []Identity // who have it as boundary, sorted by ARN
}

// PolicyUse returns who has a managed policy, built-in or not; nobody is the zero
// value.
func (v View) PolicyUse(ctx context.Context, name string) (use PolicyUse, err error) {
	use.Users, err = list(ctx, v, scanIdentity, `
		SELECT u.id, u.arn FROM user_policies p JOIN users u ON u.id = p.user_id WHERE p.policy = $1 ORDER BY u.arn`, name)
	if err != nil {
		return PolicyUse{}, err
	}
	use.Groups, err = list(ctx, v, scanText, `
		SELECT g.name FROM group_policies p JOIN groups g ON g.name = p.group_name WHERE p.policy = $1 ORDER BY g.name`, name)
	if err != nil {
		return PolicyUse{}, err
	}
	use.Bounded, err = list(ctx, v, scanIdentity, `SELECT id, arn FROM users WHERE boundary = $1 ORDER BY arn`, name)
	return use, err
}

// PolicyUses returns how many users and groups have each managed policy that
// anybody has, those it bounds included. A policy that is not in the store has the
// name by which it was attached.
func (v View) PolicyUses(ctx context.Context) (map[string]int, error) {
	return v.tally(ctx, `
		SELECT min(coalesce(m.name, held.policy)), count(*) FROM (
			SELECT policy FROM user_policies
			UNION ALL SELECT policy FROM group_policies
			UNION ALL SELECT boundary FROM users WHERE boundary IS NOT NULL
		) held LEFT JOIN managed_policies m ON m.name = held.policy GROUP BY held.policy`)
}

// tally reads names and their counts.
func (v View) tally(ctx context.Context, query string) (map[string]int, error) {
	type tallied struct {
		name string
		n    int
	}
	all, err := list(ctx, v, func(s scanner) (c tallied, err error) { return c, s.Scan(&c.name, &c.n) }, query)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int, len(all))
	for _, c := range all {
		counts[c.name] = c.n
	}
	return counts, nil
}
