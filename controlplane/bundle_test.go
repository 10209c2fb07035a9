package controlplane_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/controlplane"
	"latchkey/controlplane/store"
)

func TestControlPlane_Bundle_Head(t *testing.T) {
	p := newPlane(t)
	p.user(t, "zoe", keyOne)
	p.user(t, "adam", keyTwo)
	p.user(t, "out")
	stack := p.stack(t, "stack")
	p.grant(t, stack, "zoe", "deploy", true, false)
	p.grant(t, stack, "adam", "iam_only", true, true)
	p.grant(t, stack, "out", "manage", false, true)
	entries := p.audit(t)
	var head store.LogHead
	err := p.cfg.Store.Read(t.Context(), func(v store.View) (err error) {
		head, err = v.AuditHead(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed, b := p.bundle(t, stack)
	if b.Log.Size != int64(len(entries)) || b.Log.Root != head.Hash {
		t.Errorf("log %+v, want %+v", b.Log, head)
	}
	if b.Issued != "2026-03-01T12:00:00Z" || b.Epoch != 1 || b.Serial != sealed.Serial || b.Serial != 3 {
		t.Errorf("issued %s, epoch %d, serial %d", b.Issued, b.Epoch, b.Serial)
	}
	access, rejected := b.Access()
	if len(rejected) != 0 || len(access.Grants) != 2 || access.Grants[0].Username.String() != "adam" || !access.Grants[0].Sudo || access.Grants[1].Sudo {
		t.Errorf("grants %+v, rejected %+v", access.Grants, rejected)
	}
}

// One serial is the same bytes for ever: asked twice, later, after a restart, and
// at two processes at once.
func TestControlPlane_Bundle_SameBytes(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	id := must(authz.ParseStackID(stack))
	for round := range 5 {
		p.grant(t, stack, "alice", "show", round%2 == 0, false)
		// Their clocks differ, so each would sign other bytes.
		planes := []*controlplane.ControlPlane{p.ControlPlane, p.late(t, time.Second), p.late(t, time.Minute)}
		answers := make(chan controlplane.Sealed, 30)
		for n := range cap(answers) {
			go func() {
				sealed, err := planes[n%len(planes)].Bundle(context.Background(), id)
				if err != nil {
					t.Error(err)
				}
				answers <- sealed
			}()
		}
		first := <-answers
		for range cap(answers) - 1 {
			if s := <-answers; s.Serial != first.Serial || !bytes.Equal(s.Note, first.Note) {
				t.Fatalf("serial %d and %d with other bytes", s.Serial, first.Serial)
			}
		}
		p.pass(time.Hour)
		p.stack(t, fmt.Sprint("other ", round)) // the audit log goes on, the bundle does not
		later, err := p.another(t).Bundle(t.Context(), id)
		if err != nil || !bytes.Equal(later.Note, first.Note) {
			t.Errorf("after a restart: %v, other bytes", err)
		}
	}
	p.audit(t) // heads in bundles match the log
}

// late opens the same database again with a clock that is ahead.
func (p *plane) late(t *testing.T, by time.Duration) *controlplane.ControlPlane {
	t.Helper()
	cfg := p.cfg
	cfg.Store = openStore(t, p.path)
	cfg.Now = func() time.Time { return p.cfg.Now().Add(by) }
	return p.open(t, cfg)
}

// Two processes: what one changes, the other serves.
func TestControlPlane_Bundle_OtherProcessChanges(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	other := p.another(t)
	before, err := other.Bundle(t.Context(), must(authz.ParseStackID(stack)))
	if err != nil {
		t.Fatal(err)
	}
	p.grant(t, stack, "alice", "show", true, false)
	after, err := other.Bundle(t.Context(), must(authz.ParseStackID(stack)))
	if err != nil || after.Serial != before.Serial+1 {
		t.Errorf("serial %d after %d, %v", after.Serial, before.Serial, err)
	}
}

func TestControlPlane_Changed(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice")
	one, two := p.stack(t, "one"), p.stack(t, "two")
	waitOne, waitTwo := p.Changed(must(authz.ParseStackID(one))), p.Changed(must(authz.ParseStackID(two)))
	isClosed := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	p.grant(t, one, "alice", "show", false, false) // nothing that a machine would see
	if isClosed(waitOne) {
		t.Error("closed by a change that is none for the machines")
	}
	_, err := p.SetPermission(t.Context(), as("alice"), controlplane.SetPermissionRequest{StackId: one, IamUserArn: arn("alice"), AllowSsh: ptr(true)})
	if err == nil || isClosed(waitOne) {
		t.Errorf("closed by a refused change, %v", err)
	}
	p.grant(t, one, "alice", "show", true, false)
	if !isClosed(waitOne) || isClosed(waitTwo) {
		t.Error("the changed stack's channel is open, or the other's is closed")
	}
	if isClosed(p.Changed(must(authz.ParseStackID(one)))) {
		t.Error("the next channel is closed already")
	}
}

func TestControlPlane_Bundle_UnknownStack(t *testing.T) {
	p := newPlane(t)
	_, err := p.Bundle(t.Context(), must(authz.ParseStackID(noStack)))
	expectError(t, err, controlplane.NotFound, "Unable to find stack with ID "+noStack)
}

// A permission's end is in the bundle, for the machines to keep; the serial does
// not move when it comes.
func TestControlPlane_Bundle_NotAfter(t *testing.T) {
	p := newPlane(t)
	p.user(t, "alice", keyOne)
	stack := p.stack(t, "stack")
	p.grant(t, stack, "alice", "show", true, false)
	err := p.cfg.Store.Write(t.Context(), store.Entry{At: noon, Actor: "test", Action: "test"}, func(tx *store.Tx) error {
		u, err := tx.UserByARN(t.Context(), as("alice").ARN)
		if err != nil {
			return err
		}
		id := must(authz.ParseStackID(stack))
		perm, err := tx.Permission(t.Context(), id, u.ID)
		if err != nil {
			return err
		}
		perm.NotAfter = noon.Add(time.Hour)
		if err := tx.SetPermission(t.Context(), perm); err != nil {
			return err
		}
		return tx.RaiseSerial(t.Context(), id)
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed, b := p.bundle(t, stack)
	if len(b.Users) != 1 || b.Users[0].NotAfter != "2026-03-01T13:00:00Z" {
		t.Errorf("users %+v", b.Users)
	}
	p.pass(2 * time.Hour)
	if again, _ := p.bundle(t, stack); !bytes.Equal(again.Note, sealed.Note) {
		t.Error("other bytes after the end")
	}
	p.user(t, "bob", keyTwo)
	p.grant(t, stack, "bob", "show", true, false)
	_, b = p.bundle(t, stack)
	if len(b.Users) != 2 || b.Users[0].Name != "alice" || b.Users[1].Name != "bob" || !b.Users[1].SSH {
		t.Errorf("the next bundle has %+v", b.Users)
	}
	if u := b.Users[0]; u.SSH || u.Sudo || len(u.Keys) != 0 {
		t.Errorf("the next bundle gives her %+v", u)
	}
	// Whoever takes her off the stack then has asked for it.
	_, err = p.SetPermission(t.Context(), p.admin, controlplane.SetPermissionRequest{StackId: stack, IamUserArn: arn("alice"), AllowSsh: ptr(false)})
	expectError(t, err, "", "")
	if _, after := p.bundle(t, stack); len(after.Users) != 1 || len(after.Confirmed) != 1 || after.Confirmed[0] != b.Users[0].ID {
		t.Errorf("taken off, she is in %+v, confirmed %v", after.Users, after.Confirmed)
	}
}

// TestBundle_Confirms: what somebody asked for is confirmed in the bundle, for as long
// as instances may be away, and nothing else is.
func TestBundle_Confirms(t *testing.T) {
	p := newPlane(t)
	stack, other := p.stack(t, "stack"), p.stack(t, "other")
	ids := map[string]string{}
	for _, name := range []string{"revoked", "demoted", "deleted", "kept", "promoted"} {
		p.user(t, name)
		p.grant(t, stack, name, "show", true, name == "demoted" || name == "kept")
		p.grant(t, other, name, "show", true, true)
	}
	_, before := p.bundle(t, stack)
	for _, u := range before.Users {
		ids[u.Name] = u.ID
	}
	if len(before.Users) != 5 || len(before.Confirmed) != 0 {
		t.Fatalf("%d users, confirmed %v", len(before.Users), before.Confirmed)
	}
	p.grant(t, stack, "revoked", "show", false, false)
	p.grant(t, stack, "demoted", "show", true, false)
	p.grant(t, stack, "kept", "deploy", true, true)
	p.grant(t, stack, "promoted", "show", true, true)
	_, err := p.DeleteUserProfile(t.Context(), p.admin, controlplane.DeleteUserProfileRequest{IamUserArn: arn("deleted")})
	expectError(t, err, "", "")
	want := []string{ids["revoked"], ids["demoted"], ids["deleted"]}
	slices.Sort(want)
	if _, after := p.bundle(t, stack); !slices.Equal(after.Confirmed, want) {
		t.Errorf("confirmed %v, want %v", after.Confirmed, want)
	}
	if _, after := p.bundle(t, other); !slices.Equal(after.Confirmed, []string{ids["deleted"]}) {
		t.Errorf("on the other stack %v is confirmed", after.Confirmed)
	}
	p.pass(91 * 24 * time.Hour)
	p.grant(t, stack, "promoted", "show", false, false)
	if _, after := p.bundle(t, stack); !slices.Equal(after.Confirmed, []string{ids["promoted"]}) {
		t.Errorf("after 91 days %v is confirmed", after.Confirmed)
	}
}
