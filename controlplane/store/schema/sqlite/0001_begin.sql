-- The first schema. Times are Unix seconds; booleans are 0 and 1.

-- +goose Up
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every uid that was ever given out, and to whom: a uid is never used again,
-- because files of its first owner may be anywhere.
CREATE TABLE uids (
    uid          INTEGER PRIMARY KEY,
    user_id      TEXT NOT NULL,
    username     TEXT NOT NULL,
    allocated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id              TEXT PRIMARY KEY,
    arn             TEXT NOT NULL UNIQUE,
    username        TEXT UNIQUE, -- canonical form; NULL: no SSH user name
    uid             INTEGER UNIQUE REFERENCES uids (uid),
    self_management INTEGER NOT NULL CHECK (self_management IN (0, 1)),
    created_at      INTEGER NOT NULL,
    CHECK ((username IS NULL) = (uid IS NULL))
) STRICT;

CREATE TABLE user_keys (
    fingerprint TEXT PRIMARY KEY, -- SHA-256 of the key's wire form: one key, one user
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key         TEXT NOT NULL
) STRICT;
CREATE INDEX user_keys_by_user ON user_keys (user_id);

CREATE TABLE user_policies (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    policy  TEXT NOT NULL,
    PRIMARY KEY (user_id, policy)
) STRICT, WITHOUT ROWID;

CREATE TABLE access_keys (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret     BLOB NOT NULL, -- sealed with a key that is not in the database
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX access_keys_by_user ON access_keys (user_id);

CREATE TABLE stacks (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    members    TEXT NOT NULL, -- JSON: what CreateStack was given
    serial     INTEGER NOT NULL CHECK (serial >= 1),
    created_at INTEGER NOT NULL
) STRICT;

-- Only what differs from iam_only without flags, which every user has on every stack.
CREATE TABLE permissions (
    stack_id   TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    level      TEXT NOT NULL CHECK (level IN ('deny', 'iam_only', 'show', 'deploy', 'manage')),
    allow_ssh  INTEGER NOT NULL CHECK (allow_ssh IN (0, 1)),
    allow_sudo INTEGER NOT NULL CHECK (allow_sudo IN (0, 1)),
    not_after  INTEGER, -- NULL: does not end
    PRIMARY KEY (stack_id, user_id),
    CHECK (level <> 'iam_only' OR allow_ssh = 1 OR allow_sudo = 1 OR not_after IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX permissions_by_user ON permissions (user_id);

CREATE TABLE instances (
    id            TEXT PRIMARY KEY,
    stack_id      TEXT NOT NULL REFERENCES stacks (id),
    public_key    TEXT NOT NULL UNIQUE,
    registered_by TEXT NOT NULL, -- ARN of who made the join token
    hostname      TEXT NOT NULL,
    os            TEXT NOT NULL,
    platform      TEXT NOT NULL,
    architecture  TEXT NOT NULL,
    agent         TEXT NOT NULL,
    address       TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    last_seen     INTEGER -- NULL: not since it joined
) STRICT;
CREATE INDEX instances_by_stack ON instances (stack_id);

CREATE TABLE join_tokens (
    hash        TEXT PRIMARY KEY,
    stack_id    TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
    created_by  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER, -- NULL: not yet
    instance_id TEXT,
    public_key  TEXT,
    CHECK ((used_at IS NULL) = (instance_id IS NULL)),
    CHECK ((used_at IS NULL) = (public_key IS NULL))
) STRICT;
CREATE INDEX join_tokens_by_stack ON join_tokens (stack_id);
CREATE INDEX join_tokens_by_user ON join_tokens (created_by);
CREATE INDEX join_tokens_by_expiry ON join_tokens (expires_at);

-- One row for every bundle ever signed; the text only of the newest of a stack.
CREATE TABLE bundles (
    stack_id  TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
    epoch     INTEGER NOT NULL,
    serial    INTEGER NOT NULL,
    note      BLOB,
    note_hash TEXT NOT NULL,
    log_size  INTEGER NOT NULL,
    log_root  TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    PRIMARY KEY (stack_id, epoch, serial)
) STRICT;

CREATE TABLE receipts (
    id          INTEGER PRIMARY KEY,
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    epoch       INTEGER NOT NULL,
    serial      INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX receipts_by_instance ON receipts (instance_id, id);

CREATE TABLE audit (
    seq   INTEGER PRIMARY KEY, -- 1, 2, 3, ... without a gap
    entry TEXT NOT NULL,       -- JSON, exactly as hashed
    hash  TEXT NOT NULL
) STRICT;

-- These hold against mistakes in our own code. Somebody who writes to the file is
-- found out by the chain of hashes instead.
-- +goose StatementBegin
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never deleted');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER uids_keep BEFORE UPDATE ON uids
BEGIN
    SELECT RAISE(ABORT, 'uids are never given to another');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER uids_stay BEFORE DELETE ON uids
BEGIN
    SELECT RAISE(ABORT, 'uids are never forgotten');
END;
-- +goose StatementEnd
