package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/agent/hook"
)

const displacedScript = "/var/lib/hook/displaced"

// keep has the hook run a script as the displaced command.
func keep(t *testing.T, script string) {
	t.Helper()
	d, err := hook.ParseDisplaced(displacedScript + " %u %U %t %k %f")
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{displacedScript: "#!/bin/sh\n" + script, displacedFile: string(d.Render())} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(displacedScript, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(displacedFile) })
}

// inMachineDisplaced holds T-H10 in part: a displaced command is asked for a key that
// is not ours, of an account of ours alone, and cannot hold a login up (R61 in part).
func inMachineDisplaced(t *testing.T) {
	public := func(key string) string {
		text, err := os.ReadFile("/var/lib/etc/" + key + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	const head = "# latchkey 1 uid=20001\n"
	granted := head + public("granted") + " alice\n"
	answer := "test $# = 5 && test \"$1 $2 $3\" = 'alice 20001 ssh-ed25519' && test $(id -u) = 20900 && " +
		"case $5 in SHA256:*) printf '%s %s\\n' $3 $4;; esac\n"
	putKeys(t, granted)
	t.Run("not-kept", func(t *testing.T) { wantLogin(t, "stranger", false) })
	t.Run("its-key", func(t *testing.T) {
		keep(t, answer)
		wantLogin(t, "stranger", true)
	})
	t.Run("our-key", func(t *testing.T) {
		keep(t, "exit 1\n")
		wantLogin(t, "granted", true)
	})
	t.Run("not-of-ours", func(t *testing.T) {
		keep(t, answer)
		putKeys(t, "") // alice may not enter
		wantLogin(t, "stranger", false)
		putKeys(t, head+"x\n") // her file is damaged
		wantLogin(t, "stranger", false)
		putKeys(t, granted)
	})
	t.Run("says-no", func(t *testing.T) {
		keep(t, "exit 0\n")
		wantLogin(t, "stranger", false)
	})
	for situation, spoil := range map[string]func() error{
		"program-for-all":   func() error { return os.Chmod(displacedScript, 0o777) },
		"program-of-others": func() error { return os.Chown(displacedScript, hookUID, 0) },
		"program-missing":   func() error { return os.Remove(displacedScript) },
		"file-of-others":    func() error { return os.Chown(displacedFile, hookUID, 0) },
		"file-damaged":      func() error { return os.WriteFile(displacedFile, []byte(displacedScript+"\n"), 0o644) },
		"file-is-fifo":      func() error { os.Remove(displacedFile); return syscall.Mkfifo(displacedFile, 0o644) },
	} {
		t.Run(situation, func(t *testing.T) {
			keep(t, answer)
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			wantLogin(t, "stranger", false)
			wantLogin(t, "granted", true)
			os.Remove(displacedScript)
			os.Remove(displacedFile)
		})
	}
	// A child of the script keeps the pipe to sshd open, and none of them listens to the
	// alarm that would end it.
	keep(t, "trap '' TERM ALRM HUP\nsleep 1000 &\nsleep 1000\n")
	t.Run("hanging", func(t *testing.T) {
		t.Run("it", func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			wantLogin(t, "stranger", false)
			if took := time.Since(start); took < 5*time.Second {
				t.Errorf("it took %v: the command did not hang", took)
			}
		})
		t.Run("others", func(t *testing.T) {
			t.Parallel()
			for range 5 {
				wantLogin(t, "granted", true)
			}
		})
	})
}
