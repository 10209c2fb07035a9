package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/authz"
)

// Kind is a sort of thing that one database has and another has not.
type Kind string

// The kinds, in the order in which they matter to somebody who compares.
const (
	KindUser          Kind = "user"
	KindPermission    Kind = "permission"
	KindPolicy        Kind = "policy"         // that a user or a group has
	KindManagedPolicy Kind = "managed policy" // what it says
	KindGroup         Kind = "group"
	KindMember        Kind = "group member"
	KindBoundary      Kind = "boundary" // gives more when it is lost
	KindUserTag       Kind = "user tag"
	KindSSHKey        Kind = "ssh key"
	KindAccessKey     Kind = "access key"
	KindStack         Kind = "stack"
	KindInstance      Kind = "instance"
)

// kinds are all of them, in that order.
func kinds() []Kind {
	return []Kind{
		KindUser, KindPermission, KindPolicy, KindManagedPolicy, KindGroup, KindMember, KindBoundary, KindUserTag,
		KindSSHKey, KindAccessKey, KindStack, KindInstance,
	}
}

// Tally compares what two databases hold of a kind. Things are named by text
// printed from parsed values, sorted; one that changed is named on both sides.
type Tally struct {
	Kind            Kind
	Backup, Present int      // how many each has
	Returning       []string // only in the backup
	Lost            []string // only in the present database
}

// compare says what would change if the present database became the backup.
func compare(backup, present map[Kind][]string) []Tally {
	var all []Tally
	for _, kind := range kinds() {
		then, now := backup[kind], present[kind]
		all = append(all, Tally{
			Kind: kind, Backup: len(then), Present: len(now),
			Returning: without(then, now), Lost: without(now, then),
		})
	}
	return all
}

// without returns those that are not among others, sorted.
func without(all, others []string) []string {
	known := make(map[string]bool, len(others))
	for _, s := range others {
		known[s] = true
	}
	left := []string{}
	for _, s := range all {
		if !known[s] {
			left = append(left, s)
		}
	}
	slices.Sort(left)
	return left
}

// inventory names everything that gives somebody something, or takes it. No two
// things of a kind have the same name.
func (v View) inventory(ctx context.Context) (map[Kind][]string, error) {
	h := map[Kind][]string{}
	var errs []error
	for _, add := range []func(context.Context, map[Kind][]string) error{
		v.addUsers, v.addStacks, v.addPermissions, v.addOwned, v.addTags, v.addInstances,
	} {
		errs = append(errs, add(ctx, h))
	}
	return h, damage(errors.Join(errs...))
}

func (v View) addUsers(ctx context.Context, h map[Kind][]string) error {
	users, err := v.Users(ctx)
	for _, u := range users {
		text := u.ARN.String()
		if !u.Username.IsZero() {
			text += fmt.Sprintf(" as %s, uid %s", u.Username, u.UID)
		}
		if u.SelfManagement {
			text += ", self-management"
		}
		h[KindUser] = append(h[KindUser], text)
		for _, k := range u.Keys {
			h[KindSSHKey] = append(h[KindSSHKey], u.ARN.String()+" "+k.Fingerprint())
		}
	}
	return err
}

func (v View) addStacks(ctx context.Context, h map[Kind][]string) error {
	stacks, err := v.Stacks(ctx)
	for _, s := range stacks {
		h[KindStack] = append(h[KindStack], fmt.Sprintf("%s %s", s.Name, s.ID))
	}
	return err
}

func (v View) addPermissions(ctx context.Context, h map[Kind][]string) error {
	stacks, err := v.Stacks(ctx)
	if err != nil {
		return err
	}
	who, err := v.Identities(ctx)
	if err != nil {
		return err
	}
	arns := make(map[authz.UserID]authz.ARN, len(who))
	for _, u := range who {
		arns[u.ID] = u.ARN
	}
	for _, s := range stacks {
		on, err := v.PermissionsOn(ctx, s.ID)
		if err != nil {
			return err
		}
		for _, p := range on {
			text := fmt.Sprintf("%s on %s %s: %s", arns[p.User], s.Name, s.ID, rights(p))
			h[KindPermission] = append(h[KindPermission], text)
		}
	}
	return nil
}

