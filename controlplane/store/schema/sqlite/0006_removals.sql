-- Who lost access to a stack, or sudo there, because somebody asked for it. An agent
-- holds a mass removal that is not confirmed like this. There is no reference to
-- users: a removal stays confirmed when its user is deleted.

-- +goose Up
CREATE TABLE confirmed_removals (
    stack_id   TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
    removed    TEXT NOT NULL, -- the id of a user
    removed_at INTEGER NOT NULL,
    PRIMARY KEY (stack_id, removed)
) STRICT, WITHOUT ROWID;
