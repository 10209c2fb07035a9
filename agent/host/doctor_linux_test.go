package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/authz"
)

// patient is a machine on which everything is as it should be: alice with sudo, the
// real sshd that listens, the real sudo, and a hook that reads what the hook reads.
type patient struct {
	*space
	grants []authz.Grant
	sshd   *exec.Cmd
}

func newPatient(t *testing.T, s *space) *patient {
	p := &patient{space: s, grants: []authz.Grant{named(t, "alice", 20001, true)}}
	must(t, os.MkdirAll("/run/sshd", 0o755))
	must(t, os.RemoveAll("/etc/ssh"))
	must(t, os.MkdirAll("/etc/ssh/sshd_config.d", 0o755))
	if out, err := s.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, os.Chmod("/etc/pam.d", 0o755))
	s.become(p.grants...)
	must(t, os.Mkdir("/var/lib/latchkey/bin", 0o755))
	s.Layout.Hook = "/var/lib/latchkey/bin/hook"
	s.owned.SSHD = true
	p.sound()
	return p
}

// sound puts right again what a test may have spoiled.
func (p *patient) sound() {
	p.t.Helper()
	p.write("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n", 0o644)
	must(p.t, os.RemoveAll("/etc/ssh/sshd_config.d"))
	must(p.t, os.Mkdir("/etc/ssh/sshd_config.d", 0o755))
	p.write(p.Layout.SSHD, string(plan.SSHDFile(p.Layout, plan.KeysCommand)), 0o644)
	p.write(p.Layout.Hook, "#!/bin/sh\ngrep -F \"$4\" \"/var/lib/latchkey/authorized_keys/$1\"\n", 0o755)
	p.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n", 0o440)
	p.write("/etc/pam.d/sshd", "@include common-account\naccount required pam_nologin.so\n", 0o644)
	p.write("/etc/pam.d/common-account", "account [success=done default=ignore] pam_unix.so\naccount required pam_unix.so\n", 0o644)
	for _, path := range []string{"/etc/nologin", "/run/nologin", "/etc/sudoers.d/zz-theirs", "/etc/sudoers.d/.latchkey.00112233445566778899aabbccddeeff.new",
		p.Layout.AgentDir + "/" + stagedSSHD} {
		must(p.t, os.RemoveAll(path))
	}
	for path, mode := range map[string]os.FileMode{"/var/lib": 0o755, p.Layout.StateDir: 0o711, p.Layout.AgentDir: 0o700, p.Layout.KeysDir: 0o750, "/etc/ssh": 0o755} {
		must(p.t, os.Chmod(path, mode))
	}
	p.listen()
}

