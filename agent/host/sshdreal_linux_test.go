package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

const (
	include    = "Include /etc/ssh/sshd_config.d/*.conf\n"
	theirFile  = "/etc/ssh/sshd_config.d/05-theirs.conf"
	sshdConfig = "/etc/ssh/sshd_config"
)

// listening is a patient whose sshd listens where its configuration says, and who can
// reach it.
func listening(t *testing.T, s *space) *patient {
	t.Helper()
	need(t, func() bool { _, err := s.command("ip", "link", "set", "lo", "up"); return err == nil }(), "ip (package iproute2)")
	return newPatient(t, s)
}

// afresh makes the machine sound, with our drop-in out, and writes sshd's configuration.
func (p *patient) afresh(main string, more map[string]string, options ...string) {
	p.t.Helper()
	p.sound()
	must(p.t, os.Remove(p.Layout.SSHD))
	p.write(sshdConfig, "Port 2222\n"+main, 0o644)
	for path, text := range more {
		p.write(path, text, 0o644)
	}
	p.listen(options...)
}

// putIn is the step that puts our drop-in in, takeOut the one that takes it out.
func (p *patient) putIn() plan.Step {
	return plan.Step{Op: plan.OpWriteSSHD, Path: p.Layout.SSHD, Attr: plan.Attr{Owner: "root", Group: "root", Mode: 0o644}}
}

func (p *patient) takeOut() plan.Step { return plan.Step{Op: plan.OpRemoveSSHD, Path: p.Layout.SSHD} }

// testSSHDReal holds R66 in part and T-H9, with testSSHD, whose sshd says what no real
// one says at will, and dropIns of the whole machines: where the real sshd does not take our
// drop-in, takes it and does not use it, does not take the reload or does not answer after it, the
// drop-in that was there before, or none, is there again within half a minute. What a
// block of another does not take from us works. Nobody is logged in for the proof, as that
// asks too, for the reason that docs/adr/0003 gives.
func testSSHDReal(t *testing.T, s *space) {
	if waits := reloadDeadline + bannerDeadline; waits > 20*time.Second {
		t.Errorf("it may be waited for %v, which leaves too little of half a minute", waits)
	}
	p := listening(t, s)
	tests := map[string]struct {
		main  string
		more  map[string]string
		spoil func()
		says  string // "": it works
		ends  int    // where it is waited in vain: see endAfter
	}{
		"sound":              {include, nil, nil, "", 0},
		"include-is-last":    {"X11Forwarding no\nMatch User nobody\n\tX11Forwarding yes\nMatch all\n" + include, nil, nil, "", 0},
		"block-not-closed":   {include, map[string]string{theirFile: "Match User nobody\n\tX11Forwarding no\n"}, nil, "", 0},
		"second-include":     {"Include /etc/ssh/earlier.conf\n" + include, map[string]string{"/etc/ssh/earlier.conf": "PasswordAuthentication no\n"}, nil, "", 0},
		"no-include":         {"UsePAM yes\n", nil, nil, "is there an Include", 0},
		"inside-a-block":     {"Match User nobody\n" + include, nil, nil, "is there an Include", 0},
		"block-of-all":       {include, map[string]string{theirFile: "Match all\nAuthorizedKeysFile .ssh/authorized_keys\n"}, nil, "its authorizedkeysfile is", 0},
		"block-in-include":   {"Include /etc/ssh/earlier.conf\n" + include, map[string]string{"/etc/ssh/earlier.conf": "Match Group latchkey\nAuthorizedKeysCommand none\n"}, nil, `is "none"`, 0},
		"another-is-broken":  {include, nil, func() { p.write(theirFile, "NoSuchOption yes\n", 0o644) }, "NoSuchOption", 0},
		"ours-is-broken":     {include, nil, func() { p.Layout.HookUser = "" }, ".new line 5", 0},
		"no-sshd-to-ask":     {include, nil, func() { p.instead(map[string]error{"sshd": errNoTool}) }, errNoTool.Error(), 0},
		"reload-not-taken":   {include, nil, func() { p.write("/run/sshd.pid", p.start(0, "trap '' HUP; echo; sleep 1000").String(), 0o644) }, "goes on with the configuration that it had", effectiveOfOne},
		"answers-no-more":    {include, nil, func() { p.mustRun("ip", "link", "set", "lo", "down") }, "does not answer on", effectiveOfAll},
		"reload-by-nobody":   {include, nil, func() { must(t, os.Remove("/run/sshd.pid")) }, "goes on with the configuration that it had", effectiveOfOne},
		"hook-to-be-refused": {include, nil, func() { must(t, os.Chmod(p.Layout.Hook, 0o775)) }, "must belong to root", 0},
	}
	user := p.Layout.HookUser
	for situation, test := range tests {
		for before, content := range map[string][]byte{"none": nil, "another-mode": plan.SSHDFile(p.Layout, plan.KeysHome)} {
			t.Run(situation+"/"+before, func(t *testing.T) {
				defer func() { p.Run, p.Layout.HookUser = nil, user; p.mustRun("ip", "link", "set", "lo", "up") }()
				p.afresh(test.main, test.more)
				if content != nil {
					p.write(p.Layout.SSHD, string(content), 0o644)
				}
				if test.spoil != nil {
					test.spoil()
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.ends != 0 {
					p.endAfter(test.ends, cancel)
				}
				err := p.Apply(ctx, p.putIn())
				if (err == nil) != (test.says == "") || err != nil && !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(test.says)) {
					t.Errorf("it gives %v, want %q", err, test.says)
				}
				want := content
				if test.says == "" {
					want = plan.SSHDFile(p.Layout, plan.KeysCommand)
				}
				now, err := os.ReadFile(p.Layout.SSHD)
				if string(now) != string(want) || (err == nil) != (want != nil) || err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("there is %q, %v", now, err)
				}
			})
		}
	}
}

