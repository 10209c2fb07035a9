package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestLedger_made follows an account whose making was cut short and that is made again
// in one plan: at no step may the ledger cease to name it (requirement R46).
func TestLedger_made(t *testing.T) {
	s, l := settled(t)
	alice := mustName(t, "alice")
	half := s.Accounts["alice"]
	half.Password = ""
	s.Accounts["alice"] = half
	own := l.Accounts[alice]
	own.State = plan.Intended
	l.Accounts[alice] = own
	want := plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, false)}, SSHD: true}

	p := plan.Diff(s, want, l, layout)
	l.Intend(p.Steps, nil)
	for _, step := range p.Steps {
		applyStep(t, &s, step)
		l.Done(step)
		if _, exists := s.Accounts["alice"]; exists {
			if _, named := l.Accounts[alice]; !named {
				t.Fatalf("after %q the account exists and the ledger does not name it", step)
			}
		}
	}
	if state := l.Accounts[alice].State; state != plan.Present {
		t.Errorf("alice is %q, want %q", state, plan.Present)
	}
	if again := plan.Diff(s, want, l, layout); !again.Empty() || len(again.Refused) != 0 {
		t.Errorf("a second plan is not empty:\n%s", again)
	}
}

// TestLedger_claims: before a step the ledger claims what it is about to make, and
// ceases to only after what it says is gone is gone (requirement R46).
func TestLedger_claims(t *testing.T) {
	alice := mustName(t, "alice")
	id, err := authz.ParseUserID("00020001-0000-4000-8000-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	owned := func(state plan.AccountState) plan.Ledger {
		l := plan.NewLedger()
		l.Accounts[alice] = plan.Owned{User: id, UID: 20001, State: state}
		return l
	}
	with := func(change func(*plan.Ledger)) plan.Ledger { l := plan.NewLedger(); change(&l); return l }
	modes := func(loaded bool, m ...plan.KeysMode) func(*plan.Ledger) {
		return func(l *plan.Ledger) { l.SSHD, l.SSHDLoaded, l.SSHDModes = true, loaded, m }
	}
	block := func(l plan.Ledger) plan.Ledger {
		own := l.Accounts[alice]
		own.Block = true
		l.Accounts[alice] = own
		return l
	}
	tests := map[string]struct {
		start, intended, done plan.Ledger
		step                  plan.Step
	}{
		"create-account": {plan.NewLedger(), owned(plan.Intended), owned(plan.Present), plan.Step{Op: plan.OpCreateAccount, User: alice, UID: 20001}},
		"create-account-over-our-lines": {block(owned(plan.Revoked)), block(owned(plan.Intended)), block(owned(plan.Present)),
			plan.Step{Op: plan.OpCreateAccount, User: alice, UID: 20001}},
		"repair":         {owned(plan.Revoked), owned(plan.Revoked), owned(plan.Present), plan.Step{Op: plan.OpRepair, User: alice, UID: 20001}},
		"lock":           {owned(plan.Present), owned(plan.Present), owned(plan.Revoked), plan.Step{Op: plan.OpLock, User: alice, UID: 20001}},
		"retire":         {owned(plan.Revoked), owned(plan.Revoked), plan.NewLedger(), plan.Step{Op: plan.OpRetire, User: alice, UID: 20001}},
		"delete-account": {owned(plan.Revoked), owned(plan.Revoked), plan.NewLedger(), plan.Step{Op: plan.OpDeleteAccount, User: alice, UID: 20001}},
		"give-back":      {owned(plan.Revoked), owned(plan.Revoked), plan.NewLedger(), plan.Step{Op: plan.OpGiveBack, User: alice, UID: 20001}},
		"remove-home":    {owned(plan.Revoked), owned(plan.Revoked), owned(plan.Revoked), plan.Step{Op: plan.OpRemoveHome, User: alice, UID: 20001}},
		"create-group": {plan.NewLedger(), with(func(l *plan.Ledger) { l.Groups["latchkey"] = true }),
			with(func(l *plan.Ledger) { l.Groups["latchkey"] = true }), plan.Step{Op: plan.OpCreateGroup, Group: "latchkey"}},
		"delete-group": {with(func(l *plan.Ledger) { l.Groups["latchkey"] = true }), with(func(l *plan.Ledger) { l.Groups["latchkey"] = true }),
			plan.NewLedger(), plan.Step{Op: plan.OpDeleteGroup, Group: "latchkey"}},
		"create-hook-user": {plan.NewLedger(), with(func(l *plan.Ledger) { l.HookUser = true }),
			with(func(l *plan.Ledger) { l.HookUser = true }), plan.Step{Op: plan.OpCreateHookUser, Group: "latchkey-keys"}},
		"make-folder": {plan.NewLedger(), with(func(l *plan.Ledger) { l.Folders = true }),
			with(func(l *plan.Ledger) { l.Folders = true }), plan.Step{Op: plan.OpMakeFolder, Path: "/x"}},
		"give-sudo": {plan.NewLedger(), with(func(l *plan.Ledger) { l.Sudoers = true }),
			with(func(l *plan.Ledger) { l.Sudoers, l.SudoProved = true, true }), plan.Step{Op: plan.OpGiveSudo}},
		"write-sshd": {with(func(l *plan.Ledger) { l.SSHD, l.SSHDLoaded = true, true }), with(modes(false, plan.KeysCommand)),
			with(modes(true, plan.KeysCommand)), plan.Step{Op: plan.OpWriteSSHD}},
		"switch-sshd": {with(modes(true, plan.KeysCommand)), with(modes(false, plan.KeysCommand, plan.KeysHome)),
			with(modes(true, plan.KeysHome, plan.KeysCommand)), plan.Step{Op: plan.OpWriteSSHD, Mode: plan.KeysHome}},
		"switch-sshd-back-at-once": {with(modes(true, plan.KeysHome, plan.KeysCommand)), with(modes(false, plan.KeysHome, plan.KeysCommand)),
			with(modes(true, plan.KeysCommand, plan.KeysHome)), plan.Step{Op: plan.OpWriteSSHD, Mode: plan.KeysCommand}},
		"write-block": {owned(plan.Present), block(owned(plan.Present)), block(owned(plan.Present)), plan.Step{Op: plan.OpWriteBlock, User: alice}},
		"take-block":  {block(owned(plan.Revoked)), block(owned(plan.Revoked)), owned(plan.Revoked), plan.Step{Op: plan.OpTakeBlock, User: alice}},
		"take-some-of-block": {block(owned(plan.Present)), block(owned(plan.Present)), block(owned(plan.Present)),
			plan.Step{Op: plan.OpTakeBlock, User: alice, Keys: []byte("a line\n")}},
		"remove-sshd": {with(func(l *plan.Ledger) { l.SSHD, l.SSHDLoaded = true, true }), with(func(l *plan.Ledger) { l.SSHD, l.SSHDLoaded = true, true }),
			plan.NewLedger(), plan.Step{Op: plan.OpRemoveSSHD}},
		"nothing-made": {owned(plan.Present), owned(plan.Present), owned(plan.Present), plan.Step{Op: plan.OpEndSessions, User: alice, UID: 20001}},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			l := test.start
			l.Intend([]plan.Step{test.step}, map[authz.Username]authz.UserID{alice: id})
			if diff := cmp.Diff(test.intended, l, unexported); diff != "" {
				t.Errorf("before the step (-want +got):\n%s", diff)
			}
			l.Done(test.step)
			if diff := cmp.Diff(test.done, l, unexported); diff != "" {
				t.Errorf("after the step (-want +got):\n%s", diff)
			}
		})
	}
}

