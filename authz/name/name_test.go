package name_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"latchkey/authz/name"
)

// accepted are the names that the catalogue of hostile names lets through.
func accepted() []string {
	return []string{"alice", "a", "a1", "web-ops", "svc_backup", "a23456789012345678901234567890b"}
}

// hostile are names that no machine may see. canonical is what name.Canonical
// makes of them: punctuation goes, letters become small, and then the grammar
// decides; "" where it refuses.
func hostile() map[string]string {
	return map[string]string{
		// Reserved, whatever the case.
		"root": "", "Root": "", "ROOT": "", "ALL": "", "all": "",
		"con": "", "nul": "", "com1": "", "lpt1": "", "aux": "", "administrator": "", "guest": "", "system": "",
		"none": "", "localhost": "", "Defaults": "",
		// Numbers are uids.
		"0": "", "1000": "", "00": "", "4294967295": "",
		// Options and ends.
		"-alice": "", "--help": "", "-R/": "", "alice-": "",
		// Dots, paths, separators.
		"first.last": "firstlast", ".": "", "..": "", ".ssh": "", "a/b": "ab", "../root": "", `a\b`: "ab", "a:b": "ab", "a,b": "ab",
		"alice.": "alice",
		// White space and control characters are not punctuation.
		"a b": "", "a\tb": "", "a\nb": "", "alice\nroot": "", "a\x00b": "", "a\r": "", "alice ": "", " alice": "", "a\x7f": "", "a\x1b[2J": "",
		// Shells.
		"a$": "a", "$": "", "a$(id)": "aid", "a`id`": "aid", "a;id": "aid", "a&b": "ab", "a|b": "ab", "a>b": "ab", "a'b": "ab", `a"b`: "ab",
		// Globs and expansions.
		"*": "", "al*": "al", "a?": "a", "[a]": "a", "{a,b}": "ab", "~alice": "alice",
		// sudoers, sshd, netgroups.
		"%wheel": "", "%u": "u", "#0": "", "#1000": "", "+ng": "ng", "!alice": "alice", "@admins": "", "a@b": "ab", "a=b": "ab", "a(b)": "ab",
		"User_Alias": "user_alias", "FOO": "foo", "A_1": "a_1", "_a": "",
		// Beyond ASCII.
		"é": "", "аlice": "", "alice\u200b": "", "ＡＬＩＣＥ": "", "İ": "", "ſam": "", "a\xff": "", "a\u00a0b": "",
		// Lengths.
		"":                             "",
		strings.Repeat("a", 32):        "",
		strings.Repeat("a", 33):        "",
		strings.Repeat("a", 256):       "",
		strings.Repeat("a", 1<<20):     "",
		strings.Repeat("!", 120) + "a": "a",
		strings.Repeat("!", 124) + "a": "",
	}
}

// sudoersNames stand before ALL=(ALL:ALL) NOPASSWD:ALL in the catalogue of
// sudoers attacks; visudo lets most of them through.
func sudoersNames() []string {
	return []string{
		"ALL", "#0", "#1000", "%wheel", `"%wheel"`, "%#0", "%:grp", "+ng", "!alice", "alice,bob", `"alice bob"`, `a\x2cb`,
		"-alice", "alice$", "*", "al*ce", "[a-z]*", "a@b", "..", "1000", "é", strings.Repeat("a", 300),
		"alice ALL=(ALL) NOPASSWD: ALL\nmallory", "alice ALL=ALL #", "ALICE", "A_1", "alice bob", "alice\tbob", "alice\nbob",
		"al#ice", "alice=", "alice:", "alice\r", "alice\x00bob", "@include /x", "#include /x", "Defaults", "User_Alias",
	}
}

// TestParseUsername holds R14, T-U1 in part, T-U3 in part and T-S1.
func TestParseUsername(t *testing.T) {
	for _, s := range accepted() {
		if u, err := name.ParseUsername(s); err != nil || u.String() != s || u.IsZero() {
			t.Errorf("%q: got %q, error %v", s, u, err)
		}
	}
	for s := range hostile() {
		refused(t, s)
	}
	for _, s := range sudoersNames() {
		refused(t, s)
	}
}

