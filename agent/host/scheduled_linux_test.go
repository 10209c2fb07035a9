package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
)

const (
	crontabs = "/var/spool/cron/crontabs"
	atjobs   = "/var/spool/cron/atjobs"
	lingers  = "/var/lib/systemd/linger"
)

// spools makes the folders as Debian's cron, at and systemd have them, and puts in
// what alice and bob want to be run.
func (s *space) spools(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"/var/spool", "/var/lib/systemd", "/var/lib/latchkey/revoked"} {
		must(t, os.RemoveAll(dir))
	}
	for _, f := range []struct {
		path     string
		uid, gid int
		mode     uint32
	}{{crontabs, 0, 102, 0o1730}, {atjobs, 1, 1, 0o1770}, {lingers, 0, 0, 0o755}} {
		must(t, os.MkdirAll(f.path, 0o755))
		must(t, unix.Chown(f.path, f.uid, f.gid))
		must(t, unix.Chmod(f.path, f.mode))
	}
	s.put(t, crontabs+"/alice", 20001, "* * * * * alice\n")
	s.put(t, crontabs+"/bob", 20002, "* * * * * bob\n")
	s.put(t, atjobs+"/a0000101c8d3e4", 20001, "#!/bin/sh\nalice\n")
	s.put(t, atjobs+"/=0000201c8d3e4", 20001, "#!/bin/sh\nalice runs\n")
	s.put(t, atjobs+"/a0000301c8d3e4", 20002, "#!/bin/sh\nbob\n")
	s.put(t, atjobs+"/.SEQ", 1, "3\n")
	s.put(t, lingers+"/alice", 0, "")
	s.put(t, lingers+"/bob", 0, "")
}

func (s *space) put(t *testing.T, path string, uid int, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
	must(t, os.Chown(path, uid, 0))
}

// files prints every plain file below some folders, and the folders' owners.
func files(t *testing.T, folders ...string) string {
	t.Helper()
	var b strings.Builder
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			must(t, err)
			b.WriteString(path + " " + info.Mode().String())
			if info.Mode().IsRegular() {
				content, err := os.ReadFile(path)
				must(t, err)
				b.WriteString(" " + strings.ReplaceAll(string(content), "\n", "|"))
			}
			b.WriteString("\n")
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return b.String()
}

// testScheduled holds R29, R31 and T-U14 in part for what starts without a login: it is
// taken from whom it is to be taken and from nobody else, kept for root, and stays
// taken.
func testScheduled(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, false), named(t, "bob", 20002, false)
	s.become(alice, bob)
	s.spools(t)
	if p := s.plan(alice, bob); !p.Empty() {
		t.Errorf("of people who stay something is taken:\n%s", p)
	}
	text := s.plan(bob).String()
	want := `remove file /var/lib/latchkey/authorized_keys/alice
stop lingering of alice (uid 20001)
take jobs of alice (uid 20001): crontab and 2 at jobs, keep them in /var/lib/latchkey/revoked/alice.20001
lock account alice (uid 20001)
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("the plan (-want +got):\n%s", diff)
	}
	s.become(bob)
	const spoolsOfBob = `/var/spool/cron/crontabs dtrwx-wx---
/var/spool/cron/crontabs/bob -rw------- * * * * * bob|
/var/spool/cron/atjobs dtrwxrwx---
/var/spool/cron/atjobs/.SEQ -rw------- 3|
/var/spool/cron/atjobs/a0000301c8d3e4 -rw------- #!/bin/sh|bob|
/var/lib/systemd/linger drwxr-xr-x
/var/lib/systemd/linger/bob -rw------- 
`
	const keptOnce = `/var/lib/latchkey/revoked drwx------
