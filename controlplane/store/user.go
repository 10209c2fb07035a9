package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"latchkey/authz"
	"latchkey/authz/name"
)

// A user is read as an authz.Profile. What does not parse any more (a key that a
// newer rule refuses, a name edited by hand) is left out of it, so that it gives
// no access and does not stop anybody else's: the zero name and the missing key
// both deny.

const selectUser = `SELECT id, arn, username, uid, self_management FROM users`

// UserByARN finds a user, or returns ErrNotFound.
func (v View) UserByARN(ctx context.Context, arn authz.ARN) (authz.Profile, error) {
	p, err := one(ctx, v, scanUser, selectUser+` WHERE arn = $1`, arn.String())
	if err != nil {
		return authz.Profile{}, err
	}
	p.Keys, err = v.keysOf(ctx, p.ID)
	return p, err
}

// UserByUsername finds the user of a login name, without his keys, or returns
// ErrNotFound.
func (v View) UserByUsername(ctx context.Context, login authz.Username) (authz.Profile, error) {
	return one(ctx, v, scanUser, selectUser+` WHERE username = $1`, login.String())
}

// Users returns all users, sorted by ARN.
func (v View) Users(ctx context.Context) ([]authz.Profile, error) {
	users, err := list(ctx, v, scanUser, selectUser+` ORDER BY arn`)
	if err != nil {
		return nil, err
	}
	keys, err := list(ctx, v, v.scanOwnedKey, `SELECT user_id, key FROM user_keys ORDER BY user_id, fingerprint`)
	return withKeys(users, keys), err
}

// UsersOf returns the users who have a permission on a stack that may let them
// in: those with AllowSsh. Who of them gets in is for authz.Resolve to say.
func (v View) UsersOf(ctx context.Context, stack authz.StackID) ([]authz.Profile, error) {
	const onStack = ` WHERE id IN (SELECT user_id FROM permissions WHERE stack_id = $1 AND allow_ssh = 1)`
	users, err := list(ctx, v, scanUser, selectUser+onStack, stack.String())
	if err != nil {
		return nil, err
	}
	keys, err := list(ctx, v, v.scanOwnedKey, `
		SELECT user_id, key FROM user_keys
		WHERE user_id IN (SELECT user_id FROM permissions WHERE stack_id = $1 AND allow_ssh = 1)
		ORDER BY user_id, fingerprint`, stack.String())
	return withKeys(users, keys), err
}

func scanUser(s scanner) (p authz.Profile, err error) {
	var id, arn string
	var username sql.NullString
	var uid sql.NullInt64
	if err := s.Scan(&id, &arn, &username, &uid, &p.SelfManagement); err != nil {
		return p, err
	}
	if p.ID, err = authz.ParseUserID(id); err != nil {
		return p, fmt.Errorf("%w: user: %v", ErrCorrupt, err)
	}
	if p.ARN, err = authz.ParseARN(arn); err != nil {
		return p, fmt.Errorf("%w: user %s: %v", ErrCorrupt, p.ID, err)
	}
	if login, err := name.ParseUsername(username.String); err == nil && uid.Int64 > 0 {
		if checked, err := authz.CheckUID(uint64(uid.Int64)); err == nil {
			p.Username, p.UID = login, checked
		}
	}
	return p, nil
}

type ownedKey struct {
	user string
	key  authz.Key // zero: does not parse
}

func (v View) scanOwnedKey(s scanner) (k ownedKey, err error) {
	var text string
	if err := s.Scan(&k.user, &text); err != nil {
		return k, err
	}
	k.key = v.keys.parse(text)
	return k, nil
}

// maxKnownKeys bounds the keys that are remembered, in bytes of their text: those of
// 100,000 users with three short keys, which take about 80 MB.
const maxKnownKeys = 24 << 20

// knownKeys remembers the keys that it has parsed, by their text: a bundle needs all
// keys of its stack, and to check one takes several times as long as to read it.
type knownKeys struct {
	mu     sync.Mutex // guards parsed and size
	parsed map[string]authz.Key
	size   int
}

// parse returns the zero key for a text that does not parse.
func (k *knownKeys) parse(text string) authz.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, found := k.parsed[text]
	if found {
		return key
	}
	if parsed, err := authz.ParseKey(text, authz.KeyPolicy{}); err == nil {
		key = parsed
	}
	if k.parsed == nil || k.size+len(text) > maxKnownKeys {
		k.parsed, k.size = map[string]authz.Key{}, 0
	}
	k.parsed[text] = key
	k.size += len(text)
	return key
}

func withKeys(users []authz.Profile, keys []ownedKey) []authz.Profile {
	byUser := make(map[string][]authz.Key, len(keys))
	for _, k := range keys {
		if !k.key.IsZero() {
			byUser[k.user] = append(byUser[k.user], k.key)
		}
	}
	for i := range users {
		users[i].Keys = byUser[users[i].ID.String()]
	}
	return users
}

func (v View) keysOf(ctx context.Context, user authz.UserID) ([]authz.Key, error) {
	owned, err := list(ctx, v, v.scanOwnedKey,
		`SELECT user_id, key FROM user_keys WHERE user_id = $1 ORDER BY fingerprint`, user.String())
	if err != nil {
		return nil, err
	}
	return withKeys([]authz.Profile{{ID: user}}, owned)[0].Keys, nil
}

// Identity is what a user is known by: the id that rights hang on, and the ARN.
type Identity struct {
	ID  authz.UserID
	ARN authz.ARN
}

