//go:build !race

package agent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// simPass is what is known of a pass while it goes on.
type simPass struct {
	looked    bool            // it saw the machine
	blind     bool            // it did not, once
	disturbed bool            // others changed the machine meanwhile
	gave      bool            // the plan under way has begun to give
	unmade    map[string]bool // whose account the tool said it did not make or remove
	tainted   map[fact]bool   // kind and who: the step that takes it away went wrong
	// Whose setting up went wrong, "" for everybody's.
	unfinished map[string]bool
	faulty     bool
	noSudo     bool   // an account was said to be made and is not there
	done       bool   // a step was done
	proved     bool   // the login hook was asked
	late       string // the step that a tool of an earlier agent did meanwhile
}

func newSimPass() simPass {
	return simPass{unmade: map[string]bool{}, tainted: map[fact]bool{}, unfinished: map[string]bool{}}
}

func (p *simPass) observed() { p.looked, p.gave = true, false }

// taint notes what may be left undone, because this step of it goes wrong.
func (p *simPass) taint(step plan.Step) {
	who := step.User.String()
	kinds := map[plan.Op][]string{
		plan.OpLock: {factOpen, factProc}, plan.OpDropGroups: {factGroup}, plan.OpEndSessions: {factProc},
		plan.OpEndLinger: {factJob}, plan.OpTakeJobs: {factJob}, plan.OpRetire: {factOpen}, plan.OpDeleteAccount: {factOpen},
		plan.OpTakeBlock: {factBlock}, plan.OpWriteBlock: {factBlock}, plan.OpAdopt: {factKey, factBlock}, plan.OpWriteKeys: {factKey}, plan.OpTakeKeys: {factKey}, plan.OpRemoveFile: {factKey},
		plan.OpTakeSudo: {factSudo}, plan.OpRemoveSudo: {factSudo}, plan.OpGiveSudo: {factSudo},
	}[step.Op]
	switch step.Op {
	case plan.OpRemoveFile:
		who = path.Base(step.Path)
	case plan.OpTakeSudo, plan.OpRemoveSudo, plan.OpGiveSudo, plan.OpCreateGroup, plan.OpCreateHookUser, plan.OpMakeFolder, plan.OpWriteSSHD:
		who = ""
	}
	for _, k := range kinds {
		p.tainted[fact{k, who, ""}] = true
	}
	p.unfinished[who] = true
	p.faulty = true
}

// excused reports whether a fact may be left because of a fault.
func (p *simPass) excused(f fact) bool {
	return p.tainted[fact{f.kind, f.who, ""}] || p.tainted[fact{f.kind, "", ""}]
}

// stepView is the machine before a step.
type stepView struct {
	facts  map[fact]bool
	secure []simUser // who has all that is his
	lines  map[uint32][]string
	homes  map[string]plan.Folder
	shut   bool // sshd knows nothing of us, so that nobody gets in by our keys
}

// before checks what must be so before a step, and remembers the machine.
func (s *sim) before(step plan.Step) stepView {
	s.steps++
	if s.frozen && !s.asked {
		s.violate("I6: a step on a frozen machine: %s", step)
	}
	s.inGrammar(step)
	s.adoptions()
	if s.using != nil {
		s.leaves(step)
		s.foreignStep(step)
	}
	v := stepView{facts: s.host.facts(), lines: s.host.lines(), homes: maps.Clone(s.host.state.Homes),
		shut: s.host.sshd.mode == ""}
	may, must := s.grants()
	for _, u := range must {
		if s.host.foreignSudo() {
			u.sudo = false
		}
		if s.host.lacks(u, v.facts) == "" && !s.damaged(u) && !s.disabling {
			v.secure = append(v.secure, u)
		}
	}
	gives := step.Op == plan.OpCreateAccount || step.Op == plan.OpRepair || step.Op == plan.OpWriteKeys || step.Op == plan.OpWriteBlock ||
		step.Op == plan.OpAdopt || step.Op == plan.OpGiveSudo
	if gives && !s.pass.gave && !s.pass.disturbed {
		s.pass.gave = true
		s.noneWrongful("I3: before "+step.String(), v.facts, may)
	}
	return v
}

