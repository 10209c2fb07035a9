package agent_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz"
)

var layout = plan.Linux()

// machine is a machine in memory. It keeps the contract of plan's steps that
// agent/host keeps on a real one, checks what the agent promises it (the bundle
// and the ledger are stored first, a name that is no account of ours gets
// nothing), and goes wrong where a test says so.
type machine struct {
	t      interface{ Errorf(string, ...any) }
	stored func() (plan.Ledger, error) // the ledger on the disk

	mu       sync.Mutex
	state    plan.State
	applied  []string // the steps that were asked for, as text
	observed int
	fault    func(plan.Step) error
	look     func() error // called by Observe
	lie      func(plan.Step) bool
}

func newMachine(t *testing.T, dir *cache.Dir) *machine {
	return &machine{t: t, stored: dir.Ledger, state: fresh()}
}

// fresh is a machine nobody has touched.
func fresh() plan.State {
	return plan.State{
		Hostname:      "web-1.example",
		SudoEffective: true,
		Accounts: map[string]plan.Account{
			"root": {Name: "root", Home: "/root", Shell: "/bin/bash", Password: "*"},
			"deby": {Name: "deby", UID: 1000, GID: 1000, Home: "/home/deby", Shell: "/bin/bash", Password: "set"},
		},
		Groups:    map[string]plan.Group{"root": {Name: "root"}, "deby": {Name: "deby", GID: 1000}},
		Files:     map[string]plan.File{},
		Homes:     map[string]plan.Folder{"/home/deby": {Real: true, UID: 1000}},
		Blocks:    map[authz.Username]plan.Block{},
		Processes: map[authz.UID]int{},
		Scheduled: map[authz.Username]plan.Scheduled{},
	}
}

// Observe gives a copy, so that what a plan holds does not change under it.
func (m *machine) Observe(context.Context, []authz.Grant, plan.Ledger) (plan.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.observed++
	if m.look != nil {
		if err := m.look(); err != nil {
			return plan.State{}, err
		}
	}
	return m.copy(), nil
}

func (m *machine) copy() plan.State {
	s := m.state
	s.Accounts, s.Groups, s.Files = maps.Clone(s.Accounts), maps.Clone(s.Groups), maps.Clone(s.Files)
	s.Homes, s.Processes, s.Scheduled = maps.Clone(s.Homes), maps.Clone(s.Processes), maps.Clone(s.Scheduled)
	s.Blocks = maps.Clone(s.Blocks)
	return s
}

func (m *machine) Clean() error { return nil }

