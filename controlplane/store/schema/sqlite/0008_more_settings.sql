-- What more a stack wants of its instances; the first of each is what nobody's choice means.

-- +goose Up
ALTER TABLE stacks ADD COLUMN keys_mode TEXT NOT NULL DEFAULT 'command'; -- command, directory, home
ALTER TABLE stacks ADD COLUMN on_revoke TEXT NOT NULL DEFAULT 'lock';    -- lock, remove
ALTER TABLE stacks ADD COLUMN homes TEXT NOT NULL DEFAULT 'keep';        -- keep, archive, delete
ALTER TABLE stacks ADD COLUMN unmanaged TEXT NOT NULL DEFAULT 'report';  -- report, allow, adopt, quarantine
