package plan_test

import (
	"errors"
	"strings"
	"testing"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// TestDiff_clash holds R15 in part, R20 and T-U2 in part.
func TestDiff_clash(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *plan.State)
		user   string
		uid    authz.UID
		want   error
	}{
		{"existing-account", func(*plan.State) {}, "deby", 20001, plan.ErrNameTaken},
		{"existing-account-with-our-uid", func(*plan.State) {}, "deby", 1000, plan.ErrNameTaken},
		{"existing-group", func(*plan.State) {}, "staffers", 20001, plan.ErrGroupTaken},
		{"uid-of-another-account", func(*plan.State) {}, "alice", 1000, plan.ErrUIDTaken},
		{"gid-of-another-group", func(*plan.State) {}, "alice", 1001, plan.ErrGIDTaken},
		{"host-name", func(*plan.State) {}, "web-1", 20001, plan.ErrHostname},
		{"home-of-somebody-else", func(s *plan.State) { s.Homes["/home/alice"] = plan.Folder{Real: true, UID: 1000} }, "alice", 20001, plan.ErrHomeForeign},
		{"home-is-a-link", func(s *plan.State) { s.Homes["/home/alice"] = plan.Folder{Real: false, UID: 20001} }, "alice", 20001, plan.ErrHomeForeign},
		{"own-home-from-before", func(s *plan.State) { s.Homes["/home/alice"] = plan.Folder{Real: true, UID: 20001} }, "alice", 20001, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fresh()
			tt.change(&s)
			want := plan.Desired{Grants: []authz.Grant{grant(t, tt.user, tt.uid, true), grant(t, "zoe", 20077, false)}}
			p := plan.Diff(s, want, plan.NewLedger(), layout)
			if tt.want == nil {
				if len(p.Refused) != 0 {
					t.Fatalf("refused: %v", p.Refused)
				}
				return
			}
			if len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, tt.want) {
				t.Fatalf("refused %v, want %v", p.Refused, tt.want)
			}
			if strings.Contains(p.String(), "account "+tt.user+" ") || strings.Contains(p.String(), "sudo for "+tt.user) {
				t.Errorf("plan touches %s:\n%s", tt.user, p)
			}
			if !strings.Contains(p.String(), "create account zoe") {
				t.Errorf("one clash keeps another user out:\n%s", p)
			}
		})
	}
}
