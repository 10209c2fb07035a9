package host

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
)

const (
	passwd = `root:x:0:0:root:/root:/bin/bash
# a comment
#alice:x:20001:20001::/home/alice:/bin/bash
kevin2:x:1002:1002:Kevin,,,:/home/kevin2:/bin/bash

alice:x:20001:20001::/home/alice:/bin/bash
nopw::1003:1003::/home/nopw:/bin/sh
old:$6$abc:1004:1004::/home/old:/bin/sh
`
	shadow = `root:*:19000:0:99999:7:::
kevin2:$6$salt$hash:19000:0:99999:7:::
alice:!:19000:0:99999:7::1:
alice:$6$second:19000:0:99999:7:::
`
	group = `root:x:0:
latchkey:x:990:alice,kevin2,latchkey-keys
alice:x:20001:
docker:x:998:alice
`
)

func TestReadAccounts(t *testing.T) {
	accounts, groups := readAccounts(passwd, shadow, group)
	want := map[string]plan.Account{
		"root":   {Name: "root", Home: "/root", Shell: "/bin/bash", Password: "*"},
		"kevin2": {Name: "kevin2", UID: 1002, GID: 1002, Home: "/home/kevin2", Shell: "/bin/bash", Password: "set", Groups: []string{"latchkey"}},
		"alice": {Name: "alice", UID: 20001, GID: 20001, Home: "/home/alice", Shell: "/bin/bash", Password: "!", Expires: 1,
			Groups: []string{"latchkey", "docker"}},
		"nopw": {Name: "nopw", UID: 1003, GID: 1003, Home: "/home/nopw", Shell: "/bin/sh"},
		"old":  {Name: "old", UID: 1004, GID: 1004, Home: "/home/old", Shell: "/bin/sh", Password: "set"},
	}
	if diff := cmp.Diff(want, accounts); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	if _, found := accounts["kevin"]; found { // requirement R18, T-U4: a prefix is another name
		t.Error("kevin was found in kevin2")
	}
	if g := groups["latchkey"]; g.GID != 990 || len(g.Members) != 3 || len(groups) != 4 {
		t.Errorf("groups are %v", groups)
	}
}

// TestReadAccounts_Lines: a line that is not whole makes no account and spoils no
// other.
func TestReadAccounts_Lines(t *testing.T) {
	const good = "alice:x:20001:20001::/home/alice:/bin/bash\n"
	for situation, c := range map[string]struct {
		text string
		want string // names and uids
	}{
		"nothing":             {"", ""},
		"comment":             {"# " + good + good, "alice=20001"},
		"comment-at-once":     {"#" + good, ""},
		"empty-lines":         {"\n\n" + good + "\n", "alice=20001"},
		"no-newline-at-end":   {good + "bob:x:1:1::/:/bin/sh", "alice=20001 bob=1"},
		"too-few-fields":      {"bob:x:1:1::/home/bob\n" + good, "alice=20001"},
		"name-alone":          {"bob\n" + good, "alice=20001"},
		"too-many-fields":     {"bob:x:1:1::/home/bob:/bin/sh:x\n" + good, "alice=20001"},
		"no-name":             {":x:0:0::/root:/bin/sh\n" + good, "alice=20001"},
		"nis":                 {"+::::::\n+bob::::::\n-eve::::::\n+@group::::::\n" + good, "alice=20001"},
		"no-uid":              {"bob:x::1::/:/bin/sh\n" + good, "alice=20001"},
		"uid-not-a-number":    {"bob:x:0x0:1::/:/bin/sh\n" + good, "alice=20001"},
		"uid-negative":        {"bob:x:-1:1::/:/bin/sh\n" + good, "alice=20001"},
		"uid-2^32":            {"bob:x:4294967296:1::/:/bin/sh\n" + good, "alice=20001"},
		"uid-with-blank":      {"bob:x: 5:1::/:/bin/sh\n" + good, "alice=20001"},
		"gid-not-a-number":    {"bob:x:5:staff::/:/bin/sh\n" + good, "alice=20001"},
		"name-twice":          {good + "alice:x:0:0::/root:/bin/sh\n", "alice=20001"},
		"name-twice-reversed": {"alice:x:0:0::/root:/bin/sh\n" + good, "alice=0"},
		"uid-twice":           {good + "twin:x:20001:1::/:/bin/sh\n", "alice=20001 twin=20001"},
		"other-case":          {"Alice:x:5:5::/:/bin/sh\n" + good, "Alice=5 alice=20001"},
		"blank-before-name":   {" alice:x:0:0::/:/bin/sh\n" + good, " alice=0 alice=20001"},
		"crlf":                {"bob:x:5:5::/:/bin/sh\r\n" + good, "alice=20001 bob=5"},
		"nul-byte":            {"a\x00b:x:5:5::/:/bin/sh\n" + good, "a\x00b=5 alice=20001"},
		"long-line":           {"bob:x:5:5:" + strings.Repeat("x", 1<<20) + ":/:/bin/sh\n" + good, "alice=20001 bob=5"},
	} {
		t.Run(situation, func(t *testing.T) {
			accounts, _ := readAccounts(c.text, "", "")
			var got []string
			for _, name := range slices.Sorted(maps.Keys(accounts)) {
				got = append(got, name+"="+uid(accounts[name]))
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("accounts are %q, want %q", text, c.want)
			}
		})
	}
	// A line with CR is not quite the account it looks like, so it is repaired.
	accounts, _ := readAccounts("bob:x:5:5::/home/bob:/bin/bash\r\n", "", "")
	if accounts["bob"].Shell != "/bin/bash\r" {
		t.Errorf("the shell is %q", accounts["bob"].Shell)
	}
}