// unexported lets cmp compare names and ids, which are comparable values.
var unexported = cmp.Options{
	cmp.Comparer(func(a, b authz.Username) bool { return a == b }),
	cmp.Comparer(func(a, b authz.UserID) bool { return a == b }),
}

// TestLedger_found: what an account is found to be is noted: one that we closed and others
// opened for somebody who has it by now is there, and one that is closed, or removed and
// nobody's, has no adopted keys, also where a kill kept either from being recorded (requirement R31 in part).
func TestLedger_found(t *testing.T) {
	alice := mustName(t, "alice")
	mayEnter := []authz.Grant{{Username: alice, UID: 20001}}
	for situation, test := range map[string]struct {
		was     plan.AccountState
		account plan.Account
		granted []authz.Grant
		state   plan.AccountState
		keys    int
	}{
		"opened-by-others":     {plan.Revoked, plan.Account{Name: "alice", UID: 20001, Password: "*"}, nil, plan.Present, 1},
		"closed":               {plan.Revoked, plan.Account{Name: "alice", UID: 20001, Password: "!", Expires: 1}, nil, plan.Revoked, 0},
		"closing-cut-off":      {plan.Present, plan.Account{Name: "alice", UID: 20001, Password: "!", Expires: 1}, mayEnter, plan.Present, 0},
		"making-cut-off":       {plan.Intended, plan.Account{Name: "alice", UID: 20001, Password: "*"}, mayEnter, plan.Present, 1},
		"another's-now":        {plan.Revoked, plan.Account{Name: "alice", UID: 1001, Password: "!", Expires: 1}, nil, plan.Revoked, 0},
		"removed":              {plan.Present, plan.Account{}, nil, plan.Present, 0},
		"removed-from-under":   {plan.Present, plan.Account{}, mayEnter, plan.Present, 1},
		"removed-uid-of-other": {plan.Present, plan.Account{}, []authz.Grant{{Username: alice, UID: 20002}}, plan.Present, 0},
	} {
		t.Run(situation, func(t *testing.T) {
			l := plan.NewLedger()
			l.Accounts[alice] = plan.Owned{UID: 20001, State: test.was, Adopted: []string{keyOther}}
			have := plan.State{Accounts: map[string]plan.Account{test.account.Name: test.account}}
			if forgot := l.Closed(have, test.granted); forgot != (test.keys == 0) {
				t.Errorf("it says that it forgot keys: %t", forgot)
			}
			changed := l.Settle(have)
			if got := l.Accounts[alice]; got.State != test.state || len(got.Adopted) != test.keys || changed != (test.was != test.state) {
				t.Errorf("the ledger says %+v, changed: %t", got, changed)
			}
		})
	}
}
