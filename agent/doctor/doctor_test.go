package doctor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/agent/plan"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var errSaid = errors.New("said so")

// healthy is a machine with nothing wrong, on which every check has something to say.
func healthy() Facts {
	l := plan.Linux()
	account := plan.Account{Name: "alice", UID: 20001, GID: 20001, Home: "/home/alice", Shell: "/bin/bash", Password: "*"}
	known := account
	settings := map[string][]string{
		"authorizedkeyscommand": {plan.HookCommand(l)}, "authorizedkeyscommanduser": {l.HookUser}, "authorizedkeysfile": {"none"},
		"pubkeyauthentication": {"yes"}, "authenticationmethods": {"any"}, "pubkeyacceptedalgorithms": {"ssh-ed25519,rsa-sha2-512"},
		"usepam": {"yes"}, "maxauthtries": {"6"}, "logingracetime": {"120"},
	}
	lines := ConfigLines(l.SSHDConfig, "Include /etc/ssh/sshd_config.d/*.conf\n", "")
	lines = append(lines, ConfigLines(l.SSHD, string(plan.SSHDFile(l, plan.KeysCommand)), "")...)
	lines = append(lines, ConfigLines(l.SSHDConfig, "UsePAM yes\nMatch Address 10.0.0.0/8\n\tPubkeyAuthentication no\n", "")...)
	return Facts{
		Now: now, Built: now.Add(-24 * time.Hour), Layout: l,
		Agent: Agent{Enrolled: true, HasBundle: true, Issued: now.Add(-time.Hour), SSHD: true, Status: &Status{Pass: now, Contact: now.Add(-time.Minute)}},
		Host: Host{
			Systemd: true,
			Units:   []Service{{Unit, "loaded", "active", "enabled"}, {"ssh.service", "loaded", "active", "enabled"}},
			Disks:   []Disk{{Path: "/etc", Bytes: 1 << 40, Inodes: 1 << 20, TotalInodes: 1 << 21}, {Path: "/btrfs", Bytes: 1 << 40}},
			Files: []File{{Path: l.AgentDir, Mode: 0o700, Folder: true, Private: true, Ours: true}, {Path: l.StateDir, Mode: 0o711, Folder: true, Passed: true, Ours: true},
				{Path: "/var/lib", Mode: 0o755, Folder: true, Passed: true}},
			HookUser: &plan.Account{Name: l.HookUser, UID: 991, GID: 991, Password: "!"},
			SSHD:     SSHD{Installed: true, Lines: lines, Running: []Process{{PID: 77, Options: []string{"-o", "LogLevel DEBUG"}}}},
			Sudo:     Sudo{Installed: true, Visudo: true, Version: "Sudo version 1.9.13p3", Included: true},
			SELinux:  SELinux{Mode: "enforcing", Labels: []Label{{l.KeysDir, "system_u:object_r:var_lib_t:s0"}}},
			Logins: []Login{{Name: "alice", UID: 20001, Sudo: true, Rule: "(ALL : ALL) NOPASSWD: ALL", KeyTypes: []string{"ssh-ed25519"}, Account: &account, Known: &known,
				Groups: []string{"alice", "latchkey"}, Settings: settings, Hook: &Answer{Took: 2 * time.Millisecond, Key: true},
				Rules: "User alice may run the following commands on web-1:\n    (ALL : ALL) NOPASSWD: ALL\n"}},
			Inspected: 1,
		},
	}
}

// with sets one of sshd's settings for alice.
func with(key string, values ...string) func(*Facts) {
	return func(f *Facts) { f.Host.Logins[0].Settings[key] = values }
}

// endingWith lets alice's permission end on a machine whose sshd, this one, reads our folder.
func endingWith(s SSHD) func(*Facts) {
	return func(f *Facts) {
		f.Agent.KeysMode, f.Host.Logins[0].Ends, f.Host.SSHD = plan.KeysDirectory, true, s
	}
}

