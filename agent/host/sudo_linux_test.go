package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"latchkey/agent/plan"
)

// testSudoEffective holds R54 and T-S9 in part: which sudo there is and whether it
// reads our folder is known, and where it does not, people keep their keys and the
// reason is told.
func testSudoEffective(t *testing.T, s *space) {
	const root = "root ALL=(ALL:ALL) ALL\n"
	version := func(text string, err error) func(context.Context, string, string, ...string) (string, error) {
		return func(ctx context.Context, input, tool string, args ...string) (string, error) {
			if tool == "sudo" && slices.Equal(args, []string{"--version"}) {
				return text, err
			}
			return runTool(ctx, input, tool, args...)
		}
	}
	for situation, c := range map[string]struct {
		policy string // no file when empty
		run    func(context.Context, string, string, ...string) (string, error)
		want   error
	}{
		"included":           {root + "@includedir /etc/sudoers.d\n", nil, nil},
		"included-old-way":   {root + "#includedir /etc/sudoers.d\n", nil, nil},
		"with-a-comment":     {root + " @includedir /etc/sudoers.d # ours\n", nil, nil},
		"included-twice":     {root + "@includedir /etc/sudoers.d\n#includedir /etc/sudoers.d\n", nil, nil},
		"a-comment":          {root + " #includedir /etc/sudoers.d\n", nil, plan.ErrSudoNotRead},
		"another-folder":     {root + "@includedir /etc/sudoers.dd\n", nil, plan.ErrSudoNotRead},
		"not-included":       {root, nil, plan.ErrSudoNotRead},
		"no-policy":          {"", nil, plan.ErrSudoNotRead},
		"sudo-rs":            {root + "@includedir /etc/sudoers.d\n", version("sudo-rs 0.2.8\n", nil), nil},
		"sudo-rs-no-include": {root, version("sudo-rs 0.2.8\n", nil), plan.ErrSudoNotRead},
		"no-sudo":            {root + "@includedir /etc/sudoers.d\n", version("", errNoTool), plan.ErrSudoMissing},
		"another-sudo":       {root + "@includedir /etc/sudoers.d\n", version("doas 6.8\n", nil), plan.ErrSudoOther},
		"broken-sudo":        {root + "@includedir /etc/sudoers.d\n", version("", &exitError{tool: "sudo", code: 1}), plan.ErrSudoOther},
	} {
		t.Run(situation, func(t *testing.T) {
			s.plainSudo(t)
			must(t, os.Remove("/etc/sudoers"))
			if c.policy != "" {
				s.write("/etc/sudoers", c.policy, 0o440)
			}
			s.Run, s.sudo = c.run, seenTool{}
			defer func() { s.Run = nil }()
			inner := &space{Host: s.Host, t: t, owned: plan.NewLedger()}
			p := inner.plan(named(t, "alice", 20001, true))
			if !strings.Contains(p.String(), "write file "+s.Layout.KeysDir+"/alice") || strings.Contains(p.String(), s.Layout.Sudoers) != (c.want == nil) {
				t.Errorf("the plan is\n%s", p)
			}
			if c.want == nil && len(p.Refused) != 0 || c.want != nil && (len(p.Refused) != 1 || !errors.Is(p.Refused[0].Reason, c.want)) {
				t.Errorf("refused are %v, want %v", p.Refused, c.want)
			}
			if _, err := os.Stat("/etc/sudoers"); c.policy == "" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("looking made a policy: %v", err)
			}
		})
	}

	// sudo-rs has a policy of its own, which goes before sudo's.
	s.Run, s.sudo = version("sudo-rs 0.2.8\n", nil), seenTool{}
	s.plainSudo(t)
	s.write("/etc/sudoers-rs", root, 0o440)
	if err := s.lookSudo(t.Context()); !errors.Is(err, plan.ErrSudoNotRead) || !strings.Contains(err.Error(), "/etc/sudoers-rs") {
		t.Errorf("beside /etc/sudoers-rs it gives %v", err)
	}

	// It is asked once, and again when another program is in its place.
	asked := 0
	s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
		asked++
		return "Sudo version 1.9.13p3\n", nil
	}
	s.sudo = seenTool{}
	for range 3 {
		must(t, s.lookSudo(t.Context()))
	}
	another, err := os.Stat("/etc/sudoers")
	must(t, err)
	s.sudo.file = another
	must(t, s.lookSudo(t.Context()))
	if asked != 2 {
		t.Errorf("it was asked %d times", asked)
	}
}