// noneWrongful is a violation for access that nobody granted, unless its taking away
// went wrong.
func (s *sim) noneWrongful(when string, facts map[fact]bool, may map[string]simUser) {
	for _, f := range s.wrongful(facts, may) {
		if !s.pass.excused(f) && !(f.kind == factSudo && s.host.foreignSudo()) {
			s.violate("%s there still is %s", when, f)
		}
	}
}

// after checks what a step changed.
func (s *sim) after(step plan.Step, v stepView, err error) {
	facts := s.host.facts()
	may, _ := s.grants()
	for _, f := range s.wrongful(facts, may) {
		if !v.facts[f] {
			s.violate("I1: %s gave %s", step, f)
		}
	}
	if err != nil && (step.Op == plan.OpCreateAccount || step.Op == plan.OpDeleteAccount || step.Op == plan.OpRetire) {
		s.pass.unmade[step.User.String()] = true
	}
	for _, u := range v.secure {
		lack := s.host.lacks(u, facts)
		if v.shut && lack == s.host.lacksKeys(u, facts) {
			continue
		}
		if lack != "" && !s.pass.unmade[u.name] {
			s.violate("I2: %s locks %s out: %s", step, u.name, lack)
		}
	}
	if err := s.host.sameOthers(); err != nil {
		s.violate("I6: %s: %v", step, err)
	}
	s.nothingLost(step, v)
	s.ledgerNames()
	if err == nil {
		s.pass.done = true
		s.whole(step)
		if home, found := s.host.state.Homes[layout.Home(step.User)]; step.Op == plan.OpRetire && found && home.UID == uint32(step.UID) {
			s.violate("Z8: after %s the home is in the way", step)
		}
	}
	if err == nil && !s.full && s.one(8) {
		s.readable()
	}
}

// whole has the files of a step that was done be whole, as sshd and sudo read them.
func (s *sim) whole(step plan.Step) {
	f, found := s.host.state.Files[step.Path]
	if !found || s.pass.faulty || s.pass.disturbed {
		return
	}
	switch step.Op {
	case plan.OpTakeKeys, plan.OpWriteKeys:
		keys := map[fact]bool{}
		if keyFacts(keys, step.User.String(), f); len(keys) != strings.Count(string(f.Content), "\n")-1 {
			s.violate("I5: %s wrote %q", step, f.Content)
		}
	case plan.OpTakeSudo, plan.OpGiveSudo:
		if s.host.overrides {
			s.violate("I2: %s is done, and sudo does not agree", step)
		}
		for line := range strings.Lines(string(f.Content)) {
			if line[0] != '#' && !simRule.MatchString(strings.TrimSuffix(line, "\n")) {
				s.violate("I2: %s wrote %q", step, line)
			}
		}
	case plan.OpWriteSSHD:
		if why := s.host.dropIn(step.Mode); why != "" {
			s.violate("I2: %s wrote %s", step, why)
		}
	}
}

// ledgerNames has the stored ledger name all that the agent made.
func (s *sim) ledgerNames() {
	owned, err := s.ledger()
	if err != nil {
		s.violate("I5: ledger: %v", err)
	}
	for user, own := range owned.Accounts {
		if s.host.ours(user.String()) && uint32(own.UID) != s.host.made[user.String()] {
			s.violate("I6: the stored ledger names %s with uid %d", user, own.UID)
		}
	}
	named := map[string]bool{}
	for user := range owned.Accounts {
		named[user.String()] = true
	}
	for name := range s.host.made {
		if s.host.ours(name) && !named[name] {
			s.violate("I6: the stored ledger does not name %s", name)
		}
	}
}

var (
	simLogin = regexp.MustCompile(`^[a-z]{3,8}$`)
	simRule  = regexp.MustCompile(`^[a-z]{3,8} ALL=\(ALL:ALL\) (NOTAFTER=[0-9]{14}Z )?NOPASSWD: (ALL|/[a-z/]+( ""| -u)(, /[a-z/]+( ""| -u))*)$`)
)

// inGrammar holds I7: what a step names is a name that people have, whatever a bundle
// says.
func (s *sim) inGrammar(step plan.Step) {
	user := step.User.String()
	if user != "" && (!simLogin.MatchString(user) || !slices.Contains(simNames, user) && !slices.Contains(simCrowd, user)) {
		s.violate("I7: %q in %s", user, step)
	}
	for line := range strings.Lines(string(plan.SudoersFile(step.Rules))) {
		if line = strings.TrimSuffix(line, "\n"); line[0] != '#' && !simRule.MatchString(line) {
			s.violate("I7: rule %q", line)
		}
	}
}

