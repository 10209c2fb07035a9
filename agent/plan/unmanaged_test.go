package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

const (
	keyText  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c" // that of grant
	keyOther = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
	keyThird = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP79sB/+KWwMF4Dy/NwW+3bKKiSeqDQKxQSvhx4TKP2f"
	weakKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// planted is a key file in a home, as it would be read.
func planted(user, text string) []plan.ForeignFile {
	lines, err := plan.ReadForeign([]byte(text))
	return []plan.ForeignFile{{Path: layout.HomeBase + "/" + user + "/.ssh/authorized_keys", Lines: lines, Err: err}}
}

// TestDiff_unmanaged: what becomes of keys that somebody put into homes of our accounts,
// by the stack's wish; homes of others are never touched (requirement R28 in part).
func TestDiff_unmanaged(t *testing.T) {
	alice, bob := grant(t, "alice", 20001, false), grant(t, "bob", 20002, false)
	third := parsed(t, keyThird)
	bob.Keys = []authz.Key{third}
	const (
		file = "/home/alice/.ssh/authorized_keys"
		kept = "/var/lib/latchkey/quarantine/alice.20001"
	)
	for _, c := range []struct {
		name    string
		wish    plan.Unmanaged
		file    []plan.ForeignFile
		revoked bool
		want    string
	}{
		{"nothing-wished", "report", planted("alice", keyOther+"\n"), false, ""},
		{"allowed", "allow", planted("alice", keyOther+"\n"), false, ""},
		{"quarantine", plan.UnmanagedQuarantine, planted("alice", "# mine\n\n"+keyOther+" me\nnonsense\n"), false,
			"take 2 keys of alice (uid 20001) out of " + file + ", keep them in " + kept + "\n"},
		{"quarantine-nothing", plan.UnmanagedQuarantine, planted("alice", "# mine\n\n"), false, ""},
		{"quarantine-of-a-leaver", plan.UnmanagedQuarantine, planted("alice", keyOther), true,
			"take 1 key of alice (uid 20001) out of " + file + ", keep them in " + kept + "\nlock account alice (uid 20001)\n"},
		{"quarantine-unread", plan.UnmanagedQuarantine, []plan.ForeignFile{{Path: file, Err: plan.ErrHomeRead}}, false,
			"refused \"" + file + "\": " + plan.ErrHomeRead.Text + "\n"},
		{"adopt", plan.UnmanagedAdopt, planted("alice", "# mine\n"+keyOther+" me\n"+keyText+"\n"), false,
			"adopt key ssh-ed25519 SHA256:4A9jyZBOhnKZvcGQ6TRFbf5Gymb41AfYvYaVmWHD+G4 of alice (uid 20001) from " + file + "\n"},
		{"adopt-refused", plan.UnmanagedAdopt, planted("alice", `from="*" `+keyOther+"\n"+weakKey+"\n"+keyThird+"\nnonsense\n"), false,
			"refused \"" + file + " line 1\": " + authz.ErrKeyOptions.Text + "\nrefused \"" + file + " line 2\": " + authz.ErrKeyWeakPoint.Text +
				"\nrefused \"" + file + " line 3\": " + plan.ErrKeyOfOther.Text + "\nrefused \"" + file + " line 4\": " + authz.ErrKeyEmpty.Text + "\n"},
		{"adopt-of-a-leaver", plan.UnmanagedAdopt, planted("alice", keyOther), true,
			"take 1 key of alice (uid 20001) out of " + file + ", keep them in " + kept + "\nlock account alice (uid 20001)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			have, owned := fresh(), plan.NewLedger()
			apply(t, &have, &owned, plan.Diff(have, plan.Desired{Grants: []authz.Grant{alice, bob}}, owned, layout))
			have.Foreign = map[authz.Username][]plan.ForeignFile{alice.Username: c.file, mustName(t, "deby"): planted("deby", keyOther)}
			want := plan.Desired{Grants: []authz.Grant{alice, bob}, Unmanaged: c.wish, MinRSABits: 2048}
			if c.revoked {
				want.Grants = want.Grants[1:]
				delete(have.Files, layout.KeysDir+"/alice")
				have.Accounts["alice"] = without(have.Accounts["alice"])
			}
			got := plan.Diff(have, want, owned, layout).String()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// without takes an account out of the groups that a plan would take it out of.
func without(a plan.Account) plan.Account {
	a.Groups = []string{layout.MarkerGroup}
	return a
}

// TestDiff_adopted: an adopted key is the account's as the others are, until it is
// another user's, the stack wants none, or the account is closed; then it is forgotten
// (requirement R31 in part).
func TestDiff_adopted(t *testing.T) {
	alice, bob := grant(t, "alice", 20001, false), grant(t, "bob", 20002, false)
	bob.Keys = nil
	have, owned := fresh(), plan.NewLedger()
	want := plan.Desired{Grants: []authz.Grant{alice, bob}, Unmanaged: plan.UnmanagedAdopt, MinRSABits: 2048}
	make := func() {
		t.Helper()
		for range 3 {
			apply(t, &have, &owned, plan.Diff(have, want, owned, layout))
		}
		if p := plan.Diff(have, want, owned, layout); !p.Empty() {
			t.Errorf("there is more to do:\n%s", p)
		}
	}
	keys := func(user string) int {
		return strings.Count(string(have.Files[layout.KeysDir+"/"+user].Content), " AAAAC3Nza")
	}
	make()
	have.Foreign = map[authz.Username][]plan.ForeignFile{alice.Username: planted("alice", keyOther+" me\n"), bob.Username: planted("bob", keyOther+"\n")}
	make()
	if keys("alice") != 2 || keys("bob") != 0 || len(owned.Accounts[alice.Username].Adopted) != 1 {
		t.Errorf("alice has %d keys, bob %d; the ledger says %+v", keys("alice"), keys("bob"), owned.Accounts)
	}
	delete(have.Foreign, alice.Username) // taken out of the home it stays
	make()
	if keys("alice") != 2 {
		t.Errorf("alice has %d keys", keys("alice"))
	}
	delete(have.Foreign, bob.Username)
	other := parsed(t, keyOther)
	want.Grants = []authz.Grant{alice, bob}
	want.Grants[1].Keys = []authz.Key{other} // now it is bob's by the stack
	make()
	if keys("alice") != 1 || keys("bob") != 1 {
		t.Errorf("when it is bob's, alice has %d keys, bob %d", keys("alice"), keys("bob"))
	}
	want.Grants[1].Keys = nil
	want.Unmanaged = "report"
	make()
	if keys("alice") != 1 || !owned.Disown() || owned.Disown() {
		t.Errorf("when none is wanted, alice has %d keys; the ledger says %+v", keys("alice"), owned.Accounts)
	}
	want.Unmanaged = plan.UnmanagedAdopt
	have.Foreign[alice.Username] = planted("alice", keyOther)
	make()
	want.Grants = []authz.Grant{bob}
	make()
	if len(owned.Accounts[alice.Username].Adopted) != 0 || len(have.Foreign[alice.Username]) != 0 {
		t.Errorf("after the revocation the ledger says %+v, and in the home is %+v", owned.Accounts, have.Foreign)
	}
	want.Grants = []authz.Grant{alice, bob}
	make()
	if keys("alice") != 1 {
		t.Errorf("granted again alice has %d keys", keys("alice"))
	}
}

// TestDiff_adoptsFew: an account adopts no more than sixteen keys, whatever lies in its
// home.
func TestDiff_adoptsFew(t *testing.T) {
	alice := grant(t, "alice", 20001, false)
	have, owned := fresh(), plan.NewLedger()
	want := plan.Desired{Grants: []authz.Grant{alice}, Unmanaged: plan.UnmanagedAdopt, MinRSABits: 2048}
	apply(t, &have, &owned, plan.Diff(have, want, owned, layout))
	have.Foreign = map[authz.Username][]plan.ForeignFile{alice.Username: planted("alice", strings.Repeat("nonsense\n", 1000)+keyOther)}
	p := plan.Diff(have, want, owned, layout)
	many := 0
	for _, r := range p.Refused {
		if errors.Is(r.Reason, plan.ErrKeysMany) {
			many++
		}
	}
	if !p.Empty() || many != 1001-16 {
		t.Errorf("%d of %d are too many:\n%.300s", many, len(p.Refused), p)
	}
}

// TestTakeForeign_block: our own lines are nobody's planted keys, and damaged marks stop
// everything (requirement R41 in part).
func TestTakeForeign_block(t *testing.T) {
	file, err := plan.SetBlock([]byte("# mine\n"+keyOther+"\n"), []byte(keyText+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := plan.ReadForeign(append(file, keyThird...))
	if diff := cmp.Diff([]plan.ForeignLine{{2, keyOther}, {6, keyThird}}, lines); diff != "" || err != nil {
		t.Errorf("%v, foreign lines (-want +got):\n%s", err, diff)
	}
	left, taken, err := plan.TakeForeign(append(file, keyThird...))
	want, _ := plan.SetBlock([]byte("# mine\n"), []byte(keyText+"\n"))
	if string(left) != string(want) || string(taken) != keyOther+"\n"+keyThird+"\n" || err != nil {
		t.Errorf("left is %q, taken %q, %v", left, taken, err)
	}
	damaged := []byte(strings.Replace(string(file), "# latchkey end", "#latchkey", 1))
	if _, err := plan.ReadForeign(damaged); !errors.Is(err, plan.ErrBlock) {
		t.Errorf("of damaged marks: %v", err)
	}
	if left, taken, err := plan.TakeForeign(damaged); !errors.Is(err, plan.ErrBlock) || left != nil || taken != nil {
		t.Errorf("of damaged marks is left %q, taken %q, %v", left, taken, err)
	}
}

// FuzzTakeForeign: no line is lost, and none stays that sshd may read as a key.
func FuzzTakeForeign(f *testing.F) {
	f.Add([]byte("# mine\n" + keyOther + "\r\n\n  \tssh-rsa x"))
	block, err := plan.SetBlock([]byte("x\n"), []byte("y\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(block, 'z'))
	f.Fuzz(func(t *testing.T, file []byte) {
		foreign := func(file []byte) int {
			lines, err := plan.ReadForeign(file)
			if err != nil {
				t.Errorf("%q: %v", file, err)
			}
			return len(lines)
		}
		left, taken, err := plan.TakeForeign(file)
		if err != nil {
			return
		}
		if n := foreign(left); n != 0 {
			t.Errorf("%q leaves %d lines in %q", file, n, left)
		}
		if n, m := foreign(file), foreign(taken); n != m {
			t.Errorf("of %q with %d lines %d are taken: %q", file, n, m, taken)
		}
		count := func(b []byte) map[string]int {
			lines := map[string]int{}
			for line := range strings.Lines(string(b)) {
				lines[strings.TrimSuffix(line, "\n")]++
			}
			return lines
		}
		if diff := cmp.Diff(count(file), count(slices.Concat(left, []byte(newline(left)), taken))); diff != "" {
			t.Errorf("%q is not %q and %q (-want +got):\n%s", file, left, taken, diff)
		}
	})
}

// newline ends what is left where its last line has no end.
func newline(left []byte) string {
	if len(left) == 0 || left[len(left)-1] == '\n' {
		return ""
	}
	return "\n"
}