// testSudoProof holds R51, R53, R148 in part and T-S6 in part: what visudo passes and
// sudo means otherwise does not stay. The rules that were in force before are in force
// again, byte for byte.
func testSudoProof(t *testing.T, s *space) {
	zz := func(text string) func() { return func() { s.write("/etc/sudoers.d/zz-theirs", text, 0o440) } }
	s.become(named(t, "alice", 20001, false), named(t, "bob", 20002, false))
	for situation, c := range map[string]struct {
		prepare  func()
		notAfter string
		says     string // empty: it is given
	}{
		"plain":                     {func() {}, "", ""},
		"with-an-end":               {func() {}, "20991122000000Z", ""},
		"included-twice":            {func() { s.write("/etc/sudoers", "@includedir /etc/sudoers.d\n#includedir /etc/sudoers.d\n", 0o440) }, "", ""},
		"rule-of-others-before":     {func() { s.write("/etc/sudoers.d/10-theirs", "bob ALL=(root) /bin/ls\n", 0o440) }, "", ""},
		"harmless-defaults":         {zz("Defaults env_reset, mail_badpass\nDefaults:bob !lecture\n"), "", ""},
		"rule-of-others-for-others": {zz("eve ALL=(ALL) ALL\n"), "", ""},
		"includes-deep-in-each-other": {func() {
			must(t, os.MkdirAll("/etc/deep", 0o755))
			for i := range 130 {
				s.write(fmt.Sprint("/etc/deep/", i), fmt.Sprintf("@include /etc/deep/%d\n", i+1), 0o440)
			}
			s.write("/etc/deep/130", "", 0o440)
			s.write("/etc/sudoers.d/10-deep", "@include /etc/deep/0\n", 0o440)
		}, "", ""},
		"expired":                     {func() {}, "20200101000000Z", "bob may not run a command"},
		"later-rule-asks-password":    {zz("bob ALL=(ALL:ALL) PASSWD: ALL\n"), "", "bob may run"},
		"later-rule-denies":           {zz("bob ALL=(ALL:ALL) !ALL\n"), "", "bob may run"},
		"later-rule-denies-a-command": {zz("bob ALL=(ALL:ALL) !/bin/sh\n"), "", "bob may run"},
		"later-rule-for-a-group":      {zz("%bob ALL=(ALL:ALL) NOEXEC: ALL\n"), "", "bob may run"},
		"later-rule-of-the-main-file": {func() {
			s.write("/etc/sudoers", "@includedir /etc/sudoers.d\nbob ALL=(ALL) !/usr/bin/id\n", 0o440)
		}, "", "bob may run"},
		"defaults-noexec":           {zz("Defaults noexec\n"), "", "noexec"},
		"defaults-noexec-for-bob":   {zz("Defaults:bob env_reset, noexec\n"), "", "noexec"},
		"defaults-without-terminal": {zz("Defaults requiretty\n"), "", "tty"},
		"rule-for-the-canary":       {zz("latchkey-keys ALL=(root) /bin/ls\n"), "", "latchkey-keys, who has no grant"},
		"rule-for-everybody":        {zz("ALL ALL=(root) NOPASSWD: /bin/ls\n"), "", "latchkey-keys, who has no grant"},
		"hanging-sudo": {func() {
			s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
				if tool == "sudo" && args[0] == "-l" {
					return "", context.DeadlineExceeded
				}
				return runTool(ctx, input, tool, args...)
			}
		}, "", context.DeadlineExceeded.Error()},
		"unknown-answer": {func() {
			s.Run = func(ctx context.Context, input, tool string, args ...string) (string, error) {
				if tool == "sudo" && args[0] == "-l" {
					return "bob darf alles\n", nil
				}
				return runTool(ctx, input, tool, args...)
			}
		}, "", "is not known"},
	} {
		for _, before := range []string{"", "alice"} {
			t.Run(situation+"/before-"+before, func(t *testing.T) {
				s.plainSudo(t)
				defer func() { s.Run = nil }()
				if before != "" {
					must(t, s.giveSudo(before))
				}
				c.prepare()
				was := s.etc()
				step := s.sudoStep(plan.OpGiveSudo, "alice", "bob")
				step.Rules[1].NotAfter = c.notAfter
				err := s.Apply(t.Context(), step)
				if c.says == "" {
					if got, _ := os.ReadFile(s.Layout.Sudoers); err != nil || string(got) != string(plan.SudoersFile(step.Rules)) {
						t.Errorf("it gives %v, the file is\n%s", err, got)
					}
					return
				}
				if !errors.Is(err, plan.ErrSudoUnproved) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("it gives %v, want %q", err, c.says)
				}
				now := s.etc()
				if now[s.Layout.Sudoers] != was[s.Layout.Sudoers] || len(now) != len(was) {
					t.Errorf("the file is now %q, was %q", now[s.Layout.Sudoers], was[s.Layout.Sudoers])
				}
				s.wantNoLeftovers()
			})
		}
	}
}

