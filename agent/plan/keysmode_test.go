package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent/plan"
	"latchkey/authz"
)

func modes() []plan.KeysMode {
	return []plan.KeysMode{plan.KeysCommand, plan.KeysDirectory, plan.KeysHome}
}

// both are alice and bob, in a mode.
func both(t *testing.T, m plan.KeysMode) plan.Desired {
	t.Helper()
	return plan.Desired{Grants: []authz.Grant{grant(t, "alice", 20001, false), grant(t, "bob", 20002, false)}, SSHD: true, KeysMode: m}
}

// settle applies plans until one is empty, and returns their text. Between two it
// forgets modes that are out of use.
func settle(t *testing.T, s *plan.State, l *plan.Ledger, want plan.Desired, now time.Time) string {
	t.Helper()
	var text strings.Builder
	for round := 0; ; round++ {
		l.Outlive(now)
		p := plan.Diff(*s, want, *l, layout)
		if p.Empty() {
			return text.String()
		}
		if round == 3 {
			t.Fatalf("not there after %d plans:\n%s", round, p)
		}
		text.WriteString(p.String())
		apply(t, s, l, p)
	}
}

// inMode is a machine on which alice and bob were set up in a mode.
func inMode(t *testing.T, m plan.KeysMode) (plan.State, plan.Ledger) {
	t.Helper()
	s, l := fresh(), plan.NewLedger()
	settle(t, &s, &l, both(t, m), end)
	return s, l
}

// TestDiff_modes: what the new mode needs comes before sshd is told of it, and what the
// old one needed goes only when nobody logs in by it any more.
func TestDiff_modes(t *testing.T) {
	const (
		folder = "make folder /var/lib/latchkey/authorized_keys\n"
		dropIn = "write file /etc/ssh/sshd_config.d/10-latchkey.conf: keys mode "
		put    = "put our lines into /home/alice/.ssh/authorized_keys\nput our lines into /home/bob/.ssh/authorized_keys\n"
		take   = "take our lines out of /home/alice/.ssh/authorized_keys\ntake our lines out of /home/bob/.ssh/authorized_keys\n"
	)
	tests := map[[2]plan.KeysMode]struct{ first, later string }{
		{plan.KeysCommand, plan.KeysDirectory}:   {folder + dropIn + "directory, reload sshd\n", ""},
		{plan.KeysCommand, plan.KeysHome}:        {put + dropIn + "home, reload sshd\n", ""},
		{plan.KeysDirectory, plan.KeysCommand}:   {dropIn + "command, reload sshd\n", folder},
		{plan.KeysDirectory, plan.KeysHome}:      {put + dropIn + "home, reload sshd\n", folder},
		{plan.KeysHome, plan.KeysCommand}:        {dropIn + "command, reload sshd\n", take},
		{plan.KeysHome, plan.KeysDirectory}:      {folder + dropIn + "directory, reload sshd\n", take},
		{plan.KeysCommand, plan.KeysCommand}:     {"", ""},
		{plan.KeysDirectory, plan.KeysDirectory}: {"", ""},
		{plan.KeysHome, plan.KeysHome}:           {"", ""},
	}
	for pair, want := range tests {
		t.Run(string(pair[0]+"-to-"+pair[1]), func(t *testing.T) {
			s, l := inMode(t, pair[0])
			if diff := cmp.Diff(want.first, settle(t, &s, &l, both(t, pair[1]), end)); diff != "" {
				t.Errorf("first (-want +got):\n%s", diff)
			}
			if text := settle(t, &s, &l, both(t, pair[1]), end.Add(2*time.Minute)); text != "" {
				t.Errorf("while logins by the old mode may go on:\n%s", text)
			}
			if diff := cmp.Diff(want.later, settle(t, &s, &l, both(t, pair[1]), end.Add(4*time.Minute))); diff != "" {
				t.Errorf("later (-want +got):\n%s", diff)
			}
			// It is as if it had always been in the new mode.
			fresh, _ := inMode(t, pair[1])
			if diff := cmp.Diff(fresh.Files, s.Files); diff != "" {
				t.Errorf("files (-set up so +switched):\n%s", diff)
			}
		})
	}
}

