package host

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/safefile"
	"latchkey/authz"
)

// testOneAmongMany holds R153, T-L13 in part: what one change of one user makes the
// agent do — the steps, the programs it runs, the files it writes and the key files it
// reads — is the same among four hundred users as among ten.
func testOneAmongMany(t *testing.T, s *space) {
	s.keyFiles.Now = later // than all that stands there when a look begins
	s.become(crowd(t, 10)...)
	few := doneByChanges(t, s, 10)
	s.become(crowd(t, 400)...)
	many := doneByChanges(t, s, 400)
	if diff := cmp.Diff(few, many); diff != "" {
		t.Errorf("what is done (-among 10 +among 400):\n%s", diff)
	}
	for _, change := range []string{"key", "sudo", "newcomer", "leaver"} {
		if !strings.Contains(strings.Join(few[change], "\n"), "step ") {
			t.Errorf("%s: nothing was done: %q", change, few[change])
		}
	}
}

// doneByChanges changes one thing after another among the users of a crowd.
func doneByChanges(t *testing.T, s *space, users int) map[string][]string {
	other, err := authz.ParseKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICUQMBDimJfK7ztMGek9v2hdB6WwdbSx5yJtHJP9Bk7f", authz.KeyPolicy{})
	must(t, err)
	grants := crowd(t, users)
	did := map[string][]string{"nothing": s.doing(grants)}
	grants[5].Keys = []authz.Key{other}
	did["key"] = s.doing(grants)
	grants[5].Sudo = true
	did["sudo"] = s.doing(grants)
	newcomer := named(t, "newcomer"+strconv.Itoa(users), authz.UID(19000+users), false)
	did["newcomer"] = s.doing(append(slices.Clone(grants), newcomer))
	did["leaver"] = s.doing(grants)
	same := strings.NewReplacer(newcomer.Username.String(), "NEWCOMER", newcomer.UID.String(), "UID")
	for _, lines := range did {
		for i := range lines {
			lines[i] = same.Replace(lines[i])
		}
	}
	s.become(crowd(t, users)...)
	return did
}

// doing makes a pass and returns what it did.
func (s *space) doing(grants []authz.Grant) (did []string) {
	s.t.Helper()
	s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
		did = append(did, "run "+tool+" "+strings.Join(args, " "))
		return runTool(ctx, input, tool, args...)
	}
	s.Files = safefile.Writer{Point: func(point string) { did = append(did, "file "+point) }}
	defer func() { s.Run, s.Files = nil, safefile.Writer{} }()
	before := s.keyFiles.Reads()
	p := s.plan(grants...)
	for _, step := range p.Steps {
		did = append(did, "step "+step.String())
	}
	s.do(p)
	if left := s.plan(grants...); !left.Empty() {
		s.t.Errorf("still to be done:\n%s", left)
	}
	return append(did, "read "+strconv.Itoa(s.keyFiles.Reads()-before))
}

func later() time.Time { return time.Now().Add(time.Minute) }

// testEdited holds R29 and R148 in part: a key file that somebody edits is seen and put
// right, though a look before has read it, and though it has its old size and mtime.
func testEdited(t *testing.T, s *space) {
	grants := crowd(t, 20)
	s.become(grants...)
	s.keyFiles.Now = later
	s.plan(grants...)
	before := s.keyFiles.Reads()
	if left := s.plan(grants...); !left.Empty() || s.keyFiles.Reads() != before {
		t.Fatalf("%d key files were read of which nobody changed any, and still to be done is:\n%s", s.keyFiles.Reads()-before, left)
	}
	path := s.Layout.KeyFile(grants[3].Username)
	info, err := os.Stat(path)
	must(t, err)
	good, err := os.ReadFile(path)
	must(t, err)
	bad := []byte(strings.Replace(string(good), "AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAAC3NzaC1lZDI1NTE5AAAAJ", 1))
	for range 2 { // the second time the repaired file was just read
		must(t, os.WriteFile(path, bad, 0))
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		p := s.plan(grants...)
		if want := "write file " + path; len(p.Steps) != 1 || !strings.HasPrefix(p.Steps[0].String(), want) {
			t.Fatalf("the plan is %q, want %s", p, want)
		}
		s.do(p)
		if left := s.plan(grants...); !left.Empty() {
			t.Errorf("still to be done:\n%s", left)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != string(good) {
			t.Errorf("the file is %q, error %v", got, err)
		}
	}
}
