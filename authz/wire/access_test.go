package wire_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// TestAccess_OneBadUser: each fault refuses the one user that has it, and the others
// come through, before him and behind him (requirements R105 and R147).
func TestAccess_OneBadUser(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*wire.User)
		want   *name.Refusal
	}{
		{name: "root", change: func(u *wire.User) { u.Name = "root" }, want: name.ErrReserved},
		{name: "path-as-name", change: func(u *wire.User) { u.Name = "../x" }, want: name.ErrStart},
		{name: "upper-case-name", change: func(u *wire.User) { u.Name = "aLL" }, want: name.ErrCharacter},
		{name: "two-lines-as-name", change: func(u *wire.User) { u.Name = "bob\nroot" }, want: name.ErrCharacter},
		{name: "no-name", change: func(u *wire.User) { u.Name = "" }, want: name.ErrEmpty},
		{name: "uid-0", change: func(u *wire.User) { u.UID = 0 }, want: authz.ErrUIDRange},
		{name: "uid-negative", change: func(u *wire.User) { u.UID = -1 }, want: authz.ErrUIDRange},
		{name: "uid-of-nobody", change: func(u *wire.User) { u.UID = 65534 }, want: authz.ErrUIDRange},
		{name: "uid-wraps-to-0", change: func(u *wire.User) { u.UID = 1 << 32 }, want: authz.ErrUIDRange},
		{name: "uid-wraps-to-1000", change: func(u *wire.User) { u.UID = 1<<32 + 1000 }, want: authz.ErrUIDRange},
		{name: "uid-smallest", change: func(u *wire.User) { u.UID = math.MinInt64 }, want: authz.ErrUIDRange},
		{name: "bad-id", change: func(u *wire.User) { u.ID = "bob" }, want: authz.ErrID},
		{name: "bad-arn", change: func(u *wire.User) { u.ARN = "arn:aws:iam::1:user/bob" }, want: authz.ErrARN},
		{name: "key-with-options", change: func(u *wire.User) { u.Keys = []string{keyA, `command="id" ` + keyB} }, want: authz.ErrKeyOptions},
		{name: "two-keys-in-one", change: func(u *wire.User) { u.Keys = []string{keyA + "\n" + keyB} }, want: authz.ErrKeyLines},
		{name: "universal-key", change: func(u *wire.User) {
			u.Keys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
		}, want: authz.ErrKeyWeakPoint},
		{name: "end-malformed", change: func(u *wire.User) { u.NotAfter = "never" }, want: wire.ErrTime},
		{name: "end-without-zone", change: func(u *wire.User) { u.NotAfter = "2030-01-01T00:00:00" }, want: wire.ErrTime},
		{name: "end-in-another-zone", change: func(u *wire.User) { u.NotAfter = "2030-01-01T00:00:00+05:30" }, want: wire.ErrTime},
		{name: "end-is-the-zero-time", change: func(u *wire.User) { u.NotAfter = "0001-01-01T00:00:00Z" }, want: wire.ErrTime},
		{name: "same-name", change: func(u *wire.User) { u.Name = "alice" }, want: wire.ErrTwice},
		{name: "same-uid", change: func(u *wire.User) { u.UID = 20001 }, want: wire.ErrTwice},
		{name: "same-id", change: func(u *wire.User) { u.ID = newUser("alice", 20001).ID }, want: wire.ErrTwice},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBundle()
			bad := newUser("bob", 20002)
			c.change(&bad)
			b.Users = []wire.User{newUser("alice", 20001), bad, newUser("carol", 20003)}
			access, rejected := b.Access()
			if got := logins(access); got != "alice carol" {
				t.Errorf("let in: %s", got)
			}
			if len(rejected) != 1 || rejected[0].Name != bad.Name || !errors.Is(rejected[0].Reason, c.want) {
				t.Errorf("rejected: %v, want %v", rejected, c.want)
			}
		})
	}
}

// TestAccess_BadCommands holds R105 in part and T-S2 in part: whose list of commands is
// not one that the control plane writes has no sudo at all, and still gets in.
func TestAccess_BadCommands(t *testing.T) {
	for situation, c := range map[string]struct {
		list []string
		want error
	}{
		"everything":   {[]string{"ALL"}, authz.ErrCommandSpecial},
		"one-of-three": {[]string{"/bin/a", "/bin/b, !/bin/c", "/bin/d"}, authz.ErrCommandSpecial},
		"two-lines":    {[]string{"/bin/a\nmallory ALL=(ALL:ALL) NOPASSWD: ALL"}, authz.ErrCommandSpecial},
		"a-new-line":   {[]string{"/bin/a\n/bin/b"}, authz.ErrCommandLetter},
		"relative":     {[]string{"sh"}, authz.ErrCommandAbsolute},
		"empty":        {[]string{""}, authz.ErrCommandEmpty},
		"not-sorted":   {[]string{"/bin/b", "/bin/a"}, wire.ErrNotCanonical},
		"twice":        {[]string{"/bin/a", "/bin/a"}, wire.ErrNotCanonical},
		"too-many":     {make([]string, authz.MaxCommands+1), authz.ErrCommandCount},
	} {
		t.Run(situation, func(t *testing.T) {
			b := newBundle()
			bad := newUser("bob", 20002)
			bad.SudoCommands = c.list
			b.Users = []wire.User{newUser("alice", 20001), bad, newUser("carol", 20003)}
			access, rejected := b.Access()
			if got := logins(access); got != "alice bob carol" {
				t.Fatalf("let in: %s", got)
			}
			if len(rejected) != 1 || rejected[0].Name != "bob" || !errors.Is(rejected[0].Reason, c.want) {
				t.Errorf("rejected: %v, want %v", rejected, c.want)
			}
			if g := access.Grants[1]; g.Sudo || !g.SudoCommands.IsZero() || !access.Grants[0].Sudo || !access.Grants[2].Sudo {
				t.Errorf("sudo: %+v", access.Grants)
			}
		})
	}
	b := newBundle()
	b.Users[0].Sudo, b.Users[0].SudoCommands = false, []string{"ALL"}
	if access, rejected := b.Access(); len(rejected) != 0 || len(access.Grants) != 1 || access.Grants[0].Sudo {
		t.Errorf("without sudo: %v, %v", access, rejected)
	}
}

