package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/agent"
	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
	"latchkey/authz/wire"
)

const (
	keyA    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	keyB    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
	stackID = "11111111-1111-4111-8111-111111111111"
)

// needRoot skips where the agent's folder cannot belong to root; under
// LATCHKEY_NO_SKIP, which make test sets, that is a failure.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("LATCHKEY_NO_SKIP") != "" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDir returns the agent's own folder, empty, and where it is.
func newDir(t *testing.T) (*cache.Dir, string) {
	t.Helper()
	needRoot(t)
	above := t.TempDir()
	must(t, os.Chmod(above, 0o755))
	path := filepath.Join(above, "latchkey", "agent")
	dir := dirAt(path)
	must(t, dir.Make())
	return dir, path
}

func dirAt(path string) *cache.Dir {
	l := layout
	l.AgentDir = path
	l.Freeze = filepath.Join(filepath.Dir(filepath.Dir(path)), "etc", "freeze")
	return cache.Open(l, safefile.Writer{})
}

// signer signs bundles as a control plane, and says who trusts it.
type signer struct {
	note.Signer
	verifier string
}

func newSigner(t *testing.T, name string) signer {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", name)))), name)
	must(t, err)
	s, err := note.NewSigner(secret)
	must(t, err)
	return signer{s, public}
}

// newBundle is a bundle of our stack; users are grants such as newUser makes.
func newBundle(serial int64, users ...wire.User) wire.Bundle {
	return wire.Bundle{
		Format: wire.Format, ControlPlane: "cp-1", Stack: stackID, Epoch: 2, Serial: serial, Issued: "2026-11-22T12:00:00Z",
		Users: users, Settings: wire.DefaultSettings(), Log: wire.LogHead{Root: "00"}, Confirmed: []string{},
	}
}

func newUser(login string, uid int64, sudo bool) wire.User {
	return wire.User{
		ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", uid), ARN: "arn:aws:iam::123456789012:user/" + login,
		Name: login, UID: uid, Keys: []string{keyA}, SSH: true, Sudo: sudo,
	}
}

// until gives a user an end.
func until(u wire.User, end time.Time) wire.User {
	u.NotAfter = wire.FormatTime(end)
	return u
}

func seal(t *testing.T, b wire.Bundle, s note.Signer) []byte {
	t.Helper()
	sealed, err := wire.Seal(b, s)
	must(t, err)
	return sealed
}

// source is a control plane in memory: it holds a conditional GET until there is
// something newer, and loses, delays and damages what a test wants.
type source struct {
	mu      sync.Mutex
	sealed  []byte
	epoch   int64
	serial  int64
	changed chan struct{} // closed and replaced when sealed changes
	asked   int
	reports []wire.Report

	// bundle and report, when set, answer instead. n counts the questions from 1.
	bundle func(ctx context.Context, n int) ([]byte, bool, error)
	// date, when set, is the control plane's clock.
	date   func() time.Time
	report func(ctx context.Context, r wire.Report) error
}

func newSource() *source { return &source{changed: make(chan struct{})} }

// issue makes a bundle the newest.
func (s *source) issue(sealed []byte, b wire.Bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed, s.epoch, s.serial = sealed, b.Epoch, b.Serial
	close(s.changed)
	s.changed = make(chan struct{})
}

// answers sets the fault; nil for none.
func (s *source) answers(bundle func(ctx context.Context, n int) ([]byte, bool, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bundle = bundle
	close(s.changed) // who waits asks the fault next
	s.changed = make(chan struct{})
}

func (s *source) takes(report func(ctx context.Context, r wire.Report) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = report
}

func (s *source) Bundle(ctx context.Context, epoch, serial int64, wait time.Duration) ([]byte, bool, error) {
	s.mu.Lock()
	s.asked++
	n, fault, changed, sealed := s.asked, s.bundle, s.changed, s.sealed
	same := epoch == s.epoch && serial == s.serial
	s.mu.Unlock()
	switch {
	case fault != nil:
		return fault(ctx, n)
	case !same && sealed != nil:
		return sealed, true, nil
	}
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-time.After(wait):
		return nil, false, nil
	case <-changed:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.sealed, s.sealed != nil, nil
	}
}

func (s *source) Date() (told, heard time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.date == nil {
		return time.Time{}, time.Time{}
	}
	return s.date(), time.Now()
}

// tells sets the control plane's clock; nil for none.
func (s *source) tells(date func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.date = date
}

func (s *source) Report(ctx context.Context, r wire.Report) error {
	s.mu.Lock()
	fault := s.report
	s.mu.Unlock()
	if fault != nil {
		if err := fault(ctx, r); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, r)
	return nil
}

