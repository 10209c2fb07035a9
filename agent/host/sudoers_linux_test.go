package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// testIncludeLines asks visudo: wherever we say that sudo reads the folder, it does
// (requirement R54).
func testIncludeLines(t *testing.T, s *space) {
	s.write("/etc/sudoers.d/probe", "# nothing\n", 0o440)
	agrees := 0
	for _, c := range includes {
		s.write("/etc/probe-sudoers", "Defaults env_reset\n"+c.line+"\nroot ALL=(ALL) ALL\n", 0o440)
		out, _ := s.command("visudo", "-c", "-f", "/etc/probe-sudoers") // ends with 1 where a line is none of its own
		reads := strings.Contains(out, "sudoers.d/probe: parsed OK") || strings.Contains(out, "sudoers.d//probe: parsed OK")
		if ours := includesFolder("Defaults env_reset\n"+c.line+"\nroot ALL=(ALL) ALL\n", "/etc/sudoers.d"); ours != reads {
			t.Errorf("%q: we say %t, visudo %t: %s", c.line, ours, reads, out)
		}
		if reads {
			agrees++
		}
	}
	if agrees < 5 {
		t.Errorf("visudo read the folder only %d times", agrees)
	}
}

func (s *space) giveSudo(names ...string) error {
	s.t.Helper()
	return s.Apply(s.t.Context(), s.sudoStep(plan.OpGiveSudo, names...))
}

// plainSudo makes the policy what a fresh machine has.
func (s *space) plainSudo(t *testing.T) {
	t.Helper()
	must(t, os.RemoveAll("/etc/sudoers.d"))
	must(t, os.Mkdir("/etc/sudoers.d", 0o755))
	s.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n", 0o440)
}

// testSudoers: among everything that may lie in the folder and that sudo passes over
// or reads, our file goes in, and sudo says exactly what it gives (requirements R38,
// R49, R52, T-S4 in part and T-F8 in part).
func testSudoers(t *testing.T, s *space) {
	s.become(named(t, "alice", 20001, false), named(t, "carol", 20003, false))
	for _, file := range []string{"README", "a b", "a\tb", `a\b`, `a"b`, "é", "-x", "#c", "10-cloud"} {
		s.write("/etc/sudoers.d/"+file, "# nothing\n", 0o440)
	}
	for _, file := range []string{"x.bak", "x~", ".hidden", ".latchkey.00.new"} {
		s.write("/etc/sudoers.d/"+file, "garbage\n", 0o440)
	}
	must(t, os.Mkdir("/etc/sudoers.d/folder", 0o755))
	must(t, os.Symlink("/etc", "/etc/sudoers.d/linked-folder"))
	must(t, os.Symlink("/nowhere", "/etc/sudoers.d/dangling"))
	must(t, unix.Mkfifo("/etc/sudoers.d/fifo", 0o600))
	must(t, s.giveSudo("alice"))
	if err := s.giveSudo(); err != nil { // nobody left to give it to: not our file's business
		t.Error(err)
	}
	content, attr, err := safefile.Read(s.Layout.Sudoers, 1<<20)
	if err != nil || attr != (safefile.Attr{Mode: 0o440}) || !strings.HasSuffix(string(content), "\nalice ALL=(ALL:ALL) NOPASSWD: ALL\n") {
		t.Errorf("our file is %q, %+v, %v", content, attr, err)
	}
	if out, err := s.command("sudo", "-l", "-U", "alice"); err != nil || !strings.Contains(out, "(ALL : ALL) NOPASSWD: ALL") {
		t.Errorf("sudo says of alice: %v %s", err, out)
	}
	if out, _ := s.command("sudo", "-l", "-U", "carol"); !strings.Contains(out, "is not allowed to run sudo") {
		t.Errorf("sudo says of carol: %s", out)
	}
	if out, err := s.command("visudo", "-c"); err != nil {
		t.Errorf("the whole policy: %s", out)
	}
	s.wantNoLeftovers()
}