// configured puts a text in front of sshd's configuration.
func configured(text string) func(*Facts) {
	return func(f *Facts) {
		f.Host.SSHD.Lines = append(ConfigLines("/etc/ssh/sshd_config", text, ""), f.Host.SSHD.Lines...)
	}
}

func TestDiagnose_healthy(t *testing.T) {
	said := map[string]int{}
	for _, f := range Diagnose(healthy()) {
		said[f.Code]++
		if f.Severity != OK || f.Fact == "" || f.Fix != "" {
			t.Errorf("a healthy machine has %+v", f)
		}
	}
	for _, code := range Codes() {
		if said[code] != 1 {
			t.Errorf("%s is said %d times", code, said[code])
		}
	}
}

// provoked is, for each check, what makes it speak: one spoiled fact, and what
// comes of it.
var provoked = map[string][]struct {
	situation string
	spoil     func(*Facts)
	severity  Severity
	says      string
}{
	"identity": {
		{"not-enrolled", func(f *Facts) { f.Agent = Agent{} }, Problem, "this machine is not enrolled"},
		{"damaged", func(f *Facts) { f.Agent = Agent{IdentityErr: errSaid} }, Problem, "the identity does not read: said so"},
		{"ledger", func(f *Facts) { f.Agent.LedgerErr = errSaid }, Problem, "the ledger does not read: said so"},
	},
	"service": {
		{"no-unit", func(f *Facts) { f.Host.Units = f.Host.Units[1:] }, Problem, "systemd has no latchkey-agent.service"},
		{"not-found", func(f *Facts) { f.Host.Units[0] = Service{Unit, "not-found", "inactive", ""} }, Problem, "(not-found)"},
		{"failed", func(f *Facts) { f.Host.Units[0].Active = "failed" }, Problem, "the service is failed"},
		{"disabled", func(f *Facts) { f.Host.Units[0].File = "disabled" }, Problem, "does not start with the machine: it is disabled"},
		{"no-answer", func(f *Facts) { f.Host.Units, f.Host.UnitsErr = nil, errSaid }, Warning, "systemd does not say how the service is: said so"},
		{"no-systemd", func(f *Facts) { f.Host.Systemd = false }, Problem, "no latchkey-agent runs"},
		{"no-systemd-but-runs", func(f *Facts) { f.Host.Systemd, f.Host.AgentRuns, f.Host.Units = false, true, nil }, OK, "latchkey-agent runs; this machine has no systemd"},
	},
	"server": {
		{"no-pass", func(f *Facts) { f.Agent.Status = nil }, Warning, "no pass was made yet"},
		{"damaged-status", func(f *Facts) { f.Agent.StatusErr = errSaid }, Warning, "the status file does not read: said so"},
		{"never", func(f *Facts) { f.Agent.Status.Contact = time.Time{}; f.Agent.Status.Trouble = "reach cp: refused" }, Problem, "never answered since the agent started: reach cp: refused"},
		{"not-yet", func(f *Facts) { f.Agent.Status.Contact = time.Time{} }, Warning, "has not yet heard"},
		{"trouble", func(f *Facts) { f.Agent.Status.Trouble = "reach cp: refused" }, Warning, "last answered 1m0s ago: reach cp: refused"},
		{"quiet", func(f *Facts) { f.Agent.Status.Contact = now.Add(-11 * time.Minute) }, Warning, "last answered 11m0s ago"},
		{"long-quiet", func(f *Facts) { f.Agent.Status.Contact = now.Add(-25 * time.Hour) }, Problem, "last answered 25h0m0s ago"},
	},
	"bundle": {
		{"none", func(f *Facts) { f.Agent.HasBundle = false }, Problem, "no bundle has been received yet"},
		{"damaged", func(f *Facts) { f.Agent.HasBundle, f.Agent.BundleErr = false, errSaid }, Problem, "the stored bundle does not open: said so"},
		{"ended", func(f *Facts) { f.Agent.Ended = []string{"bob"} }, Warning, "the permission has ended of bob"},
	},
	"last_pass": {
		{"undone", func(f *Facts) { f.Agent.Status.Undone = []string{"create account x: no space"} }, Problem, "create account x: no space"},
		{"refused", func(f *Facts) { f.Agent.Status.Refused = []string{"deby: name is taken"} }, Warning, "left out: deby"},
		{"old", func(f *Facts) { f.Agent.Status.Pass = now.Add(-3 * time.Hour) }, Warning, "the last pass was 3h0m0s ago"},
	},
	"drift": {
		{"pending", func(f *Facts) { f.Agent.Pending = []string{"write file /etc/sudoers.d/90-latchkey"} }, Problem, "still to be done: write file"},
		{"not-known", func(f *Facts) { f.Agent.PendingErr = errSaid }, Problem, "said so"},
	},
	"clock": {
		{"behind-the-bundle", func(f *Facts) { f.Agent.Issued = now.Add(3 * time.Minute) }, Problem, "the clock is at least 3m0s behind"},
		{"before-this-program", func(f *Facts) { f.Built = now.Add(time.Second) }, Problem, "before this program was made"},
		{"far-ahead", func(f *Facts) { f.Built = now.AddDate(-11, 0, 0) }, Problem, "more than ten years after"},
		{"unsynced", func(f *Facts) { f.Host.Unsynced = true }, Warning, "nothing keeps the clock right"},
	},
	"disk": {
		{"full", func(f *Facts) { f.Host.Disks[0].Bytes = 1 << 20 }, Problem, "/etc has 1024 KiB left"},
		{"nearly-full", func(f *Facts) { f.Host.Disks[0].Bytes = 100 << 20 }, Warning, "/etc has 100 MiB left"},
		{"no-inodes", func(f *Facts) { f.Host.Disks[0].Inodes = 0 }, Problem, "/etc has 0 inodes left"},
		{"few-inodes", func(f *Facts) { f.Host.Disks[0].Inodes = 1999 }, Warning, "/etc has 1999 inodes left"},
		{"read-only", func(f *Facts) { f.Host.Disks[0].ReadOnly = true }, Problem, "read-only"},
		{"unseen", func(f *Facts) { f.Host.Disks[0].Err = errSaid }, Problem, "said so"},
	},
	"files": {
		{"of-another", func(f *Facts) { f.Host.Files[2].UID = 1000 }, Problem, "/var/lib belongs to uid 1000"},
		{"group-writable", func(f *Facts) { f.Host.Files[2].Mode = 0o775 }, Problem, "/var/lib can be written to by others than root (mode 0775)"},
		{"readable", func(f *Facts) { f.Host.Files[0].Mode = 0o755 }, Problem, "can be read by others"},
		{"not-passable", func(f *Facts) { f.Host.Files[1].Mode = 0o750 }, Problem, "does not get through /var/lib/latchkey"},
		{"link", func(f *Facts) { f.Host.Files[0].Odd = true }, Problem, "neither a folder nor a plain file"},
		{"unseen", func(f *Facts) { f.Host.FilesErr = errSaid }, Problem, "said so"},
	},
	"leftovers": {{"some", func(f *Facts) { f.Host.Leftovers = []string{"/etc/sudoers.d/.latchkey.00.new"} }, Warning, "/etc/sudoers.d/.latchkey.00.new"}},
	"hook": {
		{"unsafe", func(f *Facts) { f.Host.Hook = errSaid }, Problem, "said so"},
		{"no-user", func(f *Facts) { f.Host.HookUser = nil }, Problem, "there is no user latchkey-keys"},
	},
	"hook_answer": {
		{"fault", func(f *Facts) { f.Host.Logins[0].Hook.Err = errSaid }, Problem, "gives no answer for alice: said so"},
		{"wrong-key", func(f *Facts) { f.Host.Logins[0].Hook.Key = false }, Problem, "does not know the key of alice"},
		{"slow", func(f *Facts) { f.Host.Logins[0].Hook.Took = 501 * time.Millisecond }, Warning, "took 501ms for alice"},
	},
	"accounts": {
		{"unseen", func(f *Facts) { f.Host.Logins, f.Host.LoginsErr = nil, errSaid }, Problem, "said so"},
		{"missing", func(f *Facts) { f.Host.Logins[0].Account = nil }, Problem, "alice should get in and has no account here"},
		{"other-uid", func(f *Facts) { f.Host.Logins[0].Account.UID = 7 }, Problem, "has the uid 7 and not 20001"},
		{"expires", func(f *Facts) { f.Host.Logins[0].Account.Expires = 1 }, Problem, "set to expire"},
		{"no-key", func(f *Facts) { f.Host.Logins[0].KeyTypes = nil }, Warning, "alice has no SSH key"},
	},
	"nss": {
		{"no-answer", func(f *Facts) { f.Host.Logins[0].NameErr = errSaid }, Problem, "does not answer for alice: said so"},
		{"unknown", func(f *Facts) { f.Host.Logins[0].Known = nil }, Problem, "does not know alice"},
		{"other", func(f *Facts) { f.Host.Logins[0].Known.Shell = "/bin/false" }, Problem, `shell "/bin/false", and /etc/passwd does not`},
	},
	"shell":   {{"missing", func(f *Facts) { f.Host.Shells = errSaid }, Problem, "said so"}},
	"nologin": {{"there", func(f *Facts) { f.Host.NoLogin = []string{"/etc/nologin"} }, Problem, "/etc/nologin keeps everybody but root out"}},
	"pam_access": {
		{"unseen", func(f *Facts) { f.Host.PAM.Err = errSaid }, Warning, "said so"},
		{"rules-unseen", func(f *Facts) { f.Host.PAM = PAM{Access: true, AccessErr: errSaid} }, Warning, "said so"},
		{"not-named", func(f *Facts) {
			f.Host.PAM = PAM{Access: true, AccessFile: []string{"+:root:ALL", "-:ALL EXCEPT root:ALL"}}
		}, Warning, "do not name latchkey"},
		{"kept-out", func(f *Facts) { f.Host.PAM = PAM{Access: true, AccessFile: []string{"+:root:ALL", "- : ALL : ALL"}} }, Problem, "keeps our users out by the line - : ALL : ALL"},
		{"let-in", func(f *Facts) { f.Host.PAM = PAM{Access: true, AccessFile: []string{"+:(latchkey):ALL", "-:ALL:ALL"}} }, OK, "+:(latchkey):ALL"},
		{"nonsense", func(f *Facts) { f.Host.PAM = PAM{Access: true, AccessFile: []string{"+ALL"}} }, Warning, "do not name latchkey"},
	},
	"sshd_config": {
		{"not-installed", func(f *Facts) { f.Host.SSHD = SSHD{} }, Problem, "sshd is not installed"},
		{"bad", func(f *Facts) { f.Host.SSHD.Test = errors.New("line 3: Bad configuration option: Foo") }, Problem, "does not take its configuration: line 3"},
		{"no-run-folder", func(f *Facts) { f.Host.SSHD.Test = errors.New("Missing privilege separation directory: /run/sshd") }, Warning, "/run/sshd"},
		{"unread", func(f *Facts) { f.Host.SSHD.LinesErr = errSaid }, Warning, "said so"},
		{"no-answer", func(f *Facts) { f.Host.Logins[0].Settings, f.Host.Logins[0].SettingsErr = nil, errSaid }, Warning, "how it is set for alice: said so"},
	},
	"sshd_running": {
		{"not", func(f *Facts) { f.Host.Units, f.Host.SSHD.Running = f.Host.Units[:1], nil }, Problem, "sshd does not run"},
		{"by-hand", func(f *Facts) { f.Host.Units = f.Host.Units[:1] }, OK, "process id 77"},
		{"by-socket", func(f *Facts) { f.Host.Units[1].Name = "ssh.socket" }, OK, "sshd runs as ssh.socket"},
	},
	"sshd_override": {
		{"setting", func(f *Facts) {
			f.Host.SSHD.Running[0].Options = []string{"-o", "LogLevel DEBUG", "-o", "PubkeyAuthentication=no"}
		}, Warning, `started with -o "PubkeyAuthentication=no", which`},
		{"file", func(f *Facts) { f.Host.SSHD.Running[0].Options = []string{"-f", "/root/x"} }, Warning, `-f "/root/x"`},
	},
	"sshd_dropin": {
		{"out", func(f *Facts) { f.Agent.SSHD = false }, Warning, "our sshd drop-in is out"},
		{"not-included", func(f *Facts) {
			with("authorizedkeyscommand", "none")(f)
			f.Host.SSHD.Lines = ConfigLines("/etc/ssh/sshd_config", "UsePAM yes\n", "")
		}, Problem, `its authorizedkeyscommand is "none": /etc/ssh/sshd_config does not include /etc/ssh/sshd_config.d/*.conf`},
		{"not-there", func(f *Facts) {
			with("authorizedkeysfile", ".ssh/authorized_keys")(f)
			f.Host.SSHD.Lines = f.Host.SSHD.Lines[:1]
		}, Problem, "/etc/ssh/sshd_config.d/10-latchkey.conf is not there"},
		{"another-before", func(f *Facts) {
			with("authorizedkeyscommanduser", "root")(f)
			configured("Match User alice\n\tAuthorizedKeysCommandUser root\n")(f)
		}, Problem, "/etc/ssh/sshd_config line 2 sets authorizedkeyscommanduser before us"},
		{"inside-a-block", func(f *Facts) {
			with("authorizedkeyscommand", "none")(f)
			f.Host.SSHD.Lines = append(ConfigLines("/etc/ssh/sshd_config", "Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\n", ""),
				ConfigLines(f.Layout.SSHD, string(plan.SSHDFile(f.Layout, plan.KeysCommand)), "User bob")...)
		}, Problem, "it is included inside the block Match User bob"},
		{"no-cause", with("authorizedkeysfile"), Problem, `its authorizedkeysfile is ""`},
		{"nobody-to-ask", func(f *Facts) { f.Host.Logins, f.Host.SSHD.Lines = nil, nil }, Warning, "may not use our drop-in"},
	},
	"sshd_end": {
		{"old", endingWith(SSHD{Installed: true, Endless: true}), Problem, "sshd is older than 9.1 and refuses the keys of alice"},
		{"not-known", endingWith(SSHD{Installed: true, EndlessErr: errSaid}), Warning, "as of alice, is not known: said so"},
		{"new", endingWith(SSHD{Installed: true}), OK, "sshd reads keys with an end"},
		{"nobody", func(f *Facts) { f.Agent.KeysMode, f.Host.SSHD.Endless = plan.KeysHome, true }, OK, "nobody who gets in here has an end"},
		{"hook", func(f *Facts) { f.Host.Logins[0].Ends, f.Host.SSHD.Endless = true, true }, OK, "our hook keeps to the end"},
	},
	"sshd_displaced": {
		{"another", configured("AuthorizedKeysCommand /usr/bin/eic %u %f\n"), Warning, `does not run "/usr/bin/eic %u %f" of /etc/ssh/sshd_config line 1`},
		{"kept", func(f *Facts) {
			configured("AuthorizedKeysCommand /usr/bin/eic %u %f\n")(f)
			f.Agent.Displaced = "/usr/bin/eic %u %f"
		}, OK, "runs the one it displaces: /usr/bin/eic"},
		{"none", configured("AuthorizedKeysCommand none\n"), OK, "displaces no other"},
	},
	"sshd_match": {{"address", configured("Match Group x Address=10.0.0.0/8\n\tAuthorizedKeysCommand none\n"), Warning,
		"line 2 sets authorizedkeyscommand in the block Match Group x Address=10.0.0.0/8"}},
	"sshd_allow": {
		{"allow-users", with("allowusers", "root", "deby"), Problem, "AllowUsers does not name alice: root, deby"},
		{"allow-users-matches", with("allowusers", "root", "a*e"), OK, "neither"},
		{"allow-users-hosts", with("allowusers", "alice@10.*"), Warning, "from some hosts alone"},
		{"allow-users-any-host", with("allowusers", "alice@*"), OK, "neither"},
		{"deny-users", with("denyusers", "al?ce"), Problem, "DenyUsers keeps alice out"},
		{"deny-users-hosts", with("denyusers", "alice@10.*"), Warning, "from some hosts"},
		{"allow-groups", with("allowgroups", "staff", "wheel"), Problem, "AllowGroups names no group of alice: staff, wheel"},
		{"allow-groups-ours", with("allowgroups", "staff latchkey"), OK, "neither"},
		{"deny-groups", with("denygroups", "latch*"), Problem, "DenyGroups keeps alice out"},
	},
	"sshd_publickey": {
		{"off", with("pubkeyauthentication", "no"), Problem, "PubkeyAuthentication is no for alice"},
		{"more", with("authenticationmethods", "publickey,password"), Warning, "asks alice for more than a key"},
		{"either", with("authenticationmethods", "publickey,password", "publickey"), OK, "a key is enough"},
	},
	"sshd_key_types": {
		{"none", with("pubkeyacceptedalgorithms", "ecdsa-sha2-nistp256"), Problem, "sshd takes no key of alice: they are ssh-ed25519"},
		{"rsa", func(f *Facts) { f.Host.Logins[0].KeyTypes = []string{"ssh-rsa"} }, OK, "takes the keys"},
		{"older-name", func(f *Facts) {
			with("pubkeyacceptedalgorithms")(f)
			with("pubkeyacceptedkeytypes", "ssh-rsa")(f)
		}, Problem, "takes no key of alice"},
	},
	"sshd_pam": {{"locked", func(f *Facts) { with("usepam", "no")(f); f.Host.Logins[0].Account.Password = "!" }, Problem, "refuses alice, whose password is locked"}},
	"sshd_limits": {
		{"tries", with("maxauthtries", "2"), Warning, "MaxAuthTries is 2"},
		{"grace", with("logingracetime", "9"), Warning, "LoginGraceTime is 9 s"},
		{"no-limit", with("logingracetime", "0"), OK, "enough"},
	},
	"sudo": {
		{"not-installed", func(f *Facts) { f.Host.Sudo = Sudo{} }, Problem, "sudo is not installed, and the stack gives it"},
		{"not-needed", func(f *Facts) { f.Host.Sudo = Sudo{}; f.Host.Logins[0].Sudo = false }, OK, "gives it to nobody"},
		{"no-visudo", func(f *Facts) { f.Host.Sudo.Visudo = false }, Problem, "visudo is not installed"},
		{"sudo-rs", func(f *Facts) { f.Host.Sudo.Version = "sudo-rs 0.2.5" }, Warning, "this is sudo-rs 0.2.5"},
		{"silent", func(f *Facts) { f.Host.Sudo.Version = "" }, Warning, "does not say which one"},
	},
	"sudo_include": {
		{"not", func(f *Facts) { f.Host.Sudo.Included = false }, Problem, "does not read /etc/sudoers.d"},
		{"unread", func(f *Facts) { f.Host.Sudo.IncludeErr = errSaid }, Problem, "said so"},
	},
	"sudo_policy": {{"broken", func(f *Facts) { f.Host.Sudo.Policy = errSaid }, Problem, "not whole: said so"}},
	"sudo_user": {
		{"not-given", func(f *Facts) { f.Host.Logins[0].Rules = "User alice is not allowed to run sudo on web-1.\n" }, Problem, "the stack gives alice sudo, and sudo itself does not"},
		{"of-others", func(f *Facts) { f.Host.Logins[0].Sudo = false }, Warning, "sudo has a rule that is not ours"},
		{"no-answer", func(f *Facts) { f.Host.Logins[0].Rules, f.Host.Logins[0].RulesErr = "", errSaid }, Warning, "said so"},
	},
	"selinux": {
		{"no-label", func(f *Facts) { f.Host.SELinux.Labels[0].Label = "" }, Problem, "has no label of its place (not known)"},
		{"default-label", func(f *Facts) { f.Host.SELinux.Labels[0].Label = "system_u:object_r:default_t:s0" }, Problem, "default_t"},
		{"denied", func(f *Facts) { f.Host.SELinux.Denied = []string{"one", "two"} }, Problem, "enforcing and recently denied something of ours 2 times, last: two"},
		{"permissive", func(f *Facts) { f.Host.SELinux.Mode, f.Host.SELinux.Denied = "permissive", []string{"one"} }, Warning, "is permissive and"},
	},
}

