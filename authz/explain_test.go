package authz_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/authz"
	"latchkey/authz/name"
)

// TestExplain: what it says, and that it decides as Enter does, in every combination of
// what Enter looks at.
func TestExplain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alice, err := name.ParseUsername("alice")
	if err != nil {
		t.Fatal(err)
	}
	combinations := 0
	for level := authz.LevelDeny; level <= authz.LevelManage; level++ {
		for _, end := range []time.Time{{}, now, now.Add(time.Second)} {
			for bits := range 16 {
				p := authz.Permission{Level: level, AllowSSH: bits&1 != 0, AllowSudo: bits&2 != 0, NotAfter: end}
				u := authz.Profile{ID: mustUser(t, 1)}
				if bits&4 != 0 {
					u.Username = alice
				}
				if bits&8 != 0 {
					u.UID = 20000
				}
				grant, err := authz.Enter(u, p, now)
				got := authz.Explain(u, p, now)
				if got.May != (err == nil) || got.May != (got.Reason == nil) || err != nil && error(got.Reason) != err {
					t.Errorf("%+v: says %t, %v; Enter: %v", p, got.May, got.Reason, err)
				}
				if diff := cmp.Diff(grant.Username.String(), got.Grant.Username.String()); diff != "" || grant.Sudo != got.Grant.Sudo {
					t.Errorf("%+v: another grant", p)
				}
				if got.Ended != (!end.IsZero() && !end.After(now)) || !strings.HasPrefix(got.Text, "may ") || len(got.Lines) < 6 {
					t.Errorf("%+v: %+v", p, got)
				}
				combinations++
			}
		}
	}
	if combinations != 240 {
		t.Errorf("%d combinations", combinations)
	}
}

func TestExplain_Words(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key, err := authz.ParseKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICUQMBDimJfK7ztMGek9v2hdB6WwdbSx5yJtHJP9Bk7f", authz.KeyPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	login, err := name.ParseUsername("alice")
	if err != nil {
		t.Fatal(err)
	}
	list, err := authz.ParseCommands([]string{"/bin/b x y", "/bin/a"})
	if err != nil {
		t.Fatal(err)
	}
	alice := authz.Profile{Username: login, UID: 20000, Keys: []authz.Key{key}, SelfManagement: true}
	for situation, tc := range map[string]struct {
		user authz.Profile
		p    authz.Permission
		want string
	}{
		"may": {alice, authz.Permission{Level: authz.LevelIAMOnly, AllowSSH: true}, `may enter as alice, without sudo
the level on the stack is iam_only
AllowSsh is set
AllowSudo is not set
the permission does not end by itself
the account is alice, uid 20000
the user has the SSH key ssh-ed25519 SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w
the user may change the key himself`},
		"with-sudo-and-an-end": {alice, authz.Permission{Level: authz.LevelShow, AllowSSH: true, AllowSudo: true, NotAfter: now.Add(time.Hour)},
			`may enter as alice, with sudo, until 2026-03-01T13:00:00Z
the level on the stack is show
AllowSsh is set
AllowSudo is set
the permission ends 2026-03-01T13:00:00Z
the account is alice, uid 20000
the user has the SSH key ssh-ed25519 SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w
the user may change the key himself`},
		"with-sudo-for-some": {alice, authz.Permission{Level: authz.LevelShow, AllowSSH: true, AllowSudo: true, SudoCommands: list},
			`may enter as alice, with sudo for 2 commands
the level on the stack is show
AllowSsh is set
AllowSudo is set
sudo is limited to /bin/a, without arguments
sudo is limited to /bin/b x y, with exactly these arguments
the permission does not end by itself
the account is alice, uid 20000
the user has the SSH key ssh-ed25519 SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w
the user may change the key himself`},
		"restricted": {alice, authz.Permission{Level: authz.LevelShow, AllowSSH: true, Restricted: true},
			`may enter as alice, without sudo, without forwarding
the level on the stack is show
AllowSsh is set
AllowSudo is not set
access is restricted to sessions: no forwarding of ports, agent or X11, no tunnel
the permission does not end by itself
the account is alice, uid 20000
the user has the SSH key ssh-ed25519 SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w
the user may change the key himself`},
		"without-a-key": {authz.Profile{Username: alice.Username, UID: 20000}, authz.Permission{Level: authz.LevelShow, AllowSSH: true},
			`may enter as alice, without sudo, but has no SSH key to log in with
the level on the stack is show
AllowSsh is set
AllowSudo is not set
the permission does not end by itself
the account is alice, uid 20000
the user has no SSH key`},
		"sudo-alone": {authz.Profile{}, authz.Permission{Level: authz.LevelManage, AllowSudo: true},
			`may not enter: AllowSsh is not set for the user on this stack
the level on the stack is manage
AllowSsh is not set
AllowSudo is set, and has no effect without AllowSsh
the permission does not end by itself
the user has no SSH user name
the user has no SSH key`},
		"ended": {alice, authz.Permission{Level: authz.LevelShow, AllowSSH: true, NotAfter: now}, `may not enter: the permission has ended
the level on the stack was show
AllowSsh was set
AllowSudo was not set
the permission ended 2026-03-01T12:00:00Z
the account is alice, uid 20000
the user has the SSH key ssh-ed25519 SHA256:KtlQW48/m9hEnX+ODgbF5JQUTSUfQBSo1T+Fb+WQQ5w
the user may change the key himself`},
		"deny": {authz.Profile{}, authz.Permission{}, `may not enter: the user's level on the stack is deny
the level on the stack is deny, which closes the machines too
AllowSsh is not set
AllowSudo is not set
the permission does not end by itself
the user has no SSH user name
the user has no SSH key`},
	} {
		t.Run(situation, func(t *testing.T) {
			got := authz.Explain(tc.user, tc.p, now)
			if diff := cmp.Diff(tc.want, strings.Join(append([]string{got.Text}, got.Lines...), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
