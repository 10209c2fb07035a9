package store_test

import (
	"context"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// TestView_Permission_BadCommands holds R169 in part: a list that is not one that was
// written takes sudo away; it never becomes no limit.
func TestView_Permission_BadCommands(t *testing.T) {
	s, path := newStore(t)
	user, stack := insertUser(t, s, 1), insertStack(t, s, 1)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return tx.SetPermission(ctx, authz.Permission{Stack: stack, User: user.ID, AllowSSH: true, AllowSudo: true, Level: authz.LevelShow})
	})
	db := raw(t, path)
	for text, sudo := range map[string]bool{
		"": true, "/bin/a": true, "/bin/a x\n/bin/b": true,
		"ALL": false, "/bin/a\nALL": false, "/bin/*": false, "\n": false, "/bin/a\n": false, " ": false, "null": false,
	} {
		if _, err := db.Exec(`UPDATE permissions SET sudo_commands = ?`, text); err != nil {
			t.Fatal(err)
		}
		mustRead(t, s, func(ctx context.Context, v store.View) error {
			got, err := v.Permission(ctx, stack, user.ID)
			if got.AllowSudo != sudo || !got.AllowSSH || got.SudoCommands.IsZero() != (text == "" || !sudo) {
				t.Errorf("%q: %+v", text, got)
			}
			return err
		})
	}
}