func TestDiagnose(t *testing.T) {
	for _, code := range Codes() {
		worse := false
		for _, c := range provoked[code] {
			worse = worse || c.severity != OK
			t.Run(code+"/"+c.situation, func(t *testing.T) {
				f := healthy()
				c.spoil(&f)
				var said []string
				for _, finding := range Diagnose(f) {
					if finding.Code != code {
						continue
					}
					if finding.Severity == c.severity && strings.Contains(finding.Fact, c.says) && (finding.Fix == "") == (c.severity == OK) {
						return
					}
					said = append(said, string(finding.Severity)+": "+finding.Fact+" fix: "+finding.Fix)
				}
				t.Errorf("it says %q, want %s: %s", said, c.severity, c.says)
			})
		}
		if !worse {
			t.Errorf("nothing makes %s speak", code)
		}
	}
	if len(provoked) != len(Codes()) {
		t.Errorf("%d checks are provoked, there are %d", len(provoked), len(Codes()))
	}
}

// TestDiagnose_nothing: of a machine that was not looked at nothing is called good
// beyond what was asked, and nothing stops.
func TestDiagnose_nothing(t *testing.T) {
	if findings := Diagnose(Facts{}); Worst(findings) != Problem {
		t.Errorf("it says %+v", findings)
	}
}

