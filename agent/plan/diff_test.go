package plan_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
	"latchkey/authz/name"
)

var (
	layout = plan.Linux()
	end    = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
)

// fresh is a Debian machine nobody has touched.
func fresh() plan.State {
	return plan.State{
		Hostname:      "web-1.example",
		SudoEffective: true,
		Accounts: map[string]plan.Account{
			"root": {Name: "root", Home: "/root", Shell: "/bin/bash", Password: "*"},
			"deby": {Name: "deby", UID: 1000, GID: 1000, Home: "/home/deby", Shell: "/bin/bash", Password: "set"},
		},
		Groups:    map[string]plan.Group{"root": {Name: "root"}, "deby": {Name: "deby", GID: 1000}, "staffers": {Name: "staffers", GID: 1001}},
		Files:     map[string]plan.File{},
		Homes:     map[string]plan.Folder{},
		Blocks:    map[authz.Username]plan.Block{},
		Processes: map[authz.UID]int{},
		Scheduled: map[authz.Username]plan.Scheduled{},
	}
}

func mustName(t *testing.T, s string) authz.Username {
	t.Helper()
	u, err := name.ParseUsername(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustKey(t *testing.T) authz.Key {
	t.Helper()
	return parsed(t, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c")
}

func grant(t *testing.T, user string, uid authz.UID, sudo bool) authz.Grant {
	t.Helper()
	return authz.Grant{Username: mustName(t, user), UID: uid, Sudo: sudo, Keys: []authz.Key{mustKey(t)}}
}

// apply makes the steps of a plan true in memory: it is the contract that
// agent/host keeps on a real machine.
func apply(t *testing.T, s *plan.State, l *plan.Ledger, p plan.Plan) {
	t.Helper()
	l.Intend(p.Steps, nil)
	for _, step := range p.Steps {
		applyStep(t, s, step)
		l.Done(step)
	}
}

func applyStep(t *testing.T, s *plan.State, step plan.Step) {
	t.Helper()
	user := step.User.String()
	put := func(content []byte) {
		s.Files[step.Path] = plan.File{Content: content, GID: s.Groups[step.Attr.Group].GID, Mode: step.Attr.Mode}
	}
	switch step.Op {
	case plan.OpRemoveFile, plan.OpRemoveSudo, plan.OpRemoveSSHD, plan.OpRemoveFolder:
		delete(s.Files, step.Path)
	case plan.OpTakeSudo, plan.OpGiveSudo:
		put(plan.SudoersFile(step.Rules))
	case plan.OpTakeKeys, plan.OpWriteKeys, plan.OpKeepCommand:
		put(step.Keys)
	case plan.OpWriteSSHD:
		put(plan.SSHDFile(layout, step.Mode))
	case plan.OpWriteBlock, plan.OpTakeBlock:
		s.Blocks[step.User] = plan.Block{Found: len(step.Keys) > 0, Lines: string(step.Keys)}
	case plan.OpMakeFolder:
		s.Files[step.Path] = plan.File{Folder: true, GID: s.Groups[step.Attr.Group].GID, Mode: step.Attr.Mode}
	case plan.OpDropGroups:
		a := s.Accounts[user]
		a.Groups = []string{layout.MarkerGroup}
		s.Accounts[user] = a
	case plan.OpEndSessions:
		delete(s.Processes, step.UID)
	case plan.OpEndLinger:
		left := s.Scheduled[step.User]
		left.Linger = false
		s.Scheduled[step.User] = left
	case plan.OpTakeJobs:
		s.Scheduled[step.User] = plan.Scheduled{Linger: s.Scheduled[step.User].Linger}
	case plan.OpQuarantine:
		delete(s.Foreign, step.User)
	case plan.OpAdopt: // the ledger's alone
	case plan.OpLock:
		a := s.Accounts[user]
		a.Password, a.Expires = "!", 1
		s.Accounts[user] = a
	case plan.OpRetire:
		delete(s.Accounts, user)
		delete(s.Groups, user)
		s.Homes[step.Home] = s.Homes[layout.Home(step.User)]
		delete(s.Homes, layout.Home(step.User))
	case plan.OpRemoveHome:
		delete(s.Homes, step.Home)
	case plan.OpGiveBack:
		delete(s.Accounts, user)
		s.Accounts[user] = plan.Account{Name: user, UID: uint32(step.UID)}
	case plan.OpDeleteAccount:
		delete(s.Accounts, user)
		delete(s.Groups, user)
	case plan.OpCreateGroup:
		s.Groups[step.Group] = plan.Group{Name: step.Group, GID: 990}
	case plan.OpDeleteGroup:
		delete(s.Groups, step.Group)
	case plan.OpCreateHookUser:
		s.Groups[step.Group] = plan.Group{Name: step.Group, GID: 991}
		s.Accounts[step.Group] = plan.Account{Name: step.Group, UID: 991, GID: 991, Password: "!"}
	case plan.OpDeleteHookUser:
		delete(s.Accounts, step.Group)
		delete(s.Groups, step.Group)
	case plan.OpCreateAccount, plan.OpRepair:
		s.Groups[user] = plan.Group{Name: user, GID: uint32(step.UID)}
		s.Accounts[user] = plan.Account{Name: user, UID: uint32(step.UID), GID: uint32(step.UID), Home: layout.Home(step.User),
			Shell: step.Shell, Password: "*", Groups: []string{layout.MarkerGroup}}
		s.Homes[layout.Home(step.User)] = plan.Folder{Real: true, UID: uint32(step.UID)}
	default:
		t.Fatalf("plan holds a step nobody knows: %v", step)
	}
}

// settled is a machine on which alice (sudo) and bob were set up.
func settled(t *testing.T) (plan.State, plan.Ledger) {
	t.Helper()
	s, l := fresh(), plan.NewLedger()
	want := plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, false)}, SSHD: true}
	apply(t, &s, &l, plan.Diff(s, want, l, layout))
	if again := plan.Diff(s, want, l, layout); !again.Empty() {
		t.Fatalf("a second plan is not empty:\n%s", again)
	}
	return s, l
}

