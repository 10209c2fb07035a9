package plan_test

import (
	"testing"
	"time"

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

func parsed(t *testing.T, text string) authz.Key {
	t.Helper()
	k, err := authz.ParseKey(text, authz.KeyPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	return k
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