func TestWorst(t *testing.T) {
	for want, findings := range map[Severity][]Finding{
		OK:      {{Severity: OK}},
		Warning: {{Severity: Warning}, {Severity: OK}},
		Problem: {{Severity: Warning}, {Severity: Problem}, {Severity: Warning}},
	} {
		if got := Worst(findings); got != want {
			t.Errorf("the worst of %v is %s", findings, got)
		}
	}
	if Worst(nil) != OK {
		t.Error("nothing is worse than ok")
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", true}, {"*", "abc", true}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*c", "abc", true}, {"*b", "abc", false}, {"**", "x", true}, {"[a]", "a", false}, {"A", "a", false},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("%q matches %q: %t", c.pattern, c.s, got)
		}
	}
}

func TestConfigLines(t *testing.T) {
	text := "# Port 1\r\nPort 22\r\n\n  UsePAM = yes\nAllowUsers=a b\n\tMatch User x\n  X11Forwarding\tno\nmatch all\nZ"
	want := []Line{
		{"f", 2, "port", "22", ""}, {"f", 4, "usepam", "yes", ""}, {"f", 5, "allowusers", "a b", ""}, {"f", 6, "match", "User x", "User x"},
		{"f", 7, "x11forwarding", "no", "User x"}, {"f", 8, "match", "all", "all"}, {"f", 9, "z", "", "all"},
	}
	got := ConfigLines("f", text, "")
	if len(got) != len(want) {
		t.Fatalf("it gives %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	if in := ConfigLines("f", "A b\nMatch User y\n", "Group g"); in[0].Match != "Group g" || in[1].Match != "Group g and User y" {
		t.Errorf("inside a block it gives %+v", in)
	}
}
