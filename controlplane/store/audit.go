package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Entry is one line of the audit log. All of its text is printed from parsed
// values, never as somebody typed it.
type Entry struct {
	Seq       int64             `json:"seq"` // 1, 2, 3, ...; set by the store
	At        time.Time         `json:"at"`  // to the second
	Actor     string            `json:"actor"`
	AccessKey string            `json:"access_key,omitempty"`
	SourceIP  string            `json:"source_ip,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
	Action    string            `json:"action"`
	Target    string            `json:"target,omitempty"`
	Detail    map[string]string `json:"detail,omitempty"`
}

// LogHead is the size of the audit log and the hash of its newest row, in hex: it
// stands for everything before. The head of an empty log is the zero value.
type LogHead struct {
	Size int64
	Hash string
}

// AuditHead returns the head of the log.
func (v View) AuditHead(ctx context.Context) (LogHead, error) {
	head, err := one(ctx, v, scanHead, `SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`)
	if errors.Is(err, ErrNotFound) {
		return LogHead{}, nil
	}
	return head, err
}

func scanHead(s scanner) (h LogHead, err error) { return h, s.Scan(&h.Size, &h.Hash) }

// Audit returns up to limit entries after a sequence number, oldest first.
func (v View) Audit(ctx context.Context, after int64, limit int) ([]Entry, error) {
	return list(ctx, v, scanEntry, `SELECT entry FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
}

func scanEntry(s scanner) (e Entry, err error) {
	var text []byte
	if err := s.Scan(&text); err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

// appendAudit writes the transaction's row: every row's hash covers the row and
// the hash before it.
func (t *Tx) appendAudit(ctx context.Context) error {
	head, err := t.AuditHead(ctx)
	if err != nil {
		return fmt.Errorf("read the audit log's head: %w", err)
	}
	t.entry.Seq = head.Size + 1
	text, err := json.Marshal(t.entry)
	if err != nil {
		return fmt.Errorf("encode audit entry: %w", err)
	}
	_, err = t.exec(ctx, `INSERT INTO audit (seq, entry, hash) VALUES ($1, $2, $3)`,
		t.entry.Seq, string(text), auditHash(head.Hash, text))
	if err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	return nil
}

func auditHash(previous string, entry []byte) string {
	h := sha256.New()
	h.Write([]byte("latchkey audit 1\n" + previous + "\n"))
	h.Write(entry)
	return hex.EncodeToString(h.Sum(nil))
}

// VerifyAudit recomputes the whole log. The error is ErrCorrupt and names the
// first row that was changed, removed or moved. Rows cut off at the end are found
// out by the heads that stand in signed bundles, of which the store has a copy.
func (v View) VerifyAudit(ctx context.Context) (LogHead, error) {
	signed, err := v.signedHeads(ctx)
	if err != nil {
		return LogHead{}, err
	}
	rows, err := v.tx.QueryContext(ctx, `SELECT seq, entry, hash FROM audit ORDER BY seq`)
	if err != nil {
		return LogHead{}, err
	}
	defer rows.Close()
	var head LogHead
	for rows.Next() {
		var seq int64
		var entry []byte
		var hash string
		if err := rows.Scan(&seq, &entry, &hash); err != nil {
			return LogHead{}, err
		}
		if err := follows(head, seq, entry, hash); err != nil {
			return LogHead{}, err
		}
		head = LogHead{seq, hash}
		if want, found := signed[seq]; found && want != hash {
			return LogHead{}, fmt.Errorf("%w: audit row %d is not the one in a signed bundle", ErrCorrupt, seq)
		}
		delete(signed, seq)
	}
	if err := rows.Err(); err != nil {
		return LogHead{}, err
	}
	for seq := range signed {
		return LogHead{}, fmt.Errorf("%w: audit row %d stands in a signed bundle and is not in the log", ErrCorrupt, seq)
	}
	return head, nil
}

func follows(head LogHead, seq int64, entry []byte, hash string) error {
	if seq != head.Size+1 {
		return fmt.Errorf("%w: audit row %d follows row %d", ErrCorrupt, seq, head.Size)
	}
	if hash != auditHash(head.Hash, entry) {
		return fmt.Errorf("%w: audit row %d does not match its hash", ErrCorrupt, seq)
	}
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(entry))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil || e.Seq != seq {
		return fmt.Errorf("%w: audit row %d holds another row's entry", ErrCorrupt, seq)
	}
	return nil
}

// signedHeads returns the heads that stand in bundles, by size.
func (v View) signedHeads(ctx context.Context) (map[int64]string, error) {
	heads, err := list(ctx, v, scanHead, `SELECT DISTINCT log_size, log_root FROM bundles WHERE log_size > 0`)
	if err != nil {
		return nil, err
	}
	bySize := make(map[int64]string, len(heads))
	for _, h := range heads {
		bySize[h.Size] = h.Hash
	}
	return bySize, nil
}