// received returns the reports taken since it was called last.
func (s *source) received() []wire.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := s.reports
	s.reports = nil
	return reports
}

// questions returns how often a bundle was asked for since it was called last.
func (s *source) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked
	s.asked = 0
	return n
}

// world is an agent between a control plane and a machine, all but the disk in
// memory.
type world struct {
	t       *testing.T
	signer  signer
	dir     *cache.Dir
	path    string
	source  *source
	machine *machine
	log     *logText
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, path := newDir(t)
	return &world{t: t, signer: newSigner(t, "cp-1"), dir: dir, path: path, source: newSource(),
		machine: newMachine(t, dir), log: &logText{}}
}

// agent returns a new agent on the world's folder, as after a start.
func (w *world) agent() *agent.Agent {
	w.t.Helper()
	stack, err := authz.ParseStackID(stackID)
	must(w.t, err)
	return &agent.Agent{
		Identity: cache.Identity{Stack: stack, ControlPlane: "cp-1", Keys: []string{w.signer.verifier}},
		Cache:    w.dir, Source: w.source, Machine: w.machine, Layout: layout,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Interval: interval, Now: time.Now,
	}
}

const interval = 30 * time.Second

// issue seals a bundle, in which every removal is confirmed as the control plane
// does it, and makes it the newest.
func (w *world) issue(b wire.Bundle) []byte {
	w.t.Helper()
	return w.issueAsIs(confirming(b))
}

// confirming returns a bundle that confirms whatever removals it may bring: of all
// users of the tests.
func confirming(b wire.Bundle) wire.Bundle {
	for uid := int64(20000); uid < 20100; uid++ {
		b.Confirmed = append(b.Confirmed, newUser("", uid, false).ID)
	}
	return b
}

// issueAsIs does not confirm anything.
func (w *world) issueAsIs(b wire.Bundle) []byte {
	w.t.Helper()
	sealed := seal(w.t, b, w.signer)
	w.source.issue(sealed, b)
	return sealed
}

// once fetches and makes one pass, as apply does.
func (w *world) once() (wire.Report, error) {
	w.t.Helper()
	a := w.agent()
	must(w.t, a.Load())
	must(w.t, a.Fetch(w.t.Context()))
	return a.Pass(w.t.Context())
}

// settle makes one pass that must do all.
func (w *world) settle(b wire.Bundle) {
	w.t.Helper()
	w.issue(b)
	report, err := w.once()
	must(w.t, err)
	if bad := faults(report); bad != "" {
		w.t.Fatalf("the first pass did not do all:\n%s", bad)
	}
	w.machine.take()
	w.machine.looks()
	w.source.questions()
}

// run starts the agent; stop ends it and waits. A test that uses them runs under
// synctest.
func (w *world) run() (stop func()) { return w.runWith(func(*agent.Agent) {}) }

// runWith does the same with an agent that is set otherwise.
func (w *world) runWith(set func(*agent.Agent)) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error)
	a := w.agent()
	set(a)
	go func() { ended <- a.Run(ctx) }()
	return func() {
		w.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the agent ended with %v", err)
		}
	}
}

// stored returns the serial of the bundle on the disk, which must open.
func (w *world) stored() int64 {
	w.t.Helper()
	sealed, err := w.dir.Bundle()
	must(w.t, err)
	trusted, err := note.NewVerifier(w.signer.verifier)
	must(w.t, err)
	stack, err := authz.ParseStackID(stackID)
	must(w.t, err)
	b, err := wire.Open(sealed, note.VerifierList(trusted), wire.Target{ControlPlane: "cp-1", Stack: stack})
	must(w.t, err)
	return b.Serial
}

// faults prints what of a report was not done.
func faults(r wire.Report) string {
	var b strings.Builder
	for _, s := range r.Steps {
		if s.Error != "" {
			fmt.Fprintf(&b, "step %s: %s\n", s.What, s.Error)
		}
	}
	for _, s := range r.Refused {
		fmt.Fprintf(&b, "refused %q %s: %s\n", s.What, s.Code, s.Error)
	}
	return b.String()
}

// onStep is a fault of one kind of step for one user, or for all when user is "".
func onStep(op plan.Op, user string) func(plan.Step) error {
	return func(s plan.Step) error {
		if s.Op == op && (user == "" || s.User.String() == user) {
			return errInjected
		}
		return nil
	}
}

// logText is what an agent logged.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// later lets so much time pass and a second more, so that nothing that is due at
// the same instant is still going on.
func later(d time.Duration) {
	time.Sleep(d + time.Second)
	synctest.Wait()
}
