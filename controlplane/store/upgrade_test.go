package store

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"latchkey/authz"
)

const (
	oldStack    = "00000001-0000-4000-8000-000000000000"
	oldInstance = "00000002-0000-4000-8000-000000000000"
	oldUser     = "00000003-0000-4000-8000-000000000000"
	insertStack = `INSERT INTO stacks (id, name, members, serial, created_at) VALUES ('` + oldStack + `', 'web', '{}', 7, 1000)`
)

// upgrade makes a database of an older schema with something in it, and opens it.
func upgrade(t *testing.T, schema int64, statements ...string) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "latchkey.db")
	old := OpenAt(t.Context(), t, path, schema)
	for _, statement := range statements {
		if _, err := old.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A database of the first schema, with an instance in it, is brought up to date and
// keeps what it held (requirement R137 in part).
func TestOpen_Upgrades(t *testing.T) {
	s := upgrade(t, 1, insertStack, `
		INSERT INTO instances (id, stack_id, public_key, registered_by, hostname, os, platform, architecture, agent, address, created_at)
		VALUES ('`+oldInstance+`', '`+oldStack+`', 'k', 'arn:aws:iam::000000000000:user/a', 'web-1', 'linux', '', '', '', '', 1000)`)
	err := s.Read(t.Context(), func(v View) error {
		id, err := authz.ParseInstanceID(oldInstance)
		if err != nil {
			return err
		}
		i, err := v.Instance(t.Context(), id)
		if err != nil || i.Facts.Hostname != "web-1" || i.GivenHostname != "" || string(i.Settings) != "{}" || i.LastServiceError != "" {
			t.Errorf("instance %+v, %v", i, err)
		}
		raised, err := v.RaisedAt(t.Context(), i.Stack, 1, 7)
		if !raised.Equal(time.Unix(1000, 0)) {
			t.Errorf("raised at %s", raised)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Before there were more policies than one, users had it, and keys that were all
// active.
func TestOpen_UpgradesPolicies(t *testing.T) {
	s := upgrade(t, 4, insertStack,
		`INSERT INTO users (id, arn, self_management, created_at) VALUES ('`+oldUser+`', 'arn:aws:iam::000000000000:user/a', 0, 1000)`,
		`INSERT INTO user_policies VALUES ('`+oldUser+`', 'B'), ('`+oldUser+`', 'AWSOpsWorks_FullAccess')`,
		`INSERT INTO access_keys VALUES ('k', '`+oldUser+`', x'00', 1000)`,
		`INSERT INTO permissions VALUES ('`+oldStack+`', '`+oldUser+`', 'show', 1, 0, NULL)`)
	user, err := authz.ParseUserID(oldUser)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Write(t.Context(), Entry{Actor: "test", Action: "test"}, func(tx *Tx) error {
		h, err := tx.Holdings(t.Context(), user)
		if err != nil {
			return err
		}
		want := []Held{{Name: "B", Managed: true}, {Name: authz.FullAccess, Managed: true}}
		if !slices.EqualFunc(h.Policies, want, func(a, b Held) bool { return a.Name == b.Name && a.Managed == b.Managed }) ||
			h.Boundary != nil || h.Groups != nil || h.Tags != nil {
			t.Errorf("holdings %+v", h)
		}
		k, err := tx.AccessKey(t.Context(), "k")
		if err != nil || !k.Active || !k.CreatedAt.Equal(time.Unix(1000, 0)) {
			t.Errorf("access key %+v, %v", k, err)
		}
		all, err := tx.PermissionsOf(t.Context(), user)
		if err != nil || len(all) != 1 || all[0].Level != authz.LevelShow || !all[0].AllowSSH {
			t.Fatalf("permissions %+v, %v", all, err)
		}
		origin, err := tx.PermissionOrigin(t.Context(), all[0].Stack, user)
		if err != nil || origin != (Origin{}) {
			t.Errorf("origin %+v, %v", origin, err)
		}
		return tx.DetachPolicy(t.Context(), HeldByUser(user), "b") // in any case of letters from now on
	})
	if err != nil {
		t.Error(err)
	}
}

// Permissions of before there were limits of sudo are the same afterwards, with where
// they come from, and go with their user as before.
func TestOpen_UpgradesPermissions(t *testing.T) {
	s := upgrade(t, 7, insertStack,
		`INSERT INTO users (id, arn, self_management, created_at) VALUES ('`+oldUser+`', 'arn:aws:iam::000000000000:user/a', 0, 1000)`,
		`INSERT INTO permissions (stack_id, user_id, level, allow_ssh, allow_sudo, not_after, changed_by, changed_at)
		VALUES ('`+oldStack+`', '`+oldUser+`', 'show', 1, 1, 3000, 'somebody', 2000)`)
	user, err := authz.ParseUserID(oldUser)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := authz.ParseStackID(oldStack)
	if err != nil {
		t.Fatal(err)
	}
	want := authz.Permission{Stack: stack, User: user, Level: authz.LevelShow, AllowSSH: true, AllowSudo: true, NotAfter: time.Unix(3000, 0).UTC()}
	err = s.Write(t.Context(), Entry{Actor: "test", Action: "test"}, func(tx *Tx) error {
		got, err := tx.Permission(t.Context(), stack, user)
		if err != nil || got != want {
			t.Errorf("permission %+v, %v", got, err)
		}
		origin, err := tx.PermissionOrigin(t.Context(), stack, user)
		if err != nil || origin != (Origin{By: "somebody", At: time.Unix(2000, 0).UTC()}) {
			t.Errorf("it comes from %+v, %v", origin, err)
		}
		if err := tx.DeleteUser(t.Context(), user); err != nil {
			return err
		}
		left, err := tx.PermissionsOn(t.Context(), stack)
		if len(left) != 0 {
			t.Errorf("left are %v", left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
