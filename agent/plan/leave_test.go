package plan_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestDiff_leave: an account that is removed goes after all of its revocation and after
// everything that is done for others, its home before it; and nobody else's does
// (requirement R30 in part).
func TestDiff_leave(t *testing.T) {
	alice, bob := mustName(t, "alice"), mustName(t, "bob")
	gone := func(homes plan.Homes, users ...authz.Username) plan.Leave {
		l := plan.Leave{Gone: map[authz.Username]bool{}, Homes: homes}
		for _, u := range users {
			l.Gone[u] = true
		}
		return l
	}
	revoked := `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
lock account alice (uid 20001)
`
	tests := []struct {
		name   string
		change func(s *plan.State, l *plan.Ledger)
		leave  plan.Leave
		heir   bool
		text   string
	}{
		{"closed-only", nil, plan.Leave{}, false, revoked},
		{"another-is-gone", nil, gone(plan.DeleteHomes, bob), false, revoked},
		{"home-kept", nil, gone(plan.KeepHomes, alice), false, revoked +
			"remove account alice (uid 20001), keep its home /home/alice\n"},
		{"home-archived", nil, gone(plan.ArchiveHomes, alice), false, revoked +
			"pack home /home/alice of alice (uid 20001) into /var/lib/latchkey/archived/alice.20001.tar, then remove it\nremove account alice (uid 20001)\n"},
		{"home-deleted", nil, gone(plan.DeleteHomes, alice), false, revoked +
			"remove home /home/alice of alice (uid 20001)\nremove account alice (uid 20001)\n"},
		{"no-home", func(s *plan.State, _ *plan.Ledger) { delete(s.Homes, "/home/alice") }, gone(plan.DeleteHomes, alice), false, revoked +
			"remove account alice (uid 20001)\n"},
		{"home-is-a-link", func(s *plan.State, _ *plan.Ledger) { s.Homes["/home/alice"] = plan.Folder{} }, gone(plan.DeleteHomes, alice), false, revoked +
			"remove home /home/alice of alice (uid 20001)\nremove account alice (uid 20001)\n"},
		{"adopted", func(_ *plan.State, l *plan.Ledger) {
			own := l.Accounts[alice]
			own.Before = &plan.Before{}
			l.Accounts[alice] = own
		}, gone(plan.DeleteHomes, alice), false, revoked},
		{"removed-by-hand", func(s *plan.State, _ *plan.Ledger) { delete(s.Accounts, "alice") }, gone(plan.DeleteHomes, alice), false, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
remove home /home/alice of alice (uid 20001)
`},
		{"name-is-another's-now", func(s *plan.State, _ *plan.Ledger) {
			s.Accounts["alice"] = plan.Account{Name: "alice", UID: 1001}
		}, gone(plan.DeleteHomes, alice), false, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
`},
		{"uid-is-another's-now", func(s *plan.State, _ *plan.Ledger) {
			delete(s.Accounts, "alice")
			s.Accounts["eve"] = plan.Account{Name: "eve", UID: 20001}
		}, gone(plan.DeleteHomes, alice), false, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
`},
		{"heir-of-a-kept-home", nil, gone(plan.KeepHomes, alice), true, revoked +
			"remove account alice (uid 20001), keep its home as /home/alice.20001\n"},
		{"heir-of-a-deleted-home", nil, gone(plan.DeleteHomes, alice), true, revoked +
			"remove home /home/alice of alice (uid 20001)\nremove account alice (uid 20001)\n"},
		{"cut-short-before", func(s *plan.State, _ *plan.Ledger) {
			delete(s.Homes, "/home/alice")
			s.Homes["/home/alice.20001.removed"] = plan.Folder{Real: true, UID: 20001}
			s.Homes["/home/bob.20002.removed"] = plan.Folder{Real: true, UID: 20002}
		}, gone(plan.ArchiveHomes, alice), false, revoked +
			"remove home /home/alice.20001.removed of alice (uid 20001)\nremove home /home/bob.20002.removed of bob (uid 20002)\nremove account alice (uid 20001)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, l := settled(t)
			if tt.change != nil {
				tt.change(&s, &l)
			}
			want := plan.Desired{Grants: []authz.Grant{grant(t, "bob", 20002, false)}, SSHD: true, Leave: tt.leave}
			if tt.heir {
				want.Grants = append(want.Grants, grant(t, "alice", 20009, false))
			}
			p := plan.Diff(s, want, l, layout)
			if diff := cmp.Diff(tt.text, "\n"+p.String()); diff != "" {
				t.Fatalf("plan (-want +got):\n%s", diff)
			}
			for rounds := 0; !p.Empty(); p = plan.Diff(s, want, l, layout) {
				if rounds++; rounds > 2 {
					t.Fatalf("not there after %d plans:\n%s", rounds, p)
				}
				apply(t, &s, &l, p)
			}
		})
	}
}

// TestDiff_adoptedHeir: an adopted account is not removed for another user of its name.
func TestDiff_adoptedHeir(t *testing.T) {
	s, l := settled(t)
	alice := mustName(t, "alice")
	own := l.Accounts[alice]
	own.Before = &plan.Before{}
	l.Accounts[alice] = own
	p := plan.Diff(s, plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20009, true), grant(t, "bob", 20002, false)}, SSHD: true}, l, layout)
	want := `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
lock account alice (uid 20001)
refused "alice": an adopted account of another user has the name, and is not removed
`
	if diff := cmp.Diff(want, "\n"+p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// opsworks is a machine as OpsWorks left it: its accounts have one group.
func opsworks(t *testing.T) (plan.State, map[string]plan.Local, []authz.Grant) {
	t.Helper()
	s := fresh()
	s.Groups["opsworks"] = plan.Group{Name: "opsworks", GID: 1500}
	s.Groups["mail"] = plan.Group{Name: "mail", GID: 2005}
	local := map[string]plan.Local{}
	add := func(name string, uid uint32, change func(*plan.Local)) {
		a := plan.Local{Account: plan.Account{Name: name, UID: uid, GID: 1500, Home: "/home/" + name, Shell: "/bin/bash", Password: "!"},
			Before: plan.Before{Passwd: name + ":…"}}
		s.Homes[a.Home] = plan.Folder{Real: true, UID: uid}
		if change != nil {
			change(&a)
		}
		s.Accounts[name], local[name] = a.Account, a
	}
	add("alice", 2001, nil)
	add("bob", 2002, nil)
	add("carol", 2003, nil)
	add("dave", 2004, func(a *plan.Local) { a.Privileged = []string{"sudo", "docker"} })
	add("erin", 2005, nil)
	add("frank", 2006, func(a *plan.Local) { a.Home = "/srv/frank" })
	add("grace", 2007, func(a *plan.Local) { s.Homes["/home/grace"] = plan.Folder{UID: 2007} })
	add("heidi", 2008, nil)
	add("twin", 2008, nil)
	add("ivan", 2009, nil)
	s.Groups["ivan"] = plan.Group{Name: "ivan", GID: 1600}
	var grants []authz.Grant
	for name, uid := range map[string]authz.UID{"alice": 2001, "bob": 20001, "dave": 2004, "erin": 2005, "frank": 2006, "grace": 2007,
		"heidi": 2008, "ivan": 2009, "judy": 2010} {
		grants = append(grants, grant(t, name, uid, false))
	}
	return s, local, grants
}

// TestAdopt holds T-U2 in part: only what is named, and fits in every point, is taken over,
// and the rest is told what to do (requirement R15 in part).
func TestAdopt(t *testing.T) {
	s, local, grants := opsworks(t)
	names := []string{"alice", "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "root", "Robert'); DROP"}
	got := plan.Adopt(s, local, grants, names, plan.NewLedger(), layout)
	want := `
refused "Robert'); DROP": there is no account of that name in the account files of this machine
refused "bob": the uid here is not the user's: it is 2002 here and 20001 there; import the user with uid 2002, or leave the account alone
refused "carol": the stack lets nobody of that name in: give the user SSH first
refused "dave": the account is in a privileged group: take it out of sudo, docker first
refused "erin": the uid is the id of another group of this machine: "mail"
refused "frank": the home is another: it is "/srv/frank" and not /home/frank; move it there with  usermod -m -d /home/frank frank
refused "grace": the home folder exists and is not the user's
refused "heidi": another account has the same uid: "twin"
refused "ivan": a group of that name exists and is not ours: its id is 1600, and the account needs one with the id 2009
refused "judy": there is no account of that name in the account files of this machine
refused "root": there is no account of that name in the account files of this machine
`
	if diff := cmp.Diff(want, "\n"+plan.Plan{Refused: got.Refused}.String()); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if len(got.Take) != 1 || got.Take[0].Name != mustName(t, "alice") || got.Take[0].UID != 2001 || got.Take[0].Before.Passwd != "alice:…" {
		t.Fatalf("taken are %v", got.Take)
	}

	l := plan.NewLedger()
	l.Adopt(got.Take)
	if again := plan.Adopt(s, local, grants, []string{"alice"}, l, layout); len(again.Refused) != 1 || !errors.Is(again.Refused[0].Reason, plan.ErrAdoptOurs) {
		t.Errorf("again: %+v", again)
	}
	p := plan.Diff(s, plan.Desired{Grants: []authz.Grant{grant(t, "alice", 2001, true)}}, l, layout)
	wantPlan := `
create group latchkey
create user latchkey-keys for the login hook
make folder /var/lib/latchkey
make folder /var/lib/latchkey/authorized_keys
repair account alice (uid 2001): password is not *, group is not its own, not in group latchkey
write file /var/lib/latchkey/authorized_keys/alice
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`
	if diff := cmp.Diff(wantPlan, "\n"+p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestRevert_adopted: an adopted account is given back and not removed; it goes on, unless
// the stack closed it.
func TestRevert_adopted(t *testing.T) {
	s, l := settled(t)
	for user, uid := range map[string]authz.UID{"alice": 20001, "bob": 20002} {
		own := l.Accounts[mustName(t, user)]
		own.Before = &plan.Before{Passwd: "secret"}
		l.Accounts[mustName(t, user)] = own
		s.Processes[uid] = 1
	}
	apply(t, &s, &l, plan.Diff(s, plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true)}, SSHD: true}, l, layout))
	want := `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
remove file /etc/ssh/sshd_config.d/10-latchkey.conf, reload sshd
give back account alice (uid 20001)
give back account bob (uid 20002): it stays closed
remove user latchkey-keys
remove group latchkey
remove folder /var/lib/latchkey/authorized_keys
`
	p := plan.Revert(s, l, layout)
	if diff := cmp.Diff(want, "\n"+p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	apply(t, &s, &l, p)
	if len(l.Accounts) != 0 {
		t.Errorf("the ledger still names %v", l.Accounts)
	}
}

// TestDiff_grantedMidway: somebody who is let in again while his removal was under way
// gets an account and a home anew (requirement R31 in part), also where others have opened
// the account since.
func TestDiff_grantedMidway(t *testing.T) {
	for name, opened := range map[string]bool{"closed": false, "opened-by-others": true} {
		t.Run(name, func(t *testing.T) {
			s, l := settled(t)
			bob := plan.Desired{Grants: []authz.Grant{grant(t, "bob", 20002, false)}, SSHD: true}
			account := s.Accounts["alice"]
			apply(t, &s, &l, plan.Diff(s, bob, l, layout))
			delete(s.Homes, "/home/alice")
			s.Homes["/home/alice.20001.removed"] = plan.Folder{Real: true, UID: 20001}
			if opened {
				s.Accounts["alice"] = account
			}
			both := plan.Desired{Grants: append([]authz.Grant{grant(t, "alice", 20001, false)}, bob.Grants...), SSHD: true}
			p := plan.Diff(s, both, l, layout)
			want := `
create account alice (uid 20001): it was closed, and has no home
write file /var/lib/latchkey/authorized_keys/alice
remove home /home/alice.20001.removed of alice (uid 20001)
`
			if diff := cmp.Diff(want, "\n"+p.String()); diff != "" {
				t.Fatalf("plan (-want +got):\n%s", diff)
			}
			apply(t, &s, &l, p)
			if again := plan.Diff(s, both, l, layout); !again.Empty() {
				t.Errorf("a second plan is not empty:\n%s", again)
			}
		})
	}
}
