package store

import (
	"context"
	"fmt"

	"latchkey/authz"
)

// Holder has policies: HeldByUser or HeldByGroup. Giving a policy to a holder who
// is not in the store is an error.
type Holder struct{ managed, inline, column, id string }

// HeldByUser names the policies of a user himself, without those of his groups.
func HeldByUser(id authz.UserID) Holder {
	return Holder{"user_policies", "user_inline_policies", "user_id", id.String()}
}

// HeldByGroup names the policies of a group.
func HeldByGroup(name string) Holder {
	return Holder{"group_policies", "group_inline_policies", "group_name", name}
}

// InlinePolicy is a policy that one holder has for himself. Its name is his own
// matter too, and another one in other letters' case.
type InlinePolicy struct {
	Name     string
	Document []byte // JSON; the store does not read it
}

// InlinePolicies returns the inline policies of a holder, sorted by name.
func (v View) InlinePolicies(ctx context.Context, h Holder) ([]InlinePolicy, error) {
	return list(ctx, v, scanInlinePolicy,
		`SELECT name, document FROM `+h.inline+` WHERE `+h.column+` = $1 ORDER BY name`, h.id)
}

func scanInlinePolicy(s scanner) (p InlinePolicy, err error) { return p, s.Scan(&p.Name, &p.Document) }

// PutInlinePolicy gives a holder an inline policy, or his policy of that name
// another document.
func (t *Tx) PutInlinePolicy(ctx context.Context, h Holder, p InlinePolicy) error {
	_, err := t.exec(ctx, `
		INSERT INTO `+h.inline+` (`+h.column+`, name, document) VALUES ($1, $2, $3)
		ON CONFLICT (`+h.column+`, name) DO UPDATE SET document = excluded.document`, h.id, p.Name, string(p.Document))
	if err != nil {
		return fmt.Errorf("put policy %s of %s: %w", p.Name, h.id, err)
	}
	return nil
}

// DeleteInlinePolicy takes an inline policy from a holder, or returns ErrNotFound.
func (t *Tx) DeleteInlinePolicy(ctx context.Context, h Holder, name string) error {
	n, err := t.exec(ctx, `DELETE FROM `+h.inline+` WHERE `+h.column+` = $1 AND name = $2`, h.id, name)
	if err != nil {
		return fmt.Errorf("delete policy %s of %s: %w", name, h.id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// AttachedPolicies returns the names of the managed policies that a holder has,
// built-in or not, sorted.
func (v View) AttachedPolicies(ctx context.Context, h Holder) ([]string, error) {
	return list(ctx, v, scanText, `
		SELECT coalesce(m.name, p.policy) AS name FROM `+h.managed+` p LEFT JOIN managed_policies m ON m.name = p.policy
		WHERE p.`+h.column+` = $1 ORDER BY 1`, h.id)
}

// AttachPolicy gives a holder a managed policy; one that is attached already stays.
// The name is not looked up, since built-in policies are not in the store.
func (t *Tx) AttachPolicy(ctx context.Context, h Holder, policy string) error {
	_, err := t.exec(ctx, `
		INSERT INTO `+h.managed+` (`+h.column+`, policy) VALUES ($1, $2) ON CONFLICT (`+h.column+`, policy) DO NOTHING`,
		h.id, policy)
	if err != nil {
		return fmt.Errorf("attach policy %s to %s: %w", policy, h.id, err)
	}
	return nil
}

// DetachPolicy takes a managed policy from a holder, or returns ErrNotFound.
func (t *Tx) DetachPolicy(ctx context.Context, h Holder, policy string) error {
	n, err := t.exec(ctx, `DELETE FROM `+h.managed+` WHERE `+h.column+` = $1 AND policy = $2`, h.id, policy)
	if err != nil {
		return fmt.Errorf("detach policy %s from %s: %w", policy, h.id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