/var/lib/latchkey/revoked/alice.20001 drwx------
/var/lib/latchkey/revoked/alice.20001/at-=0000201c8d3e4 -rw------- #!/bin/sh|alice runs|
/var/lib/latchkey/revoked/alice.20001/at-a0000101c8d3e4 -rw------- #!/bin/sh|alice|
/var/lib/latchkey/revoked/alice.20001/crontab -rw------- * * * * * alice|
`
	if diff := cmp.Diff(spoolsOfBob+keptOnce, files(t, crontabs, atjobs, lingers, "/var/lib/latchkey/revoked")); diff != "" {
		t.Errorf("after the revocation (-want +got):\n%s", diff)
	}
	s.become(alice, bob) // granted again, she gets nothing back
	if diff := cmp.Diff(spoolsOfBob+keptOnce, files(t, crontabs, atjobs, lingers, "/var/lib/latchkey/revoked")); diff != "" {
		t.Errorf("granted again (-want +got):\n%s", diff)
	}
	// Revoked again, with the same at job and another crontab, and a third time.
	s.put(t, crontabs+"/alice", 20001, "@reboot alice\n")
	s.put(t, atjobs+"/a0000101c8d3e4", 20001, "#!/bin/sh\nalice\n")
	s.become(bob)
	s.put(t, crontabs+"/alice", 20001, "@reboot alice\n")
	s.become(bob)
	const again = "/var/lib/latchkey/revoked/alice.20001/crontab.1 -rw------- @reboot alice|\n"
	if diff := cmp.Diff(spoolsOfBob+keptOnce+again, files(t, crontabs, atjobs, lingers, "/var/lib/latchkey/revoked")); diff != "" {
		t.Errorf("revoked again (-want +got):\n%s", diff)
	}
}

// testScheduledFaults: access ends whatever can not be kept, the loss is told, and
// what is somebody else's by now is not touched.
func testScheduledFaults(t *testing.T, s *space) {
	alice := named(t, "alice", 20001, false)
	s.become(alice, named(t, "bob", 20002, false))
	kept := s.Layout.Revoked(alice.Username, alice.UID)
	for situation, c := range map[string]struct {
		prepare func(t *testing.T)
		fails   error
		says    string
		left    string // of alice's jobs
	}{
		"plain":    {func(*testing.T) {}, nil, "", ""},
		"job-gone": {func(t *testing.T) { must(t, os.Remove(atjobs+"/a0000101c8d3e4")) }, nil, "", ""},
		"too-long": {func(t *testing.T) { must(t, os.Truncate(atjobs+"/a0000101c8d3e4", 1<<40)) }, safefile.ErrTooLong, "was removed and not kept", ""},
		"no-place-to-keep": {func(t *testing.T) { s.put(t, "/var/lib/latchkey/revoked", 0, "") }, safefile.ErrNotFolder,
			"was removed and not kept", ""},
		"kept-name-is-a-folder": {func(t *testing.T) {
			must(t, os.MkdirAll(kept+"/crontab", 0o700))
			must(t, os.Chmod("/var/lib/latchkey/revoked", 0o700))
		}, safefile.ErrNotRegular, "crontabs/alice was removed and not kept", ""},
		"job-of-another-by-now": {func(t *testing.T) { must(t, os.Chown(atjobs+"/a0000101c8d3e4", 20002, 0)) }, safefile.ErrChanged, "", atjobs + "/a0000101c8d3e4"},
		"job-became-a-link": {func(t *testing.T) {
			must(t, os.Remove(atjobs+"/a0000101c8d3e4"))
			must(t, os.Symlink("/etc/shadow", atjobs+"/a0000101c8d3e4"))
			must(t, os.Lchown(atjobs+"/a0000101c8d3e4", 20001, 0))
		}, safefile.ErrNotRegular, "", atjobs + "/a0000101c8d3e4"},
		"job-got-a-second-name": {func(t *testing.T) { must(t, os.Link(atjobs+"/a0000101c8d3e4", atjobs+"/x")) }, safefile.ErrNames, "", atjobs + "/a0000101c8d3e4"},
		"folder-became-a-link": {func(t *testing.T) {
			must(t, os.Rename(crontabs, "/var/spool/elsewhere"))
			must(t, os.Symlink("/var/spool/elsewhere", crontabs))
		}, safefile.ErrNotFolder, "", crontabs + "/alice"},
	} {
		t.Run(situation, func(t *testing.T) {
			s.spools(t)
			step := plan.Step{Op: plan.OpTakeJobs, User: alice.Username, UID: alice.UID, Path: kept,
				Jobs: []string{crontabs + "/alice", atjobs + "/a0000101c8d3e4"}}
			c.prepare(t)
			shadow, err := os.ReadFile("/etc/shadow")
			must(t, err)
			err = s.Apply(t.Context(), step)
			if !errors.Is(err, c.fails) || c.says != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("it gives %v, want %v", err, c.fails)
			}
			for _, job := range step.Jobs {
				if _, err := os.Lstat(job); (err == nil) != (job == c.left) {
					t.Errorf("%s: %v", job, err)
				}
			}
			if now, err := os.ReadFile("/etc/shadow"); err != nil || string(now) != string(shadow) {
				t.Errorf("/etc/shadow changed, %v", err)
			}
		})
	}

	// What is no plain file of one name is no job: cron and at pass it over.
	s.spools(t)
	must(t, os.Remove(crontabs+"/alice"))
	must(t, os.Symlink("/etc/shadow", crontabs+"/alice"))
	must(t, os.Link(atjobs+"/a0000101c8d3e4", atjobs+"/x"))
	must(t, unix.Mkfifo(atjobs+"/fifo", 0o600))
	must(t, os.Chown(atjobs+"/fifo", 20001, 0))
	if got := s.observeScheduled(s.owned)[alice.Username]; len(got.Crontabs) != 0 || len(got.AtJobs) != 1 {
		t.Errorf("seen are %+v", got)
	}

	// What can not be looked at may be a crontab: taking it away says why.
	s.spools(t)
	must(t, os.RemoveAll(crontabs))
	must(t, os.Symlink(filepath.Base(crontabs), crontabs))
	if diff := cmp.Diff([]string{crontabs + "/alice"}, s.observeScheduled(s.owned)[alice.Username].Crontabs); diff != "" {
		t.Errorf("seen are (-want +got):\n%s", diff)
	}
	unseen := plan.Step{Op: plan.OpTakeJobs, User: alice.Username, UID: alice.UID, Path: kept, Jobs: []string{crontabs + "/alice"}}
	if err := s.Apply(t.Context(), unseen); !errors.Is(err, safefile.ErrNotFolder) {
		t.Errorf("it gives %v", err)
	}
	must(t, os.Remove(crontabs))

	// The name is another account's by now: its crontab and its lingering stay.
	if out, err := s.command("userdel", "alice"); err != nil {
		t.Fatal(out)
	}
	s.spools(t)
	jobs := plan.Step{Op: plan.OpTakeJobs, User: alice.Username, UID: alice.UID, Path: kept, Jobs: []string{crontabs + "/alice", atjobs + "/a0000101c8d3e4"}}
	linger := plan.Step{Op: plan.OpEndLinger, User: alice.Username, UID: alice.UID}
	if out, err := s.command("useradd", "-M", "-u", "1234", "alice"); err != nil {
		t.Fatal(out)
	}
	for _, step := range []plan.Step{jobs, linger} {
		if err := s.Apply(t.Context(), step); !errors.Is(err, plan.ErrNameTaken) {
			t.Errorf("%s: %v", step, err)
		}
	}
	if got := files(t, crontabs, lingers); !strings.Contains(got, crontabs+"/alice") || !strings.Contains(got, lingers+"/alice") {
		t.Errorf("left are\n%s", got)
	}
	if _, err := os.Lstat(atjobs + "/a0000101c8d3e4"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("her at job: %v", err)
	}
	// And it is nobody's: they go.
	if out, err := s.command("userdel", "alice"); err != nil {
		t.Fatal(out)
	}
	for _, step := range []plan.Step{jobs, linger} {
		must(t, s.Apply(t.Context(), step))
	}
	if got := files(t, crontabs, lingers); strings.Contains(got, "/alice") {
		t.Errorf("left are\n%s", got)
	}
}

// testLinger: logind is asked by the uid, and where it does not do it, for whatever
// reason, the file goes.
func testLinger(t *testing.T, s *space) {
	alice := named(t, "alice", 20001, false)
	s.become(alice)
	step := plan.Step{Op: plan.OpEndLinger, User: alice.Username, UID: alice.UID}
	for situation, answer := range map[string]error{"done": nil, "not-installed": errNoTool, "no-bus": &exitError{tool: "loginctl", code: 1}} {
		t.Run(situation, func(t *testing.T) {
			s.spools(t)
			called := s.instead(map[string]error{"loginctl": answer})
			defer func() { s.Run = nil }()
			must(t, s.Apply(t.Context(), step))
			must(t, s.Apply(t.Context(), step)) // once more does no harm
			if got := files(t, lingers); strings.Contains(got, "/alice") || !strings.Contains(got, "/bob") || len(*called) != 2 {
				t.Errorf("after %q there is\n%s", *called, got)
			}
		})
	}
}

// testLock: what was started between the end of the sessions and the closing of the
// account is ended with it.
func testLock(t *testing.T, s *space) {
	alice, bob := named(t, "alice", 20001, false), named(t, "bob", 20002, false)
	s.become(alice, bob)
	other := s.start(20002, "echo; exec sleep 60")
	late := s.start(20001, "trap '' TERM; echo; while :; do sleep 0.01; done")
	must(t, s.Apply(t.Context(), plan.Step{Op: plan.OpLock, User: alice.Username, UID: alice.UID}))
	if a, _, err := account("alice"); err != nil || !a.Locked() {
		t.Errorf("alice is %+v, %v", a, err)
	}
	if late.alive() || !other.alive() {
		t.Errorf("hers is alive: %t, bob's: %t", late.alive(), other.alive())
	}
	if err := endProcesses(t.Context(), plan.Step{}); err == nil || !other.alive() {
		t.Errorf("for uid 0 it gives %v", err)
	}
}