// How many arguments sshd -T has: when it is asked about a member before the reload, and
// where it listens after it.
const (
	effectiveOfOne = 3
	effectiveOfAll = 1
)

// endAfter ends what is under way a moment after sshd -T was asked with so many arguments,
// which is when something is waited for that will not come: its own time is too long for a
// test.
func (p *patient) endAfter(arguments int, end func()) {
	p.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
		out, err := runTool(ctx, input, tool, args...)
		if tool == "sshd" && args[0] == "-T" && len(args) == arguments {
			time.AfterFunc(200*time.Millisecond, end)
		}
		return out, err
	}
}

// mustRun runs a program as root would.
func (s *space) mustRun(name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(name, args...); err != nil {
		s.t.Fatalf("%s %q: %v %s", name, args, err, out)
	}
}

// testNeighbours holds R67 and T-H10, with inMachineDisplaced: other products that have sshd
// ask a command of theirs, as they set it, there before us and coming after us. sshd asks
// ours about our users and theirs about everybody else, doctor says that it is so, and
// theirs is left as it is, also when we go. The agent itself looks every hour. What would
// keep ours from working testDoctor shows and testSSHDReal.
func testNeighbours(t *testing.T, s *space) {
	p := listening(t, s)
	const after = include + "UsePAM yes\n"
	products := map[string]struct {
		main    string
		more    map[string]string
		options []string
		command string
		user    string
		code    string // doctor's
		place   string
	}{
		// As its scripts write it on Amazon Linux 2, and on Ubuntu, where they set the unit's
		// command by a drop-in of systemd.
		"ec2-instance-connect": {include + "UsePAM yes\nAuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\nAuthorizedKeysCommandUser ec2-instance-connect\n", nil, nil,
			"/opt/aws/bin/eic_run_authorized_keys %u %f", "ec2-instance-connect", "sshd_displaced", "/etc/ssh/sshd_config line 4"},
		"ec2-instance-connect-by-systemd": {after, nil,
			[]string{"-o", "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f", "-o", "AuthorizedKeysCommandUser ec2-instance-connect"},
			"/usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f", "ec2-instance-connect", "sshd_override", "-o \"AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f\""},
		// google_oslogin_control writes at the end, the guest agent at the top.
		"os-login": {after + "\n\n#### Google OS Login control. Do not edit this section. ####\nAuthorizedKeysCommand /usr/bin/google_authorized_keys\nAuthorizedKeysCommandUser root\n#### End Google OS Login control section. ####\n", nil, nil,
			"/usr/bin/google_authorized_keys", "root", "sshd_displaced", "/etc/ssh/sshd_config line 7"},
		"os-login-at-the-top": {"#### Google OS Login control. Do not edit this section. ####\nAuthorizedKeysCommand /usr/bin/google_authorized_keys\nAuthorizedKeysCommandUser root\n#### End Google OS Login control section. ####\n\n" + after, nil, nil,
			"/usr/bin/google_authorized_keys", "root", "sshd_displaced", "/etc/ssh/sshd_config line 3"},
		// As ipa-client-install writes it, before ours, and as older ones do.
		"sssd": {after, map[string]string{"/etc/ssh/sshd_config.d/04-ipa.conf": "# IPA-related configuration changes to sshd_config\nPubkeyAuthentication yes\nKerberosAuthentication no\n" +
			"GSSAPIAuthentication yes\nUsePAM yes\nAuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys\nAuthorizedKeysCommandUser nobody\n"}, nil,
			"/usr/bin/sss_ssh_authorizedkeys", "nobody", "sshd_displaced", "/etc/ssh/sshd_config.d/04-ipa.conf line 6"},
		"opkssh": {after, map[string]string{"/etc/ssh/sshd_config.d/60-opk-ssh.conf": "AuthorizedKeysCommand /usr/local/bin/opkssh verify %u %k %t\nAuthorizedKeysCommandUser opksshuser\n"}, nil,
			"/usr/local/bin/opkssh verify %u %k %t", "opksshuser", "sshd_displaced", "/etc/ssh/sshd_config.d/60-opk-ssh.conf line 1"},
	}
	ours := plan.HookCommand(p.Layout)
	for name, c := range products {
		// asks is what sshd, as it was started, runs about a user.
		asks := func(t *testing.T, user, command, as string) {
			t.Helper()
			got, err := p.settingsFor(t.Context(), user, c.options)
			must(t, err)
			if !slices.Equal(got["authorizedkeyscommand"], []string{command}) || !slices.Equal(got["authorizedkeyscommanduser"], []string{as}) {
				t.Errorf("about %s sshd asks %q as %q, want %q as %q", user, got["authorizedkeyscommand"], got["authorizedkeyscommanduser"], command, as)
			}
		}
		both := func(t *testing.T) {
			t.Helper()
			asks(t, "alice", ours, p.Layout.HookUser)
			asks(t, "daemon", c.command, c.user)
			p.want(t, c.code, c.place)
			for _, f := range p.findings() {
				if f.Code == "sshd_dropin" && f.Severity != doctor.OK || f.Code == "sshd_config" && f.Severity != doctor.OK {
					t.Errorf("and it says %+v", f)
				}
			}
		}
		t.Run(name+"/before-us", func(t *testing.T) {
			p.afresh(c.main, c.more, c.options...)
			was := p.etc()
			must(t, p.Apply(t.Context(), p.putIn()))
			both(t)
			must(t, p.Apply(t.Context(), p.takeOut()))
			asks(t, "alice", c.command, c.user)
			for path, now := range p.etc() {
				if strings.HasPrefix(path, "/etc/ssh/") && path != filepath.Dir(p.Layout.SSHD) && was[path] != now {
					t.Errorf("%s is changed", path)
				}
			}
		})
		t.Run(name+"/after-us", func(t *testing.T) {
			p.afresh(after, nil)
			must(t, p.Apply(t.Context(), p.putIn()))
			p.write(sshdConfig, "Port 2222\n"+c.main, 0o644)
			for path, text := range c.more {
				p.write(path, text, 0o644)
			}
			p.listen(c.options...)
			both(t)
			must(t, p.Apply(t.Context(), p.putIn())) // and a repair goes through
			both(t)
		})
	}
	p.toldUnasked(t, include)
}

