package store_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

const (
	keyOne = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICUQMBDimJfK7ztMGek9v2hdB6WwdbSx5yJtHJP9Bk7f"
	keyTwo = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP79sB/+KWwMF4Dy/NwW+3bKKiSeqDQKxQSvhx4TKP2f"
)

// TestTx_AllocateUID holds R19.
func TestTx_AllocateUID(t *testing.T) {
	s, _ := newStore(t)
	allocate := func(low, high authz.UID) (uid authz.UID, err error) {
		err = s.Write(t.Context(), entry("x"), func(tx *store.Tx) error {
			uid, err = tx.AllocateUID(t.Context(), userID(1), login("alice"), low, high)
			return err
		})
		return uid, err
	}
	for _, want := range []authz.UID{2000, 2001, 2002} {
		if got, err := allocate(2000, 2002); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	if _, err := allocate(2000, 2002); !errors.Is(err, store.ErrUIDsUsedUp) {
		t.Errorf("full range: got %v", err)
	}
	if got, err := allocate(2000, 2003); err != nil || got != 2003 {
		t.Errorf("wider range: got %s, %v", got, err)
	}
}

// TestTx_AllocateUID_NeverTwice holds R21 and T-U6 in part.
func TestTx_AllocateUID_NeverTwice(t *testing.T) {
	s, _ := newStore(t)
	first := insertUser(t, s, 1)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, first.ID) })
	if second := insertUser(t, s, 1); second.UID == first.UID {
		t.Errorf("uid %s was given out twice", second.UID)
	}
}

func TestStore_DamagedUserDeniesAlone(t *testing.T) {
	s, path := newStore(t)
	for n := 1; n <= 4; n++ {
		p := insertUser(t, s, n)
		mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, p) })
	}
	stack := insertStack(t, s, 1)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		for n := 1; n <= 4; n++ {
			p := authz.Permission{Stack: stack, User: userID(n), Level: authz.LevelShow, AllowSSH: true}
			if err := tx.SetPermission(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	db := raw(t, path)
	mustExec(t, db, `INSERT INTO user_keys VALUES ('a', $1, $2), ('b', $3, 'ssh-ed25519 AAAA'), ('c', $3, $4)`,
		userID(1).String(), keyOne, userID(2).String(), keyTwo)
	mustExec(t, db, `UPDATE users SET username = 'root' WHERE id = $1`, userID(3).String())
	mustExec(t, db, `PRAGMA ignore_check_constraints = 1; UPDATE permissions SET level = 'owner' WHERE user_id = '`+userID(4).String()+`'`)
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		users, err := v.UsersOf(ctx, stack)
		if err != nil {
			return err
		}
		permissions, err := v.PermissionsOn(ctx, stack)
		grants := authz.Resolve(stack, users, permissions, noon).Grants
		if len(grants) != 2 || grants[0].Username.String() != "u1" || grants[1].Username.String() != "u2" {
			t.Fatalf("grants %+v", grants)
		}
		if len(grants[0].Keys) != 1 || len(grants[1].Keys) != 1 || grants[1].Keys[0].String() != keyTwo {
			t.Errorf("keys %v and %v", grants[0].Keys, grants[1].Keys)
		}
		return err
	})
}

// A user takes with him every row that names him, also in a table that is yet to be
// made: each must be filled here (requirements R31, R118 and T-U16 in part).
func TestTx_DeleteUser(t *testing.T) {
	s, path := newStore(t)
	p := insertUser(t, s, 1)
	stack := insertStack(t, s, 1)
	p.Keys = []authz.Key{must(authz.ParseKey(keyOne, authz.KeyPolicy{}))}
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.UpdateUser(ctx, p),
			tx.AttachPolicy(ctx, store.HeldByUser(p.ID), string(authz.FullAccess)),
			tx.PutInlinePolicy(ctx, store.HeldByUser(p.ID), inline("a", `{}`)),
			tx.InsertGroup(ctx, "ops"),
			tx.AddMember(ctx, "ops", p.ID),
			tx.SetTag(ctx, store.OfUser(p.ID), store.Tag{Key: "a", Value: "b"}),
			tx.InsertAccessKey(ctx, store.AccessKey{ID: "k", User: p.ID, Secret: []byte("s")}),
			tx.InsertJoinToken(ctx, store.JoinToken{Hash: "h", Stack: stack, CreatedBy: p.ID, ExpiresAt: noon}, noon),
			tx.SetPermission(ctx, authz.Permission{Stack: stack, User: p.ID, AllowSSH: true}),
		)
	})
	err := s.Observe(t.Context(), func(o store.Observation) error {
		return o.PutKeyUse(t.Context(), store.KeyUse{User: p.ID, Instance: instanceID(1), At: noon}, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	naming := namingUsers(t, db)
	for _, column := range naming {
		if named(t, db, column, p.ID) == 0 {
			t.Errorf("%s: the test has no row of the user", column)
		}
	}
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, p.ID) })
	for _, column := range naming {
		if left := named(t, db, column, p.ID); left != 0 {
			t.Errorf("%s: %d rows left", column, left)
		}
	}
	expectNotFound(t, s, "second deletion", func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, p.ID) })
}

