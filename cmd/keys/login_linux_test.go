package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
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
AuthorizedKeysCommand ` + program + ` %u %U %t %k
AuthorizedKeysCommandUser latchkey-keys
`

// inMachineLogin asks the real sshd, with the real client, who gets in (requirements
// R11, R65 in part, T-U10 in part, T-H1 in part, T-H3 in part and T-H8 in part).
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
	t.Run("expired-is-sshds-refusal", func(t *testing.T) {
		putKeys(t, head+past+granted)
		out, err := asHook(append([]string{"alice", "20001"}, strings.Fields(keys["granted"])...)...).Output()
		if err != nil || string(out) != past+granted {
			t.Errorf("output %q, %v", out, err)
		}
	})
	putKeys(t, head+granted)
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

// wantLogin logs in as alice over sshd -i, which needs no network.
func wantLogin(t *testing.T, key string, enters bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, lookTool("ssh"), "-F", "none", "-i", "/var/lib/etc/"+key,
		"-o", "ProxyCommand="+lookTool("sshd")+" -i -e -f /var/lib/etc/sshd_config",
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"alice@machine", "echo in as $(id -u)")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	entered := string(out) == "in as 20001\n"
	refused := cmd.ProcessState.ExitCode() == 255 && strings.Contains(stderr.String(), "Permission denied (publickey)")
	if entered != enters || refused == enters {
		t.Errorf("with key %s: output %q, %v, want entry %v\n%s", key, out, err, enters, stderr.String())
	}
}
