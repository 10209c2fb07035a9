package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnit: what systemd starts is this program, from where the login hook is too, and
// it may write where the layout says and where the account tools do (requirements R37
// and R158 in part). What it may use is bounded (R152 in part).
func TestUnit(t *testing.T) {
	const file = "../../systemd/latchkey-agent.service"
	text, err := os.ReadFile(file)
	must(t, err)
	settings := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && !strings.HasPrefix(key, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	start := settings["ExecStart"]
	program := filepath.Join(filepath.Dir(layout.Hook), "latchkey-agent")
	if len(start) != 1 || start[0] != program+" run" {
		t.Errorf("it starts %q, want %s run", start, program)
	}
	if found, _, err := newCommand("linux").Find([]string{"run"}); err != nil || found.Name() != "run" {
		t.Errorf("there is no command run: %v", err)
	}
	writable := strings.Fields(strings.Join(settings["ReadWritePaths"], " "))
	for _, path := range []string{layout.StateDir, layout.AgentDir, layout.KeysDir, layout.Sudoers, layout.SSHD, layout.HomeBase, "/etc/passwd"} {
		if !slices.ContainsFunc(writable, func(folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }) {
			t.Errorf("it may not write to %s, only to %q", path, writable)
		}
	}
	for _, path := range writable {
		if path == "/" || path == "/usr" || path == "/var" || path == "/root" || path == "/boot" {
			t.Errorf("it may write to all of %s", path)
		}
	}
	for key, want := range map[string]string{"Restart": "always", "StartLimitIntervalSec": "0", "UMask": "0077", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ReadOnlyPaths": "-/root",
		"MemoryMax": "1G", "CPUQuota": "100%", "TasksMax": "256", "LimitNOFILE": "1024", "LimitCORE": "0"} {
		if got := settings[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %s", key, got, want)
		}
	}
	verify(t, string(text), program)
}

// verify has systemd read the unit; the program stands in for by one that is here.
func verify(t *testing.T, text, program string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("LATCHKEY_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skip("the rest needs systemd-analyze")
	}
	unit := filepath.Join(t.TempDir(), "latchkey-agent.service")
	must(t, os.WriteFile(unit, []byte(strings.Replace(text, program, "/bin/true", 1)), 0o644))
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if err != nil || len(out) != 0 {
		t.Errorf("systemd says %v: %s", err, out)
	}
}