func (m *machine) Apply(_ context.Context, s plan.Step) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied = append(m.applied, s.String())
	m.promised(s)
	if m.fault != nil {
		if err := m.fault(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if m.lie != nil && m.lie(s) {
		return nil
	}
	if n := m.state.Processes[s.UID]; n > 0 && (s.Op == plan.OpRetire || s.Op == plan.OpDeleteAccount) {
		return fmt.Errorf("%s: used by %d processes", s, n) // as userdel(8) says
	}
	m.make(s)
	return nil
}

// promised checks what must be so before a step is asked for.
func (m *machine) promised(s plan.Step) {
	owned, err := m.stored()
	if err != nil {
		m.t.Errorf("%s: the ledger is not readable: %v", s, err)
	}
	for _, r := range s.Rules {
		if a, found := m.state.Accounts[r.User.String()]; !found || owned.Accounts[r.User].UID != authz.UID(a.UID) {
			m.t.Errorf("%s: a rule for %s, which is no account of ours", s, r.User)
		}
	}
	switch s.Op {
	case plan.OpCreateAccount:
		if own := owned.Accounts[s.User]; own.UID != s.UID || own.State != plan.Intended || own.User.IsZero() {
			m.t.Errorf("%s: the stored ledger says %+v", s, own)
		}
		if a, exists := m.state.Accounts[s.User.String()]; exists && a.UID != uint32(s.UID) {
			m.t.Errorf("%s: it is somebody else's", s)
		}
	case plan.OpQuarantine, plan.OpAdopt, plan.OpRepair, plan.OpLock, plan.OpDropGroups, plan.OpRetire, plan.OpDeleteAccount, plan.OpRemoveHome, plan.OpEndSessions:
		begun := s.Op == plan.OpRemoveHome && s.Home == layout.GoneHome(s.User, s.UID) // somebody else may have the name by now
		if owned.Accounts[s.User].UID != s.UID && !begun {
			m.t.Errorf("%s: the stored ledger does not name it", s)
		}
	case plan.OpWriteBlock:
		m.check(owned.Accounts[s.User].Block, s)
	case plan.OpTakeKeys, plan.OpWriteKeys:
		if m.state.Accounts[s.User.String()].UID != uint32(s.UID) || !m.state.Files[layout.KeysDir].Folder {
			m.t.Errorf("%s: there is no such account or no folder", s)
		}
	case plan.OpCreateGroup:
		m.check(owned.Groups[s.Group], s)
	case plan.OpCreateHookUser:
		m.check(owned.HookUser, s)
	case plan.OpMakeFolder:
		m.check(owned.Folders, s)
	case plan.OpGiveSudo, plan.OpTakeSudo:
		m.check(owned.Sudoers && len(s.Rules) > 0, s)
	case plan.OpWriteSSHD:
		m.check(owned.SSHD && !owned.SSHDLoaded, s)
	}
}

func (m *machine) check(claimed bool, s plan.Step) {
	if !claimed {
		m.t.Errorf("%s: the stored ledger does not claim it", s)
	}
}

// make makes a step true.
func (m *machine) make(s plan.Step) {
	state, user := m.state, s.User.String()
	put := func(content []byte) {
		state.Files[s.Path] = plan.File{Content: content, GID: state.Groups[s.Attr.Group].GID, Mode: s.Attr.Mode}
	}
	change := func(f func(*plan.Account)) { a := state.Accounts[user]; f(&a); state.Accounts[user] = a }
	switch s.Op {
	case plan.OpRemoveFile, plan.OpRemoveSudo, plan.OpRemoveSSHD, plan.OpRemoveFolder:
		delete(state.Files, s.Path)
	case plan.OpTakeSudo, plan.OpGiveSudo:
		put(plan.SudoersFile(s.Rules))
	case plan.OpTakeKeys, plan.OpWriteKeys, plan.OpKeepCommand:
		put(s.Keys)
	case plan.OpWriteSSHD:
		put(plan.SSHDFile(layout, s.Mode))
	case plan.OpWriteBlock, plan.OpTakeBlock:
		state.Blocks[s.User] = plan.Block{Found: len(s.Keys) > 0, Lines: string(s.Keys)}
	case plan.OpMakeFolder:
		state.Files[s.Path] = plan.File{Folder: true, GID: state.Groups[s.Attr.Group].GID, Mode: s.Attr.Mode}
	case plan.OpDropGroups:
		change(func(a *plan.Account) { a.Groups = []string{layout.MarkerGroup} })
	case plan.OpEndSessions:
		delete(state.Processes, s.UID)
	case plan.OpEndLinger, plan.OpTakeJobs:
		jobs := state.Scheduled[s.User]
		if jobs.Linger = jobs.Linger && s.Op != plan.OpEndLinger; s.Op == plan.OpTakeJobs {
			jobs.Crontabs, jobs.AtJobs = nil, nil
		}
		state.Scheduled[s.User] = jobs
	case plan.OpQuarantine:
		delete(state.Foreign, s.User)
	case plan.OpAdopt: // the ledger's alone
	case plan.OpLock:
		change(func(a *plan.Account) { a.Password, a.Expires = "!", 1 })
		delete(state.Processes, s.UID)
	case plan.OpRetire:
		if home, found := state.Homes[layout.Home(s.User)]; found && home.UID == uint32(s.UID) {
			state.Homes[s.Home] = home
			delete(state.Homes, layout.Home(s.User))
		}
		fallthrough
	case plan.OpDeleteAccount:
		delete(state.Accounts, user)
		if state.Groups[user].GID == uint32(s.UID) {
			delete(state.Groups, user)
		}
	case plan.OpGiveBack:
		change(func(a *plan.Account) { a.Password, a.Groups = "set", nil })
	case plan.OpRemoveHome:
		if s.Path != "" {
			state.Files[s.Path] = plan.File{Mode: 0o600}
		}
		delete(state.Homes, s.Home)
	case plan.OpCreateGroup:
		state.Groups[s.Group] = plan.Group{Name: s.Group, GID: 990}
	case plan.OpCreateHookUser:
		state.Groups[s.Group] = plan.Group{Name: s.Group, GID: 991}
		state.Accounts[s.Group] = plan.Account{Name: s.Group, UID: 991, GID: 991, Password: "!"}
	case plan.OpDeleteGroup, plan.OpDeleteHookUser:
		delete(state.Accounts, s.Group)
		delete(state.Groups, s.Group)
	case plan.OpCreateAccount, plan.OpRepair:
		state.Groups[user] = plan.Group{Name: user, GID: uint32(s.UID)}
		state.Accounts[user] = plan.Account{Name: user, UID: uint32(s.UID), GID: uint32(s.UID), Home: layout.Home(s.User),
			Shell: s.Shell, Password: "*", Groups: withMarker(state.Accounts[user].Groups)}
		if _, kept := state.Homes[layout.Home(s.User)]; !kept {
			state.Homes[layout.Home(s.User)] = plan.Folder{Real: true, UID: uint32(s.UID)}
		}
	default:
		m.t.Errorf("a step nobody knows: %v", s)
	}
}

// withMarker adds the marker group, as usermod -a does.
func withMarker(groups []string) []string {
	if slices.Contains(groups, layout.MarkerGroup) {
		return groups
	}
	return append(slices.Clone(groups), layout.MarkerGroup)
}

// change does something to the machine behind the agent's back.
func (m *machine) change(f func(*plan.State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.state)
}

// breaks sets what goes wrong from now on; nil for nothing.
func (m *machine) breaks(fault func(plan.Step) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// take returns the steps that were asked for since it was called last.
func (m *machine) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	steps := m.applied
	m.applied = nil
	return steps
}

// looks returns how often the machine was looked at since it was called last.
func (m *machine) looks() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.observed
	m.observed = 0
	return n
}

// String prints who can do what on the machine, a line a fact, sorted.
func (m *machine) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, a := range m.state.Accounts {
		lines = append(lines, fmt.Sprintf("account %s %d locked=%t", a.Name, a.UID, a.Locked()))
	}
	for path, f := range m.state.Files {
		if !f.Folder {
			lines = append(lines, fmt.Sprintf("file %s %04o %q", path, f.Mode, f.Content))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// may returns a short line on one user: account, keys, sudo.
func (m *machine) may(user string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var words []string
	if a, found := m.state.Accounts[user]; found {
		words = append(words, map[bool]string{true: "locked", false: "open"}[a.Locked()])
	}
	if _, found := m.state.Files[layout.KeysDir+"/"+user]; found {
		words = append(words, "keys")
	}
	if strings.Contains(string(m.state.Files[layout.Sudoers].Content), "\n"+user+" ALL=") {
		words = append(words, "sudo")
	}
	return strings.Join(words, " ")
}

var errInjected = errors.New("no space left on device")
