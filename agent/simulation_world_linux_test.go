//go:build !race

package agent_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/wire"
)

// sim is one host's history, made from a seed: one seed is one history, whatever the
// machine it runs on. The agent is the real one, with the real cache on a disk of its
// own; the clock, the control plane, the host and everybody who works on it are the
// simulation's.
type sim struct {
	t              *testing.T
	rng            *rand.Rand
	signer         signer
	dir            *cache.Dir
	path           string // the agent's folder
	memo           simMemo
	bug            simBug
	plane          *simPlane
	host           *simHost
	loop           *agent.Loop // nil while the agent does not run
	every          time.Duration
	started, ended time.Time
	startAt        time.Time // when it runs again
	pass           simPass

	skew        time.Duration // of the wall clock
	clockSure   bool          // nothing can have told the agent a wrong time
	silentSince time.Time     // the last answer, as far as the agent can know
	silenceSure bool
	kept        time.Time // the last answer that is stored

	noise, mischief float64 // how often a call goes wrong, or another tool works between steps
	killIn          int     // points until the agent is killed; 0: not
	killTool        bool    // it is killed when next a tool that makes an account starts
	toolsEnd        bool    // with the agent that started them
	killLoop        int     // how many starts it will not survive
	crashes         map[*simBundle]int
	full, frozen    bool
	sshd            bool       // the drop-in is wanted
	halfTaken       *simBundle // apply was killed when it had stored it, and not its version
	byHand          bool       // apply took a bundle that the running agent has not looked for
	asked           bool       // somebody with root asks for this by name
	disabling       bool       // and wants that nobody gets in by our keys
	using, held     *simBundle
	heldUnsure      bool     // the disk was full, or a kill came: a new start may not know of it
	newest          [2]int64 // ever in use
	passes, steps   int
	kills           int       // in the middle of something
	glassAt         time.Time // the last look at the account for emergencies
	glassWrong      bool      // what it came to
	crashing        crashLoop

	telling bool
	trace   []string
	broken  string // what was violated
}

// crashLoop counts kills in a row, with no pass and no answer that was lived through in
// between, while one bundle was marked on the disk as being worked with.
type crashLoop struct {
	bundle string
	row    int
}

// killed and violated unwind the agent.
type killed struct{}
type violated struct{}

// say notes what happens, in a history that is told.
func (s *sim) say(format string, args ...any) {
	if s.telling {
		s.trace = append(s.trace, time.Now().Format("01-02 15:04:05 ")+fmt.Sprintf(format, args...))
	}
}

// violate ends the history.
func (s *sim) violate(format string, args ...any) {
	if s.broken == "" {
		s.broken = fmt.Sprintf(format, args...)
		s.say("VIOLATED %s\n%s", s.broken, s)
	}
	panic(violated{})
}

// Errorf is for the machine's own checks of what it is asked for.
func (s *sim) Errorf(format string, args ...any) { s.violate("I6: "+format, args...) }

// String is what the simulation believes.
func (s *sim) String() string {
	text := "nothing in use"
	if s.using != nil {
		may, must := s.grants()
		text = fmt.Sprintf("in use %d.%d, stale %s %v, silent for %v; may: %v\nmust: %v", s.using.epoch, s.using.serial, s.using.stale,
			s.using.staleAfter, time.Since(s.silentSince), slices.Sorted(maps.Keys(may)), slices.Sorted(maps.Keys(must)))
	}
	if s.held != nil {
		text += fmt.Sprintf("\nheld %d.%d", s.held.epoch, s.held.serial)
	}
	return text + fmt.Sprintf("\nclock sure %t, silence sure %t, full %t, frozen %t, pass %+v, newest %v", s.clockSure, s.silenceSure, s.full, s.frozen, s.pass, s.newest)
}

func (s *sim) one(in int) bool { return s.rng.IntN(in) == 0 }

func pick[T any](s *sim, from ...T) T { return from[s.rng.IntN(len(from))] }

