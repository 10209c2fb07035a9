package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/e2e/machine"
)

// killsInCI is how many kills and stops of each command are tried in each run; all are
// with LATCHKEY_LONG, and those that match LATCHKEY_FAULT with that.
const killsInCI = 10

// TestKill_Calls holds T-F7 with TestFault_Apply, which does the same to an apply that
// has much to change: enroll, sshd enable, the first apply and revert are killed before
// each system call by which they change something, or are stopped after it, looked at,
// joined by the next one, and killed. What sshd and sudo read, and what the agent reads
// itself, is whole at every moment; the next one comes to the same end as one that was
// not disturbed, and leaves nothing lying about.
func TestKill_Calls(t *testing.T) {
	t.Parallel()
	const name = "killed1"
	w := newWorldOf(t, machine.Chroot, 8473, 73, name)
	k := &killed{crash: &crash{world: w, name: name}, machine: w.machines[name]}
	k.cli("stack", "create", "one")
	k.breakGlass()
	k.install()
	k.grant("alice", true)
	k.grant("bob", false)
	for i, s := range []stage{
		{name: "enroll", argv: []string{"enroll", "--server", k.server.URL, "--token-file", "/root/token"}},
		{name: "sshd-enable", argv: []string{"sshd", "enable"}},
		{name: "apply", argv: []string{"apply"}, logins: map[string]string{"alice": "in, root", "bob": "in", "deby": "in, root"}},
		{name: "revert", argv: []string{"revert", "--yes"}, logins: map[string]string{"alice": "refused", "deby": "in, root"}},
	} {
		k.sub(s.name, func() { k.suffer(s, fmt.Sprint("/srv/kept/", i)) })
	}
}

// killed is a machine on which commands are killed.
type killed struct {
	*crash
	machine *machine.Machine
}

// stage is a command of ours, and who gets in after it, where that is asked.
type stage struct {
	name   string
	argv   []string
	logins map[string]string
}

// suffer has a command killed again and again, from the state in which the machine is,
// and leaves the machine as the command makes it.
func (k *killed) suffer(s stage, kept string) {
	k.t.Helper()
	k.run(k.name, "sh", "-c", "mkdir -p "+kept+"; cp -a --parents $(ls -d "+state+" 2>/dev/null) "+kept)
	before := k.look()
	clean := k.begin(s, fault{}, nil)
	if clean.code != 0 {
		k.t.Fatalf("undisturbed it ends with %d: %s", clean.code, clean.errs)
	}
	after, todo := k.look(), k.todo(s)
	var all []fault
	for _, at := range clean.sites {
		if slices.Contains(kindsOf(at.call), kill) {
			all = append(all, fault{at: at, kind: kill}, fault{at: at, kind: stop})
		}
	}
	chosen := choose(all, killsInCI)
	missed := 0
	for _, f := range chosen {
		k.run(k.name, "sh", "-c", holdSSHD+"rm -rf "+state+"; cp -a "+kept+"/. /")
		k.t.Logf("%v", f)
		var second *exec.Cmd
		r := k.begin(s, f, func() {
			k.unbroken(f, before, after)
			second = k.start(s)
		})
		if second != nil {
			_ = second.Wait() // it may have been refused while the other one was there
		}
		if !r.hit {
			missed++
			continue
		}
		if r.code == 0 {
			k.t.Errorf("%v: it ended well", f)
		}
		if second == nil {
			k.unbroken(f, before, after)
		}
		k.again(f, s)
		if diff := cmp.Diff(after, k.look()); diff != "" {
			k.t.Errorf("%v: the next one comes to another end (-want +got):\n%s", f, diff)
		}
		if got := k.todo(s); got != todo {
			k.t.Errorf("%v: then a plan says\n%swant\n%s", f, got, todo)
		}
	}
	k.t.Logf("of %d kills and stops %d were tried, %d of them were not met", len(all), len(chosen), missed)
	if missed*10 > len(chosen) {
		k.t.Error("the runs differ too much")
	}
	for user, want := range s.logins {
		if got := k.login(k.name, user); got != want {
			k.t.Errorf("%s is %q in the end, want %q", user, got, want)
		}
	}
}

