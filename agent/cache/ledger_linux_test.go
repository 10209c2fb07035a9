package cache_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestLedger_Again: what a caller does to a ledger that was read is not in the next one,
// and what another program stored is, also where it is damaged.
func TestLedger_Again(t *testing.T) {
	dir, path := newDir(t)
	want := fullLedger(t)
	must(t, dir.SaveLedger(want))
	for range 2 {
		got, err := dir.Ledger()
		must(t, err)
		if !reflect.DeepEqual(got, fullLedger(t)) {
			t.Fatalf("got %+v, want %+v", got, fullLedger(t))
		}
		for user, o := range got.Accounts {
			o.State, o.Before.Groups[0], o.Adopted[0] = plan.Revoked, "x", "x"
			o.Before.Passwd = "x"
			got.Accounts[user] = o
		}
		got.Groups["x"], got.SSHDModes[0] = true, "x"
	}
	other := open(path)
	want.Sudoers = !want.Sudoers
	must(t, other.SaveLedger(want))
	if got, err := dir.Ledger(); err != nil || got.Sudoers != want.Sudoers {
		t.Errorf("after another program's change: sudoers %v, error %v", got.Sudoers, err)
	}
	must(t, os.WriteFile(filepath.Join(path, "ledger.json"), []byte("{}\n"), 0o600))
	if got, err := dir.Ledger(); err == nil {
		t.Errorf("a damaged file was read as %+v", got)
	}
	must(t, other.SaveLedger(want))
	if got, err := dir.Ledger(); err != nil || got.Sudoers != want.Sudoers {
		t.Errorf("after the damage was repaired: sudoers %v, error %v", got.Sudoers, err)
	}
}

// fullLedger has an account that was adopted, with keys.
func fullLedger(t *testing.T) plan.Ledger {
	t.Helper()
	var alice authz.Username
	must(t, alice.UnmarshalText([]byte("alice")))
	l := plan.NewLedger()
	id, err := authz.ParseUserID("00020001-0000-4000-8000-000000000000")
	must(t, err)
	l.Accounts[alice] = plan.Owned{User: id, UID: 20001, State: plan.Present, Before: &plan.Before{Passwd: "p", Shadow: "s", Groups: []string{"g"}},
		Adopted: []string{"ssh-ed25519 AAAA"}}
	l.Groups["latchkey"] = true
	l.SSHDModes = []plan.KeysMode{plan.KeysHome}
	return l
}