// upTo is a time of no more than d, mostly much less.
func (s *sim) upTo(d time.Duration) time.Duration {
	part := s.rng.Float64()
	return time.Duration(part*part*float64(d)) + time.Second
}

// point is where the agent may be killed.
func (s *sim) point(where string) {
	if s.killIn == 0 || s.loop == nil && s.killLoop == 0 {
		return
	}
	if s.killIn--; s.killIn == 0 {
		s.kills++
		s.say("  killed: %s", where)
		panic(killed{})
	}
}

// alive runs what the agent does and reports whether it lived through it.
func (s *sim) alive(do func()) (lived bool) {
	defer func() {
		switch why := recover().(type) {
		case nil:
			lived = true
		case killed:
		default:
			panic(why)
		}
	}()
	do()
	return true
}

// simSeed is what a history is drawn from.
type simSeed struct {
	seed     uint64
	toolsEnd bool // with their agents
}

// simulate makes the history of a seed and says what was violated in it, and how.
func simulate(t *testing.T, seed simSeed, bug simBug, days int, telling bool) (s *sim) {
	t.Helper()
	key := newSigner(t, "cp-1")
	synctest.Test(t, func(t *testing.T) {
		runtime.LockOSThread() // never unlocked: the thread ends with its mounts
		s = &sim{t: t, rng: rand.New(rand.NewPCG(seed.seed, 1)), signer: key, bug: bug, telling: telling, toolsEnd: seed.toolsEnd,
			clockSure: true, silenceSure: true, memo: simMemo{good: map[string]simFile{}}, crashes: map[*simBundle]int{}}
		s.mount()
		func() {
			defer func() {
				if why := recover(); why != nil && why != any(violated{}) {
					panic(fmt.Sprintf("seed %d: %v\n%s", seed.seed, why, strings.Join(s.trace, "\n")))
				}
			}()
			s.live(days)
		}()
		s.ended = time.Now()
		must(t, syscall.Unmount(simDisk, syscall.MNT_DETACH))
	})
	return s
}

// simDisk is where the disk is. The path is short because the agent looks at every
// folder of it whenever it reads or writes.
const simDisk = "/mnt"