func uid(a plan.Account) string {
	var digits []byte
	for n := a.UID; n > 0 || digits == nil; n /= 10 {
		digits = append([]byte{byte('0' + n%10)}, digits...)
	}
	return string(digits)
}

// TestReadShadow: what is not whole says nothing, so an account never looks locked
// or open because of it; a hash never comes through.
func TestReadShadow(t *testing.T) {
	for situation, c := range map[string]struct {
		text     string
		found    bool
		password string
		expires  int64
	}{
		"star":             {"alice:*:19000:0:99999:7:::", true, "*", 0},
		"locked":           {"alice:!:19000:0:99999:7::1:", true, "!", 1},
		"locked-star":      {"alice:!*:19000:0:99999:7:::", true, "!", 0},
		"locked-hash":      {"alice:!$6$salt$hash:19000:0:99999:7:::", true, "!", 0},
		"twice-locked":     {"alice:!!:19000:0:99999:7:::", true, "!", 0},
		"hash":             {"alice:$6$salt$hash:19000:0:99999:7:::", true, "set", 0},
		"star-and-more":    {"alice:*x:19000:0:99999:7:::", true, "set", 0},
		"no-password":      {"alice::19000:0:99999:7:::", true, "", 0},
		"expires":          {"alice:*:19000:0:99999:7::19500:", true, "*", 19500},
		"expires-day-0":    {"alice:*:19000:0:99999:7::0:", true, "*", 0},
		"expires-negative": {"alice:*:19000:0:99999:7::-1:", true, "*", -1},
		"expires-no-day":   {"alice:*:19000:0:99999:7::soon:", false, "", 0},
		"expires-too-far":  {"alice:*:19000:0:99999:7::99999999999999999999:", false, "", 0},
		"too-few-fields":   {"alice:*:19000:0:99999:7::1", false, "", 0},
		"too-many-fields":  {"alice:*:19000:0:99999:7::1::", false, "", 0},
		"prefix":           {"alice2:*:19000:0:99999:7:::", false, "", 0},
		"crlf":             {"alice:*:19000:0:99999:7::1:\r", true, "*", 1},
		"second-line":      {"alice:*:19000:0:99999:7:::\nalice:!:1:0:99999:7::1:", true, "*", 0},
	} {
		t.Run(situation, func(t *testing.T) {
			got, found := readShadow(c.text + "\n")["alice"]
			if found != c.found || got.password != c.password || got.expires != c.expires {
				t.Errorf("got %+v, %t", got, found)
			}
		})
	}
}

