package plan_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// diffCase is the text of the plan for a machine and a wish.
type diffCase struct {
	name  string
	start func(t *testing.T) (plan.State, plan.Ledger)
	want  func(t *testing.T) plan.Desired
	text  string
}

func runDiff(t *testing.T, tests []diffCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have, owned := tt.start(t)
			got := "\n" + plan.Diff(have, tt.want(t), owned, layout).String()
			if diff := cmp.Diff(tt.text, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func aliceAndBob(t *testing.T) []authz.Grant {
	t.Helper()
	return []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, false)}
}

// TestDiff is what a plan makes and repairs, in order.
func TestDiff(t *testing.T) {
	runDiff(t, []diffCase{
		{"fresh-machine", func(*testing.T) (plan.State, plan.Ledger) { return fresh(), plan.NewLedger() },
			func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
create group latchkey
create user latchkey-keys for the login hook
make folder /var/lib/latchkey
make folder /var/lib/latchkey/authorized_keys
write file /etc/ssh/sshd_config.d/10-latchkey.conf, reload sshd
create account alice (uid 20001)
create account bob (uid 20002)
write file /var/lib/latchkey/authorized_keys/alice
write file /var/lib/latchkey/authorized_keys/bob
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"nothing-to-do", settled,
			func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, "\n"},
		{"shell-not-usable", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := bothSudo(t)
			s.Shell = errors.New("no such file")
			return s, l
		}, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, true)}, SSHD: true}
		}, `
repair account alice (uid 20001): shell is "/bin/bash"
repair account bob (uid 20002): shell is "/bin/bash"
`},
		{"damaged-by-hand", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Files["/var/lib/latchkey/authorized_keys/alice"] = plan.File{Content: []byte("x"), GID: 991, Mode: 0o640}
			s.Files["/etc/sudoers.d/90-latchkey"] = plan.File{Content: []byte("mallory ALL=(ALL:ALL) NOPASSWD: ALL\n"), Mode: 0o666}
			delete(s.Files, "/etc/ssh/sshd_config.d/10-latchkey.conf")
			b := s.Accounts["bob"]
			b.Shell, b.Password = "/bin/evil\n", "set"
			s.Accounts["bob"] = b
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
write file /var/lib/latchkey/authorized_keys/alice: holds what it should not
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
write file /etc/ssh/sshd_config.d/10-latchkey.conf, reload sshd
repair account bob (uid 20002): password is not *, shell is "/bin/evil\x0a"
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"granted-again", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			apply(t, &s, &l, plan.Diff(s, plan.Desired{SSHD: true}, l, layout))
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t)[:1], SSHD: true} }, `
repair account alice (uid 20001): password is not *, account expires
write file /var/lib/latchkey/authorized_keys/alice
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"cut-short-while-making-alice", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			a := s.Accounts["alice"]
			a.Password = ""
			s.Accounts["alice"] = a
			own := l.Accounts[mustName(t, "alice")]
			own.State = plan.Intended
			l.Accounts[mustName(t, "alice")] = own
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
repair account alice (uid 20001): password is not *
`},
		// What is taken, also one key of several, waits for nobody's account.
		{"cut-short-before-alice-had-a-home", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			delete(s.Homes, "/home/alice")
			own := l.Accounts[mustName(t, "alice")]
			own.State = plan.Intended
			l.Accounts[mustName(t, "alice")] = own
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: aliceAndBob(t), SSHD: true} }, `
create account alice (uid 20001): its making was cut short, no home
`},
	})
}

// TestDiff_begun: an account whose making was begun may be there by the time of the step,
// and is ours then. If it was begun for another user, what comes of that goes first.
func TestDiff_begun(t *testing.T) {
	t.Parallel()
	alice := mustName(t, "alice")
	const retire, create, again = "remove account alice (uid 20002), keep its home as /home/alice.20002", "create account alice (uid 20001)", " again"
	for name, c := range map[string]struct {
		owned plan.Owned
		want  []string
	}{
		"new":              {want: []string{create}},
		"begun":            {plan.Owned{UID: 20001, State: plan.Intended}, []string{create + again}},
		"begun-for-others": {plan.Owned{UID: 20002, State: plan.Intended}, []string{retire, create}},
		"uid-of-others":    {plan.Owned{UID: 1000, State: plan.Intended}, []string{create}},
		"made":             {plan.Owned{UID: 20001, State: plan.Present}, []string{create}},
		"made-for-others":  {plan.Owned{UID: 20002, State: plan.Present}, []string{create}},
		"revoked":          {plan.Owned{UID: 20001, State: plan.Revoked}, []string{create}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			have, owned := fresh(), plan.NewLedger()
			if c.owned.UID != 0 {
				owned.Accounts[alice] = c.owned
			}
			var made []string
			for range 2 {
				p := plan.Diff(have, plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, false)}}, owned, layout)
				for _, s := range p.Steps {
					switch text := s.String(); {
					case s.Again:
						made = append(made, text+again)
					case s.Op == plan.OpCreateAccount, s.Op == plan.OpRetire:
						made = append(made, text)
					}
				}
				apply(t, &have, &owned, p)
			}
			if diff := cmp.Diff(c.want, made); diff != "" {
				t.Errorf("two plans (-want +got):\n%s", diff)
			}
		})
	}
}
