package authz_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/authz/name"
)

// TestParseCommand holds R55 in part and T-S2: what sudoers(5) could read as more than one program
// with exact arguments is refused, each for its reason, and what is accepted comes out
// as it went in.
func TestParseCommand(t *testing.T) {
	for want, texts := range map[*name.Refusal][]string{
		nil: {
			"/usr/bin/id", "/bin/systemctl restart nginx.service", "/usr/local/sbin/deploy_app -v --now 1.2+3", "/usr/bin/g++", "/x", "/usr/bin/...",
			"/usr/bin/id ALL", "/usr/bin/id list sudoedit", "/usr/bin/id ../x /", "/usr/bin/id /", "/opt/ALL/Defaults", "/opt/sudoedit.d/x", "/" + strings.Repeat("a", 255),
		},
		authz.ErrCommandEmpty: {""},
		authz.ErrCommandLong:  {"/" + strings.Repeat("a", 256), strings.Repeat("*", 1<<20)},
		authz.ErrCommandSpecial: {
			// Wildcards, expressions, escapes.
			"/usr/bin/*", "/usr/bin/i?", "/usr/bin/[ab]", "/usr/bin/id *", "/usr/bin/id -[a-z]", `/usr/bin/id \*`, `/usr/bin/i\d`, "^/usr/bin/.*$", "/usr/bin/id ^a$",
			// Lists, negation, quotes, comments, settings.
			"/usr/bin/id, /bin/sh", "/usr/bin/id,/bin/sh", "!/bin/sh", "/usr/bin/id !x", "! /bin/sh", `/usr/bin/id ""`, `"/usr/bin/id"`, "/usr/bin/id # x",
			"#0", "# x", "/usr/bin/id=x", "/usr/bin/id --a=b", "/usr/bin/id a:b", "NOPASSWD: /bin/sh", "PASSWD:/bin/sh", "CWD=/ /bin/sh", "ROLE=x /bin/sh",
			"sha256:abcd /bin/sh", "(root) /bin/sh", "(ALL, !root) ALL", "host = /bin/sh", "%wheel", "@include /x", "#include /x", "@includedir /x", "/usr/bin/a@b",
			"Defaults !authenticate", "Defaults:alice env_keep", "Cmnd_Alias A = /bin/sh", "User_Alias X", "Defaults env_reset",
			"ALL", "list", "sudoedit", "sudoedit /etc/passwd", "/usr/bin/sudoedit", "/usr/bin/sudoedit /etc/passwd", "/sudoedit", "SHELLS", "A_1", "A",
			// What a shell would read.
			"/bin/sh; id", "/bin/sh|id", "/bin/sh&", "/bin/$HOME", "/bin/`id`", "/bin/{a,b}", "~/x", "/bin/id <x", "/bin/id 'x'",
		},
		authz.ErrCommandLetter: {
			"/usr/bin/id\n", "/usr/bin/id\nbob", "/usr/bin/id\tx", "/usr/bin/id\r", "/usr/bin/i\x00d", "/usr/bin/é", "/usr/bin/id\u00a0x", "\ufeff/usr/bin/id",
			"/usr/bin/\xff", "/usr/bin/id \x1b", "/usr/bin/id\u200b", "\n", "/usr/bin/id\v",
		},
		authz.ErrCommandSpaces:   {" /usr/bin/id", "/usr/bin/id ", "/usr/bin/id  x", " ", "  "},
		authz.ErrCommandAbsolute: {"id", "./id", "../id", "usr/bin/id", "-l", "all", "systemctl restart", "0", "Id"},
		authz.ErrCommandPath: {
			"/", "//", "//usr/bin/id", "/usr//bin/id", "/usr/bin/", "/usr/./bin/id", "/usr/../bin/id", "/..", "/.", "/usr/bin/.", "/usr/bin/..", "/usr/bin/ x",
		},
	} {
		for _, text := range texts {
			c, err := authz.ParseCommand(text)
			if want == nil && (err != nil || c.String() != text) || want != nil && (err != error(want) || c != authz.Command{}) {
				t.Errorf("%.80q gives %v, %v; want %v", text, c, err, want)
			}
		}
	}
}

