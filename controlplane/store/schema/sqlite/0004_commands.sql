-- What instances had to do, and did: one row for a kind of work on a serial.

-- +goose Up
ALTER TABLE stacks ADD COLUMN raised_at INTEGER NOT NULL DEFAULT 0; -- when the serial was
UPDATE stacks SET raised_at = created_at; -- the nearest that is known

CREATE TABLE commands (
    id           TEXT PRIMARY KEY,
    instance_id  TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    epoch        INTEGER NOT NULL,
    serial       INTEGER NOT NULL,
    type         TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('pending', 'successful', 'failed', 'skipped')),
    created_at   INTEGER NOT NULL,
    completed_at INTEGER, -- NULL: pending
    UNIQUE (instance_id, epoch, serial, type),
    CHECK ((status = 'pending') = (completed_at IS NULL))
) STRICT;
