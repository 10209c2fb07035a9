package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// changePolicies changes something of each kind that policies are made of, at u1 and
// the group ops of newControlPlane.
func changePolicies(ctx context.Context, tx *store.Tx) error {
	u1, ops := userID(1), store.HeldByGroup("OPS")
	return errors.Join(
		tx.PutInlinePolicy(ctx, store.HeldByUser(u1), store.InlinePolicy{Name: "Own", Document: []byte(`{"n":10}`)}),
		tx.PutManagedPolicy(ctx, "deploy", []byte(`{"n":20}`)),
		tx.DetachPolicy(ctx, ops, "deploy"),
		tx.AttachPolicy(ctx, ops, "LatchkeyReadOnly"),
		tx.DeleteInlinePolicy(ctx, ops, "Night"),
		tx.InsertGroup(ctx, "dev"),
		tx.AddMember(ctx, "dev", u1),
		tx.RemoveMember(ctx, "ops", u1),
		tx.SetBoundary(ctx, u1, ""),
		tx.SetTag(ctx, store.OfUser(u1), store.Tag{Key: "team", Value: "db"}),
		tx.SetAccessKeyActive(ctx, "LKIA1", false),
	)
}

// What an operator reads before he says yes (requirement R101 in part).
func TestRestore_Prepare(t *testing.T) {
	dir := t.TempDir()
	database, backup := since(t, dir)
	before := dump(t, database)
	p := prepare(t, database, backup)
	if p.Fault != nil || p.Backup.Users != 2 || p.Present == nil || p.Present.Users != 2 || p.Present.Stacks != 2 {
		t.Errorf("backup %+v, present %+v, fault %v", p.Backup, p.Present, p.Fault)
	}
	const arn, stack = "arn:aws:iam::000000000000:user/", "s1 00000001-0000-4000-8000-000000000000"
	want := []store.Tally{
		{
			Kind: store.KindUser, Backup: 2, Present: 2,
			Returning: []string{arn + "u0 as u0, uid 20000"}, Lost: []string{arn + "u2 as u2, uid 20002"},
		}, {
			Kind: store.KindPermission, Backup: 2, Present: 1,
			Returning: []string{
				arn + "u0 on " + stack + ": deploy, ssh, until 2026-03-01T12:00:00Z",
				arn + "u1 on " + stack + ": deploy, ssh, until 2026-03-01T12:00:00Z",
			},
			Lost: []string{arn + "u1 on " + stack + ": deny"},
		}, {
			Kind: store.KindPolicy, Backup: 6, Present: 3,
			Returning: []string{
				arn + "u0 " + string(authz.FullAccess), arn + "u0 inline Own sha256 " + digest(`{"n":1}`),
				arn + "u1 inline Own sha256 " + digest(`{"n":1}`),
				"group ops Deploy", "group ops inline Night sha256 " + digest(`{"n":3}`),
			},
			Lost: []string{arn + "u1 inline Own sha256 " + digest(`{"n":10}`), "group ops LatchkeyReadOnly"},
		}, {
			Kind: store.KindManagedPolicy, Backup: 1, Present: 1,
			Returning: []string{"Deploy sha256 " + digest(`{"n":2}`)}, Lost: []string{"Deploy sha256 " + digest(`{"n":20}`)},
		}, {
			Kind: store.KindGroup, Backup: 1, Present: 2, Lost: []string{"dev"},
		}, {
			Kind: store.KindMember, Backup: 2, Present: 1,
			Returning: []string{arn + "u0 in ops", arn + "u1 in ops"}, Lost: []string{arn + "u1 in dev"},
		}, {
			Kind: store.KindBoundary, Backup: 2, Present: 0, Returning: []string{arn + "u0 Deploy", arn + "u1 Deploy"},
		}, {
			Kind: store.KindUserTag, Backup: 2, Present: 1,
			Returning: []string{arn + `u0 "team" = "web"`, arn + `u1 "team" = "web"`}, Lost: []string{arn + `u1 "team" = "db"`},
		}, {
			Kind: store.KindSSHKey, Backup: 2, Present: 1,
			Returning: []string{arn + "u0 " + must(authz.ParseKey(keyOne, authz.KeyPolicy{})).Fingerprint()},
		}, {
			Kind: store.KindAccessKey, Backup: 2, Present: 1,
			Returning: []string{arn + "u0 LKIA0", arn + "u1 LKIA1"}, Lost: []string{arn + "u1 LKIA1, inactive"},
		}, {
			Kind: store.KindStack, Backup: 1, Present: 2, Lost: []string{"s2 00000002-0000-4000-8000-000000000000"},
		}, {
			Kind: store.KindInstance, Backup: 1, Present: 1,
		},
	}
	for i := range want { // none is an empty list
		want[i].Returning, want[i].Lost = append([]string{}, want[i].Returning...), append([]string{}, want[i].Lost...)
	}
	if diff := cmp.Diff(want, p.Changes); diff != "" {
		t.Error(diff)
	}
	// He says no.
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump(t, database)); diff != "" {
		t.Error(diff)
	}
	if left := files(t, dir); !slices.Equal(left, []string{"backup", "latchkey.db"}) {
		t.Errorf("left %q", left)
	}
}

// digest is the short one that stands for a document.
func digest(document string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(document)))[:12]
}