func refused(t *testing.T, s string) {
	t.Helper()
	if u, err := name.ParseUsername(s); err == nil || !u.IsZero() {
		t.Errorf("%.40q: got %q, error %v", s, u, err)
	}
}

// TestParseUsername_Reasons asserts which reason each fault has (requirement R16 in
// part).
func TestParseUsername_Reasons(t *testing.T) {
	for s, want := range map[string]*name.Refusal{
		"": name.ErrEmpty, strings.Repeat("a", 32): name.ErrTooLong, "1a": name.ErrStart, "-a": name.ErrStart, "_a": name.ErrStart,
		"Alice": name.ErrStart, "é": name.ErrStart, "aB": name.ErrCharacter, "a.b": name.ErrCharacter, "a b": name.ErrCharacter,
		"aé": name.ErrCharacter, "a-": name.ErrEnd, "root": name.ErrReserved, "systemd-anything": name.ErrReserved,
		"latchkey-hook": name.ErrReserved, "com0": name.ErrReserved, "lpt9": name.ErrReserved, "ubuntu": name.ErrReserved,
		"ec2-user": name.ErrReserved, "docker": name.ErrReserved,
	} {
		if _, err := name.ParseUsername(s); err != error(want) || err.Error() != want.Text || want.Code == "" {
			t.Errorf("%q: got %v, want %v", s, err, want)
		}
	}
	for _, s := range []string{"come", "com", "com10", "lpts", "systemd", "rooted", "a-b-c", "a__b"} {
		if _, err := name.ParseUsername(s); err != nil {
			t.Errorf("%q: got %v", s, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, s := range accepted() {
		if u, err := name.Canonical(s); err != nil || u.String() != s {
			t.Errorf("%q: got %q, error %v", s, u, err)
		}
	}
	for s, want := range hostile() {
		u, err := name.Canonical(s)
		if u.String() != want || (err == nil) != (want != "") {
			t.Errorf("%.40q: got %q, error %v; want %q", s, u, err, want)
		}
	}
	// As the original service was seen to do.
	for s, want := range map[string]string{"my.name": "myname", "first.last.cli": "firstlastcli", "eSurname": "esurname"} {
		if u, err := name.Canonical(s); err != nil || u.String() != want {
			t.Errorf("%q: got %q, error %v; want %q", s, u, err, want)
		}
	}
}

func TestUsername_JSON(t *testing.T) {
	var u name.Username
	if err := json.Unmarshal([]byte(`"alice"`), &u); err != nil || u.String() != "alice" {
		t.Fatalf("got %q, error %v", u, err)
	}
	if text, err := json.Marshal(u); err != nil || string(text) != `"alice"` {
		t.Errorf("got %s, error %v", text, err)
	}
	if err := json.Unmarshal([]byte(`"../x"`), &u); err == nil || u.String() != "alice" {
		t.Errorf("a hostile name gave %q, error %v", u, err)
	}
}

// grammar is requirement R14, written apart from the parser, with the lengths of Linux.
var grammar = regexp.MustCompile(`^[a-z]([a-z0-9_-]{0,29}[a-z0-9_])?$`)

func FuzzParseUsername(f *testing.F) {
	for _, s := range accepted() {
		f.Add(s)
	}
	for s := range hostile() {
		if len(s) < 1<<10 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := name.ParseUsername(s)
		switch {
		case err != nil && (!u.IsZero() || grammar.MatchString(s) && err != error(name.ErrReserved)):
			t.Errorf("%q: got %q, error %v", s, u, err)
		case err == nil && (u.String() != s || !grammar.MatchString(s)):
			t.Errorf("%q: got %q", s, u)
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for s := range hostile() {
		if len(s) < 1<<10 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := name.Canonical(s)
		if err != nil {
			if !u.IsZero() {
				t.Errorf("%q: got %q beside error %v", s, u, err)
			}
			return
		}
		if !grammar.MatchString(u.String()) {
			t.Errorf("%q: got %q", s, u)
		}
		if again, err := name.Canonical(u.String()); err != nil || again != u {
			t.Errorf("%q: got %q at first and %q, error %v, then", s, u, again, err)
		}
		if exact, err := name.ParseUsername(u.String()); err != nil || exact != u {
			t.Errorf("%q: %q is not exact: %v", s, u, err)
		}
	})
}
