package host

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testNameLeft holds R31 and T-U2, with testTaken: what an account that is gone left under
// its name — mail, a crontab, its lingering, its ids for namespaces — is nobody else's.
// Who is to get the name is refused and told which file it is, the others are made, and
// all of it stays byte for byte. What is the user's own is no hindrance.
func testNameLeft(t *testing.T, s *space) {
	s.spools(t)
	must(t, os.MkdirAll("/var/mail", 0o755))
	must(t, os.Symlink("../mail", "/var/spool/mail"))
	for _, file := range []string{crontabs + "/alice", crontabs + "/bob", lingers + "/alice", lingers + "/bob", atjobs + "/.SEQ"} {
		must(t, os.Remove(file))
	}
	for _, args := range [][]string{{"useradd", "-m", "-u", "1234", "grace"}, {"useradd", "-m", "-u", "1235", "heidi"}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	subids, err := readAll("/etc/subuid", "/etc/subgid")
	must(t, err)
	s.put(t, "/var/mail/mike", 1300, "From x\n")
	s.put(t, crontabs+"/carl", 1301, "* * * * * id\n")
	s.put(t, crontabs+"/ruth", 0, "* * * * * id\n")
	s.put(t, lingers+"/lena", 0, "")
	s.put(t, "/var/mail/otto", 20016, "From his own\n")
	s.put(t, crontabs+"/otto", 20016, "* * * * * true\n")
	// What userdel would take away is left, as after an editor.
	if out, err := s.command("sh", "-c", "sed -i '/^grace:/d; /^heidi:/d' /etc/passwd /etc/shadow /etc/group /etc/gshadow && rm -r /home/grace /home/heidi"); err != nil {
		t.Fatal(out)
	}
	if !strings.Contains(subids[0], "grace:") || !strings.Contains(subids[1], "heidi:") {
		t.Fatalf("useradd gave nobody subordinate ids: %q", subids)
	}
	s.write("/etc/subgid", strings.ReplaceAll(subids[1], "grace:", "gracie:"), 0o644)
	before := files(t, "/var/mail", crontabs, lingers, "/etc/subuid", "/etc/subgid")

	want := map[string]string{
		"grace": "/etc/subuid", "heidi": "/etc/subuid, /etc/subgid", "mike": "/var/mail/mike", "carl": crontabs + "/carl", "ruth": crontabs + "/ruth",
		"lena": lingers + "/lena",
	}
	var grants []authz.Grant
	for i, user := range []string{"grace", "heidi", "mike", "carl", "ruth", "lena", "otto", "alice"} {
		grants = append(grants, named(t, user, authz.UID(20010+i), false))
	}
	p := s.plan(grants...)
	got := map[string]string{}
	for _, r := range p.Refused {
		if !errors.Is(r.Reason, plan.ErrNameLeft) {
			t.Errorf("%s is refused because %v", r.Name, r.Reason)
		}
		_, got[r.Name], _ = strings.Cut(r.Reason.Error(), "would be the user's: ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refused are (-want +got):\n%s", diff)
	}
	s.do(p)
	s.do(s.plan(grants...))
	for user := range want {
		if _, found, err := account(user); found || err != nil {
			t.Errorf("%s was made, %v", user, err)
		}
	}
	for _, user := range []string{"alice", "otto"} {
		if a, found, err := account(user); !found || a.Locked() || err != nil {
			t.Errorf("%s is %+v, %v", user, a, err)
		}
	}
	after := files(t, "/var/mail", crontabs, lingers, "/etc/subuid", "/etc/subgid")
	for _, own := range []string{"alice:", "otto:"} { // useradd gives them theirs
		for part := range strings.SplitSeq(after, "|") {
			if strings.HasPrefix(part, own) {
				after = strings.ReplaceAll(after, part+"|", "")
			}
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	// The rest of the machine's life is not kept from them for ever.
	must(t, os.Remove("/var/mail/mike"))
	s.become(named(t, "mike", 20012, false))
}