// TestAccess_OneOfMany: the refusal does not depend on how many are well (T-L7 in
// part).
func TestAccess_OneOfMany(t *testing.T) {
	b := newBundle()
	b.Users = nil
	for i := range 1000 {
		b.Users = append(b.Users, newUser(fmt.Sprintf("user%04d", i), int64(20000+i)))
	}
	b.Users[500].Name = "ALL"
	b.Users[999] = b.Users[3]
	access, rejected := b.Access()
	if len(access.Grants) != 998 || len(rejected) != 2 {
		t.Errorf("%d let in, rejected: %v", len(access.Grants), rejected)
	}
	if access.Stack.String() != stackID {
		t.Errorf("stack %s", access.Stack)
	}
}

func TestAccess_Values(t *testing.T) {
	b := newBundle()
	plain, sudo, outside, ends := newUser("alice", 20001), newUser("bob", 20002), newUser("carol", 20003), newUser("dave", 20004)
	plain.Sudo = false
	sudo.Keys = []string{keyA, keyB}
	sudo.SudoCommands = []string{"/bin/a x", "/bin/b"}
	sudo.Restricted = true
	outside.SSH, outside.Name = false, "not even a name" // who may not enter is no fault
	ends.NotAfter = "2030-01-01T00:00:00Z"
	b.Users = []wire.User{plain, sudo, outside, ends}
	access, rejected := b.Access()
	if got := logins(access); got != "alice bob dave" || len(rejected) != 0 {
		t.Fatalf("let in: %s; rejected: %v", got, rejected)
	}
	alice, bob, dave := access.Grants[0], access.Grants[1], access.Grants[2]
	if alice.Restricted || !bob.Restricted {
		t.Errorf("restricted are alice: %t, bob: %t", alice.Restricted, bob.Restricted)
	}
	if alice.Sudo || !bob.Sudo || bob.SudoCommands.Sudoers() != `/bin/a x, /bin/b ""` || !dave.SudoCommands.IsZero() || len(alice.Keys) != 1 || len(bob.Keys) != 2 || bob.Keys[1].String() != keyB || bob.UID != 20002 {
		t.Errorf("got %+v and %+v", alice, bob)
	}
	if !alice.NotAfter.IsZero() || !dave.NotAfter.Equal(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("ends %v and %v", alice.NotAfter, dave.NotAfter)
	}
	for i, u := range []wire.User{plain, sudo, ends} {
		if got := wire.UserOf(access.Grants[i]); !reflect.DeepEqual(got, u) {
			t.Errorf("printed again: %+v, want %+v", got, u)
		}
	}
}

// TestAccess_Settings: the stack's smallest RSA key holds on the instance too.
func TestAccess_Settings(t *testing.T) {
	b := newBundle()
	b.Settings.MinRSABits = 3072
	u := newUser("bob", 20002)
	blob := "\x00\x00\x00\x07ssh-rsa\x00\x00\x00\x03\x01\x00\x01\x00\x00\x01\x01\x00" + strings.Repeat("\x81", 256) // 2048 bits
	u.Keys = []string{"ssh-rsa " + base64.StdEncoding.EncodeToString([]byte(blob))}
	b.Users = []wire.User{u}
	if _, rejected := b.Access(); len(rejected) != 1 || !errors.Is(rejected[0].Reason, authz.ErrKeyRSATooSmall) {
		t.Errorf("rejected: %v, want %v", rejected, authz.ErrKeyRSATooSmall)
	}
	b.Settings.MinRSABits = 2048
	if access, rejected := b.Access(); len(rejected) != 0 || len(access.Grants) != 1 {
		t.Errorf("rejected under the smaller limit: %v", rejected)
	}
}

func newUser(login string, uid int64) wire.User {
	return wire.User{
		ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", uid), ARN: "arn:aws:iam::123456789012:user/" + login,
		Name: login, UID: uid, Keys: []string{keyA}, SSH: true, Sudo: true, SudoCommands: []string{},
	}
}

func logins(a authz.Access) string {
	var all []string
	for _, g := range a.Grants {
		all = append(all, g.Username.String())
	}
	return strings.Join(all, " ")
}
