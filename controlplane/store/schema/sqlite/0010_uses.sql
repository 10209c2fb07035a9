-- When keys were used, and what access on instances is not ours, as instances report it.

-- +goose Up
CREATE TABLE key_uses (
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL, -- '': a login without a key, or with one that is not known
    instance_id TEXT NOT NULL, -- '': one that is gone; its uses outlive it
    used_at     INTEGER NOT NULL,
    proved      INTEGER NOT NULL CHECK (proved IN (0, 1)),
    PRIMARY KEY (user_id, fingerprint, instance_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_uses_by_instance ON key_uses (instance_id);

CREATE TABLE inventories (
    instance_id TEXT PRIMARY KEY REFERENCES instances (id) ON DELETE CASCADE,
    taken_at    INTEGER NOT NULL,
    body        TEXT NOT NULL -- JSON
) STRICT;
