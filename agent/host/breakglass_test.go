package host

import (
	"strings"
	"testing"
	"time"

	"latchkey/agent/plan"
)

const glassKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"

var glassNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestUsableKey(t *testing.T) {
	for _, c := range []struct {
		name, text string
		usable     bool
	}{
		{"plain", glassKey, true},
		{"comment-before", "# " + glassKey + "\n\n" + glassKey + " me@home\n", true},
		{"options", `from="10.0.0.0/8 ,x",no-pty ` + glassKey, true},
		{"ends-later", `expiry-time="20261122130000Z" ` + glassKey, true},
		{"ends-on-a-later-day", `no-pty,Expiry-Time="20270101" ` + glassKey, true},
		{"ended", `expiry-time="20261122120000Z" ` + glassKey, false},
		{"ended-by-minute", `expiry-time="202611221100Z",no-pty ` + glassKey, false},
		{"ended-long-ago", `expiry-time="20200101" ` + glassKey, false},
		{"end-not-understood", `expiry-time="tomorrow" ` + glassKey, false},
		{"ended-and-another", `expiry-time="20200101" ` + glassKey + "\n" + glassKey, true},
		{"authority", "cert-authority " + glassKey, false},
		{"commented-out", "# " + glassKey, false},
		{"damaged", strings.Replace(glassKey, "C3Nz", "C3Ny", 1), false},
		{"cut-short", glassKey[:30], false},
		{"empty", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := usableKey(c.text, glassNow); got != c.usable {
				t.Errorf("usable: %t", got)
			}
		})
	}
}

func TestClosedAccount(t *testing.T) {
	today := glassNow.Unix() / 86400
	for _, c := range []struct {
		name     string
		account  plan.Account
		settings map[string][]string
		says     string
	}{
		{"open", plan.Account{UID: 1000, Shell: "/bin/bash", Password: "*"}, nil, ""},
		{"password-set", plan.Account{UID: 1000, Shell: "/bin/bash", Password: "set"}, nil, ""},
		{"locked-under-pam", plan.Account{UID: 1000, Password: "!"}, map[string][]string{"usepam": {"yes"}}, ""},
		{"locked-without-pam", plan.Account{UID: 1000, Password: "!"}, map[string][]string{"usepam": {"no"}}, "is locked"},
		{"ends-tomorrow", plan.Account{UID: 1000, Expires: today + 1}, nil, ""},
		{"ends-today", plan.Account{UID: 1000, Expires: today}, nil, "has expired"},
		{"no-shell", plan.Account{UID: 1000, Shell: "/usr/sbin/nologin"}, nil, "the shell"},
		{"no-keys-at-all", plan.Account{UID: 1000}, map[string][]string{"pubkeyauthentication": {"no"}}, "takes no keys"},
		{"root", plan.Account{}, map[string][]string{"permitrootlogin": {"without-password"}}, ""},
		{"root-kept-out", plan.Account{}, map[string][]string{"permitrootlogin": {"no"}}, "does not let root in"},
		{"not-of-allow-users", plan.Account{Name: "rescue", UID: 1000}, map[string][]string{"allowusers": {"alice"}}, "AllowUsers does not name rescue"},
		{"from-some-hosts", plan.Account{Name: "rescue", UID: 1000}, map[string][]string{"allowusers": {"rescue@10.*"}}, ""},
		{"not-of-allow-groups", plan.Account{Name: "rescue", UID: 1000}, map[string][]string{"allowgroups": {"wheel"}}, "AllowGroups names no group of rescue"},
		{"of-allow-groups", plan.Account{Name: "rescue", UID: 1000}, map[string][]string{"allowgroups": {"wheel st*"}}, ""},
		{"denied", plan.Account{Name: "rescue", UID: 1000}, map[string][]string{"denyusers": {"resc?e"}}, "DenyUsers keeps rescue out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := closedAccount(c.account, []string{"staff"}, c.settings, glassNow)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

func TestParseLocalName(t *testing.T) {
	for _, s := range []string{"root", "ubuntu", "ec2-user", "_break", "admin"} {
		if n, err := ParseLocalName(s); err != nil || n.String() != s {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "-a", "0", "A", "a b", "a,host=x", "a/b", "a\n", "é", strings.Repeat("a", 33)} {
		if n, err := ParseLocalName(s); err == nil || n != (LocalName{}) {
			t.Errorf("%q gives %q", s, n)
		}
	}
}