func TestReadGroups(t *testing.T) {
	for situation, c := range map[string]struct {
		text    string
		gid     int64 // of staff; -1: no such group
		members string
		of      string // the groups of alice
	}{
		"plain":           {"staff:x:50:alice,bob\n", 50, "alice bob", "staff"},
		"nobody":          {"staff:x:50:\n", 50, "", ""},
		"empty-members":   {"staff:x:50:,alice,,bob,\n", 50, "alice bob", "staff"},
		"prefix-member":   {"staff:x:50:alice2\n", 50, "alice2", ""},
		"prefix-group":    {"staffers:x:50:alice\n", -1, "", "staffers"},
		"comment":         {"#staff:x:50:alice\n", -1, "", ""},
		"nis":             {"+:::\n+@x:::\nstaff:x:50:alice\n", 50, "alice", "staff"},
		"too-few-fields":  {"staff:x:50\n", -1, "", ""},
		"too-many-fields": {"staff:x:50:alice:bob\n", -1, "", ""},
		"no-gid":          {"staff:x::alice\n", -1, "", ""},
		"gid-negative":    {"staff:x:-1:alice\n", -1, "", ""},
		"gid-2^32":        {"staff:x:4294967296:alice\n", -1, "", ""},
		"twice":           {"staff:x:50:alice\nstaff:x:0:bob\n", 50, "alice", "staff"},
		"two-groups":      {"a:x:1:alice\nstaff:x:50:alice\n", 50, "alice", "a staff"},
		"crlf":            {"staff:x:50:bob\r\n", 50, "bob\r", ""},
		"no-newline":      {"staff:x:50:alice", 50, "alice", "staff"},
	} {
		t.Run(situation, func(t *testing.T) {
			groups, memberOf := readGroups(c.text)
			g, found := groups["staff"]
			if found != (c.gid >= 0) || found && int64(g.GID) != c.gid || strings.Join(g.Members, " ") != c.members {
				t.Errorf("staff is %+v, %t", g, found)
			}
			if got := strings.Join(memberOf["alice"], " "); got != c.of {
				t.Errorf("alice is in %q, want %q", got, c.of)
			}
		})
	}
}

func FuzzReadAccounts(f *testing.F) {
	f.Add(passwd, shadow, group)
	f.Add("+::::::\nalice:x:1:1:::\r\n", "alice:!:::::::\n", "a:x:1:alice,,b\n")
	f.Fuzz(func(t *testing.T, passwd, shadow, group string) {
		accounts, groups := readAccounts(passwd, shadow, group)
		for name, a := range accounts {
			if a.Name != name || name == "" || strings.ContainsAny(name, ":\n") || name[0] == '#' || !strings.Contains("\n"+passwd, "\n"+name+":") {
				t.Errorf("an account is called %q: %+v", name, a)
			}
			switch a.Password {
			case "", "x", "*", "!", "set":
			default:
				t.Errorf("the password of %q comes through", name)
			}
			if a.Locked() && (!strings.Contains("\n"+shadow, "\n"+name+":!") || a.Expires != 1) {
				t.Errorf("%q looks locked", name)
			}
			for _, g := range a.Groups {
				if !slices.Contains(groups[g].Members, name) {
					t.Errorf("%q is said to be in %q", name, g)
				}
			}
		}
		for name, g := range groups {
			if g.Name != name || name == "" || !strings.Contains("\n"+group, "\n"+name+":") {
				t.Errorf("a group is called %q: %+v", name, g)
			}
		}
	})
}

// includes are lines of sudoers and the folder that sudo reads because of them.
// TestIncludedFolder_Visudo asks visudo whether it is so.
var includes = []struct{ line, folder string }{
	{"@includedir /etc/sudoers.d", "/etc/sudoers.d"}, {"#includedir /etc/sudoers.d", "/etc/sudoers.d"},
	{"  \t@includedir /etc/sudoers.d", "/etc/sudoers.d"}, {" #includedir /etc/sudoers.d", ""}, {"\t#includedir /etc/sudoers.d", ""},
	{"@includedir\t/etc/sudoers.d", "/etc/sudoers.d"}, {"#includedir \t /etc/sudoers.d \t", "/etc/sudoers.d"},
	{"@includedir /etc/sudoers.d/", "/etc/sudoers.d"}, {`@includedir "/etc/sudoers.d"`, "/etc/sudoers.d"},
	{`#includedir "/etc/sudoers.d/"`, "/etc/sudoers.d"}, {"@includedir /etc/sudoers.d # ours", "/etc/sudoers.d"},
	{"#includedir /etc/sudoers.d #ours", "/etc/sudoers.d"}, {"@includedir /etc/sudoers.d\r", "/etc/sudoers.d"},
	{"# includedir /etc/sudoers.d", ""}, {"##includedir /etc/sudoers.d", ""}, {"# @includedir /etc/sudoers.d", ""},
	{"@ includedir /etc/sudoers.d", ""}, {"@includedir/etc/sudoers.d", ""}, {"#includedir/etc/sudoers.d", ""},
	{"@include /etc/sudoers.d", ""}, {"@INCLUDEDIR /etc/sudoers.d", ""}, {"@includedirs /etc/sudoers.d", ""},
	{`@includedir "/etc/sudoers.d`, ""}, {`@includedir /etc/sudoers.d"`, ""}, {"@includedir /etc/sudoers.d x", ""},
	{"@includedir", ""}, {"@includedir ", ""}, {`@includedir ""`, ""}, {"root ALL=(ALL) ALL # @includedir /etc/sudoers.d", ""},
	{"@includedir /etc/sudoers", ""}, {"@includedir /etc/sudoers.d2", ""}, {"@includedir /etc/sudoers.d/x", ""}, {"", ""},
}

