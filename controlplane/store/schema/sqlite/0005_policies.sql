-- What decides about a user besides levels: policies, groups, boundaries, tags.
-- Names of managed policies and of groups are the same in any case of letters.

-- +goose Up
CREATE TABLE managed_policies (
    name       TEXT PRIMARY KEY COLLATE NOCASE,
    document   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- As before, but for the case of letters. A policy has no reference to
-- managed_policies: it may be a built-in one.
CREATE TABLE attached (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    policy  TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (user_id, policy)
) STRICT, WITHOUT ROWID;
-- The one policy so far meant everything, under the original's name.
INSERT OR IGNORE INTO attached (user_id, policy)
SELECT user_id, CASE policy WHEN 'AWSOpsWorks_FullAccess' THEN 'LatchkeyFullAccess' ELSE policy END FROM user_policies;
DROP TABLE user_policies;
ALTER TABLE attached RENAME TO user_policies;
CREATE INDEX user_policies_by_policy ON user_policies (policy);

CREATE TABLE user_inline_policies (
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
) STRICT;

CREATE TABLE groups (
    name       TEXT PRIMARY KEY COLLATE NOCASE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE group_members (
    group_name TEXT NOT NULL COLLATE NOCASE REFERENCES groups (name) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_name, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_by_user ON group_members (user_id);

CREATE TABLE group_policies (
    group_name TEXT NOT NULL COLLATE NOCASE REFERENCES groups (name) ON DELETE CASCADE,
    policy     TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (group_name, policy)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_policies_by_policy ON group_policies (policy);

CREATE TABLE group_inline_policies (
    group_name TEXT NOT NULL COLLATE NOCASE REFERENCES groups (name) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (group_name, name)
) STRICT;

CREATE TABLE user_tags (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

ALTER TABLE users ADD COLUMN boundary TEXT COLLATE NOCASE; -- a managed policy; NULL: none
CREATE INDEX users_by_boundary ON users (boundary) WHERE boundary IS NOT NULL;

ALTER TABLE access_keys ADD COLUMN active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1));

ALTER TABLE permissions ADD COLUMN changed_by TEXT NOT NULL DEFAULT ''; -- '': not known
ALTER TABLE permissions ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0; -- 0: not known