// listen starts an sshd with the options, instead of one that runs.
func (p *patient) listen(options ...string) {
	p.t.Helper()
	if p.sshd != nil {
		_ = p.sshd.Process.Kill() // a test may have done so
		_ = p.sshd.Wait()         // killed
	}
	p.sshd = exec.Command("/usr/sbin/sshd", append([]string{"-D", "-o", "ListenAddress 0.0.0.0:2222"}, options...)...)
	must(p.t, p.sshd.Start())
	p.t.Cleanup(func() { _ = p.sshd.Process.Kill() })
	deadline := time.Now().Add(10 * time.Second)
	for len(listeningSSHD()) == 0 || !p.titled() {
		if time.Now().After(deadline) {
			p.t.Fatal("sshd does not listen")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// titled reports whether sshd has come so far that it has changed its title.
func (p *patient) titled() bool {
	args := argumentsOf(p.sshd.Process.Pid)
	return len(args) == 1 && strings.Contains(args[0], "[listener]")
}

// findings asks doctor about the machine. The agent itself is well.
func (p *patient) findings() []doctor.Finding {
	p.t.Helper()
	now := time.Now()
	f := doctor.Facts{Now: now, Layout: p.Layout, Agent: doctor.Agent{Enrolled: true, HasBundle: true, SSHD: true, Issued: now,
		Status: &doctor.Status{Pass: now, Contact: now}}}
	f.Host = p.Examine(p.t.Context(), doctor.Question{Grants: p.grants, Owned: p.owned})
	return doctor.Diagnose(f)
}

// notOfASpace are the checks whose subject a space has not got.
var notOfASpace = []string{"service", "clock", "disk"}

// testDoctor provokes findings on a real userland: the real sshd says how it is set,
// the real sudo what it reads (requirement R67 in part, T-H9 in part and T-H10 in
// part).
func testDoctor(t *testing.T, s *space) {
	p := newPatient(t, s)
	before := s.etc()
	for _, f := range p.findings() {
		if f.Severity != doctor.OK && !slices.Contains(notOfASpace, f.Code) {
			t.Errorf("a sound machine has %+v", f)
		}
	}
	for path, now := range s.etc() {
		if before[path] != now {
			t.Errorf("looking changed %s", path)
		}
	}
	config := func(front, behind string) func() {
		return func() { p.write("/etc/ssh/sshd_config", front+"Include /etc/ssh/sshd_config.d/*.conf\n"+behind, 0o644) }
	}
	for situation, c := range map[string]struct {
		spoil func()
		code  string
		says  string
	}{
		"allow-users":        {config("AllowUsers root deby\n", ""), "sshd_allow", "AllowUsers does not name alice"},
		"allow-groups":       {config("AllowGroups wheel\n", ""), "sshd_allow", "AllowGroups names no group of alice: wheel"},
		"deny-groups":        {config("DenyGroups latchkey\n", ""), "sshd_allow", "DenyGroups keeps alice out"},
		"deny-users":         {config("DenyUsers ali*\n", ""), "sshd_allow", "DenyUsers keeps alice out: ali*"},
		"no-include":         {func() { p.write("/etc/ssh/sshd_config", "UsePAM yes\n", 0o644) }, "sshd_dropin", "does not include /etc/ssh/sshd_config.d/*.conf"},
		"include-in-a-block": {config("Match User nobody\n", ""), "sshd_dropin", "inside the block Match User nobody"},
		"block-before":       {config("Match User ali*\n\tAuthorizedKeysFile .ssh/authorized_keys\nMatch all\n", ""), "sshd_dropin", "/etc/ssh/sshd_config line 2 sets authorizedkeysfile before us"},
		"file-before": {func() {
			p.write("/etc/ssh/sshd_config.d/05-cloud.conf", "Match all\nAuthorizedKeysCommand /usr/bin/ssm %u\nAuthorizedKeysCommandUser root\n", 0o644)
		}, "sshd_dropin", "/etc/ssh/sshd_config.d/05-cloud.conf line 2 sets authorizedkeyscommand before us"},
		"no-dropin":          {func() { must(t, os.Remove(p.Layout.SSHD)) }, "sshd_dropin", "is not there, or holds nothing"},
		"block-of-addresses": {config("Match Address 192.0.2.0/24\n\tPubkeyAuthentication no\nMatch all\n", ""), "sshd_match", "line 2 sets pubkeyauthentication"},
		"no-public-keys":     {config("PubkeyAuthentication no\n", ""), "sshd_publickey", "PubkeyAuthentication is no for alice"},
		// By the name that it has before sshd 8.5 too.
		"no-key-types": {config("PubkeyAcceptedKeyTypes rsa-sha2-512\n", ""), "sshd_key_types", "takes no key of alice"},
		"few-tries":    {config("MaxAuthTries 1\n", ""), "sshd_limits", "MaxAuthTries is 1"},
		"short-grace":  {config("LoginGraceTime 5\n", ""), "sshd_limits", "LoginGraceTime is 5 s"},
		"broken":       {config("NoSuchOption yes\n", ""), "sshd_config", "NoSuchOption"},
		"started-with-option": {func() { p.listen("-o", "PubkeyAuthentication=no") }, "sshd_override",
			`-o "PubkeyAuthentication=no"`},
		"option-counts":       {func() { p.listen("-oAllowUsers=root deby") }, "sshd_allow", "AllowUsers does not name alice"},
		"another-file":        {func() { p.write("/etc/ssh/other", "UsePAM no\n", 0o600); p.listen("-f", "/etc/ssh/other") }, "sshd_override", `-f "/etc/ssh/other"`},
		"another-file-counts": {func() { p.write("/etc/ssh/other", "UsePAM no\n", 0o600); p.listen("-f", "/etc/ssh/other") }, "sshd_dropin", "its authorizedkeysfile is"},
		"not-running":         {func() { must(t, p.sshd.Process.Kill()); _ = p.sshd.Wait() }, "sshd_running", "sshd does not run"},
		"folder-writable":     {func() { must(t, os.Chmod("/var/lib", 0o775)) }, "files", "/var/lib can be written to by others than root (mode 0775)"},
		"state-not-passable":  {func() { must(t, os.Chmod(p.Layout.StateDir, 0o700)) }, "files", "does not get through /var/lib/latchkey"},
		"agent-readable":      {func() { must(t, os.Chmod(p.Layout.AgentDir, 0o755)) }, "files", "can be read by others"},
		"nologin":             {func() { p.write("/etc/nologin", "", 0o644) }, "nologin", "/etc/nologin keeps"},
		"no-includedir":       {func() { p.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n#include /etc/x\n", 0o440) }, "sudo_include", "does not read /etc/sudoers.d"},
		"sudo-not-given":      {func() { p.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n", 0o440) }, "sudo_user", "sudo itself does not"},
		"sudo-broken":         {func() { p.write("/etc/sudoers.d/zz-theirs", "garbage here now\n", 0o440) }, "sudo_policy", "/etc/sudoers.d/zz-theirs:1"},
		"hook-says-no":        {func() { p.write(p.Layout.Hook, "#!/bin/sh\necho oops >&2\nexit 1\n", 0o755) }, "hook_answer", "hook ended with code 1: oops"},
		"hook-of-root": {func() { p.write(p.Layout.Hook, "#!/bin/sh\n[ $(id -u) = 0 ] && echo \"$3 $4\"\n", 0o755) }, "hook_answer",
			"gives no answer for alice"},
		"hook-unsafe":  {func() { must(t, os.Chmod(p.Layout.Hook, 0o775)) }, "hook", "must belong to root"},
		"keys-hidden":  {func() { must(t, os.Chmod(p.Layout.KeysDir, 0o700)) }, "hook_answer", "Permission denied"},
		"left-sudoers": {func() { p.write("/etc/sudoers.d/.latchkey.00112233445566778899aabbccddeeff.new", "", 0o600) }, "leftovers", "/etc/sudoers.d/.latchkey."},
		"left-staged":  {func() { p.write(p.Layout.AgentDir+"/"+stagedSSHD, "", 0o600) }, "leftovers", stagedSSHD},
		"pam-access": {func() {
			p.write("/etc/pam.d/common-account", "account required /lib/security/pam_access.so nodefgroup\n", 0o644)
			p.write("/etc/security/access.conf", "# c\n-:ALL EXCEPT root:ALL\n", 0o644)
		}, "pam_access", "do not name latchkey"},
		"no-run-folder": {func() {
			must(t, os.Remove("/run/sshd"))
			t.Cleanup(func() { must(t, os.MkdirAll("/run/sshd", 0o755)) })
		}, "sshd_config", "/run/sshd"},
	} {
		t.Run(situation, func(t *testing.T) {
			defer func() { must(t, os.MkdirAll("/run/sshd", 0o755)); p.sound() }()
			c.spoil()
			p.want(t, c.code, c.says)
		})
	}
}

// want is that a check speaks.
func (p *patient) want(t *testing.T, code, says string) {
	t.Helper()
	var said []doctor.Finding
	for _, f := range p.findings() {
		if f.Code == code && f.Severity != doctor.OK && strings.Contains(f.Fact, says) {
			return
		}
		if f.Code == code || f.Severity != doctor.OK {
			said = append(said, f)
		}
	}
	t.Errorf("it says %+v, want %s: %s", said, code, says)
}

// testDoctorLooks holds the looks that need more than files: accounts, mounts, tools
// that go wrong (requirement R26 in part and T-U10 in part).
func testDoctorLooks(t *testing.T, s *space) {
	p := newPatient(t, s)
	t.Run("accounts", func(t *testing.T) {
		passwd, err := os.ReadFile("/etc/passwd")
		must(t, err)
		defer p.write("/etc/passwd", string(passwd), 0o644)
		p.write("/etc/passwd", strings.Replace(string(passwd), "alice:x:20001:", "alice:x:20077:", 1), 0o644)
		p.want(t, "accounts", "has the uid 20077 and not 20001")
		p.write("/etc/passwd", strings.Replace(string(passwd), "alice:", "alicia:", 1), 0o644)
		p.want(t, "accounts", "alice should get in and has no account here")
	})
	t.Run("locked-without-pam", func(t *testing.T) {
		defer p.sound()
		if out, err := p.command("usermod", "-L", "alice"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		p.write("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM no\n", 0o644)
		p.want(t, "sshd_pam", "refuses alice, whose password is locked")
	})
	t.Run("name-service", func(t *testing.T) {
		defer func() { p.Run = nil }()
		answer := "alice:x:20001:20001::/home/alice:/usr/sbin/nologin\n"
		p.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
			if tool == "getent" {
				return answer, nil
			}
			return runTool(ctx, input, tool, args...)
		}
		p.want(t, "nss", `shell "/usr/sbin/nologin"`)
		answer = ""
		p.want(t, "nss", "does not know alice")
		p.instead(map[string]error{"getent": context.DeadlineExceeded})
		p.want(t, "nss", "does not answer for alice")
	})
	t.Run("shell", func(t *testing.T) {
		defer func() { p.Layout.Shell = "/bin/bash" }()
		p.Layout.Shell = "/bin/no-such-shell"
		p.want(t, "shell", "no such file")
		p.Layout.Shell = "/etc/passwd"
		p.want(t, "shell", "not a program")
	})
	t.Run("hook-slow", func(t *testing.T) {
		defer p.sound()
		p.write(p.Layout.Hook, "#!/bin/sh\nsleep 0.6\necho \"$3 $4\"\n", 0o755)
		p.want(t, "hook_answer", "more than 500ms")
	})
	t.Run("disk", func(t *testing.T) {
		const small = "/var/small"
		must(t, os.Mkdir(small, 0o755))
		must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k,nr_inodes=20"))
		defer func() { must(t, unix.Unmount(small, unix.MNT_DETACH)) }()
		if d := diskOf(small + "/not/there"); d.Err != nil || d.Bytes > 64<<10 || d.Inodes > 20 || d.TotalInodes != 20 || d.ReadOnly {
			t.Errorf("it gives %+v", d)
		}
		must(t, unix.Mount("", small, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		if d := diskOf(small); !d.ReadOnly {
			t.Errorf("read-only it gives %+v", d)
		}
	})
	t.Run("selinux", func(t *testing.T) {
		must(t, unix.Mount("tmpfs", "/sys/fs", "tmpfs", 0, ""))
		defer func() { must(t, unix.Unmount("/sys/fs", unix.MNT_DETACH)) }()
		must(t, os.MkdirAll(selinuxDir, 0o755))
		must(t, os.MkdirAll(filepath.Dir(auditLog), 0o700))
		p.write(selinuxDir+"/enforce", "1", 0o644)
		p.write(auditLog, strings.Repeat("type=USER_AUTH msg=audit(1): x\n", 1<<16)+
			`type=AVC msg=audit(2): avc:  denied  { read } for comm="latchkey-keys" name="alice"`+"\n", 0o600)
		p.want(t, "selinux", "has no label of its place")
		p.want(t, "selinux", `denied something of ours 1 times, last: type=AVC msg=audit(2): avc:  denied  { read } for comm="latchkey-keys"`)
		p.write(selinuxDir+"/enforce", "0", 0o644)
		p.want(t, "selinux", "SELinux is permissive")
	})
	t.Run("systemd", func(t *testing.T) {
		must(t, os.MkdirAll("/run/systemd/system", 0o755))
		defer func() { must(t, os.RemoveAll("/run/systemd")); p.Run = nil }()
		p.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
			if tool == "systemctl" {
				return "Id=latchkey-agent.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=disabled\n\nId=ssh.socket\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n", nil
			}
			return runTool(ctx, input, tool, args...)
		}
		p.want(t, "service", "the service is failed")
		p.want(t, "service", "it is disabled")
		p.instead(map[string]error{"systemctl": errors.New("no bus")})
		p.want(t, "service", "no bus")
	})
	t.Run("account-files", func(t *testing.T) {
		must(t, os.Rename("/etc/group", "/etc/group.away"))
		defer func() { must(t, os.Rename("/etc/group.away", "/etc/group")) }()
		p.want(t, "accounts", "/etc/group: no such file")
	})
}
