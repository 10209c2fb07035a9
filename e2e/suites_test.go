package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// suite is a test of another package that drives a machine's own tools.
type suite struct {
	name, pkg, test string
	around          []string // what it is run by
}

// suites compare our keys with the machine's ssh-keygen, ask its sshd who gets in by
// the hook, and change accounts, sudo's policy, sshd's configuration and processes with
// its shadow, sudo, sshd and systemd. Each works in namespaces of its own. What a part
// of one needs and no small machine has, such as strace, leaves that part out there.
func suites() []suite {
	return []suite{
		{name: "ssh-keygen", pkg: "latchkey/authz", test: "TestParseKey_LikeKeygen"},
		{name: "tools", pkg: "latchkey/agent/host", test: "TestSpace"},
		// By itself it would compile the hook first, which takes Go.
		{name: "hook", pkg: "latchkey/cmd/keys", test: "TestMachine", around: []string{"unshare", "--mount", "--pid", "--net", "--fork",
			"env", "LATCHKEY_TEST_CHILD=machine", "LATCHKEY_TEST_PROGRAM=/root/suites/latchkey-keys"}},
	}
}

// buildSuites compiles them into a folder, each under its name.
func buildSuites(t *testing.T, dir string) {
	t.Helper()
	for _, s := range suites() {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-trimpath", "-o", filepath.Join(dir, s.name), s.pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // the C library there may be older
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", s.pkg, err, out)
		}
	}
}

// suites runs what buildSuites compiled on a machine.
func (w *world) suites(name, dir string) {
	w.t.Helper()
	m := w.machines[name]
	if err := m.Copy(w.t.Context(), w.programs.Path("latchkey-keys"), "/root/suites/latchkey-keys", 0o755); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range suites() {
		w.sub(s.name, func() {
			program := "/root/suites/" + s.name
			if err := m.Copy(w.t.Context(), filepath.Join(dir, s.name), program, 0o755); err != nil {
				w.t.Fatal(err)
			}
			argv := append(s.around, program, "-test.run=^"+s.test+"$", "-test.v")
			if out, err := m.Run(w.t.Context(), argv...); err != nil || !strings.Contains(out, "--- PASS: "+s.test+" ") {
				w.t.Errorf("%v\n%s", err, out)
			}
		})
	}
	w.run(name, "rm", "-r", "/root/suites")
}