func TestIncludedFolder(t *testing.T) {
	for _, c := range includes {
		if got := includesFolder("Defaults env_reset\n"+c.line+"\nroot ALL=(ALL) ALL\n", "/etc/sudoers.d"); got != (c.folder != "") {
			t.Errorf("%q reads the folder: %t", c.line, got)
		}
	}
	if folder, ok := includedFolder("@includedir /usr/local/etc/sudoers.d\n"); !ok || folder != "/usr/local/etc/sudoers.d" {
		t.Errorf("another folder: %q, %t", folder, ok)
	}
}

func TestStagedSudoers(t *testing.T) {
	const candidate = "/etc/sudoers.d/.latchkey.00.new"
	tests := map[string]struct {
		main  string
		files []string
		want  string
	}{
		"first": {"root ALL=ALL\n@includedir /etc/sudoers.d\n", nil, "root ALL=ALL\n#include " + candidate + "\n"},
		"in-order": {"@includedir /etc/sudoers.d\nroot ALL=ALL\n", []string{"zz", "README", "90-cloud", "a b"},
			"#include /etc/sudoers.d/90-cloud\n#include " + candidate + "\n#include /etc/sudoers.d/README\n#include /etc/sudoers.d/a\\ b\n" +
				"#include /etc/sudoers.d/zz\nroot ALL=ALL\n"},
		"ours-is-there": {"#includedir /etc/sudoers.d/\n", []string{"90-latchkey", "a"}, "#include " + candidate + "\n#include /etc/sudoers.d/a\n"},
		"twice":         {"@includedir /etc/sudoers.d\n#includedir /etc/sudoers.d\n", nil, "#include " + candidate + "\n#include " + candidate + "\n"},
		"other-folder":  {"@includedir /etc/sudo.d\n", []string{"a"}, "@includedir /etc/sudo.d\n"},
		"no-newline":    {"@includedir /etc/sudoers.d", nil, "#include " + candidate + "\n"},
		"last-line":     {"root ALL=ALL", nil, "root ALL=ALL\n"},
		"nothing":       {"", nil, "\n"},
		"odd-names": {"@includedir /etc/sudoers.d\n", []string{`a\b`, "a\tb"},
			"#include " + candidate + "\n#include /etc/sudoers.d/a\\\tb\n#include /etc/sudoers.d/a\\\\b\n"},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			files := slices.Clone(test.files)
			got := stagedSudoers(test.main, "/etc/sudoers.d", files, "90-latchkey", candidate)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("staged (-want +got):\n%s", diff)
			}
			if !slices.Equal(files, test.files) {
				t.Errorf("the list was changed: %q", files)
			}
		})
	}
}

func FuzzStagedSudoers(f *testing.F) {
	for _, c := range includes {
		f.Add("Defaults env_reset\n"+c.line+"\nroot ALL=(ALL) ALL\n", "README")
	}
	f.Fuzz(func(t *testing.T, main, file string) {
		got := stagedSudoers(main, "/etc/sudoers.d", []string{file}, "90-latchkey", "/candidate")
		if includesFolder(main, "/etc/sudoers.d") != strings.Contains("\n"+got, "\n#include /candidate\n") && !strings.Contains(main, "/candidate") && file != "90-latchkey" {
			t.Errorf("the candidate's place in %q is not right: %q", main, got)
		}
		if includesFolder(got, "/etc/sudoers.d") && !strings.ContainsAny(file, "\n") {
			t.Errorf("the folder is still read beside the candidate: %q", got)
		}
		if !strings.HasSuffix(got, "\n") || utf8.ValidString(main) && utf8.ValidString(file) && !utf8.ValidString(got) {
			t.Errorf("the text is %q", got)
		}
	})
}