// rights prints what a permission gives: "manage, ssh, sudo, until TIME".
func rights(p authz.Permission) string {
	text := p.Level.String()
	if p.AllowSSH {
		text += ", ssh"
	}
	if p.AllowSudo {
		text += ", sudo"
	}
	if commands := p.SudoCommands.List(); commands != nil {
		text += ", sudo only " + strings.Join(commands, " and ")
	}
	if p.Restricted {
		text += ", keys restricted"
	}
	if !p.NotAfter.IsZero() {
		text += ", until " + p.NotAfter.Format(time.RFC3339)
	}
	return text
}

// addOwned names what has an owner's ARN, or a group, and a name of its own. The ARNs
// were read by addUsers, which refuses what is not one.
func (v View) addOwned(ctx context.Context, h map[Kind][]string) error {
	for _, from := range []struct {
		kind  Kind
		query string // of a text and, where there is one, the document that belongs to it
	}{
		{KindPolicy, `SELECT u.arn || ' ' || p.policy, NULL FROM user_policies p JOIN users u ON u.id = p.user_id`},
		{KindPolicy, `
			SELECT u.arn || ' inline ' || p.name, p.document FROM user_inline_policies p JOIN users u ON u.id = p.user_id`},
		{KindPolicy, `
			SELECT 'group ' || g.name || ' ' || p.policy, NULL FROM group_policies p JOIN groups g ON g.name = p.group_name`},
		{KindPolicy, `
			SELECT 'group ' || g.name || ' inline ' || p.name, p.document
			FROM group_inline_policies p JOIN groups g ON g.name = p.group_name`},
		{KindManagedPolicy, `SELECT name, document FROM managed_policies`},
		{KindGroup, `SELECT name, NULL FROM groups`},
		{KindMember, `SELECT u.arn || ' in ' || m.group_name, NULL FROM group_members m JOIN users u ON u.id = m.user_id`},
		{KindBoundary, `SELECT arn || ' ' || boundary, NULL FROM users WHERE boundary IS NOT NULL`},
		{KindAccessKey, `
			SELECT u.arn || ' ' || k.id || CASE k.active WHEN 1 THEN '' ELSE ', inactive' END, NULL
			FROM access_keys k JOIN users u ON u.id = k.user_id`},
	} {
		texts, err := list(ctx, v, scanContent, from.query)
		if err != nil {
			return err
		}
		h[from.kind] = append(h[from.kind], texts...)
	}
	return nil
}

// scanContent names a document by its text and the beginning of its SHA-256, so that
// another content is another name.
func scanContent(s scanner) (text string, err error) {
	var document []byte
	if err := s.Scan(&text, &document); err != nil {
		return "", err
	}
	if document != nil {
		sum := sha256.Sum256(document)
		text += " sha256 " + hex.EncodeToString(sum[:6])
	}
	return text, nil
}

func (v View) addTags(ctx context.Context, h map[Kind][]string) (err error) {
	h[KindUserTag], err = list(ctx, v, func(s scanner) (string, error) {
		var owner string
		var t Tag
		err := s.Scan(&owner, &t.Key, &t.Value)
		return fmt.Sprintf("%s %q = %q", owner, t.Key, t.Value), err
	}, `SELECT u.arn, t.key, t.value FROM user_tags t JOIN users u ON u.id = t.user_id`)
	return err
}

func (v View) addInstances(ctx context.Context, h map[Kind][]string) error {
	instances, err := v.Instances(ctx)
	for _, i := range instances {
		h[KindInstance] = append(h[KindInstance], fmt.Sprintf("%s %s of stack %s", i.Facts.Hostname, i.ID, i.Stack))
	}
	return err
}

// allocation is one row of uids.
type allocation struct {
	uid         int64
	user, login string
	at          int64
}

// allocations returns every uid that was ever given out.
func (v View) allocations(ctx context.Context) ([]allocation, error) {
	return list(ctx, v, func(s scanner) (a allocation, err error) {
		return a, s.Scan(&a.uid, &a.user, &a.login, &a.at)
	}, `SELECT uid, user_id, username, allocated_at FROM uids ORDER BY uid`)
}

// readAll opens a database file and reads all that compare needs, and the uids.
// The file is brought up to this version's schema by that.
func readAll(ctx context.Context, s *Store) (h map[Kind][]string, uids []allocation, err error) {
	err = s.Read(ctx, func(v View) (err error) {
		if h, err = v.inventory(ctx); err != nil {
			return err
		}
		uids, err = v.allocations(ctx)
		return err
	})
	return h, uids, damage(err)
}
