package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/authz"
)

// Kind is a sort of thing that one database has and another has not.
type Kind string

// The kinds, in the order in which they matter to somebody who compares.
const (
	KindUser       Kind = "user"
	KindPermission Kind = "permission"
	KindPolicy     Kind = "policy"
	KindSSHKey     Kind = "ssh key"
	KindAccessKey  Kind = "access key"
	KindStack      Kind = "stack"
	KindInstance   Kind = "instance"
)

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
	for _, kind := range []Kind{
		KindUser, KindPermission, KindPolicy, KindSSHKey, KindAccessKey, KindStack, KindInstance,
	} {
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

// holdings names everything that gives somebody something. No two things of a
// kind have the same name.
func (v View) holdings(ctx context.Context) (map[Kind][]string, error) {
	h := map[Kind][]string{}
	var errs []error
	for _, add := range []func(context.Context, map[Kind][]string) error{
		v.addUsers, v.addStacks, v.addPermissions, v.addPolicies, v.addAccessKeys, v.addInstances,
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
	if !p.NotAfter.IsZero() {
		text += ", until " + p.NotAfter.Format(time.RFC3339)
	}
	return text
}

func (v View) addPolicies(ctx context.Context, h map[Kind][]string) (err error) {
	h[KindPolicy], err = v.owned(ctx, `SELECT u.arn, p.policy FROM user_policies p JOIN users u ON u.id = p.user_id`)
	return err
}

func (v View) addAccessKeys(ctx context.Context, h map[Kind][]string) (err error) {
	h[KindAccessKey], err = v.owned(ctx, `SELECT u.arn, k.id FROM access_keys k JOIN users u ON u.id = k.user_id`)
	return err
}

// owned names things by their owner's ARN and a name of their own.
func (v View) owned(ctx context.Context, query string) ([]string, error) {
	return list(ctx, v, func(s scanner) (string, error) {
		var owner, own string
		if err := s.Scan(&owner, &own); err != nil {
			return "", err
		}
		arn, err := authz.ParseARN(owner)
		if err != nil {
			return "", fmt.Errorf("%w: user: %v", ErrCorrupt, err)
		}
		return arn.String() + " " + own, nil
	}, query)
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
	err = inTx(ctx, s.read, func(tx *sql.Tx) (err error) {
		if h, err = (View{tx}).holdings(ctx); err != nil {
			return err
		}
		uids, err = View{tx}.allocations(ctx)
		return err
	})
	return h, uids, damage(err)
}
