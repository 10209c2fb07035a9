package controlplane_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/store"
)

// instance is what an agent remembers of the bundles it accepted.
type instance struct {
	trusted note.Verifiers
	target  wire.Target
}

func (i *instance) accept(sealed controlplane.Sealed) error {
	b, err := wire.Open(sealed.Note, i.trusted, i.target)
	if err == nil {
		i.target.Epoch, i.target.Serial = b.Epoch, b.Serial
	}
	return err
}

// Requirements R101 in part and R140 in part: after a restore instances take the
// bundles of the new epoch although their serials are lower, and none of an epoch
// before, also when the restore is done twice and when the database that knew of the
// first is lost.
func TestRestore_Instances(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	p.user(t, "bob", keyTwo)
	stack := p.stack(t, "web")
	p.grant(t, stack, "alice", "show", true, false)
	p.grant(t, stack, "bob", "show", true, true)
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := (store.Backup{Database: p.path}).To(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DeleteUserProfile(t.Context(), p.admin, controlplane.DeleteUserProfileRequest{IamUserArn: arn("bob")}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		p.grant(t, stack, "alice", "manage", true, true)
		p.grant(t, stack, "alice", "show", true, false)
	}
	id := must(authz.ParseStackID(stack))
	old, head := p.bundle(t, stack)
	machine := &instance{
		trusted: note.VerifierList(must(note.NewVerifier(p.cfg.VerifierKeys[0]))),
		target:  wire.Target{ControlPlane: head.ControlPlane, Stack: id},
	}
	if err := machine.accept(old); err != nil {
		t.Fatal(err)
	}
	if err := p.cfg.Store.Close(); err != nil {
		t.Fatal(err)
	}

	seen := []controlplane.Sealed{old}
	for _, tt := range []struct{ name, database string }{
		{"once", p.path}, {"twice", p.path}, {"on-a-new-machine", filepath.Join(t.TempDir(), "latchkey.db")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.pass(time.Hour)
			p.path = tt.database
			done, changes := p.restore(t, backup)
			last := seen[len(seen)-1]
			if done.Epoch <= last.Epoch {
				t.Fatalf("epoch %d after %d", done.Epoch, last.Epoch)
			}
			if tt.name == "once" && !strings.Contains(strings.Join(changes[0].Returning, "\n"), arn("bob")) {
				t.Errorf("the operator is not told that bob returns: %+v", changes[0])
			}
			plane := p.another(t)
			sealed := must(plane.Bundle(t.Context(), id))
			if sealed.Epoch != done.Epoch || sealed.Serial >= old.Serial {
				t.Errorf("epoch %d, serial %d after %d", sealed.Epoch, sealed.Serial, old.Serial)
			}
			if err := machine.accept(sealed); err != nil {
				t.Errorf("the new bundle: %v", err)
			}
			for _, before := range seen {
				if err := machine.accept(before); !errors.Is(err, wire.ErrRollback) {
					t.Errorf("the bundle of epoch %d: %v", before.Epoch, err)
				}
			}
			if again := must(plane.Bundle(t.Context(), id)); string(again.Note) != string(sealed.Note) {
				t.Error("the same serial is other bytes")
			}
			seen = append(seen, sealed)
		})
	}
}

// restore puts a backup in the place of the database, which nobody has open.
func (p *plane) restore(t *testing.T, backup string) (store.Restored, []store.Tally) {
	t.Helper()
	prepared, err := store.Restore{Database: p.path}.Prepare(t.Context(), backup)
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	done, err := prepared.Commit(t.Context(), store.Entry{At: p.cfg.Now(), Actor: "system", Action: "latchkey:RestoreBackup"})
	if err != nil {
		t.Fatal(err)
	}
	return done, prepared.Changes
}
