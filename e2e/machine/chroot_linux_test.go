package machine_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"latchkey/e2e/machine"
)

func TestChroot(t *testing.T) {
	m := mustBoot(t, machine.Chroot, machine.Options{Name: "cell", Tree: need(t), Index: 40})
	if m.Booted() {
		t.Error("says it is booted")
	}
	if got := mustRun(t, m, "hostname"); got != "cell" {
		t.Errorf("host name %q", got)
	}
	t.Run("reaches-this-side", func(t *testing.T) { testReach(t, m) })
	t.Run("command-fails", func(t *testing.T) { testCommandFails(t, m) })
	t.Run("command-ends-with-its-context", func(t *testing.T) { testCommandEnds(t, m) })
	t.Run("copies-files", func(t *testing.T) { testCopy(t, m) })
	t.Run("logs-in", func(t *testing.T) { testLogin(t, m) })
	t.Run("reboots", func(t *testing.T) { testReboot(t, m) })
	t.Run("snapshot-sees-changes", func(t *testing.T) { testSnapshot(t, m) })
}

// insideEnv tells a test that it runs in the surroundings it made for itself.
const insideEnv = "E2E_INSIDE"

// TestChroot_WithoutNamespaces runs itself once more in a process that, like root
// in a common container, may neither mount nor make namespaces.
func TestChroot_WithoutNamespaces(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		testPlain(t)
		return
	}
	need(t)
	temp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin",
		os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), insideEnv+"=1", "TMPDIR="+temp)
	before := traces(t, temp)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+"/logs-in") {
		t.Errorf("%v:\n%s", err, out)
	}
	mustLeaveNothing(t, temp, before)
}

func testPlain(t *testing.T) {
	if err := machine.CanBoot(t.Context()); !errors.Is(err, machine.ErrNoNamespaces) {
		t.Errorf("got %v", err)
	}
	tree, err := machine.Tree(t.Context(), "bookworm", "", progress(t))
	if err != nil {
		t.Fatal(err)
	}
	m := mustBoot(t, machine.Chroot, machine.Options{Name: "bare", Tree: tree, Index: 41})
	if !m.Addr().Addr().IsLoopback() {
		t.Errorf("address %s", m.Addr())
	}
	t.Run("reaches-this-side", func(t *testing.T) { testReach(t, m) })
	t.Run("command-fails", func(t *testing.T) { testCommandFails(t, m) })
	t.Run("command-ends-with-its-context", func(t *testing.T) { testCommandEnds(t, m) })
	t.Run("copies-files", func(t *testing.T) { testCopy(t, m) })
	t.Run("logs-in", func(t *testing.T) { testLogin(t, m) })
	t.Run("reboots", func(t *testing.T) { testReboot(t, m) })
	t.Run("snapshot-sees-changes", func(t *testing.T) { testSnapshot(t, m) })
	// What is left running in the root must not hold it.
	if err := m.Command(t.Context(), "sleep", "65432").Start(); err != nil {
		t.Fatal(err)
	}
}