// bothSudo is settled, with sudo for bob too.
func bothSudo(t *testing.T) (plan.State, plan.Ledger) {
	t.Helper()
	s, l := settled(t)
	want := plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, true)}, SSHD: true}
	apply(t, &s, &l, plan.Diff(s, want, l, layout))
	return s, l
}

// TestDiff holds R29.
func TestDiff(t *testing.T) {
	both := func(t *testing.T) []authz.Grant {
		return []authz.Grant{grant(t, "alice", 20001, true), grant(t, "bob", 20002, false)}
	}
	tests := []struct {
		name  string
		start func(t *testing.T) (plan.State, plan.Ledger)
		want  func(t *testing.T) plan.Desired
		text  string
	}{
		{"fresh-machine", func(*testing.T) (plan.State, plan.Ledger) { return fresh(), plan.NewLedger() },
			func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
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
			func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, "\n"},
		{"revoke-with-live-session", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Processes[20001] = 3
			a := s.Accounts["alice"]
			a.Groups = append(a.Groups, "staffers")
			s.Accounts["alice"] = a
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t)[1:], SSHD: true} }, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
drop groups of alice (uid 20001): staffers
end sessions of alice (uid 20001): 3 processes
lock account alice (uid 20001)
`},
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
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice only
`},
		{"sudo-not-proved-yet", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			l.SudoProved = false
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"sudo-is-gone-from-the-machine", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.SudoEffective, s.SudoReason = false, plan.ErrSudoNotRead
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
refused "alice": the sudo policy of this machine does not include our folder
`},
		{"revoke-with-jobs", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Processes[20001] = 1
			s.Scheduled[mustName(t, "alice")] = plan.Scheduled{Crontabs: []string{"/var/spool/cron/crontabs/alice"},
				AtJobs: []string{"/var/spool/cron/atjobs/a1", "/var/spool/cron/atjobs/a2"}, Linger: true}
			s.Scheduled[mustName(t, "bob")] = plan.Scheduled{Crontabs: []string{"/var/spool/cron/crontabs/bob"}, Linger: true}
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t)[1:], SSHD: true} }, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
end sessions of alice (uid 20001): 1 process
stop lingering of alice (uid 20001)
take jobs of alice (uid 20001): crontab and 2 at jobs, keep them in /var/lib/latchkey/revoked/alice.20001
lock account alice (uid 20001)
`},
		{"revoked-and-planted-a-job", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			apply(t, &s, &l, plan.Diff(s, plan.Desired{Grants: both(t)[1:], SSHD: true}, l, layout))
			s.Scheduled[mustName(t, "alice")] = plan.Scheduled{AtJobs: []string{"/var/spool/cron/atjobs/a1"}}
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t)[1:], SSHD: true} }, `
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
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t)[1:], SSHD: true} }, `
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
		{"damaged-by-hand", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Files["/var/lib/latchkey/authorized_keys/alice"] = plan.File{Content: []byte("x"), GID: 991, Mode: 0o640}
			s.Files["/etc/sudoers.d/90-latchkey"] = plan.File{Content: []byte("mallory ALL=(ALL:ALL) NOPASSWD: ALL\n"), Mode: 0o666}
			delete(s.Files, "/etc/ssh/sshd_config.d/10-latchkey.conf")
			b := s.Accounts["bob"]
			b.Shell, b.Password = "/bin/evil\n", "set"
			s.Accounts["bob"] = b
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
write file /var/lib/latchkey/authorized_keys/alice: holds what it should not
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
write file /etc/ssh/sshd_config.d/10-latchkey.conf, reload sshd
repair account bob (uid 20002): password is not *, shell is "/bin/evil\x0a"
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"stranger-in-the-key-folder", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			s.Files["/var/lib/latchkey/authorized_keys/mallory"] = plan.File{Content: []byte("x"), GID: 991, Mode: 0o640}
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
remove file /var/lib/latchkey/authorized_keys/mallory
`},
		{"granted-again", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			apply(t, &s, &l, plan.Diff(s, plan.Desired{SSHD: true}, l, layout))
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t)[:1], SSHD: true} }, `
repair account alice (uid 20001): password is not *, account expires
write file /var/lib/latchkey/authorized_keys/alice
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"another-user-takes-the-name", settled, func(t *testing.T) plan.Desired {
			return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20009, false), grant(t, "bob", 20002, false)}, SSHD: true}
		}, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