// lets reports whether sshd finds a user's key in a mode.
func lets(s plan.State, user authz.Username, m plan.KeysMode) bool {
	switch m {
	case plan.KeysDirectory:
		folder := s.Files[layout.KeysDir]
		_, found := s.Files[layout.KeyFile(user)]
		return found && folder.Mode&0o001 != 0 && s.Files[layout.KeyFile(user)].Mode&0o004 != 0
	case plan.KeysHome:
		return s.Blocks[user].Lines != ""
	}
	_, found := s.Files[layout.KeyFile(user)]
	return found
}

// TestDiff_modesAtEachStep: a switch may be cut short before, after and in each of its
// steps, and turned to any mode then: in every mode that sshd may be using a granted
// user is let in at each moment, and a revoked one in none once his first step is done.
func TestDiff_modesAtEachStep(t *testing.T) {
	alice, bob := mustName(t, "alice"), mustName(t, "bob")
	for _, from := range modes() {
		for _, to := range modes() {
			for _, then := range modes() {
				for cut := range 6 {
					s, l := inMode(t, from)
					using := []plan.KeysMode{from}
					check := func(at string) {
						for _, m := range using {
							if !lets(s, bob, m) {
								t.Fatalf("%s to %s, cut at %d, then %s: %s: bob is not let in by %s", from, to, cut, then, at, m)
							}
						}
					}
					run := func(want plan.Desired, most int, now time.Time) {
						for range 4 {
							if l.Outlive(now); len(l.SSHDModes) == 1 && l.SSHDLoaded {
								using = l.SSHDModes
							}
							p := plan.Diff(s, want, l, layout)
							l.Intend(p.Steps, nil)
							for _, step := range p.Steps {
								if most--; most < 0 {
									return
								}
								if step.Op == plan.OpWriteSSHD {
									using = append(slices.Clone(using), step.Mode)
								}
								applyStep(t, &s, step)
								check(step.String())
								if most == 0 {
									return // the ledger does not hear of it
								}
								l.Done(step)
							}
						}
						if p := plan.Diff(s, want, l, layout); !p.Empty() {
							t.Fatalf("%s to %s, cut at %d, then %s: not there:\n%s", from, to, cut, then, p)
						}
					}
					run(both(t, to), cut, end)
					revoked := plan.Desired{Grants: both(t, then).Grants[1:], SSHD: true, KeysMode: then}
					run(revoked, 1000, end.Add(time.Minute))
					for _, m := range modes() {
						if lets(s, alice, m) {
							t.Fatalf("%s to %s, cut at %d, then %s: alice is let in by %s", from, to, cut, then, m)
						}
					}
					run(revoked, 1000, end.Add(10*time.Minute))
					if l.KeysMode() != then || len(l.SSHDModes) != 1 {
						t.Fatalf("%s to %s, cut at %d, then %s: the ledger says %v", from, to, cut, then, l.SSHDModes)
					}
				}
			}
		}
	}
}

