package plan_test

import (
	"strings"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestNoCertificates holds R69 and T-H12: nobody gets in by a certificate through us, so
// that no list of principals can be wrong. Neither our sshd file nor a key file has a
// word of them.
func TestNoCertificates(t *testing.T) {
	have, owned := bothSudo(t)
	want := plan.Desired{SSHD: true}
	for i, login := range []string{"alice", "bob", "carol"} {
		want.Grants = append(want.Grants, grant(t, login, authz.UID(20001+i), i == 0))
	}
	var written string
	for _, mode := range []plan.KeysMode{plan.KeysCommand, plan.KeysDirectory, plan.KeysHome} {
		written += string(plan.SSHDFile(layout, mode))
	}
	for _, s := range plan.Diff(have, want, owned, layout).Steps {
		written += string(s.Keys)
	}
	if !strings.Contains(written, "ssh-ed25519") || !strings.Contains(written, "AuthorizedKeysCommand") {
		t.Fatalf("what is written is\n%s", written)
	}
	for _, word := range []string{"principal", "cert", "trustedusercakeys", "revokedkeys"} {
		if strings.Contains(strings.ToLower(written), word) {
			t.Errorf("%q is in\n%s", word, written)
		}
	}
}