// Identities returns who all users are, sorted by ARN. It costs less than Users.
func (v View) Identities(ctx context.Context) ([]Identity, error) {
	return list(ctx, v, scanIdentity, `SELECT id, arn FROM users ORDER BY arn`)
}

func scanIdentity(s scanner) (i Identity, err error) {
	var id, arn string
	if err := s.Scan(&id, &arn); err != nil {
		return i, err
	}
	if i.ID, err = authz.ParseUserID(id); err != nil {
		return Identity{}, fmt.Errorf("%w: user: %v", ErrCorrupt, err)
	}
	if i.ARN, err = authz.ParseARN(arn); err != nil {
		return Identity{}, fmt.Errorf("%w: user %s: %v", ErrCorrupt, i.ID, err)
	}
	return i, nil
}

// UsernameTaken reports whether a user other than except has the name.
func (v View) UsernameTaken(ctx context.Context, login authz.Username, except authz.UserID) (bool, error) {
	n, err := v.count(ctx, `SELECT count(*) FROM users WHERE username = $1 AND id <> $2`, login.String(), except.String())
	return n > 0, err
}

// KeyTaken reports whether a user other than except has the key.
func (v View) KeyTaken(ctx context.Context, key authz.Key, except authz.UserID) (bool, error) {
	n, err := v.count(ctx, `SELECT count(*) FROM user_keys WHERE fingerprint = $1 AND user_id <> $2`,
		key.Fingerprint(), except.String())
	return n > 0, err
}

// InsertUser adds a user with his keys. ARN, name, uid and keys must be new.
func (t *Tx) InsertUser(ctx context.Context, p authz.Profile) error {
	_, err := t.exec(ctx, `
		INSERT INTO users (id, arn, username, uid, self_management, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		p.ID.String(), p.ARN.String(), optional(p.Username.String()), uidOf(p), p.SelfManagement, t.Now().Unix())
	if err != nil {
		return fmt.Errorf("insert user %s: %w", p.ARN, err)
	}
	return t.insertKeys(ctx, p)
}

// UpdateUser writes the profile of the user with p's id, but not his ARN, which
// never changes.
func (t *Tx) UpdateUser(ctx context.Context, p authz.Profile) error {
	n, err := t.exec(ctx, `UPDATE users SET username = $1, uid = $2, self_management = $3 WHERE id = $4`,
		optional(p.Username.String()), uidOf(p), p.SelfManagement, p.ID.String())
	if err != nil {
		return fmt.Errorf("update user %s: %w", p.ARN, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	if _, err := t.exec(ctx, `DELETE FROM user_keys WHERE user_id = $1`, p.ID.String()); err != nil {
		return fmt.Errorf("replace keys of %s: %w", p.ARN, err)
	}
	return t.insertKeys(ctx, p)
}

func (t *Tx) insertKeys(ctx context.Context, p authz.Profile) error {
	for _, k := range p.Keys {
		_, err := t.exec(ctx, `INSERT INTO user_keys (fingerprint, user_id, key) VALUES ($1, $2, $3)`,
			k.Fingerprint(), p.ID.String(), k.String())
		if err != nil {
			return fmt.Errorf("insert key of %s: %w", p.ARN, err)
		}
	}
	return nil
}

// DeleteUser removes a user and all that hangs on him: keys, permissions,
// policies, his place in groups, tags, access keys and the join tokens he made
// (requirement R118). His uids stay used.
func (t *Tx) DeleteUser(ctx context.Context, user authz.UserID) error {
	n, err := t.exec(ctx, `DELETE FROM users WHERE id = $1`, user.String())
	if err != nil {
		return fmt.Errorf("delete user %s: %w", user, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// AllocateUID gives a user, under a login name, the uid above the highest given
// out so far between lowest and highest, or ErrUIDsUsedUp. No uid is ever given
// out twice.
func (t *Tx) AllocateUID(ctx context.Context, user authz.UserID, login authz.Username, lowest, highest authz.UID) (authz.UID, error) {
	used, err := t.count(ctx, `SELECT coalesce(max(uid), $1 - 1) FROM uids WHERE uid BETWEEN $1 AND $2`,
		int64(lowest), int64(highest))
	if err != nil {
		return 0, fmt.Errorf("read used uids: %w", err)
	}
	if used >= int64(highest) {
		return 0, fmt.Errorf("%w %s-%s", ErrUIDsUsedUp, lowest, highest)
	}
	uid, err := authz.CheckUID(uint64(used + 1))
	if err != nil {
		return 0, err
	}
	_, err = t.exec(ctx, `INSERT INTO uids (uid, user_id, username, allocated_at) VALUES ($1, $2, $3, $4)`,
		int64(uid), user.String(), login.String(), t.Now().Unix())
	if err != nil {
		return 0, fmt.Errorf("allocate uid %s: %w", uid, err)
	}
	return uid, nil
}

// ClaimUID gives a user, under a login name, a uid that he has elsewhere. One that was
// ever given out here is refused with ErrUIDUsed.
func (t *Tx) ClaimUID(ctx context.Context, user authz.UserID, login authz.Username, uid authz.UID) error {
	n, err := t.exec(ctx, `INSERT INTO uids (uid, user_id, username, allocated_at) VALUES ($1, $2, $3, $4) ON CONFLICT (uid) DO NOTHING`,
		int64(uid), user.String(), login.String(), t.Now().Unix())
	if err != nil {
		return fmt.Errorf("claim uid %s: %w", uid, err)
	}
	if n == 0 {
		return ErrUIDUsed
	}
	return nil
}

func uidOf(p authz.Profile) sql.NullInt64 {
	return sql.NullInt64{Int64: int64(p.UID), Valid: p.UID != 0}
}
