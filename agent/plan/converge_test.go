package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// Any machine and any wish meet in two plans, and removals come before gifts.
func TestDiff_converges(t *testing.T) {
	wishes := [][]authz.Grant{
		nil,
		{grant(t, "alice", 20001, true)},
		{grant(t, "alice", 20001, false), grant(t, "bob", 20002, true)},
		{grant(t, "alice", 20009, true)},
		{grant(t, "bob", 20002, false), grant(t, "carol", 20003, true)},
	}
	for i, first := range wishes {
		for j, second := range wishes {
			s, l := fresh(), plan.NewLedger()
			for _, wish := range [][]authz.Grant{first, second} {
				want := plan.Desired{Grants: wish}
				rounds := 0
				for p := plan.Diff(s, want, l, layout); !p.Empty(); p = plan.Diff(s, want, l, layout) {
					assertOrder(t, p)
					apply(t, &s, &l, p)
					if rounds++; rounds > 2 {
						t.Fatalf("from %d to %d: not there after %d plans:\n%s", i, j, rounds, p)
					}
				}
			}
			apply(t, &s, &l, plan.Revert(s, l, layout))
			if diff := cmp.Diff(fresh().Accounts, s.Accounts); diff != "" {
				t.Errorf("accounts after revert from %d to %d (-before +after):\n%s", i, j, diff)
			}
			if diff := cmp.Diff(fresh().Groups, s.Groups); diff != "" {
				t.Errorf("groups after revert from %d to %d (-before +after):\n%s", i, j, diff)
			}
		}
	}
}

func assertOrder(t *testing.T, p plan.Plan) {
	t.Helper()
	giving := false
	for _, s := range p.Steps {
		switch s.Op {
		case plan.OpCreateAccount, plan.OpRepair, plan.OpWriteKeys, plan.OpGiveSudo:
			giving = true
		case plan.OpRemoveFile, plan.OpTakeSudo, plan.OpRemoveSudo, plan.OpEndLinger, plan.OpTakeJobs, plan.OpLock, plan.OpEndSessions, plan.OpDropGroups, plan.OpRetire:
			if giving {
				t.Errorf("access is taken away after some was given:\n%s", p)
			}
		}
	}
}

func TestRevert(t *testing.T) {
	s, l := settled(t)
	s.Processes[20002] = 1
	want := `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /var/lib/latchkey/authorized_keys/bob
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
end sessions of bob (uid 20002): 1 process
lock account alice (uid 20001)
lock account bob (uid 20002)
remove file /etc/ssh/sshd_config.d/10-latchkey.conf, reload sshd
remove account alice (uid 20001), keep its home /home/alice
remove account bob (uid 20002), keep its home /home/bob
remove user latchkey-keys
remove group latchkey
remove folder /var/lib/latchkey/authorized_keys
`
	if diff := cmp.Diff(want, "\n"+plan.Revert(s, l, layout).String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