// note sees which bundle is in use now, and whether that may be.
func (s *sim) note() {
	sealed, epoch, serial := s.loop.InUse()
	if epoch == 0 { // before the first, or there is none but one that is set aside
		s.using, s.held = nil, nil
		return
	}
	b := s.plane.bundleOf(sealed)
	if b == nil || b.epoch != epoch || b.serial != serial {
		s.violate("I4: bundle %d.%d in use was never issued", epoch, serial)
	}
	version := [2]int64{epoch, serial}
	if s.byHand && slices.Compare(version[:], s.newest[:]) < 0 {
		return
	}
	if slices.Compare(version[:], s.newest[:]) < 0 && !s.gaveUp(b) {
		s.violate("I4: bundle %d.%d in use after %v", epoch, serial, s.newest)
	}
	from := s.using
	if from != nil && s.halfTaken != nil && s.halfTaken.after(from) {
		from = s.halfTaken
	}
	if from != nil && b != s.using && !b.byHand && s.clockSure && slices.Compare(version[:], []int64{s.using.epoch, s.using.serial}) > 0 &&
		from.mass(b, b.made) && from.mass(b, time.Now()) { // it may have been taken before a kill
		s.violate("I4: bundle %d.%d in use removes a mass unconfirmed", epoch, serial)
	}
	if b != s.using {
		s.say("in use: %d.%d", epoch, serial)
	}
	before := s.using
	switch s.using = b; {
	case before != nil && before.after(b):
		s.held = s.heldStored()
	case before != b:
		s.held = nil
	}
	if slices.Compare(version[:], s.newest[:]) > 0 {
		s.newest = version
	}
	if h := s.plane.issuedAt(s.loop.Held()); h != nil && h != s.held {
		s.say("held: %d.%d", h.epoch, h.serial)
		s.held, s.heldUnsure = h, s.full
	}
}

// crashed counts a kill.
func (s *sim) crashed() {
	t, err := s.dir.Trial()
	switch {
	case s.loop == nil: // it may be that this one is not counted
	case err != nil || !t.Working || s.full:
		s.crashing = crashLoop{}
	case t.Bundle == s.crashing.bundle:
		s.crashing.row++
	default:
		s.crashing = crashLoop{t.Bundle, 1}
	}
}

// setAside has an agent that starts not work with what killed three before it (requirement
// R145).
func (s *sim) setAside() {
	sealed, epoch, serial := s.loop.InUse()
	if sum := sha256.Sum256(sealed); s.crashing.row >= 3 && hex.EncodeToString(sum[:]) == s.crashing.bundle {
		s.violate("I2: bundle %d.%d is in use, which killed %d agents in a row", epoch, serial, s.crashing.row)
	}
}

// gaveUp reports whether a newer bundle than b had the agent crash often enough to be
// set aside.
func (s *sim) gaveUp(b *simBundle) bool {
	for other, crashes := range s.crashes {
		if crashes >= 3 && other.after(b) {
			return true
		}
	}
	return false
}

// passEnded checks what a pass leaves.
func (s *sim) passEnded() {
	if err := s.host.sameOthers(); err != nil {
		s.violate("I6: %v", err)
	}
	status, ended := s.stored()
	for _, r := range status.Report.Refused {
		s.say("  refused %s %s", r.What, r.Code)
	}
	if ended {
		s.emergencies(status.Report)
	}
	if s.frozen || s.using == nil || s.pass.blind || s.pass.disturbed || !s.pass.looked {
		return
	}
	facts := s.host.facts()
	may, must := s.grants()
	s.noneWrongful("I1: after the pass", facts, may)
	for _, name := range slices.Sorted(maps.Keys(must)) {
		if !s.full {
			s.hasAll(must[name], facts, status.Report)
		}
	}
	if ended && !s.full {
		s.forgetAdopted(may)
	}
	if ended {
		s.truthful(status.Report)
		s.selfTested(must, facts, status.Report)
	}
}

