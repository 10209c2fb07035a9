-- Tags of stacks and instances, and what people set about an instance.

-- +goose Up
CREATE TABLE stack_tags (
    stack_id TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (stack_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE instance_tags (
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (instance_id, key)
) STRICT, WITHOUT ROWID;

ALTER TABLE instances ADD COLUMN given_hostname TEXT; -- NULL: its own is shown
ALTER TABLE instances ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'; -- JSON: what UpdateInstance was given and nothing acts on