func TestParseCommands(t *testing.T) {
	many := make([]string, authz.MaxCommands+1)
	for i := range many {
		many[i] = "/bin/" + strconv.Itoa(i)
	}
	for situation, c := range map[string]struct {
		list    []string
		want    []string
		sudoers string
		err     error
	}{
		"nil":       {nil, nil, "ALL", nil},
		"empty":     {[]string{}, nil, "ALL", nil},
		"one":       {[]string{"/bin/id"}, []string{"/bin/id"}, `/bin/id ""`, nil},
		"sorted":    {[]string{"/bin/id -u", "/bin/a x y", "/bin/id"}, []string{"/bin/a x y", "/bin/id", "/bin/id -u"}, `/bin/a x y, /bin/id "", /bin/id -u`, nil},
		"twice":     {[]string{"/bin/id", "/bin/id"}, []string{"/bin/id"}, `/bin/id ""`, nil},
		"one-bad":   {[]string{"/bin/id", "ALL"}, nil, "ALL", authz.ErrCommandSpecial},
		"one-empty": {[]string{""}, nil, "ALL", authz.ErrCommandEmpty},
		"most":      {many[1:], slices.Sorted(slices.Values(many[1:])), "", nil},
		"too-many":  {many, nil, "ALL", authz.ErrCommandCount},
	} {
		t.Run(situation, func(t *testing.T) {
			given := slices.Clone(c.list)
			got, err := authz.ParseCommands(c.list)
			if !errors.Is(err, c.err) || !slices.Equal(got.List(), c.want) || got.IsZero() != (c.want == nil) || !slices.Equal(given, c.list) {
				t.Fatalf("gives %q, %v", got.List(), err)
			}
			if c.sudoers != "" && got.Sudoers() != c.sudoers {
				t.Errorf("sudoers: %s", got.Sudoers())
			}
			if again, err := authz.ReadSudoers(got.Sudoers()); err != nil || again != got {
				t.Errorf("read again: %v, %v", again, err)
			}
		})
	}
	for _, text := range []string{"", "ALL, /bin/id", "/bin/id,/bin/a", `/bin/a "", !/bin/sh ""`, "/bin/*", " ALL"} {
		if c, err := authz.ReadSudoers(text); err == nil || !c.IsZero() {
			t.Errorf("%q is read as %v", text, c.List())
		}
	}
}

// TestGrant_Sudo: of two lists what both allow counts, and nothing in common is no sudo,
// never all of it.
func TestGrant_Sudo(t *testing.T) {
	grant := func(text string) authz.Grant {
		if text == "none" {
			return authz.Grant{}
		}
		list, err := authz.ReadSudoers(text)
		if err != nil {
			t.Fatal(err)
		}
		return authz.Grant{Sudo: true, SudoCommands: list}
	}
	const a, b, ab = `/bin/a ""`, `/bin/b ""`, `/bin/a "", /bin/b ""`
	for _, c := range []struct {
		of, after, common string
		keeps             bool
	}{
		{"none", "none", "none", true}, {"none", "ALL", "none", true}, {"none", a, "none", true},
		{"ALL", "ALL", "ALL", true}, {"ALL", a, a, false}, {"ALL", "none", "none", false},
		{a, "ALL", a, true}, {a, a, a, true}, {a, ab, a, true}, {a, b, "none", false}, {a, "none", "none", false},
		{ab, a, a, false}, {ab, ab, ab, true}, {ab, "ALL", ab, true}, {a, "/bin/a x", "none", false},
	} {
		of, after := grant(c.of), grant(c.after)
		if got := of.KeepsSudo(after); got != c.keeps {
			t.Errorf("%s, then %s: keeps %t", c.of, c.after, got)
		}
		if got, want := of.WithSudoOf(after), grant(c.common); got.Sudo != want.Sudo || got.SudoCommands != want.SudoCommands {
			t.Errorf("%s with %s: %t %s", c.of, c.after, got.Sudo, got.SudoCommands.Sudoers())
		}
	}
	// Enter gives the limit with sudo alone.
	limit := grant(a).SudoCommands
	u := newProfile(t, "alice", 20001)
	p := authz.Permission{Level: authz.LevelShow, AllowSSH: true, SudoCommands: limit}
	if g, err := authz.Enter(u, p, time.Time{}); err != nil || g.Sudo || !g.SudoCommands.IsZero() {
		t.Errorf("without AllowSudo: %+v, %v", g, err)
	}
	p.AllowSudo = true
	if g, err := authz.Enter(u, p, time.Time{}); err != nil || !g.Sudo || g.SudoCommands != limit {
		t.Errorf("with AllowSudo: %+v, %v", g, err)
	}
}