// begin runs the command with a fault; a stopped one is killed after look has returned.
func (k *killed) begin(s stage, f fault, look func()) injected {
	k.t.Helper()
	if s.name == "enroll" {
		token := k.cli("token", "create", "--stack", "one")
		if err := k.machine.WriteFile(k.t.Context(), "/root/token", []byte(token), 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
	a := &answerer{program: agentProgram, fault: f, stopped: look}
	return a.run(k.t, k.machine.Command(k.t.Context(), append([]string{agentProgram}, s.argv...)...))
}

// start starts the command a second time.
func (k *killed) start(s stage) *exec.Cmd {
	cmd := k.machine.Command(k.t.Context(), append([]string{agentProgram}, s.argv...)...)
	if err := cmd.Start(); err != nil {
		k.t.Error(err)
		return nil
	}
	return cmd
}

// again runs the command after one that was killed. Where that one had done all, it says
// so.
func (k *killed) again(f fault, s stage) {
	k.t.Helper()
	out, err := k.machine.Run(k.t.Context(), append([]string{agentProgram}, s.argv...)...)
	if err == nil {
		return
	}
	done := map[string]string{"enroll": "this machine is already enrolled", "revert": "there is nothing to give back"}[s.name]
	if done == "" || !strings.Contains(err.Error(), done) {
		k.t.Errorf("%v: the next one: %v\n%s", f, err, out)
	}
}

// todo is what an enrolled machine's plan says, which it asks the control plane for.
func (k *killed) todo(s stage) string {
	if s.name == "revert" {
		return ""
	}
	out, err := k.machine.Run(k.t.Context(), agentProgram, "plan")
	if exit := (*machine.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.Code == 2) {
		k.t.Errorf("plan: %v", err)
	}
	return out
}

// look reads the machine: all that a command can change, but for what is another in each
// run, such as the ids that our groups and the hook's user get: a tool that outlives who
// started it may take one before the next one does.
func (k *killed) look() map[string]string {
	k.t.Helper()
	files, err := k.machine.Snapshot("/etc/subuid", "/etc/subgid", "/etc/ssh", "/etc/sudoers.d", "/var/lib/latchkey", "/home")
	if err != nil {
		k.t.Error(err)
	}
	for file, is := range files {
		if strings.HasPrefix(file, "/var/lib/latchkey") {
			files[file] = ourGroup.ReplaceAllString(is, "${1}:ID")
		}
	}
	for _, file := range []string{"identity.json", "status.json", "inventory.json"} {
		if text, there := files[agentFolder+"/"+file]; there {
			files[agentFolder+"/"+file] = text[:strings.LastIndex(text, " ")]
		}
	}
	for _, file := range []string{"/etc/passwd", "/etc/group", "/etc/gshadow", "/etc/shadow"} {
		text, err := os.ReadFile(k.machine.Root() + file)
		if err != nil {
			k.t.Error(err)
		}
		lines := strings.SplitAfter(string(text), "\n")
		for i, line := range lines {
			if name, _, _ := strings.Cut(line, ":x:"); name == "latchkey" || name == "latchkey-keys" {
				lines[i] = ownID.ReplaceAllString(line, ":ID")
			} else if file == "/etc/shadow" {
				lines[i] = undated(line)
			}
		}
		slices.Sort(lines)
		files[file] = strings.Join(lines, "")
	}
	return files
}

var (
	ownID    = regexp.MustCompile(`:[0-9]+\b`)              // in a line of passwd or group
	ourGroup = regexp.MustCompile(`^(\S+ 0):[1-9][0-9]*\b`) // of a file of root's
)

// unbroken checks what a command left that did not end: what others read is as it was or as
// it will be, what we read is whole, and there is nothing else but temporary files.
func (k *killed) unbroken(f fault, before, after map[string]string) {
	k.t.Helper()
	if out, err := k.machine.Run(k.t.Context(), "sh", "-c", "sshd -t && visudo -c -q && pwck -q -r && grpck -r"); err != nil {
		k.t.Errorf("%v: %v %s", f, err, out)
	}
	now := k.look()
	for file, is := range now {
		folder, base := filepath.Split(file)
		ours := strings.HasPrefix(file, "/var/lib/latchkey") || strings.HasPrefix(folder, "/etc/s") || folder == "/etc/ssh/sshd_config.d/"
		switch {
		case !ours, is == before[file], is == after[file], randomName.MatchString(base):
		case strings.HasPrefix(is, "drwx------ 0:") && before[file] == "": // a folder whose mode comes last
		case file == agentFolder+"/sudoers.staged" && strings.HasPrefix(is, "-r--r----- 0:0 "): // for visudo to look at
		case folder == agentFolder+"/" && strings.HasPrefix(is, "-rw------- 0:0 "):
			content, err := os.ReadFile(k.machine.Root() + file)
			if err != nil || strings.HasSuffix(file, ".json") && !json.Valid(content) {
				k.t.Errorf("%v: %s is not whole: %v %q", f, file, err, content)
			}
		default:
			k.t.Errorf("%v: %s is %q, neither what it was, %q, nor what it will be, %q", f, file, is, before[file], after[file])
		}
	}
	for file, was := range before {
		if now[file] == "" && after[file] != "" {
			k.t.Errorf("%v: %s is missing, was %q", f, file, was)
		}
	}
}
