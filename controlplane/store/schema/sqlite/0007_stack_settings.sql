-- What a stack wants of its instances.

-- +goose Up
ALTER TABLE stacks ADD COLUMN stale TEXT NOT NULL DEFAULT 'keep'; -- without an answer from the control plane
