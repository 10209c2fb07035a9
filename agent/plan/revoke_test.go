package plan_test

import (
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestDiff_revoke holds R29: what leaves goes first, in its order, whoever comes.
func TestDiff_revoke(t *testing.T) {
	runDiff(t, []diffCase{
		{"revoke-with-live-session", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Processes[20001] = 3
			a := s.Accounts["alice"]
			a.Groups = append(a.Groups, "staffers")
			s.Accounts["alice"] = a
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t)[1:], SSHD: true} }, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
drop groups of alice (uid 20001): staffers
end sessions of alice (uid 20001): 3 processes
lock account alice (uid 20001)
`},
		{"revoke-with-jobs", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Processes[20001] = 1
			s.Scheduled[mustName(t, "alice")] = plan.Scheduled{Crontabs: []string{"/var/spool/cron/crontabs/alice"},
				AtJobs: []string{"/var/spool/cron/atjobs/a1", "/var/spool/cron/atjobs/a2"}, Linger: true}
			s.Scheduled[mustName(t, "bob")] = plan.Scheduled{Crontabs: []string{"/var/spool/cron/crontabs/bob"}, Linger: true}
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t)[1:], SSHD: true} }, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
end sessions of alice (uid 20001): 1 process
stop lingering of alice (uid 20001)
take jobs of alice (uid 20001): crontab and 2 at jobs, keep them in /var/lib/latchkey/revoked/alice.20001
lock account alice (uid 20001)
`},
		{"revoked-and-planted-a-job", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			apply(t, &s, &l, plan.Diff(s, plan.Desired{Grants: aliceAndBob(t)[1:], SSHD: true}, l, layout))
			s.Scheduled[mustName(t, "alice")] = plan.Scheduled{AtJobs: []string{"/var/spool/cron/atjobs/a1"}}
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t)[1:], SSHD: true} }, `
take jobs of alice (uid 20001): 1 at job, keep them in /var/lib/latchkey/revoked/alice.20001
`},
		{"name-and-uid-of-a-removed-account-are-of-others", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Accounts["alice"] = plan.Account{Name: "alice", UID: 1001, GID: 1001}
			s.Accounts["eve"] = plan.Account{Name: "eve", UID: 20001, GID: 20001}
			s.Processes[20001] = 1
			s.Scheduled[mustName(t, "alice")] = plan.Scheduled{Crontabs: []string{"/var/spool/cron/crontabs/alice"},
				AtJobs: []string{"/var/spool/cron/atjobs/a1"}, Linger: true}
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t)[1:], SSHD: true} }, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
`},
		{"swap-removal-before-addition", settled, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "bob", 20002, false), grant(t, "carol", 20003, true)}, SSHD: true}
		}, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
lock account alice (uid 20001)
create account carol (uid 20003)
write file /var/lib/latchkey/authorized_keys/carol
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for carol
`},
		{"stranger-in-the-key-folder", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Files["/var/lib/latchkey/authorized_keys/mallory"] = plan.File{Content: []byte("x"), GID: 991, Mode: 0o640}
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
remove file /var/lib/latchkey/authorized_keys/mallory
`},
		{"another-user-takes-the-name", settled, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20009, false), grant(t, "bob", 20002, false)}, SSHD: true}
		}, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
lock account alice (uid 20001)
remove account alice (uid 20001), keep its home as /home/alice.20001
`},
		{"another-key-for-alice-and-carol-comes", settled, func(t *testing.T) plan.Desired {
			g := aliceAndBob(t)
			g[0].Keys = grant(t, "alice", 20001, true).Keys[:0]
			return plan.Desired{Grants: append(g, grant(t, "carol", 20003, false)), SSHD: true}
		}, `
write file /var/lib/latchkey/authorized_keys/alice: holds what it should not
create account carol (uid 20003)
write file /var/lib/latchkey/authorized_keys/carol
`},
		// Others removed alice's account and left her home; the name is another's now.
		{"heir-of-an-account-that-others-removed", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			delete(s.Accounts, "alice")
			return s, l
		}, func(t *testing.T) plan.Desired {
			g := aliceAndBob(t)
			g[0] = grant(t, "alice", 20009, true)
			return plan.Desired{Grants: g, SSHD: true}
		}, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
remove account alice (uid 20001), keep its home as /home/alice.20001
`},
		// Whoever makes an account of the name meanwhile must not have her rule.
	})
}