// TestDiff_homeRefused: a home that is in no state for our lines is told, for its user
// alone, and nobody waits for it; a revoked user's is tried.
func TestDiff_homeRefused(t *testing.T) {
	s, l := inMode(t, plan.KeysCommand)
	want := both(t, plan.KeysHome)
	p := plan.Diff(s, want, l, layout)
	l.Intend(p.Steps, nil) // and the process ends
	alice := mustName(t, "alice")
	s.Blocks[alice] = plan.Block{Err: plan.ErrBlock}
	p = plan.Diff(s, want, l, layout)
	if len(p.Refused) != 1 || p.Refused[0].Name != "alice" || !errors.Is(p.Refused[0].Reason, plan.ErrBlock) {
		t.Errorf("refused %v", p.Refused)
	}
	if diff := cmp.Diff("put our lines into /home/bob/.ssh/authorized_keys\n"+
		"write file /etc/ssh/sshd_config.d/10-latchkey.conf: keys mode home, reload sshd\n"+
		`refused "alice": `+plan.ErrBlock.Error()+"\n", p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	apply(t, &s, &l, p)
	p = plan.Diff(s, plan.Desired{Grants: want.Grants[1:], SSHD: true, KeysMode: plan.KeysHome}, l, layout)
	if diff := cmp.Diff("remove file /var/lib/latchkey/authorized_keys/alice\ntake our lines out of /home/alice/.ssh/authorized_keys\n"+
		"lock account alice (uid 20001)\n", p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	// Nothing is taken out of a home that is another's by now.
	s.Homes["/home/alice"] = plan.Folder{Real: true, UID: 1000}
	if p := plan.Diff(s, plan.Desired{SSHD: true, KeysMode: plan.KeysHome}, l, layout); strings.Contains(p.String(), "/home/alice/") {
		t.Errorf("plan is\n%s", p)
	}
}

// TestDiff_sshdEnd holds R11 in part: where sshd reads the keys itself and is too old for
// an end as ours have it, who has one is told, with what to do. His account and his line
// stay as they are, for a newer sshd, and go with the end like those of others.
func TestDiff_sshdEnd(t *testing.T) {
	for _, mode := range modes() {
		t.Run(string(mode), func(t *testing.T) {
			want := both(t, mode)
			want.Grants[0].NotAfter = end
			s, l := fresh(), plan.NewLedger()
			s.SSHDEndless = true
			settle(t, &s, &l, want, end)
			p := plan.Diff(s, want, l, layout)
			refused := map[bool]string{false: `refused "alice": ` + plan.ErrSSHDEnd.Error() + "\n"}[mode.AsksHook()]
			if p.String() != refused {
				t.Errorf("plan is\n%s\nwant\n%s", p, refused)
			}
			if !lets(s, mustName(t, "alice"), mode) {
				t.Error("her line is not there for a newer sshd")
			}
			for i, g := range want.Grants {
				if got := s.RefusesEnd(mode, g); got != (i == 0 && !mode.AsksHook()) {
					t.Errorf("%s is refused: %t", g.Username, got)
				}
			}
			want.Grants = want.Grants[1:] // it has passed
			p = plan.Diff(s, want, l, layout)
			if text := p.String(); len(p.Refused) != 0 || !strings.HasPrefix(text, "remove file /var/lib/latchkey/authorized_keys/alice\n") ||
				strings.Contains(text, "take our lines out of /home/alice") != (mode == plan.KeysHome) {
				t.Errorf("after the end the plan is\n%s", text)
			}
			apply(t, &s, &l, p)
			if lets(s, mustName(t, "alice"), mode) {
				t.Error("after the end her line is there")
			}
		})
	}
	t.Run("not-asked", func(t *testing.T) {
		want := both(t, plan.KeysDirectory)
		want.Grants[0].NotAfter, want.SSHD = end, false
		s := fresh()
		s.SSHDEndless = true
		if p := plan.Diff(s, want, plan.NewLedger(), layout); len(p.Refused) != 0 {
			t.Errorf("without our drop-in refused are %v", p.Refused)
		}
	})
}

// TestRemoveSSHD_home: without our drop-in sshd may read the homes, so our lines go
// first; Revert takes them too.
func TestRemoveSSHD_home(t *testing.T) {
	s, l := inMode(t, plan.KeysHome)
	want := `take our lines out of /home/alice/.ssh/authorized_keys
take our lines out of /home/bob/.ssh/authorized_keys
remove file /etc/ssh/sshd_config.d/10-latchkey.conf, reload sshd
`
	if diff := cmp.Diff(want, plan.RemoveSSHD(s, l, layout).String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if p := plan.Revert(s, l, layout).String(); strings.Count(p, "take our lines out of") != 2 {
		t.Errorf("revert is\n%s", p)
	}
	apply(t, &s, &l, plan.RemoveSSHD(s, l, layout))
	if p := plan.Diff(s, plan.Desired{Grants: both(t, "").Grants, KeysMode: plan.KeysHome}, l, layout); !p.Empty() || len(l.SSHDModes) != 0 {
		t.Errorf("after it, the plan is\n%sand the ledger says %v", p, l.SSHDModes)
	}
}

// TestPrepareSSHD_modes: sshd enable takes the stack's mode, but changes none.
func TestPrepareSSHD_modes(t *testing.T) {
	s, l := fresh(), plan.NewLedger()
	p := plan.PrepareSSHD(s, l, plan.KeysHome, layout)
	if last := p.Steps[len(p.Steps)-1]; last.Op != plan.OpWriteSSHD || last.Mode != plan.KeysHome || last.Switch {
		t.Errorf("plan is\n%s", p)
	}
	s, l = inMode(t, plan.KeysDirectory)
	if p := plan.PrepareSSHD(s, l, plan.KeysHome, layout); !p.Empty() {
		t.Errorf("with another in, plan is\n%s", p)
	}
}

func TestSSHDFile(t *testing.T) {
	const head = "# Written by latchkey-agent. Changes made here are undone.\nMatch Group latchkey\n"
	for mode, want := range map[plan.KeysMode]string{
		"":                 "\tAuthorizedKeysFile none\n\tAuthorizedKeysCommand /usr/bin/latchkey-keys %u %U %t %k %f\n\tAuthorizedKeysCommandUser latchkey-keys\n",
		plan.KeysCommand:   "\tAuthorizedKeysFile none\n\tAuthorizedKeysCommand /usr/bin/latchkey-keys %u %U %t %k %f\n\tAuthorizedKeysCommandUser latchkey-keys\n",
		plan.KeysDirectory: "\tAuthorizedKeysFile /var/lib/latchkey/authorized_keys/%u\n\tAuthorizedKeysCommand none\n",
		plan.KeysHome:      "\tAuthorizedKeysFile .ssh/authorized_keys\n\tAuthorizedKeysCommand none\n",
	} {
		if diff := cmp.Diff(head+want+"Match all\n", string(plan.SSHDFile(layout, mode))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", mode, diff)
		}
	}
}

func TestLedger_Outlive(t *testing.T) {
	l := plan.NewLedger()
	l.SSHD, l.SSHDLoaded, l.SSHDModes = true, true, []plan.KeysMode{plan.KeysHome, plan.KeysCommand}
	for i, step := range []struct {
		at      time.Duration
		changed bool
		left    int
	}{{0, true, 2}, {time.Minute, false, 2}, {-time.Hour, true, 2}, {-time.Hour + 2*time.Minute, false, 2}, {-time.Hour + 3*time.Minute, true, 1}, {time.Hour, false, 1}} {
		if changed := l.Outlive(end.Add(step.at)); changed != step.changed || len(l.SSHDModes) != step.left || l.KeysMode() != plan.KeysHome {
			t.Errorf("step %d: %v, modes %v", i, changed, l.SSHDModes)
		}
	}
	l.SSHDLoaded, l.SSHDModes = false, []plan.KeysMode{plan.KeysHome, plan.KeysCommand}
	if l.Outlive(end) {
		t.Error("it forgets a mode though sshd is not known to use the other")
	}
}

// TestDiff_displaced: a displaced command is kept while sshd may ask the hook, and taken
// back with the wish or with our drop-in.
func TestDiff_displaced(t *testing.T) {
	const path, write = "/var/lib/latchkey/displaced_command", "write file /var/lib/latchkey/displaced_command: for a key that is not ours, \"/bin/x %u\"\n"
	s, l := inMode(t, plan.KeysCommand)
	l.Displaced = "/bin/x %u"
	p := plan.PrepareSSHD(s, l, plan.KeysCommand, layout)
	if diff := cmp.Diff(write, p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	apply(t, &s, &l, p)
	if text := settle(t, &s, &l, both(t, plan.KeysCommand), end); text != "" {
		t.Errorf("a pass does\n%s", text)
	}
	settle(t, &s, &l, both(t, plan.KeysHome), end)
	if _, found := s.Files[path]; !found {
		t.Error("it is gone while logins by the hook may go on")
	}
	settle(t, &s, &l, both(t, plan.KeysHome), end.Add(time.Hour))
	if _, found := s.Files[path]; found {
		t.Error("it is still there in home mode")
	}
	if text := settle(t, &s, &l, both(t, plan.KeysCommand), end.Add(time.Hour)); !strings.HasPrefix(text, write) {
		t.Errorf("back in command mode:\n%s", text)
	}
	for name, p := range map[string]plan.Plan{"remove": plan.RemoveSSHD(s, l, layout), "revert": plan.Revert(s, l, layout)} {
		if !strings.Contains(p.String(), "remove file "+path+"\n") {
			t.Errorf("%s:\n%s", name, p)
		}
	}
	l.Displaced = ""
	if diff := cmp.Diff("remove file "+path+"\n", plan.PrepareSSHD(s, l, plan.KeysCommand, layout).String()); diff != "" {
		t.Errorf("enabled without it (-want +got):\n%s", diff)
	}
}