// toldUnasked: what the agent looks at by itself every hour, and the control plane is
// told, holds that somebody's setting counts before ours.
func (p *patient) toldUnasked(t *testing.T, main string) {
	p.owned.SSHD, p.owned.SSHDLoaded = true, true
	for situation, c := range map[string]struct {
		more    map[string]string
		options []string
		says    string // "": nothing
	}{
		"nothing":      {nil, []string{"-o", "LogLevel=VERBOSE"}, ""},
		"command-line": {nil, []string{"-o", "AuthorizedKeysFile=none"}, `sshd was started with -o "AuthorizedKeysFile=none"`},
		"block-of-all": {map[string]string{theirFile: "Match all\nPubkeyAuthentication yes\nAuthorizedKeysFile .ssh/x\n"}, nil, "sshd does not use /etc/ssh/sshd_config.d/10-latchkey.conf: its authorizedkeysfile is \".ssh/x\""},
	} {
		t.Run("told-unasked/"+situation, func(t *testing.T) {
			p.afresh(main, c.more, c.options...)
			p.write(p.Layout.SSHD, string(plan.SSHDFile(p.Layout, plan.KeysCommand)), 0o644)
			in, err := p.Inventory(t.Context(), p.owned)
			must(t, err)
			about := slices.DeleteFunc(in.Notes, func(n string) bool { return !strings.HasPrefix(n, "sshd ") })
			if (len(about) == 0) != (c.says == "") || !strings.Contains(strings.Join(about, "\n"), c.says) {
				t.Errorf("its notes are %q, want %q", about, c.says)
			}
			report, err := p.Foreign(t.Context(), p.owned, true)
			must(t, err)
			told := slices.ContainsFunc(report.Entries, func(e wire.Unmanaged) bool { return strings.HasSuffix(e.What, "notes of latchkey-agent inventory") })
			if c.says != "" && !told {
				t.Errorf("the control plane is told %+v", report.Entries)
			}
		})
	}
}
