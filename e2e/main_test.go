package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/e2e/fleet"
	"latchkey/e2e/machine"
)

// patience is how long something that takes a second may take on a busy machine.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(launchEnv) != "" {
		os.Exit(launch())
	}
	os.Exit(machine.Enter(m.Run))
}

// need skips where no machine can be booted, unless nothing may be skipped.
func need(t *testing.T) {
	t.Helper()
	if err := machine.CanBoot(t.Context()); err != nil {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skip("whole machines: ", err)
	}
}

// world is what one test works with.
type world struct {
	t        *testing.T
	dir      string
	programs fleet.Programs
	server   *fleet.Server
	machines map[string]*machine.Machine
	keys     map[string]string // private key files by user
	public   map[string]string
	port     int
}

// newWorld builds the programs, starts a control plane and boots machines.
func newWorld(t *testing.T, port, firstIndex int, names ...string) *world {
	t.Helper()
	return newWorldOf(t, machine.Boot, port, firstIndex, names...)
}

// newWorldOf is newWorld with machines of another kind.
func newWorldOf(t *testing.T, raise func(context.Context, machine.Options) (*machine.Machine, error), port, firstIndex int, names ...string) *world {
	t.Helper()
	return newWorldOn(t, "bookworm", raise, port, firstIndex, names...)
}

// newWorldOn is newWorldOf with machines of another release.
func newWorldOn(t *testing.T, release string, raise func(context.Context, machine.Options) (*machine.Machine, error), port, firstIndex int, names ...string) *world {
	t.Helper()
	need(t)
	w := &world{t: t, dir: t.TempDir(), machines: map[string]*machine.Machine{}, keys: map[string]string{}, public: map[string]string{}, port: port}
	var err error
	if w.programs, err = fleet.Build(t.Context(), w.dir); err != nil {
		t.Fatal(err)
	}
	w.startServer()
	tree, err := machine.Tree(t.Context(), release, "", func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var boots sync.WaitGroup
	for i, name := range names {
		boots.Go(func() {
			m, err := raise(t.Context(), machine.Options{Name: name, Tree: tree, Index: firstIndex + i})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			w.machines[name] = m
		})
	}
	boots.Wait()
	t.Cleanup(func() {
		for _, m := range w.machines {
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return w
}

func (w *world) startServer() {
	w.t.Helper()
	server, err := fleet.Start(w.t.Context(), w.programs, filepath.Join(w.dir, "server"), machine.HostAddress, w.port)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = server
	w.t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			w.t.Error(err)
		}
	})
}

// key makes a user's key pair once and returns the public line.
func (w *world) key(user string) string {
	w.t.Helper()
	if w.public[user] == "" {
		w.keys[user] = filepath.Join(w.dir, user)
		line, err := machine.NewKey(w.t.Context(), w.keys[user], user+"@laptop")
		if err != nil {
			w.t.Fatal(err)
		}
		w.public[user] = line
	}
	return w.public[user]
}

// sub runs a part of the test as a subtest.
func (w *world) sub(name string, f func()) {
	outer := w.t
	defer func() { w.t = outer }()
	outer.Run(name, func(t *testing.T) {
		w.t = t
		f()
	})
}

func (w *world) aws(args ...string) string {
	w.t.Helper()
	out, err := w.server.AWS(w.t.Context(), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) cli(args ...string) string {
	w.t.Helper()
	out, err := w.server.CLI(w.t.Context(), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) call(action string, request, answer any) {
	w.t.Helper()
	if err := w.server.Call(w.t.Context(), action, request, answer); err != nil {
		w.t.Fatal(err)
	}
}

// run runs a command on a machine, which must succeed.
func (w *world) run(name string, argv ...string) string {
	w.t.Helper()
	out, err := w.machines[name].Run(w.t.Context(), argv...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// join puts the agent on a machine and makes it an instance of a stack.
func (w *world) join(name, stack string) {
	w.t.Helper()
	m := w.machines[name]
	if err := fleet.Install(w.t.Context(), w.programs, m); err != nil {
		w.t.Fatal(err)
	}
	if err := w.server.Enroll(w.t.Context(), m, stack); err != nil {
		w.t.Fatal(err)
	}
}

// startAgent starts the service, which looks at the machine every second, so that
// a test of repairs need not wait for the usual interval.
func (w *world) startAgent(name string) {
	w.t.Helper()
	const often = "[Service]\nEnvironment=LATCHKEY_INTERVAL=1s\n"
	err := w.machines[name].WriteFile(w.t.Context(), "/etc/systemd/system/latchkey-agent.service.d/often.conf", []byte(often), 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := fleet.StartAgent(w.t.Context(), w.machines[name]); err != nil {
		w.t.Fatal(err)
	}
}

// login says what a user gets on a machine: "refused", "in" or "in, root".
func (w *world) login(name, user string) string {
	w.t.Helper()
	m := w.machines[name]
	r, err := machine.SSH(w.t.Context(), m, user, w.keys[user], "id -un; sudo -n id -u")
	switch {
	case err != nil:
		w.t.Fatal(err)
	case r.Refused():
		return "refused"
	case r.Stdout == user+"\n0\n" && r.Code == 0:
		return "in, root"
	case r.Stdout == user+"\n" && r.Code == 1:
		return "in"
	}
	return fmt.Sprintf("neither: status %d, stdout %q, stderr %q", r.Code, r.Stdout, r.Stderr)
}

// wantLogin waits until a user gets on a machine what he should.
func (w *world) wantLogin(name, user, want string) {
	w.t.Helper()
	err := fleet.Eventually(w.t.Context(), patience, func() error {
		if got := w.login(name, user); got != want {
			return fmt.Errorf("%s on %s is %q, want %q", user, name, got, want)
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
		w.explain(name)
	}
}

// explain writes into the test's log what a machine says of itself.
func (w *world) explain(name string) {
	w.t.Helper()
	for _, argv := range [][]string{
		{"latchkey-agent", "status"}, {"latchkey-agent", "plan"},
		{"journalctl", "-u", "latchkey-agent", "-u", "ssh", "--no-pager", "-n", "60"},
	} {
		out, err := w.machines[name].Run(context.WithoutCancel(w.t.Context()), argv...)
		w.t.Logf("%s: %s\n%s%v", name, strings.Join(argv, " "), out, err)
	}
}

// eventually fails the test when try does not succeed within patience.
func (w *world) eventually(what string, try func() error) {
	w.t.Helper()
	if err := fleet.Eventually(w.t.Context(), patience, try); err != nil {
		w.t.Errorf("%s: %v", what, err)
	}
}

// settled waits until a machine has nothing left to do.
func (w *world) settled(name string) {
	w.t.Helper()
	w.eventually(name+" has nothing left to do", func() error {
		_, err := w.machines[name].Run(w.t.Context(), "latchkey-agent", "plan")
		return err
	})
}