// testSudoNames holds T-S4, with testSudoers: names that are alike but for one character,
// or as long as any, have their rules in one file that sudo reads whatever lies beside
// it; and what sudo passes over gives nobody anything.
func testSudoNames(t *testing.T, s *space) {
	names := []string{"ab", "a-b", "a_b", "a--b", "a_-b", "b", strings.Repeat("a", 31), strings.Repeat("a", 30) + "b"}
	var grants []authz.Grant
	for i, user := range names {
		grants = append(grants, named(t, user, authz.UID(20001+i), true))
	}
	carol := named(t, "carol", 20100, false)
	s.become(append(grants, carol)...)
	for _, beside := range []string{".bak", "~", ".tmp", ".dpkg-old", ".rpmsave"} {
		s.write(s.Layout.Sudoers+beside, "carol ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
	}
	if p := s.plan(append(grants, carol)...); !p.Empty() {
		t.Errorf("to be done is\n%s", p)
	}
	must(t, s.giveSudo(names...))
	for _, user := range names {
		if out, err := s.command("sudo", "-l", "-U", user); err != nil || !strings.Contains(out, "(ALL : ALL) NOPASSWD: ALL") {
			t.Errorf("sudo says of %s: %v %s", user, err, out)
		}
	}
	if out, _ := s.command("sudo", "-l", "-U", "carol"); !strings.Contains(out, "is not allowed to run sudo") {
		t.Errorf("sudo says of carol: %s", out)
	}
	s.become(append(grants[1:], carol)...)
	if out, _ := s.command("sudo", "-l", "-U", "ab"); !strings.Contains(out, "is not allowed to run sudo") {
		t.Errorf("sudo says of ab, whose sudo is gone: %s", out)
	}
}

// wantNoLeftovers: no candidate and no staged policy stays.
func (s *space) wantNoLeftovers() {
	s.t.Helper()
	for _, pattern := range []string{"/etc/sudoers.d/.latchkey.*", s.Layout.AgentDir + "/*"} {
		left, err := filepath.Glob(pattern)
		must(s.t, err)
		for _, path := range left {
			if path != "/etc/sudoers.d/.latchkey.00.new" { // testSudoers put it there
				s.t.Errorf("%s is left", path)
			}
		}
	}
}

// testSudoersRefused holds R50, R53 and T-S5: in a policy that would not be
// whole our file is not put in, the error names whose file is wrong, and what was there
// stays.
func testSudoersRefused(t *testing.T, s *space) {
	tests := map[string]struct {
		prepare func()
		says    string
	}{
		"garbage-in-another":  {func() { s.write("/etc/sudoers.d/zz-theirs", "garbage here now\n", 0o440) }, "/etc/sudoers.d/zz-theirs:1"},
		"cut-short":           {func() { s.write("/etc/sudoers.d/10-theirs", "bob ALL=(ALL) NOPASS", 0o440) }, "/etc/sudoers.d/10-theirs"},
		"continued-last-line": {func() { s.write("/etc/sudoers.d/10-theirs", "bob ALL=(ALL) ALL, \\\n", 0o440) }, "invalid line continuation"},
		"alias-twice": {func() {
			s.write("/etc/sudoers.d/10-one", "User_Alias ADMINS = bob\n", 0o440)
			s.write("/etc/sudoers.d/20-two", "User_Alias ADMINS = eve\n", 0o440)
		}, `/etc/sudoers.d/20-two:1:`},
		"alias-of-nobody": {func() { s.write("/etc/sudoers.d/10-theirs", "ADMINS ALL=(ALL) ALL\n", 0o440) }, "ADMINS"},
		"include-of-itself": {func() {
			s.write("/etc/sudoers.d/10-loop", "@include /etc/sudoers.d/10-loop\n", 0o440)
		}, "10-loop"},
		"include-of-nothing": {func() { s.write("/etc/sudoers.d/10-theirs", "@include /etc/no-such-file\n", 0o440) }, "no-such-file"},
		"main-broken":        {func() { s.write("/etc/sudoers", "garbage here now\n@includedir /etc/sudoers.d\n", 0o440) }, "syntax error"},
		"main-missing":       {func() { must(t, os.Remove("/etc/sudoers")) }, "/etc/sudoers: no such file"},
		"folder-missing":     {func() { must(t, os.RemoveAll("/etc/sudoers.d")) }, "/etc/sudoers.d"},
		"folder-writable":    {func() { must(t, os.Chmod("/etc/sudoers.d", 0o777)) }, safefile.ErrUnsafe.Error()},
		"our-name-is-a-link": {func() {
			must(t, os.Remove("/etc/sudoers.d/90-latchkey"))
			must(t, os.Symlink("/etc/shadow", "/etc/sudoers.d/90-latchkey"))
		}, safefile.ErrNotRegular.Error()},
	}
	s.become(named(t, "alice", 20001, false), named(t, "bob", 20002, false))
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			s.plainSudo(t)
			must(t, s.giveSudo("alice"))
			test.prepare()
			before := s.etc()
			err := s.giveSudo("alice", "bob")
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("it gives %v, want %q", err, test.says)
			}
			for path, now := range s.etc() {
				if now != before[path] {
					t.Errorf("%s is now %q, was %q", path, now, before[path])
				}
			}
			s.wantNoLeftovers()
		})
	}
}