// testSudoTaken holds R29 and R56: sudo goes whatever else is wrong with the policy,
// and that sudo agrees is seen. Nothing comes back.
func testSudoTaken(t *testing.T, s *space) {
	s.become(named(t, "alice", 20001, false), named(t, "bob", 20002, false))
	const rule = " ALL=(ALL:ALL) NOPASSWD: ALL\n"
	missing := func(ctx context.Context, input, tool string, args ...string) (string, error) {
		if tool == "sudo" {
			return "", errNoTool
		}
		return runTool(ctx, input, tool, args...)
	}
	for situation, c := range map[string]struct {
		prepare func()
		says    string // empty: it is proved
	}{
		"plain":                   {func() {}, ""},
		"rule-of-others-stays":    {func() { s.write("/etc/sudoers.d/zz-theirs", "bob ALL=(root) /bin/ls\n", 0o440) }, ""},
		"broken-file-of-others":   {func() { s.write("/etc/sudoers.d/zz-theirs", "garbage here now\n", 0o440) }, ""},
		"no-sudo-any-more":        {func() { s.Run, s.sudo = missing, seenTool{} }, ""},
		"folder-not-included":     {func() { s.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n", 0o440) }, ""},
		"same-rule-of-others":     {func() { s.write("/etc/sudoers.d/zz-theirs", "bob"+rule, 0o440) }, "bob may still run"},
		"same-rule-for-a-group":   {func() { s.write("/etc/sudoers.d/zz-theirs", "%bob"+rule, 0o440) }, "bob may still run"},
		"rule-for-the-canary":     {func() { s.write("/etc/sudoers.d/zz-theirs", "latchkey-keys"+rule, 0o440) }, "latchkey-keys, who has no grant"},
		"line-of-others-in-ours":  {func() { s.write(s.Layout.Sudoers, "bob"+rule+"mallory"+rule, 0o440) }, ""},
		"broken-line-in-our-file": {func() { s.write(s.Layout.Sudoers, "garbage\n", 0o440) }, ""},
	} {
		for op, left := range map[plan.Op]string{plan.OpTakeSudo: "alice", plan.OpRemoveSudo: ""} {
			if op == plan.OpTakeSudo && situation == "folder-not-included" {
				continue // a plan removes the file then
			}
			t.Run(situation+"/left-"+left, func(t *testing.T) {
				s.plainSudo(t)
				must(t, s.giveSudo("alice", "bob"))
				defer func() { s.Run = nil }()
				c.prepare()
				err := s.Apply(t.Context(), s.sudoStep(op, strings.Fields(left)...))
				if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, plan.ErrSudoUnproved) || !strings.Contains(err.Error(), c.says)) {
					t.Errorf("it gives %v, want %q", err, c.says)
				}
				got, err := os.ReadFile(s.Layout.Sudoers)
				if op == plan.OpRemoveSudo && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the file is there: %v", err)
				}
				if op == plan.OpTakeSudo && !strings.HasSuffix(string(got), "undone.\nalice"+rule) {
					t.Errorf("the file is\n%s", got)
				}
				s.wantNoLeftovers()
			})
		}
	}
}

// sudoStep is a step about our sudoers file with rules for the names.
func (s *space) sudoStep(op plan.Op, names ...string) plan.Step {
	s.t.Helper()
	step := plan.Step{Op: op, Path: s.Layout.Sudoers, Attr: plan.Attr{Owner: "root", Group: "root", Mode: 0o440}}
	for _, n := range names {
		step.Rules = append(step.Rules, plan.Rule{User: named(s.t, n, 20001, true).Username})
	}
	return step
}
