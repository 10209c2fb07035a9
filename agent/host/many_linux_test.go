package host

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/safefile"
	"latchkey/authz"
)

// testOneAmongMany holds R153, T-L13 in part: what one change of one user makes the
// agent do — the steps, the programs it runs, the files it writes — is the same among
// four hundred users as among ten.
func testOneAmongMany(t *testing.T, s *space) {
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
	p := s.plan(grants...)
	for _, step := range p.Steps {
		did = append(did, "step "+step.String())
	}
	s.do(p)
	if left := s.plan(grants...); !left.Empty() {
		s.t.Errorf("still to be done:\n%s", left)
	}
	return did
}