lock account alice (uid 20001)
remove account alice (uid 20001), keep its home as /home/alice.20001
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
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
repair account alice (uid 20001): password is not *
`},
		// What is taken, also one key of several, waits for nobody's account.
		{"another-key-for-alice-and-carol-comes", settled, func(t *testing.T) plan.Desired {
			g := both(t)
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
			g := both(t)
			g[0] = grant(t, "alice", 20009, true)
			return plan.Desired{Grants: g, SSHD: true}
		}, `
remove file /var/lib/latchkey/authorized_keys/alice
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
remove account alice (uid 20001), keep its home as /home/alice.20001
`},
		// Whoever makes an account of the name meanwhile must not have her rule.
		{"rule-for-an-account-that-others-removed", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			delete(s.Accounts, "alice")
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
remove file /etc/sudoers.d/90-latchkey, prove it by sudo
create account alice (uid 20001)
write file /etc/sudoers.d/90-latchkey, prove it by sudo: sudo for alice
`},
		{"cut-short-before-alice-had-a-home", func(t *testing.T) (plan.State, plan.Ledger) {
			s, l := settled(t)
			delete(s.Homes, "/home/alice")
			own := l.Accounts[mustName(t, "alice")]
			own.State = plan.Intended
			l.Accounts[mustName(t, "alice")] = own
			return s, l
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t), SSHD: true} }, `
create account alice (uid 20001): its making was cut short, no home
`},
		{"expiring-sudo", settled, func(t *testing.T) plan.Desired {
			g := both(t)
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
			g := both(t)
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
			g := both(t)
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
		}, func(t *testing.T) plan.Desired { return plan.Desired{Grants: both(t)[:1]} }, `
create group latchkey
create user latchkey-keys for the login hook
make folder /var/lib/latchkey
make folder /var/lib/latchkey/authorized_keys
create account alice (uid 20001)
write file /var/lib/latchkey/authorized_keys/alice
refused "alice": sudo is not installed here
`},
	}
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

// A sudoers file that we did not write stays as it is.
func TestDiff_foreignSudoers(t *testing.T) {
	s := fresh()
	s.Files[layout.Sudoers] = plan.File{Content: []byte("# mine\n"), Mode: 0o440}
	p := plan.Diff(s, plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, true)}}, plan.NewLedger(), layout)
	if strings.Contains(p.String(), layout.Sudoers) {
		t.Errorf("plan touches it:\n%s", p)
	}
	if len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, plan.ErrSudoersForeign) {
		t.Errorf("refused %v", p.Refused)
	}
}

