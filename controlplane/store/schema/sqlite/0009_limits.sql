-- What sudo and keys of a permission are limited to. A limit is kept while there is
-- nothing to limit, so the check of what is no default has two members more, and the
-- table is made anew.

-- +goose Up
CREATE TABLE limited_permissions (
    stack_id      TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    level         TEXT NOT NULL CHECK (level IN ('deny', 'iam_only', 'show', 'deploy', 'manage')),
    allow_ssh     INTEGER NOT NULL CHECK (allow_ssh IN (0, 1)),
    allow_sudo    INTEGER NOT NULL CHECK (allow_sudo IN (0, 1)),
    sudo_commands TEXT NOT NULL DEFAULT '', -- one a line; '': no limit
    restricted    INTEGER NOT NULL DEFAULT 0 CHECK (restricted IN (0, 1)), -- 1: keys open sessions alone
    not_after     INTEGER, -- NULL: does not end
    changed_by    TEXT NOT NULL DEFAULT '', -- '': not known
    changed_at    INTEGER NOT NULL DEFAULT 0, -- 0: not known
    PRIMARY KEY (stack_id, user_id),
    CHECK (level <> 'iam_only' OR allow_ssh = 1 OR allow_sudo = 1 OR sudo_commands <> '' OR restricted = 1
        OR not_after IS NOT NULL)
) STRICT, WITHOUT ROWID;
INSERT INTO limited_permissions (stack_id, user_id, level, allow_ssh, allow_sudo, not_after, changed_by, changed_at)
SELECT stack_id, user_id, level, allow_ssh, allow_sudo, not_after, changed_by, changed_at FROM permissions;
DROP TABLE permissions;
ALTER TABLE limited_permissions RENAME TO permissions;
CREATE INDEX permissions_by_user ON permissions (user_id);