// namingUsers lists the columns TABLE.COLUMN that hold users' ids, but for the one
// that is never forgotten: those with the name, and those that refer to users.
func namingUsers(t *testing.T, db *sql.DB) []string {
	t.Helper()
	return append(rows(t, db, `
		SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c.name = 'user_id' AND m.name <> 'uids'
		UNION SELECT m.name || '.' || f."from" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
		WHERE m.type = 'table' AND f."table" = 'users'`), "users.id")
}

func named(t *testing.T, db *sql.DB, column string, user authz.UserID) (n int) {
	t.Helper()
	table, _, _ := strings.Cut(column, ".")
	if err := db.QueryRow(`SELECT count(*) FROM `+table+` WHERE `+column+` = $1`, user.String()).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTx_SetPermission_Sparse(t *testing.T) {
	s, path := newStore(t)
	user, stack := insertUser(t, s, 1), insertStack(t, s, 1)
	db := raw(t, path)
	for _, tc := range []struct {
		name string
		p    authz.Permission
		rows int
	}{
		{"default-on-nothing", authz.Permission{Level: authz.LevelIAMOnly}, 0},
		{"level", authz.Permission{Level: authz.LevelShow}, 1},
		{"back-to-default", authz.Permission{Level: authz.LevelIAMOnly}, 0},
		{"deny", authz.Permission{Level: authz.LevelDeny}, 1},
		{"ssh", authz.Permission{Level: authz.LevelIAMOnly, AllowSSH: true}, 1},
		{"sudo", authz.Permission{Level: authz.LevelIAMOnly, AllowSudo: true}, 1},
		{"sudo-commands", authz.Permission{Level: authz.LevelIAMOnly, SudoCommands: must(authz.ParseCommands([]string{"/bin/b x", "/bin/a"}))}, 1},
		{"restricted", authz.Permission{Level: authz.LevelIAMOnly, Restricted: true}, 1},
		{"end", authz.Permission{Level: authz.LevelIAMOnly, NotAfter: noon}, 1},
		{"default-again", authz.Permission{Level: authz.LevelIAMOnly}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.p.Stack, tc.p.User = stack, user.ID
			mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetPermission(ctx, tc.p) })
			var rows int
			if err := db.QueryRow(`SELECT count(*) FROM permissions`).Scan(&rows); err != nil || rows != tc.rows {
				t.Errorf("%d rows, %v, want %d", rows, err, tc.rows)
			}
			mustRead(t, s, func(ctx context.Context, v store.View) error {
				got, err := v.Permission(ctx, stack, user.ID)
				if got != tc.p {
					t.Errorf("got %+v, want %+v", got, tc.p)
				}
				return err
			})
		})
	}
}

func TestView_PermissionOrigin(t *testing.T) {
	s, _ := newStore(t)
	user, stack, clone := insertUser(t, s, 1), insertStack(t, s, 1), insertStack(t, s, 2)
	later := noon.Add(time.Hour)
	origin := func(of authz.StackID) func(ctx context.Context, v store.View) (store.Origin, error) {
		return func(ctx context.Context, v store.View) (store.Origin, error) {
			return v.PermissionOrigin(ctx, of, user.ID)
		}
	}
	set := func(level authz.Level) func(context.Context, *store.Tx) error {
		return func(ctx context.Context, tx *store.Tx) error {
			return tx.SetPermission(ctx, authz.Permission{Stack: stack, User: user.ID, Level: level})
		}
	}
	expect(t, s, store.Origin{}, origin(stack))
	mustWrite(t, s, set(authz.LevelShow))
	expect(t, s, store.Origin{By: "tester", At: noon}, origin(stack))
	writeAt(t, s, later, set(authz.LevelDeploy))
	expect(t, s, store.Origin{By: "tester", At: later}, origin(stack))
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CopyPermissions(ctx, stack, clone) })
	expect(t, s, store.Origin{By: "tester", At: noon}, origin(clone))
	mustWrite(t, s, set(authz.LevelIAMOnly))
	expect(t, s, store.Origin{}, origin(stack))
}
