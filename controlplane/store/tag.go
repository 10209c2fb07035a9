package store

import (
	"context"
	"fmt"

	"latchkey/authz"
)

// Tagged is something that has tags: OfStack, OfInstance or OfUser.
type Tagged struct{ table, column, id string }

// OfStack names the tags of a stack.
func OfStack(id authz.StackID) Tagged { return Tagged{"stack_tags", "stack_id", id.String()} }

// OfInstance names the tags of an instance.
func OfInstance(id authz.InstanceID) Tagged {
	return Tagged{"instance_tags", "instance_id", id.String()}
}

// OfUser names the tags of a user.
func OfUser(id authz.UserID) Tagged { return Tagged{"user_tags", "user_id", id.String()} }

// Tag is one key and its value.
type Tag struct{ Key, Value string }

// Tags returns all tags of something, sorted by key.
func (v View) Tags(ctx context.Context, of Tagged) ([]Tag, error) {
	return list(ctx, v, scanTag, `SELECT key, value FROM `+of.table+` WHERE `+of.column+` = $1 ORDER BY key`, of.id)
}

// StackTags returns the tags of all stacks that have any, sorted by key.
func (v View) StackTags(ctx context.Context) (map[authz.StackID][]Tag, error) {
	all, err := list(ctx, v, scanStackTag, `SELECT stack_id, key, value FROM stack_tags ORDER BY stack_id, key`)
	if err != nil {
		return nil, err
	}
	tags := map[authz.StackID][]Tag{}
	for _, t := range all {
		tags[t.stack] = append(tags[t.stack], t.Tag)
	}
	return tags, nil
}

type stackTag struct {
	stack authz.StackID
	Tag
}

func scanStackTag(s scanner) (t stackTag, err error) {
	var stack string
	if err := s.Scan(&stack, &t.Key, &t.Value); err != nil {
		return t, err
	}
	if t.stack, err = authz.ParseStackID(stack); err != nil {
		return stackTag{}, fmt.Errorf("%w: tag's stack: %v", ErrCorrupt, err)
	}
	return t, nil
}

func scanTag(s scanner) (t Tag, err error) { return t, s.Scan(&t.Key, &t.Value) }

// SetTag gives something a tag, or its tag another value.
func (t *Tx) SetTag(ctx context.Context, of Tagged, tag Tag) error {
	_, err := t.exec(ctx, `
		INSERT INTO `+of.table+` (`+of.column+`, key, value) VALUES ($1, $2, $3)
		ON CONFLICT (`+of.column+`, key) DO UPDATE SET value = excluded.value`, of.id, tag.Key, tag.Value)
	if err != nil {
		return fmt.Errorf("tag %s: %w", of.id, err)
	}
	return nil
}

// DeleteTag takes a tag away; one that is not there is passed over.
func (t *Tx) DeleteTag(ctx context.Context, of Tagged, key string) error {
	_, err := t.exec(ctx, `DELETE FROM `+of.table+` WHERE `+of.column+` = $1 AND key = $2`, of.id, key)
	if err != nil {
		return fmt.Errorf("untag %s: %w", of.id, err)
	}
	return nil
}
