package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/controlplane/store"
)

// TestView_VerifyAudit holds R136 in part.
func TestView_VerifyAudit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tamper string
		want   string // in the error; empty: sound
	}{
		{"untouched", ``, ""},
		{"edited-entry", `UPDATE audit SET entry = replace(entry, 'action-3', 'action-x') WHERE seq = 3`, "audit row 3 does not match its hash"},
		{"edited-hash", `UPDATE audit SET hash = replace(hash, substr(hash, 1, 8), '00000000') WHERE seq = 3`, "audit row 3 does not match its hash"},
		{"deleted-in-the-middle", `DELETE FROM audit WHERE seq = 3`, "audit row 4 follows row 2"},
		{"deleted-at-the-start", `DELETE FROM audit WHERE seq = 1`, "audit row 2 follows row 0"},
		{"closed-gap", `DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3`, "audit row 3 does not match its hash"},
		{"swapped", `UPDATE audit SET seq = 100 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 100`, "audit row 3 does not match its hash"},
		{"added", `INSERT INTO audit VALUES (11, '{"seq":11}', '00')`, "audit row 11 does not match its hash"},
		{"cut-off-below-a-bundle", `DELETE FROM audit WHERE seq > 5`, "audit row 6 stands in a signed bundle and is not in the log"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, path := newStore(t)
			stack := insertStack(t, s, 1)
			for n := 2; n <= 6; n++ {
				err := s.Write(t.Context(), entry(fmt.Sprintf("action-%d", n)), func(*store.Tx) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			err := s.Observe(t.Context(), func(o store.Observation) error {
				head, err := o.AuditHead(t.Context())
				_, errPut := o.PutBundle(t.Context(), store.Bundle{
					Stack: stack, Epoch: 1, Serial: 1, Note: []byte("n"), Log: head, IssuedAt: noon,
				})
				return errors.Join(err, errPut)
			})
			if err != nil {
				t.Fatal(err)
			}
			for n := 7; n <= 10; n++ {
				mustWrite(t, s, func(context.Context, *store.Tx) error { return nil })
			}
			tamper(t, raw(t, path), tc.tamper)
			err = s.Read(t.Context(), func(v store.View) error {
				_, err := v.VerifyAudit(t.Context())
				return err
			})
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// A hash chain rewritten to the end, as somebody with the file can, still does not
// match the head in a signed bundle (requirement R136 in part).
func TestView_VerifyAudit_RewrittenChain(t *testing.T) {
	s, path := newStore(t)
	stack := insertStack(t, s, 1)
	err := s.Observe(t.Context(), func(o store.Observation) error {
		head, err := o.AuditHead(t.Context())
		head.Hash = strings.Repeat("0", 64) // what another history's head would be
		_, errPut := o.PutBundle(t.Context(), store.Bundle{Stack: stack, Epoch: 1, Serial: 1, Note: []byte("n"), Log: head})
		return errors.Join(err, errPut)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = mustOpen(t, path).Read(t.Context(), func(v store.View) error {
		_, err := v.VerifyAudit(t.Context())
		return err
	})
	if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "audit row 1 is not the one in a signed bundle") {
		t.Errorf("got %v", err)
	}
}

func tamper(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	mustExec(t, db, `DROP TRIGGER audit_keeps; DROP TRIGGER audit_stays;`+statements)
}

func TestAudit_Triggers(t *testing.T) {
	s, path := newStore(t)
	insertUser(t, s, 1)
	db := raw(t, path)
	for _, statement := range []string{
		`UPDATE audit SET entry = '{}'`, `DELETE FROM audit`, `UPDATE uids SET user_id = 'x'`, `DELETE FROM uids`,
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("%s went through", statement)
		}
	}
}
