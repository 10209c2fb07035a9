package host

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testQuarantine takes keys that are not ours out of the homes of our accounts, on a
// real userland: the user's own comments stay, what is taken is kept first, for root
// alone, once, and nothing that a hostile user put in the way is followed or touched
// (requirements R28 in part, R33 in part, R39 in part, R41 in part).
func testQuarantine(t *testing.T, s *space) {
	alice := named(t, "alice", 20001, false)
	s.become(alice)
	const (
		ssh  = "/home/alice/.ssh"
		kept = "/var/lib/latchkey/quarantine/alice.20001"
		mine = "# mine\n\n"
		line = aKey + " me\n"
	)
	must(t, os.MkdirAll(ssh, 0o700))
	must(t, os.Chown(ssh, 20001, 20001))
	plant := func(text string) {
		t.Helper()
		for _, name := range plan.ForeignNames() {
			s.put(t, "/home/alice/"+name, 20001, text)
		}
	}
	take := func() error {
		t.Helper()
		var errs []error
		for _, f := range s.ForeignKeys(s.owned)[alice.Username] {
			if len(f.Lines) > 0 && f.Err == nil {
				errs = append(errs, s.Apply(t.Context(), plan.Step{Op: plan.OpQuarantine, User: alice.Username, UID: 20001, Path: f.Path, Home: kept}))
			}
		}
		return errors.Join(errs...)
	}
	content := func(path string) string {
		text, err := os.ReadFile(path)
		must(t, err)
		return string(text)
	}
	want := func(situation, left string, files ...string) {
		t.Helper()
		for _, name := range plan.ForeignNames() {
			if got := content("/home/alice/" + name); got != left {
				t.Errorf("%s: %s is %q, want %q", situation, name, got, left)
			}
		}
		entries, err := os.ReadDir(kept)
		must(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, e.Name()+" "+content(kept+"/"+e.Name()))
			if info, err := e.Info(); err != nil || info.Mode() != 0o600 || ownerOf(info) != 0 {
				t.Errorf("%s: %s is %v, %v", situation, e.Name(), info, err)
			}
		}
		if strings.Join(got, "|") != strings.Join(files, "|") {
			t.Errorf("%s: kept are %q, want %q", situation, got, files)
		}
	}

	plant(mine + line + "nonsense")
	must(t, take())
	first := []string{"authorized_keys " + line + "nonsense\n", "authorized_keys2 " + line + "nonsense\n"}
	want("taken", mine, first...)
	must(t, take())
	want("taken again", mine, first...)
	plant(mine + line + "nonsense")
	must(t, take())
	want("planted again", mine, first...)
	if info, err := os.Lstat(ssh + "/authorized_keys"); err != nil || ownerOf(info) != 20001 {
		t.Errorf("the user's file is %v, %v", info, err)
	}

	// Killed when they are kept and not yet taken.
	plant(mine + aKey + "\n")
	type killed struct{}
	s.Point = func(name string) {
		if name == "quarantine.kept" {
			panic(killed{})
		}
	}
	func() {
		defer func() { _ = recover().(killed) }()
		_ = take()
	}()
	s.Point = nil
	if got := content(ssh + "/authorized_keys"); got != mine+aKey+"\n" {
		t.Errorf("after the kill there is %q", got)
	}
	must(t, take())
	second := []string{first[0], "authorized_keys.1 " + aKey + "\n", first[1], "authorized_keys2.1 " + aKey + "\n"}
	want("after a kill", mine, second...)

	// Too many kept: nothing more is taken.
	for i := range maxQuarantined {
		s.put(t, kept+"/x"+strings.Repeat("y", i), 0, "x")
	}
	plant(line)
	if err := take(); err == nil || !strings.Contains(err.Error(), "look at them first") || content(ssh+"/authorized_keys") != line {
		t.Errorf("with very many kept: %v, and the file is %q", err, content(ssh+"/authorized_keys"))
	}
	must(t, os.RemoveAll(kept))
	testQuarantineHostile(t, s, alice, take)
}

// testQuarantineHostile puts things in the way.
func testQuarantineHostile(t *testing.T, s *space, alice authz.Grant, take func() error) {
	const file = "/home/alice/.ssh/authorized_keys"
	must(t, os.Remove(file+"2"))
	s.write("/etc/victim", aKey+"\n", 0o644)
	for situation, put := range map[string]func(){
		"link": func() { must(t, os.Symlink("/etc/victim", file)) },
		"second-name": func() {
			must(t, os.WriteFile("/home/other", []byte(aKey+"\n"), 0o644))
			must(t, os.Link("/home/other", file))
		},
		"pipe":      func() { must(t, unix.Mkfifo(file, 0o600)) },
		"folder":    func() { must(t, os.Mkdir(file, 0o700)) },
		"another's": func() { s.put(t, file, 1001, aKey+"\n") },
		"folder-a-link": func() {
			must(t, os.Rename("/home/alice/.ssh", "/home/alice/x"))
			must(t, os.Symlink("/etc", "/home/alice/.ssh"))
		},
	} {
		must(t, os.RemoveAll(file))
		put()
		found := s.ForeignKeys(s.owned)[alice.Username]
		if situation == "folder-a-link" {
			if len(found) == 0 || !errors.Is(found[0].Err, plan.ErrHomeRead) {
				t.Errorf("%s: found is %+v", situation, found)
			}
			must(t, os.Remove("/home/alice/.ssh"))
			must(t, os.Rename("/home/alice/x", "/home/alice/.ssh"))
			continue
		}
		if len(found) != 1 || !errors.Is(found[0].Err, plan.ErrHomeRead) {
			t.Errorf("%s: found is %+v", situation, found)
		}
		step := plan.Step{Op: plan.OpQuarantine, User: alice.Username, UID: 20001, Path: file, Home: "/var/lib/latchkey/quarantine/alice.20001"}
		if err := s.Apply(t.Context(), step); err == nil {
			t.Errorf("%s: it was done", situation)
		}
		if got, err := os.ReadFile("/etc/victim"); err != nil || string(got) != aKey+"\n" {
			t.Errorf("%s: the victim is %q, %v", situation, got, err)
		}
	}
	must(t, os.RemoveAll(file))
	step := plan.Step{Op: plan.OpQuarantine, User: alice.Username, UID: 20001, Path: "/etc/victim", Home: "/var/lib/latchkey/quarantine/alice.20001"}
	if err := s.Apply(t.Context(), step); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("of a file elsewhere: %v", err)
	}
	must(t, take())
	s.write("/etc/passwd", "root:x:0:0::/root:/bin/bash\nalice:x:1005:1005::/home/alice:/bin/bash\n", 0o644)
	step.Path = file
	if err := s.Apply(t.Context(), step); !errors.Is(err, plan.ErrNameTaken) {
		t.Errorf("of an account that is somebody else's: %v", err)
	}
}
