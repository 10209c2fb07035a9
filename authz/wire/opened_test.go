package wire_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/authz/wire"
)

// TestOpenAfter_Proved holds R153 in part: a change of few users among many has their
// keys proved and nobody else's (requirements R4 and R6), and a bundle that comes after
// none is proved whole.
func TestOpenAfter_Proved(t *testing.T) {
	const many = 500
	for _, c := range []struct {
		name   string
		change func(*wire.Bundle)
		want   int
	}{
		{name: "nothing", change: func(*wire.Bundle) {}},
		{name: "another-key", change: func(b *wire.Bundle) { b.Users[7].Keys = []string{keyB} }, want: 1},
		{name: "one-key-more", change: func(b *wire.Bundle) { b.Users[7].Keys = append(b.Users[7].Keys, keyB) }, want: 2},
		{name: "keys-swapped-between-two", change: func(b *wire.Bundle) { b.Users[7].Keys, b.Users[300].Keys = b.Users[300].Keys, b.Users[7].Keys }, want: 2},
		{name: "newcomer-in-front", change: func(b *wire.Bundle) { b.Users = slices.Insert(b.Users, 0, newUser("a", 19000)) }, want: 1},
		{name: "leaver", change: func(b *wire.Bundle) { b.Users = slices.Delete(b.Users, 7, 8) }},
		{name: "one-goes-one-comes", change: func(b *wire.Bundle) { b.Users = append(slices.Delete(b.Users, 7, 8), newUser("z", 19000)) }, want: 1},
		{name: "other-policy", change: func(b *wire.Bundle) { b.Settings.MinRSABits = 3072 }, want: many},
		{name: "nobody", change: func(b *wire.Bundle) { b.Users = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			signer, trusted := newSigner(t, "cp-1")
			b := crowdBundle(many)
			first := openAfter(t, wire.Opened{}, b, signer, trusted)
			if first.Proved() != many {
				t.Errorf("%d keys were proved of a bundle that comes after none", first.Proved())
			}
			c.change(&b)
			b.Serial++
			if got := openAfter(t, first, b, signer, trusted).Proved(); got != c.want {
				t.Errorf("%d keys were proved, want %d", got, c.want)
			}
		})
	}
}

// TestOpenAfter_BadKey holds R4, R5 and R6 in part: a key that takes the place of a
// good one is proved, whoever's place it is, and refuses its user alone.
func TestOpenAfter_BadKey(t *testing.T) {
	const universal = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, c := range []struct {
		name string
		key  string
		want *name.Refusal
	}{
		{"weak-point", universal, authz.ErrKeyWeakPoint},
		{"options", `command="id" ` + keyB, authz.ErrKeyOptions},
		{"other-type", "ssh-rsa" + keyB[len("ssh-ed25519"):], authz.ErrKeyTypeMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			signer, trusted := newSigner(t, "cp-1")
			b := crowdBundle(20)
			first := openAfter(t, wire.Opened{}, b, signer, trusted)
			good := b.Users[7].Keys
			for _, keys := range [][]string{{c.key}, {c.key}, good} { // bad, still bad, good again
				b.Users[7].Keys = keys
				b.Serial++
				first = openAfter(t, first, b, signer, trusted)
				access, rejected := first.Access()
				switch {
				case keys[0] == good[0] && (len(rejected) != 0 || len(access.Grants) != 20):
					t.Errorf("refused with a good key: %v", rejected)
				case keys[0] != good[0] && (len(rejected) != 1 || !errors.Is(rejected[0].Reason, c.want) || len(access.Grants) != 19):
					t.Errorf("let in are %d, refused %v, want one refused for %v", len(access.Grants), rejected, c.want)
				}
			}
		})
	}
}

// TestOpenAfter_SameAsOpen: whatever stood in the bundle before, a text under a good
// signature is refused, or read, as Open alone refuses and reads it (requirement R76).
func TestOpenAfter_SameAsOpen(t *testing.T) {
	signer, trusted := newSigner(t, "cp-1")
	b := crowdBundle(6)
	b.Users[2].Sudo, b.Users[2].SudoCommands = true, []string{"/bin/ls"}
	b.Users[4].Sudo, b.Users[4].SudoCommands = true, []string{"ls"} // refused sudo alone
	before := openAfter(t, wire.Opened{}, b, signer, trusted)
	text := encode(t, b)
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 4000 {
		changed := damage(random, text)
		sealed, err := note.Sign(&note.Note{Text: changed}, signer)
		if err != nil {
			t.Fatal(err)
		}
		sameAsOpen(t, before, sealed, trusted, &accepted)
	}
	if accepted < 100 {
		t.Errorf("of the changed texts only %d were accepted: this shows little", accepted)
	}
}

// damage changes a text: a range of it goes, or stands twice, or a byte is another.
func damage(random *rand.Rand, text string) string {
	from := random.IntN(len(text) - 1)
	to := min(from+1+random.IntN(1+random.IntN(400)), len(text)-1)
	switch random.IntN(5) {
	case 0:
		return text[:from] + text[to:]
	case 1:
		return text[:to] + text[from:]
	case 2:
		return text[:from] + string("0a\",{}[]:"[random.IntN(9)]) + text[from+1:]
	case 3: // one digit, which is mostly a good text still
		for text[from] < '0' || text[from] > '9' {
			from = (from + 1) % len(text)
		}
		return text[:from] + string('1'+byte(random.IntN(9))) + text[from+1:]
	}
	return text
}

func sameAsOpen(t *testing.T, before wire.Opened, sealed []byte, trusted note.Verifiers, accepted *int) {
	t.Helper()
	alone, wantErr := wire.Open(sealed, trusted, newTarget(t))
	after, err := wire.OpenAfter(before, sealed, trusted, newTarget(t))
	if codeOf(err) != codeOf(wantErr) {
		t.Fatalf("%s\nalone: %v, after another: %v", sealed, wantErr, err)
	}
	if err != nil {
		return
	}
	*accepted++
	if !reflect.DeepEqual(alone, after.Bundle()) {
		t.Fatalf("%s\nwas read as %+v", sealed, after.Bundle())
	}
	wantAccess, wantRejected := alone.Access()
	access, rejected := after.Access()
	if !reflect.DeepEqual(access, wantAccess) || !reflect.DeepEqual(rejected, wantRejected) {
		t.Fatalf("%s\ngives %+v, refused %v\nalone %+v, refused %v", sealed, access, rejected, wantAccess, wantRejected)
	}
}

func codeOf(err error) string {
	var why *name.Refusal
	if errors.As(err, &why) {
		return why.Code
	}
	return fmt.Sprint(err)
}

func openAfter(t *testing.T, before wire.Opened, b wire.Bundle, signer note.Signer, trusted note.Verifiers) wire.Opened {
	t.Helper()
	o, err := wire.OpenAfter(before, seal(t, b, signer), trusted, newTarget(t))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// crowdBundle has many users with a key each.
func crowdBundle(users int) wire.Bundle {
	b := newBundle()
	b.Users = nil
	for i := range users {
		u := newUser(fmt.Sprintf("many%04d", i), int64(20000+i))
		u.Keys = []string{crowdKey(i)}
		b.Users = append(b.Users, u)
	}
	return b
}

func crowdKey(i int) string {
	sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	public := ed25519.NewKeyFromSeed(sum[:]).Public().(ed25519.PublicKey)
	blob := append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), public...)
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob)
}