// emergencies has the account for emergencies be looked at daily, hourly while it is not
// in order, and the report say so (requirement R144).
func (s *sim) emergencies(r wire.Report) {
	told := slices.ContainsFunc(r.Refused, func(r wire.Result) bool { return r.What == "break-glass account" })
	every := 24 * time.Hour
	if told {
		every = time.Hour
	}
	if s.pass.looked && time.Since(s.glassAt) >= every {
		s.violate("I2: nobody has looked at the account for emergencies for %s", time.Since(s.glassAt))
	}
	if !s.glassAt.IsZero() && told != s.glassWrong {
		s.violate("I2: the report tells of the account for emergencies: %t", told)
	}
}

// selfTested has the login hook be asked after a change, if there is somebody to ask for,
// and the report say what it answered (requirement R148).
func (s *sim) selfTested(must map[string]simUser, facts map[fact]bool, r wire.Report) {
	if s.pass.faulty || s.full {
		return
	}
	for f := range facts {
		if len(must[f.who].keys) > 0 && f.kind == factKey && s.sshd && s.pass.done && !s.pass.proved && s.host.lacks(must[f.who], facts) == "" {
			s.violate("I2: after a change nobody asked whether %s can log in", f.who)
		}
	}
	told := slices.ContainsFunc(r.Refused, func(r wire.Result) bool { return r.What == "login hook" })
	if s.pass.proved && told != s.host.hookBroken {
		s.violate("I2: the hook is broken: %t, and the report tells of it: %t", s.host.hookBroken, told)
	}
}

// hasAll has a user who must have access have it, if no fault concerned him.
func (s *sim) hasAll(u simUser, facts map[fact]bool, report wire.Report) {
	if s.host.foreignSudo() {
		u.sudo = false
	}
	if why := s.blocked(u); why != "" {
		told := slices.ContainsFunc(report.Refused, func(r wire.Result) bool { return r.What == u.name })
		nothing := len(u.keys) == 0 && s.damaged(u) // nothing of his is to be in his home
		if !told && !nothing && !stepsFailed(report) {
			s.violate("Z8: nothing in the report says that %s is not set up: %s", u.name, why)
		}
		return
	}
	if s.pass.unfinished[""] || s.pass.unfinished[u.name] {
		return
	}
	u.sudo = u.sudo && !s.pass.noSudo
	if lack := s.host.lacks(u, facts); lack != "" {
		s.violate("Z8: after the pass %s/%d has %s", u.name, u.uid, lack)
	}
}

func stepsFailed(r wire.Report) bool {
	return slices.ContainsFunc(r.Steps, func(r wire.Result) bool { return r.Error != "" })
}

// truthful has no report be without an error while something is not as it says.
func (s *sim) truthful(r wire.Report) {
	if stepsFailed(r) {
		return
	}
	may, must := s.grants()
	facts := s.host.facts()
	s.pass.tainted = map[fact]bool{}
	s.noneWrongful("Z8: the report has no error, and", facts, may)
	mode := plan.KeysMode(s.using.settings.KeysMode)
	if why := s.host.dropIn(mode); s.sshd && why != "" {
		s.violate("Z8: the report has no error, and there is %s", why)
	}
	if s.sshd && s.host.sshd.mode != mode {
		s.violate("Z8: the report has no error, and sshd works in mode %q, not %q", s.host.sshd.mode, mode)
	}
	for _, u := range must {
		if s.host.foreignSudo() {
			u.sudo = false
		}
		if lack := s.host.lacks(u, facts); lack != "" && s.blocked(u) == "" {
			s.violate("Z8: the report has no error, and %s has %s", u.name, lack)
		}
	}
}

// complete checks that whoever can have access has it.
func (s *sim) complete() {
	_, must := s.grants()
	if s.pass.faulty || s.pass.disturbed {
		panic(fmt.Sprintf("quiet is not quiet: %+v", s.pass))
	}
	facts := s.host.facts()
	s.removed()
	for _, name := range slices.Sorted(maps.Keys(must)) {
		if u := must[name]; s.blocked(u) == "" {
			if s.host.foreignSudo() {
				u.sudo = false
			}
			if lack := s.host.lacks(u, facts); lack != "" {
				s.violate("Z8: in quiet %s/%d has %s", u.name, u.uid, lack)
			}
		}
	}
}
