package authz_test

import (
	"strings"
	"testing"

	"latchkey/authz"
	"latchkey/authz/name"
)

func TestParseARN(t *testing.T) {
	for s, want := range map[string]string{ // the ARN and the name in it
		"arn:aws:iam::123456789012:user/alice":                              "alice",
		"arn:aws:iam::000000000000:user/division/team-a/Alice.B":            "Alice.B",
		"arn:aws:iam::123456789012:user/a+b=c,d.e@f_g-h":                    "a+b=c,d.e@f_g-h",
		"arn:aws:iam::123456789012:user/root":                               "root",
		"arn:aws:iam::123456789012:root":                                    "root",
		"arn:aws-cn:iam::123456789012:user/alice":                           "alice",
		"arn:aws-us-gov:iam::123456789012:user/alice":                       "alice",
		"arn:aws:sts::123456789012:federated-user/alice":                    "alice",
		"arn:aws:sts::123456789012:assumed-role/deployer/alice@corp":        "alice@corp",
		"arn:aws:iam::123456789012:user/" + strings.Repeat("a", 128):        strings.Repeat("a", 128),
		"arn:aws:iam::123456789012:user/" + strings.Repeat("a/", 240) + "b": "b",
	} {
		if a, err := authz.ParseARN(s); err != nil || a.String() != s || a.Name() != want || a.IsZero() {
			t.Errorf("%s: got %q with name %q, error %v", s, a, a.Name(), err)
		}
	}
	for _, s := range []string{
		"", "alice", "arn", "arn:aws:iam::123456789012", "arn:aws:iam::123456789012:", "arn:aws:iam::123456789012:user",
		"arn:aws:iam::123456789012:user/", "arn:aws:iam::123456789012:user//alice", "arn:aws:iam::123456789012:user/alice/",
		"arn:aws:iam::123456789012:/user/alice", "arn:aws:iam::123456789012:User/alice",
		"arn:aws:iam:us-east-1:123456789012:user/alice", "arn:aws:iam::12345678901:user/alice", "arn:aws:iam::1234567890123:user/alice",
		"arn:aws:iam::12345678901a:user/alice", "arn:aws:iam:::user/alice", "arn:aws:iam::+23456789012:user/alice",
		"arn:aws:sts::123456789012:user/alice", "arn:aws:sts::123456789012:root", "arn:aws:iam::123456789012:root/",
		"arn:aws:iam::123456789012:role/deployer", "arn:aws:iam::123456789012:group/x", "arn:aws:iam::123456789012:assumed-role/a/b",
		"arn:aws:sts::123456789012:assumed-role/deployer", "arn:aws:sts::123456789012:assumed-role/a/b/c",
		"arn:aws:sts::123456789012:federated-user/a/b", "arn:aws:iam::123456789012:user/*", "arn:aws:iam::123456789012:*",
		"arn:aws:iam::123456789012:user/a b", "arn:aws:iam::123456789012:user/a\nb", "arn:aws:iam::123456789012:user/a\x00",
		"arn:aws:iam::123456789012:user/é", "arn:aws:iam::123456789012:user/a:b", "ARN:aws:iam::123456789012:user/alice",
		"arn:evil:iam::123456789012:user/alice", "arn:aws:s3::123456789012:user/alice", " arn:aws:iam::123456789012:user/alice",
		"arn:aws:iam::123456789012:user/<script>", "arn:aws:iam::123456789012:user/" + strings.Repeat("a", 129),
		"arn:aws:iam::123456789012:user/" + strings.Repeat("a/", 241) + "b", strings.Repeat("a", 1<<20),
	} {
		if a, err := authz.ParseARN(s); err != error(authz.ErrARN) || !a.IsZero() {
			t.Errorf("%.80q: got %q, error %v", s, a, err)
		}
	}
}

func TestDeriveUsername(t *testing.T) {
	for s, want := range map[string]string{
		"arn:aws:iam::123456789012:user/alice":                    "alice",
		"arn:aws:iam::123456789012:user/first.last.cli":           "firstlastcli",
		"arn:aws:iam::123456789012:user/eSurname":                 "esurname",
		"arn:aws:iam::123456789012:user/path/Web-Ops":             "web-ops",
		"arn:aws:sts::123456789012:assumed-role/deployer/a@b.com": "abcom",
		"arn:aws:iam::123456789012:root":                          "not-root",
	} {
		if u, err := authz.DeriveUsername(mustARN(t, s)); err != nil || u.String() != want {
			t.Errorf("%s: got %q, error %v; want %q", s, u, err, want)
		}
	}
	for s, want := range map[string]*name.Refusal{
		"arn:aws:iam::123456789012:user/root":                        name.ErrReserved,
		"arn:aws:iam::123456789012:user/Admin":                       name.ErrReserved,
		"arn:aws:iam::123456789012:user/1000":                        name.ErrStart,
		"arn:aws:iam::123456789012:user/-alice":                      name.ErrStart,
		"arn:aws:iam::123456789012:user/...":                         name.ErrEmpty,
		"arn:aws:iam::123456789012:user/" + strings.Repeat("a", 32):  name.ErrTooLong,
		"arn:aws:iam::123456789012:user/" + strings.Repeat("a", 128): name.ErrTooLong,
	} {
		if u, err := authz.DeriveUsername(mustARN(t, s)); err != error(want) || !u.IsZero() {
			t.Errorf("%s: got %q, error %v; want %v", s, u, err, want)
		}
	}
	if u, err := authz.DeriveUsername(authz.ARN{}); err == nil {
		t.Errorf("no ARN: got %q", u)
	}
}

func mustARN(t testing.TB, s string) authz.ARN {
	t.Helper()
	a, err := authz.ParseARN(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