// An account whose making did not succeed gets no sudo rule: its name may be
// somebody else's. Any other failure takes no rule away that is in force.
func TestStep_Without(t *testing.T) {
	alice, bob := mustName(t, "alice"), mustName(t, "bob")
	only := func(u authz.Username) map[authz.Username]bool { return map[authz.Username]bool{u: true} }
	for _, c := range []struct {
		name            string
		inForce         []plan.Rule
		failed, unmade  map[authz.Username]bool
		alice, bobStays bool
	}{
		{"unmade", nil, only(alice), only(alice), false, true},
		{"unmade-and-in-force", []plan.Rule{{User: alice}}, only(alice), only(alice), false, true},
		{"failed", nil, only(alice), nil, false, true},
		{"failed-and-in-force", []plan.Rule{{User: alice}}, only(alice), nil, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := plan.Step{Op: plan.OpGiveSudo, Rules: []plan.Rule{{User: alice}, {User: bob}}, InForce: c.inForce}
			got := string(plan.SudoersFile(s.Without(c.failed, c.unmade).Rules))
			if strings.Contains(got, "alice") != c.alice || strings.Contains(got, "bob ALL=(ALL:ALL) NOPASSWD: ALL\n") != c.bobStays {
				t.Errorf("file is\n%s", got)
			}
		})
	}
}

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

// TestReadSudoers: only lines that are ours to the byte are rules, so that nothing
// else is ever put back (requirement R55).
func TestReadSudoers(t *testing.T) {
	rules := []plan.Rule{{User: mustName(t, "alice")}, {User: mustName(t, "bob"), NotAfter: authz.SudoersTime(end)}}
	others := `# bob ALL=(ALL:ALL) NOPASSWD: ALL
Defaults !authenticate
ALL ALL=(ALL:ALL) NOPASSWD: ALL
root ALL=(ALL:ALL) NOPASSWD: ALL
%wheel ALL=(ALL:ALL) NOPASSWD: ALL
carol  ALL=(ALL:ALL) NOPASSWD: ALL
carol ALL=(ALL:ALL) NOPASSWD: ALL, !/bin/sh
carol ALL=(ALL) NOPASSWD: ALL
carol ALL=(ALL:ALL) NOTAFTER= NOPASSWD: ALL
 carol ALL=(ALL:ALL) NOPASSWD: ALL

@include /tmp/x
`
	got := plan.ReadSudoers(append(plan.SudoersFile(rules), others...))
	if len(got) != 2 || got[0] != rules[0] || got[1] != rules[1] {
		t.Errorf("the rules are %v", got)
	}
	if kept := plan.Kept(append(rules, plan.Rule{User: rules[1].User}), plan.SudoersFile(rules[1:])); len(kept) != 1 || kept[0] != rules[1] {
		t.Errorf("kept are %v", kept)
	}
	if len(plan.ReadSudoers(nil)) != 0 {
		t.Error("an empty file holds rules")
	}
}

// TestSudoersFile holds R48, R55 and R57.
func TestSudoersFile(t *testing.T) {
	got := string(plan.SudoersFile([]plan.Rule{{User: mustName(t, "alice")}, {User: mustName(t, "bob"), NotAfter: authz.SudoersTime(end)}}))
	want := `# Written by latchkey-agent. Changes made here are undone.
alice ALL=(ALL:ALL) NOPASSWD: ALL
bob ALL=(ALL:ALL) NOTAFTER=20261122000000Z NOPASSWD: ALL
`
	if got != want {
		t.Errorf("file is\n%s", got)
	}
}

// TestTogether: neighbours of one kind that give, and nothing else, may be applied at
// once.
func TestTogether(t *testing.T) {
	const create, keys, lock = plan.OpCreateAccount, plan.OpWriteKeys, plan.OpLock
	for _, test := range []struct {
		ops  []plan.Op
		want int
	}{
		{[]plan.Op{create}, 1}, {[]plan.Op{create, create, create}, 3}, {[]plan.Op{create, create, keys}, 2}, {[]plan.Op{keys, keys, create}, 2},
		{[]plan.Op{lock, lock}, 1}, {[]plan.Op{plan.OpGiveSudo, create}, 1}, {[]plan.Op{create, plan.OpRepair, create}, 1},
	} {
		var steps []plan.Step
		for _, op := range test.ops {
			steps = append(steps, plan.Step{Op: op})
		}
		if got := len(plan.Together(steps)); got != test.want {
			t.Errorf("%v: %d together, want %d", test.ops, got, test.want)
		}
	}
}