// mount gives the agent's folder a small disk of its own, which nobody else sees.
func (s *sim) mount() {
	must(s.t, syscall.Unshare(syscall.CLONE_NEWNS))
	must(s.t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must(s.t, syscall.Mount("tmpfs", simDisk, "tmpfs", 0, "size=512k,mode=755"))
	s.path = filepath.Join(simDisk, "latchkey", "agent")
	l := layout
	l.AgentDir, l.Freeze = s.path, filepath.Join(simDisk, "freeze")
	s.dir = cache.Open(l, safefile.Writer{Point: s.point})
	must(s.t, s.dir.Make())
	s.plane, s.host = newSimPlane(s), newSimHost(s)
}

// newAgent is the agent as it starts on this host.
func (s *sim) newAgent() *agent.Agent {
	stack, err := authz.ParseStackID(stackID)
	must(s.t, err)
	a := &agent.Agent{
		Identity: cache.Identity{Stack: stack, ControlPlane: "cp-1", Keys: []string{s.signer.verifier}},
		Cache:    s.dir, Source: s.plane, Machine: s.host, Layout: layout,
		Log: slog.New(slog.DiscardHandler), Interval: s.every,
		Now:        func() time.Time { return time.Now().Add(s.skew) },
		BreakGlass: s.host.breakGlass, ProveKeys: s.host.proveKeys,
		ForeignKeys: s.host.foreignKeys, Locals: s.host.locals,
	}
	s.bug.set(s, a)
	return a
}

// live lets chaos and quiet take turns.
func (s *sim) live(days int) {
	s.every = pick(s, 8*time.Hour, 12*time.Hour, 24*time.Hour)
	s.started = time.Now()
	end := s.started.Add(time.Duration(days) * 24 * time.Hour)
	s.startAt = time.Now()
	for time.Now().Before(end) {
		s.chaos(s.upTo(20 * 24 * time.Hour))
		s.quiet()
	}
}

// lived is how many days the history has.
func (s *sim) lived() int { return int(s.ended.Sub(s.started) / (24 * time.Hour)) }

// chaos lets things happen for a while, days apart or seconds.
func (s *sim) chaos(long time.Duration) {
	s.noise = pick(s, 0, 0, 0, 0.02, 0.2)
	s.mischief = pick(s, 0, 0, 0.02, 0.1)
	apart := pick(s, 12*time.Hour, 72*time.Hour, 168*time.Hour)
	for end := time.Now().Add(long); time.Now().Before(end); {
		next := s.upTo(apart)
		if s.one(4) {
			next = s.upTo(time.Minute)
		}
		s.work(next)
		s.event()
	}
}

// work lets the agent run for so long.
func (s *sim) work(long time.Duration) {
	for end := time.Now().Add(long); ; {
		left := time.Until(end)
		if s.loop == nil {
			wait := time.Until(s.startAt)
			if wait > left {
				time.Sleep(left)
				return
			}
			time.Sleep(wait)
			s.start()
			continue
		}
		wait := s.loop.NextLook()
		if wait > left {
			time.Sleep(left)
			return
		}
		time.Sleep(max(wait, time.Second))
		s.look(false)
	}
}

// start starts the agent, as init does: again, a little later, if it does not last.
func (s *sim) start() {
	if s.killLoop > 0 && s.killIn == 0 {
		s.killLoop--
		s.killIn = 1 + s.rng.IntN(25)
	}
	s.say("agent starts")
	s.byHand = false
	if s.heldUnsure || s.held == nil {
		s.held, s.heldUnsure = s.heldStored(), false
	}
	if s.silentSince = s.kept; s.kept.IsZero() {
		s.silentSince = time.Now()
	}
	s.silenceSure = s.silenceSure && s.clockSure && !s.kept.IsZero()
	s.glassAt = time.Time{}
	if !s.alive(func() { s.loop = agent.NewLoop(s.t.Context(), s.newAgent()) }) {
		s.died()
		return
	}
	s.note()
	s.setAside()
	s.lookNow(true)
}

// heldStored is the bundle that an agent which starts finds held: an older one, where the
// disk was full.
func (s *sim) heldStored() *simBundle {
	sealed, err := s.dir.HeldBundle()
	b := s.plane.bundleOf(sealed)
	if err != nil || b == nil || s.using == nil || !b.after(s.using) {
		return nil
	}
	return b
}

// died is after a kill: what was stored must be readable.
func (s *sim) died() {
	s.crashed()
	s.loop, s.heldUnsure = nil, true
	s.killIn = 0
	s.stored()
	s.startAt = time.Now().Add(time.Second + s.upTo(time.Minute))
	if s.one(6) { // it is left down, and people go on
		s.host.toolEnds()
		s.startAt = time.Now().Add(s.upTo(2 * 24 * time.Hour))
		s.people()
	}
	sealed, _ := s.dir.Bundle()
	for b := range map[*simBundle]bool{s.using: true, s.plane.newest: true, s.plane.bundleOf(sealed): true, s.plane.bundleOf(s.plane.came): true} {
		if b != nil {
			s.crashes[b]++
		}
	}
	s.readable()
}

// look asks the control plane and looks at the machine.
func (s *sim) look(due bool) {
	s.ask(&due)
	if s.loop != nil {
		s.lookNow(due)
	}
}

// ask asks once, and passes when there is cause.
func (s *sim) ask(due *bool) {
	s.host.toolEnds()
	var err error
	back := false
	answered := s.plane.answered
	if !s.alive(func() { back, err = s.loop.Ask(s.t.Context()) }) {
		kept := s.kept // an answer that was not lived through is not stored
		s.noteAnswer(answered)
		s.died()
		s.kept = kept
		return
	}
	s.crashing = crashLoop{}
	s.say("asked: due %t, %v", back, err)
	*due = *due || back
	s.noteAnswer(answered)
	s.note()
}

func (s *sim) noteAnswer(before int) {
	if s.plane.answered != before {
		s.silentSince, s.silenceSure = time.Now(), true
	}
}

// lookNow makes a pass.
func (s *sim) lookNow(due bool) {
	s.passes++
	s.pass = newSimPass()
	s.say("pass, due %t", due)
	if !s.alive(func() { s.loop.Look(s.t.Context(), due) }) {
		s.died()
		return
	}
	s.byHand, s.crashing = false, crashLoop{}
	s.note()
	s.passEnded()
}

// quiet ends all faults and expects everything to become right.
func (s *sim) quiet() {
	s.say("quiet")
	s.host.toolEnds()
	s.noise, s.mischief, s.killIn, s.killTool, s.killLoop = 0, 0, 0, false, 0
	s.host.faults, s.host.blind, s.host.dirty = nil, 0, 0
	s.host.overrides, s.host.hookBroken = false, false
	s.plane.recovers()
	s.host.mendHomes()
	s.setFull(false)
	s.setFrozen(false)
	if s.skew != 0 {
		s.skew, s.host.sshd.late = 0, nil // the ledger measures late logins by this clock
	}
	if s.loop == nil {
		time.Sleep(time.Until(s.startAt))
		s.start()
	}
	s.look(false)
	s.work(30 * time.Minute) // a clock that was a little ahead is waited for
	s.clockSure = true
	if _, many := s.plane.users[simCrowd[0]]; many && s.one(2) {
		s.plane.crowd()
	}
	s.plane.issue(all)
	s.look(true)
	if s.using != s.plane.newest || s.held != nil {
		s.violate("Z8: in quiet the agent does not work from the newest bundle")
	}
	if slices.ContainsFunc(s.plane.heard.Steps, func(r wire.Result) bool { return r.Error == "still to be done after the pass" }) {
		s.look(false) // an heir came, and then there was a key in his home
	}
	before := s.host.applied
	s.host.applied = nil
	if s.complete(); s.broken == "" {
		s.look(false)
		s.look(false)
	}
	if again := s.host.applied; len(again) > 0 {
		s.violate("Z8: in quiet a second pass still had to do %q after %q", again, before)
	}
	s.outlived()
	if r := s.plane.heard; r.Epoch != s.using.epoch || r.Serial != s.using.serial || stepsFailed(r) {
		s.violate("Z8: in quiet the control plane did not hear that all is done: %+v", r)
	}
}

// setFull fills the disk, or empties it.
func (s *sim) setFull(full bool) {
	if s.full == full {
		return
	}
	s.full, s.crashing = full, crashLoop{}
	ballast := filepath.Join(simDisk, "ballast")
	if !full {
		must(s.t, os.Remove(ballast))
		return
	}
	f, err := os.Create(ballast)
	must(s.t, err)
	defer f.Close()
	for size := 512 << 10; size >= 4096; size /= 2 {
		for syscall.Fallocate(int(f.Fd()), 1, s.ballastEnd(f), int64(size)) == nil {
		}
	}
}

// ballastEnd is where there is none yet: with FALLOC_FL_KEEP_SIZE the size says nothing.
func (s *sim) ballastEnd(f *os.File) int64 {
	var st syscall.Stat_t
	must(s.t, syscall.Fstat(int(f.Fd()), &st))
	return st.Blocks * 512
}

func (s *sim) setFrozen(frozen bool) {
	if s.frozen == frozen {
		return
	}
	s.frozen = frozen
	path := filepath.Join(simDisk, "freeze")
	if frozen {
		must(s.t, os.WriteFile(path, nil, 0o644))
		return
	}
	must(s.t, os.Remove(path))
}
