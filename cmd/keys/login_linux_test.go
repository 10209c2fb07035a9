package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const sshdConfig = `
HostKey /var/lib/etc/host
PidFile none
UsePAM no
StrictModes yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile /var/lib/etc/break-glass
AuthorizedKeysCommand ` + program + ` %u %U %t %k %f
AuthorizedKeysCommandUser latchkey-keys
`

// inMachineLogin asks the real sshd, with the real client, who gets in (requirements
// R11, T-U10 in part and T-H1 in part).
func inMachineLogin(t *testing.T) {
	keys := map[string]string{}
	for _, key := range []string{"host", "granted", "stranger", "glass"} {
		out, err := exec.Command(lookTool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/var/lib/etc/"+key).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		public, err := os.ReadFile("/var/lib/etc/" + key + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		keys[key] = strings.TrimSpace(string(public))
	}
	for file, content := range map[string]string{"sshd_config": sshdConfig, "break-glass": keys["glass"] + "\n"} {
		if err := os.WriteFile("/var/lib/etc/"+file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const head = "# latchkey 1 uid=20001\n"
	granted := keys["granted"] + " alice\n"
	past := `expiry-time="` + time.Now().Add(-time.Hour).UTC().Format("20060102150405Z") + `" `
	future := `expiry-time="` + time.Now().Add(time.Hour).UTC().Format("20060102150405Z") + `" `
	tests := []struct {
		situation string
		file      string
		key       string
		enters    bool
	}{
		{"granted", head + granted, "granted", true},
		{"other-key", head + granted, "stranger", false},
		{"second-of-two", head + keys["stranger"] + " alice\n" + granted, "granted", true},
		{"file-missing", "", "granted", false},
		{"no-keys", head, "granted", false},
		{"not-yet-expired", head + future + granted, "granted", true},
		{"expired", head + past + granted, "granted", false},
		{"other-uid", "# latchkey 1 uid=20002\n" + granted, "granted", false},
		{"cut-short", head + strings.TrimSuffix(granted, "\n"), "granted", false},
		{"damaged-after-match", head + granted + "x\n", "granted", false},
		{"break-glass", head + granted, "glass", true},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			putKeys(t, test.file)
			wantLogin(t, test.key, test.enters)
		})
	}
	t.Run("an-end-is-not-left-to-sshd", func(t *testing.T) {
		for ends, want := range map[string]string{past: "", future: granted} {
			putKeys(t, head+ends+granted)
			out, err := asHook(append([]string{"alice", "20001"}, strings.Fields(keys["granted"])...)...).Output()
			if err != nil || string(out) != want {
				t.Errorf("with %s output %q, %v", ends, out, err)
			}
		}
	})
	t.Run("displaced", inMachineDisplaced)
	putKeys(t, head+granted)
	t.Run("many", func(t *testing.T) { manyLogins(t, keys) })
	t.Run("damaged", func(t *testing.T) { damagedHook(t, head+granted, granted) })
	t.Run("hook-writable-by-others", func(t *testing.T) {
		if err := os.Chmod(program, 0o777); err != nil {
			t.Fatal(err)
		}
		wantLogin(t, "granted", false)
		wantLogin(t, "glass", true)
	})
	t.Run("hook-missing", func(t *testing.T) {
		if err := os.Remove(program); err != nil {
			t.Fatal(err)
		}
		wantLogin(t, "granted", false)
		wantLogin(t, "glass", true)
	})
}

// manyLogins holds T-H5 in part: many log in at once, with six keys each, with none
// that is right, and as users that there are not. Who may gets in, and the hook is run
// once for each key that is offered, once more for the one that is taken, and never for
// a user that there is not. What a run costs inMachineTrace shows; so many connections a
// second that sshd itself drops most of them are not tried.
func manyLogins(t *testing.T, keys map[string]string) {
	const counted, counts = "/var/lib/hook/counted", "/var/lib/counts"
	shipped, err := os.ReadFile(program)
	must(t, err)
	must(t, os.WriteFile(counted, shipped, 0o755))
	must(t, os.Mkdir(counts, 0o755))
	must(t, os.WriteFile(counts+"/runs", nil, 0o600))
	must(t, os.Chown(counts+"/runs", hookUID, hookUID))
	must(t, os.WriteFile(program, []byte("#!/bin/sh\necho run >>"+counts+"/runs\nexec "+counted+" \"$@\"\n"), 0o755))
	defer func() { must(t, os.WriteFile(program, shipped, 0o755)) }()
	putKeys(t, "# latchkey 1 uid=20001\n"+keys["granted"]+" alice\n")
	wrong := []string{"stranger"}
	for i := range 4 {
		key := fmt.Sprint("wrong", i)
		out, err := exec.Command(lookTool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", "/var/lib/etc/"+key).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		wrong = append(wrong, key)
	}
	cases := []struct {
		user   string
		keys   []string
		enters bool
		runs   int
	}{
		{"alice", []string{"granted"}, true, 2},
		{"alice", append(slices.Clone(wrong), "granted"), true, 7},
		{"alice", wrong, false, 5},
		{"mallory", wrong, false, 0},
		{"root", []string{"granted"}, false, 1},
	}
	const each = 4
	want := 0
	var logins sync.WaitGroup
	for _, c := range cases {
		want += each * c.runs
		logins.Go(func() {
			for range each {
				tryLogin(t, c.user, c.keys, c.enters)
			}
		})
	}
	logins.Wait()
	runs, err := os.ReadFile(counts + "/runs")
	if got := bytes.Count(runs, []byte("run\n")); err != nil || got != want {
		t.Errorf("the hook was run %d times, %v, want %d", got, err, want)
	}
}

// damagedHook holds R65, T-H1 in part, T-H3 and T-H8: whatever becomes of the hook and of
// its data, nobody gets in by what it did not say whole, and who has a key in a file does.
func damagedHook(t *testing.T, file, line string) {
	shipped, err := os.ReadFile(program)
	must(t, err)
	script := func(text string) func() error {
		return func() error { return os.WriteFile(program, []byte("#!/bin/sh\n"+text), 0o755) }
	}
	say := "printf '%s\\n' '" + strings.TrimSpace(line) + "'\n"
	tests := map[string]struct {
		spoil  func() error
		enters bool
	}{
		"prints-then-fails":     {script(say + "exit 1\n"), false},
		"prints-then-is-killed": {script(say + "kill -9 $$\n"), false},
		"prints-nothing":        {script("exit 0\n"), false},
		"prints-half-a-key":     {script("printf '%s' '" + line[:len(line)/2] + "'\n"), false},
		"prints-no-end-of-line": {script("printf '%s' '" + strings.TrimSpace(line) + "'\n"), true}, // by sshd; ours always ends its lines
		"cut-short":             {func() error { return os.WriteFile(program, shipped[:len(shipped)/2], 0o755) }, false},
		"empty":                 {func() error { return os.WriteFile(program, nil, 0o755) }, false},
		"not-executable":        {func() error { return os.Chmod(program, 0o644) }, false},
		"of-another":            {func() error { return os.Chown(program, hookUID, 0) }, false},
		"folder-writable":       {func() error { return os.Chmod(filepath.Dir(program), 0o777) }, false},
		"a-folder":              {func() error { return errors.Join(os.Remove(program), os.Mkdir(program, 0o755)) }, false},
		"no-data":               {func() error { return os.RemoveAll(keyFolder) }, false},
		"data-cut-short":        {func() error { return os.Truncate(keyFolder+"/alice", int64(len(file)/2)) }, false},
		"data-a-folder":         {func() error { return errors.Join(os.Remove(keyFolder+"/alice"), os.Mkdir(keyFolder+"/alice", 0o755)) }, false},
		"whole-again":           {func() error { return nil }, true},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			must(t, errors.Join(os.RemoveAll(program), os.MkdirAll(keyFolder, 0o755), os.Chmod(filepath.Dir(program), 0o755),
				os.WriteFile(program, shipped, 0o755)))
			putKeys(t, file)
			must(t, test.spoil())
			wantLogin(t, "granted", test.enters)
			wantLogin(t, "glass", true)
		})
	}
	must(t, errors.Join(os.RemoveAll(program), os.WriteFile(program, shipped, 0o755)))
}

func wantLogin(t *testing.T, key string, enters bool) {
	t.Helper()
	tryLogin(t, "alice", []string{key}, enters)
}

// tryLogin logs in over sshd -i, which needs no network.
func tryLogin(t *testing.T, user string, keys []string, enters bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, lookTool("ssh"), "-F", "none",
		"-o", "ProxyCommand="+lookTool("sshd")+" -i -e -f /var/lib/etc/sshd_config",
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "User="+user)
	for _, key := range keys {
		cmd.Args = append(cmd.Args, "-i", "/var/lib/etc/"+key)
	}
	cmd.Args = append(cmd.Args, "machine", "echo in as $(id -u)")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	entered := string(out) == "in as 20001\n"
	refused := cmd.ProcessState.ExitCode() == 255 && strings.Contains(stderr.String(), "Permission denied (publickey")
	if entered != enters || refused == enters {
		t.Errorf("%s with keys %q: output %q, %v, want entry %v\n%s", user, keys, out, err, enters, stderr.String())
	}
}
