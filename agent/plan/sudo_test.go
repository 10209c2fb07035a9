package plan_test

import (
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestDiff_sudo holds R29 in part: rules go before anything is given, and nobody who keeps
// sudo loses it for somebody else.
func TestDiff_sudo(t *testing.T) {
	runDiff(t, []diffCase{
		{"sudo-moves-from-alice-to-bob", settled, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, false), grant(t, "bob", 20002, true)}, SSHD: true}
		}, `
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for bob
`},
		{"sudo-of-one-of-two-goes", bothSudo, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, false)}, SSHD: true}
		}, `
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice only
`},
		{"one-of-two-with-sudo-leaves", bothSudo, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true)}, SSHD: true}
		}, `
remove file /var/lib/latchkey/authorized_keys/bob
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice only
lock account bob (uid 20002)
`},
		// Nobody who keeps sudo loses it, and nobody without an account gets it early.
		{"sudoers-and-keys-not-to-be-read", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := bothSudo(t)
			for _, path := range []string{layout.Sudoers, layout.KeyFile(mustName(t, "alice"))} {
				f := s.Files[path]
				f.Content, f.Unread = nil, true
				s.Files[path] = f
			}
			return s, l
		}, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true), grant(t, "carol", 20003, true)}, SSHD: true}
		}, `
remove file /var/lib/latchkey/authorized_keys/bob
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice only
lock account bob (uid 20002)
create account carol (uid 20003)
write file /var/lib/latchkey/authorized_keys/alice: differs
write file /var/lib/latchkey/authorized_keys/carol
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice, carol
`},
		// Requirement R26: nobody has a shell that can not be run.
		{"one-more-gets-sudo", settled, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, true)}, SSHD: true}
		}, `
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice, bob
`},
		{"line-of-another-in-our-file", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			f := s.Files[layout.Sudoers]
			f.Content = append([]byte("mallory ALL=(ALL:ALL) NOPASSWD: ALL\n"), f.Content...)
			s.Files[layout.Sudoers] = f
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice only
`},
		{"sudo-not-proved-yet", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			l.SudoProved = false
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"sudo-is-gone-from-the-machine", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.SudoEffective, s.SudoReason = false, plan.ErrSudoNotRead
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
refused "alice": the sudo policy of this machine does not include our folder
`},
		{"rule-for-an-account-that-others-removed", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			delete(s.Accounts, "alice")
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
create account alice (uid 20001)
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"expiring-sudo", settled, func(t *testing.T) plan.Desired {
			g := aliceAndBob(t)
			g[0].NotAfter = end
			return plan.Desired{Grants: g, SSHD: true}
		}, `
write file /var/lib/latchkey/authorized_keys/alice: holds what it should not
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"sudo-rs-and-an-end", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.SudoEndless = true
			return s, l
		}, func(t *testing.T) plan.Desired {
			g := aliceAndBob(t)
			g[0].NotAfter = end
			return plan.Desired{Grants: g, SSHD: true}
		}, `
write file /var/lib/latchkey/authorized_keys/alice: holds what it should not
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
refused "alice": sudo-rs reads no rule with an end
`},
		// Whoever has sudo keeps it while sudo does not answer, and nobody gets it.
		{"sudo-could-not-be-looked-at", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.SudoEffective, s.SudoReason = false, plan.ErrSudoUnseen
			return s, l
		}, func(t *testing.T) plan.Desired {
			g := aliceAndBob(t)
			g[1].Sudo = true
			return plan.Desired{Grants: g, SSHD: true}
		}, `
refused "alice": sudo could not be looked at: who has sudo keeps it, and nobody gets it
refused "bob": sudo could not be looked at: who has sudo keeps it, and nobody gets it
`},
		{"no-sudo-on-the-machine", func(*testing.T) (plan.State, plan.Ledger) {
			s := fresh()
			s.SudoEffective, s.SudoReason = false, plan.ErrSudoMissing
			return s, plan.NewLedger()
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t)[:1]} }, `
create group latchkey
create user latchkey-keys for the login hook
make folder /var/lib/latchkey
make folder /var/lib/latchkey/authorized_keys
create account alice (uid 20001)
write file /var/lib/latchkey/authorized_keys/alice
refused "alice": sudo is not installed here
`},
	})
}
