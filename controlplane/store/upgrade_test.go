package store

import (
	"path/filepath"
	"testing"
	"time"

	"latchkey/authz"
)

// A database of the first schema, with an instance in it, is brought up to date and
// keeps what it held.
func TestOpen_Upgrades(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latchkey.db")
	old, err := connect(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := steps(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	const stack, instance = "00000001-0000-4000-8000-000000000000", "00000002-0000-4000-8000-000000000000"
	for _, statement := range []string{
		`INSERT INTO stacks (id, name, members, serial, created_at) VALUES ('` + stack + `', 'web', '{}', 7, 1000)`,
		`INSERT INTO instances (id, stack_id, public_key, registered_by, hostname, os, platform, architecture, agent, address, created_at)
			VALUES ('` + instance + `', '` + stack + `', 'k', 'arn:aws:iam::000000000000:user/a', 'web-1', 'linux', '', '', '', '', 1000)`,
	} {
		if _, err := old.ExecContext(t.Context(), statement); err != nil {
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
	defer s.Close()
	err = s.Read(t.Context(), func(v View) error {
		id, err := authz.ParseInstanceID(instance)
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
