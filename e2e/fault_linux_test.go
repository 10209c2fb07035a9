package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
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

const (
	agentProgram = "/usr/bin/latchkey-agent"
	keysFolder   = "/var/lib/latchkey/authorized_keys"
	sudoersFile  = "/etc/sudoers.d/90-latchkey"
	sshdFile     = "/etc/ssh/sshd_config.d/10-latchkey.conf"
	crontab      = "/var/spool/cron/crontabs/bob"
	agentFolder  = "/var/lib/latchkey/agent"

	// faultsInCI is how many faults of several thousand are tried in each run; all
	// are with LATCHKEY_LONG. Which ones, the seed says, or LATCHKEY_FAULT, a regular
	// expression for those of which a run has told: "EIO at .*/seen.json".
	faultsInCI = 130
	faultSeed  = 1
)

// kindsOf says how each call is made to fail.
func kindsOf(call string) []string {
	switch call {
	case "create":
		return []string{"ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "EINTR", full, kill, stop}
	case "write":
		return []string{"ENOSPC", "EDQUOT", "EROFS", "EIO", "EINTR", short, full, kill, stop}
	case "fsync", "fdatasync":
		return []string{"ENOSPC", "EDQUOT", "EROFS", "EIO", "EINTR", kill, stop}
	case "renameat", "renameat2", "linkat", "symlinkat", "mkdirat":
		return []string{"ENOSPC", "EDQUOT", "EROFS", "EIO", "EINTR", kill, stop}
	case "unlinkat", "ftruncate", "fchmod", "fremovexattr":
		return []string{"EROFS", "EIO", "EINTR", kill, stop}
	case "fchown", "fsetxattr":
		return []string{"ENOSPC", "EDQUOT", "EROFS", "EIO", kill, stop}
	case "execve":
		return []string{"EIO", "EMFILE", "ENOMEM", kill, stop}
	case "clone", "clone3":
		return []string{"EAGAIN", "ENOMEM"}
	case "openat":
		return []string{"EMFILE", "EIO", "EINTR"}
	case "read", "flock", "close":
		return []string{"EIO", "EINTR"}
	case "getrandom":
		return nil // it waits, and does not fail
	}
	return []string{"EIO"} // what only looks
}

// TestFault_Apply holds T-F7 with TestKill_Calls, and T-F9 and T-F18 for the whole program:
// each system call of an apply that takes access from some, gives it to others and repairs
// what was changed is made to fail in turn, and the program is killed before it, or stopped
// after it, joined by the next one, and killed. Every managed file is the old one or the new
// one, those whom the fault does not concern get what is theirs, the failure is told, and
// the next apply comes to the same end as one without a fault.
func TestFault_Apply(t *testing.T) {
	t.Parallel()
	machines := []*faulty{newFaulty(t, 0), newFaulty(t, 1)}
	all := machines[0].faults()
	chosen := choose(all, faultsInCI)
	t.Run("on", func(t *testing.T) {
		for i, x := range machines {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				x.t = t
				for j := i; j < len(chosen); j += len(machines) {
					x.suffer(chosen[j])
				}
				x.loginsInTheEnd()
			})
		}
	})
	outcomes := map[string]int{}
	for _, x := range machines {
		for outcome, n := range x.outcomes {
			outcomes[outcome] += n
		}
	}
	met := len(chosen) - outcomes[notMet]
	t.Logf("an apply makes %d calls, at which %d faults are possible; %d were tried, %d of them were met: %v",
		len(machines[0].sites), len(all), len(chosen), met, outcomes)
	if met*10 < len(chosen)*9 {
		t.Errorf("%d of %d faults were not met: the runs differ too much", outcomes[notMet], len(chosen))
	}
}

// notMet is the outcome of a fault at a call that was not made in that run.
const notMet = "not met"

// choose gives the faults that a run tries, n of them in CI.
func choose(all []fault, n int) []fault {
	if text := os.Getenv("LATCHKEY_FAULT"); text != "" {
		only := regexp.MustCompile(text)
		return slices.DeleteFunc(slices.Clone(all), func(f fault) bool { return !only.MatchString(f.String()) })
	}
	if os.Getenv("LATCHKEY_LONG") != "" {
		return all
	}
	return sample(all, n, faultSeed)
}

// sample chooses n faults with a seed: first one of each kind for each call, then one
// for each thing that a call changes, then any.
func sample(all []fault, n int, seed uint64) []fault {
	left := slices.Clone(all)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	var chosen []fault
	for _, key := range []func(fault) string{
		func(f fault) string { return fmt.Sprint(f.at.call, f.kind, f.lasting) },
		func(f fault) string {
			if slices.Contains(kindsOf(f.at.call), kill) || f.lasting {
				return f.at.call + f.at.path
			}
			return ""
		},
		func(f fault) string { return f.String() },
	} {
		seen := map[string]bool{"": true}
		left = slices.DeleteFunc(left, func(f fault) bool {
			take := len(chosen) < n && !seen[key(f)]
			if take {
				seen[key(f)] = true
				chosen = append(chosen, f)
			}
			return take
		})
	}
	return chosen
}

// faulty is a machine that is put back before each fault to where an apply has much
// to do.
type faulty struct {
	*crash
	machine  *machine.Machine
	old, new image
	sites    []site // of an apply without a fault
	outcomes map[string]int
	wrong    []string // what is wrong after the fault of the moment
}

func (x *faulty) isWrong(format string, args ...any) {
	x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
}

// newFaulty sets a machine up and keeps it: alice and deby have nothing to do with
// what is to come; bob, who has a process and a crontab, and gus have to go, dave
// loses sudo, carol gets another key, erin and fay are new; our sshd file and the
// mode of our folder were changed, and a key file is there that nobody was given.
func newFaulty(t *testing.T, number int) *faulty {
	t.Helper()
	name := fmt.Sprint("faulty", number)
	w := newWorldOf(t, machine.Chroot, 8470+number, 70+number, name)
	x := &faulty{crash: &crash{world: w, name: name}, machine: w.machines[name], outcomes: map[string]int{}}
	x.cli("stack", "create", "one")
	x.breakGlass()
	x.install()
	for _, user := range []string{"alice", "bob", "dave"} {
		x.grant(user, true)
	}
	x.grant("carol", false)
	x.grant("gus", false)
	x.enroll()
	x.run(name, "latchkey-agent", "sshd", "enable")
	x.run(name, "latchkey-agent", "apply")
	x.run(name, "sh", "-c", `set -e
		echo '@daily true' >`+crontab+`; chown bob:crontab `+crontab+`; chmod 600 `+crontab+`
		echo '# somebody was here' >>`+sshdFile+`
		chmod 755 `+keysFolder+`; cp -a `+keysFolder+`/alice `+keysFolder+`/ghost
		mkdir /srv/kept; cp -a --parents `+state+` /srv/kept`)
	x.revoke("bob")
	x.revoke("gus")
	x.grant("dave", false)
	x.grant("erin", true)
	x.grant("fay", false)
	x.call("UpdateUserProfile", map[string]any{"IamUserArn": arn("carol"), "SshPublicKey": x.key("carol2")}, nil)
	x.cleanRun()
	return x
}

// state are the files that an apply can change.
const state = "/etc/passwd* /etc/shadow* /etc/group* /etc/gshadow* /etc/subuid* /etc/subgid* /etc/sudoers.d " +
	"/etc/ssh/sshd_config.d /var/lib/latchkey /home /var/spool/cron /var/mail"

// holdSSHD stops sshd until the shell ends: one that is just reloading would end where for
// a moment there is no passwd file. While it reloads it has no pid file.
const holdSSHD = `set -e; n=0
	until read -r pid </run/sshd.pid; do n=$((n+1)); [ $n -lt 2000000 ]; done 2>/dev/null
	kill -STOP $pid; trap "kill -CONT $pid" EXIT
	`

// putBack makes the machine what it was at the end of newFaulty.
func (x *faulty) putBack() {
	x.t.Helper()
	x.run(x.name, "sh", "-c", holdSSHD+"rm -rf "+state+`; cp -a /srv/kept/. /
		setsid setpriv --reuid bob --clear-groups sleep 100000 >/dev/null 2>&1 </dev/null &
		until pgrep -u bob -x sleep >/dev/null; do :; done`)
}

// cleanRun says what the machine is before and after an apply without a fault.
func (x *faulty) cleanRun() {
	x.t.Helper()
	x.putBack()
	x.old = x.look()
	r := inject(x.t, x.machine.Command(x.t.Context(), agentProgram, "apply"), agentProgram, fault{})
	x.sites, x.new = r.sites, x.look()
	if r.code != 0 || r.errs != "" {
		x.t.Fatalf("apply without a fault ends with %d: %s", r.code, r.errs)
	}
	for subject, was := range x.old.subjects {
		if is := x.new.subjects[subject]; (is == was) != slices.Contains([]string{"alice account", "alice keys", "alice rule", "others", "gus rule", "carol account",
			"carol rule", "dave account", "dave keys", "fay rule"}, subject) {
			x.t.Errorf("an apply makes of %s, %q: %q", subject, was, is)
		}
	}
	if x.t.Failed() {
		x.t.FailNow()
	}
}

// loginsInTheEnd asks the real sshd and sudo.
func (x *faulty) loginsInTheEnd() {
	x.t.Helper()
	for user, want := range map[string]string{"deby": "in, root", "alice": "in, root", "erin": "in, root", "fay": "in", "dave": "in",
		"bob": "refused", "gus": "refused"} {
		if got := x.login(x.name, user); got != want {
			x.t.Errorf("%s is %q in the end, want %q", user, got, want)
		}
	}
}

// faults lists what can be done to the calls of an apply.
func (x *faulty) faults() []fault {
	var all []fault
	for _, s := range x.sites {
		for _, kind := range kindsOf(s.call) {
			all = append(all, fault{at: s, kind: kind})
		}
		if s.n == 1 && concernsOne(s.path) && s.call != "close" {
			all = append(all, fault{at: s, kind: "EIO", lasting: true})
		}
	}
	return all
}

// suffer makes one apply with a fault and looks at what came of it.
func (x *faulty) suffer(f fault) {
	x.t.Helper()
	x.wrong = nil
	x.putBack()
	r, now := x.meet(f)
	if out, err := x.machine.Run(x.t.Context(), "sh", "-c", "sshd -t && visudo -c -q && pwck -q -r && grpck -r"); err != nil {
		x.isWrong("%v %s", err, out)
	}
	outcome := x.judge(f, r, now)
	x.outcomes[outcome]++
	if again, err := x.machine.Run(x.t.Context(), agentProgram, "apply"); err != nil {
		x.isWrong("the next apply: %v\n%s", err, again)
	}
	if diff := cmp.Diff(x.new, x.look(), cmp.AllowUnexported(image{})); diff != "" {
		x.isWrong("the next apply comes to another end (-want +got):\n%s", diff)
	}
	if len(x.wrong) > 0 {
		x.t.Errorf("%v: %s, status %d\n%s\n%s%s", f, outcome, r.code, strings.Join(x.wrong, "\n"), r.out, r.errs)
	}
}

// meet makes the apply, and says what the machine is after the fault. While a stopped one
// is there, the next one begins.
func (x *faulty) meet(f fault) (r injected, now image) {
	x.t.Helper()
	var next *exec.Cmd
	var said strings.Builder
	a := &answerer{program: agentProgram, fault: f, stopped: func() {
		now = x.look()
		next = x.machine.Command(x.t.Context(), agentProgram, "apply")
		next.Stdout, next.Stderr = &said, &said
		if err := next.Start(); err != nil {
			x.isWrong("the next apply: %v", err)
			next = nil
		}
	}}
	r = a.run(x.t, x.machine.Command(x.t.Context(), agentProgram, "apply"))
	if f.kind != stop || !r.hit {
		return r, x.look()
	}
	if next != nil {
		if err := next.Wait(); err != nil {
			x.isWrong("an apply beside a stopped one: %v\n%s", err, &said)
		}
	}
	return r, now
}

// judge compares what an apply with a fault left with the old and the new state.
func (x *faulty) judge(f fault, r injected, now image) (outcome string) {
	var done, undone []string // of what there was to do
	for subject, is := range now.subjects {
		was, will := x.old.subjects[subject], x.new.subjects[subject]
		switch {
		case is != was && is != will:
			x.isWrong("%s is neither the old nor the new one: %q, and not %q or %q", subject, is, was, will)
		case was == will:
		case is == will:
			done = append(done, subject)
		default:
			undone = append(undone, subject)
		}
	}
	slices.Sort(undone)
	told := r.code != 0 || r.errs != ""
	switch {
	case !r.hit:
		return notMet
	case f.kind == kill || f.kind == stop:
		if r.code == 0 {
			x.isWrong("it ended with 0")
		}
		return "killed"
	case len(undone) > 0 && !told:
		x.isWrong("%v is not done, and nothing was said", undone)
	case strings.Contains(r.errs, "going on with the stored bundle"):
		if len(undone) == 0 { // it was stored, and only its version was not
			return "told, all done"
		}
		if slices.ContainsFunc(done, ofUser) || !slices.ContainsFunc(done, ofMachine) && f.kind != full {
			x.isWrong("with the stored bundle %v is done and %v is not", done, undone)
		}
		return "told, the old bundle kept"
	case strings.Contains(r.errs, "store intent"):
		if slices.ContainsFunc(undone, func(subject string) bool {
			return ofUser(subject) && !comes(subject) && !(f.kind == full && rewritten(subject))
		}) {
			x.isWrong("without a stored intent %v is not taken away", undone)
		}
		return "told, what goes is gone"
	case f.kind != full && (len(done) > 0 || concernsOne(f.at.path) && f.kind != "EMFILE") && !together(undone):
		x.isWrong("one fault kept %v from being done", undone)
	}
	switch {
	case !told:
		return "no harm"
	case len(undone) == 0:
		return "told, all done"
	case len(done) == 0:
		return "told, nothing begun"
	}
	return "told, the others done"
}

// ofUser tells what a user has from what is the machine's own.
func ofUser(subject string) bool { return strings.Contains(subject, " ") }

// comes tells what is given to somebody whom the old state does not know.
func comes(subject string) bool {
	return strings.HasPrefix(subject, "erin ") || strings.HasPrefix(subject, "fay ")
}

// rewritten tells what is taken away by writing the rest of it anew, for which a full
// disk has no room: it is kept whole, and told.
func rewritten(subject string) bool {
	return subject == "carol keys" || subject == "bob rule" || subject == "dave rule"
}

func ofMachine(subject string) bool { return !ofUser(subject) }

// concernsOne reports whether a path is that of one user's thing, or of one of the
// machine's: what befalls it is nobody else's affair. A process without a file left to
// open is: it looks at nothing, and begins nothing.
func concernsOne(path string) bool {
	return filepath.Dir(path) == keysFolder && !strings.Contains(path, ".latchkey.") || path == sudoersFile || path == sshdFile || path == crontab
}

// together reports whether all the things concern one user or are sudo's, whose
// rules are one file.
func together(things []string) bool {
	users, kinds := map[string]bool{}, map[string]bool{}
	for _, thing := range things {
		user, kind, _ := strings.Cut(thing, " ")
		users[user], kinds[kind] = true, true
	}
	return len(users) <= 1 || len(kinds) == 1 && kinds["rule"]
}

// image is what of a machine is compared.
type image struct {
	// subjects are, by name, the things that are changed each for itself: what users
	// have, "alice keys", and single files.
	subjects map[string]string
	// left are files that only a running apply has.
	left []string
}

// look reads the machine from outside.
func (x *faulty) look() image {
	x.t.Helper()
	files, err := x.machine.Snapshot("/etc/sudoers", "/etc/sudoers.d", "/etc/ssh", "/var/lib/latchkey", "/var/spool/cron", "/home/deby")
	if err != nil {
		x.t.Fatal(err)
	}
	i := image{subjects: map[string]string{
		"sshd": files[sshdFile], "folder": files[keysFolder], "ghost": files[keysFolder+"/ghost"], "bob crontab": files[crontab],
		"bob process": x.run(x.name, "sh", "-c", "pgrep -u bob -x -c sleep || true"),
	}}
	passwd, shadow, rules := x.lines("/etc/passwd", ":"), x.lines("/etc/shadow", ":"), x.lines(sudoersFile, " ")
	for _, user := range []string{"alice", "bob", "carol", "dave", "erin", "fay", "gus"} {
		i.subjects[user+" keys"] = files[filepath.Join(keysFolder, user)]
		i.subjects[user+" account"] = passwd[user] + undated(shadow[user])
		i.subjects[user+" rule"] = rules[user]
	}
	i.left = x.strange(files)
	i.subjects["others"] = fmt.Sprint(files, passwd["deby"], shadow["deby"], passwd["root"], shadow["root"])
	return i
}

// strange checks the files that are ours, takes them out of all, and returns the
// names of those that only a running apply has.
func (x *faulty) strange(files map[string]string) (left []string) {
	x.t.Helper()
	if sudoers := files[sudoersFile]; !strings.HasPrefix(sudoers, "-r--r----- 0:0 ") {
		x.isWrong("%s is %s", sudoersFile, sudoers)
	}
	x.whole("a fault", sudoersFile, sudoRule)
	for file := range files {
		switch folder, base := filepath.Split(file); {
		case randomName.MatchString(base), strings.HasSuffix(base, ".staged"):
			left = append(left, file)
		case folder == agentFolder+"/" && strings.HasSuffix(base, ".json"):
			if content, err := os.ReadFile(x.machine.Root() + file); err != nil || !json.Valid(content) {
				x.isWrong("%s is not whole: %v %q", file, err, content)
			}
		case folder == keysFolder+"/" && x.old.subjects != nil && x.old.subjects[base+" keys"] == "" && base != "ghost":
			if x.new.subjects != nil && x.new.subjects[base+" keys"] == "" {
				x.isWrong("%s was made", file)
			}
		case strings.HasPrefix(file, "/var/lib/latchkey"), file == sshdFile, file == sudoersFile, file == crontab:
		default:
			continue
		}
		delete(files, file)
	}
	slices.Sort(left)
	return left
}

// lines returns the lines of a file of the machine by their first field.
func (x *faulty) lines(file, separator string) map[string]string {
	x.t.Helper()
	text, err := os.ReadFile(x.machine.Root() + file)
	if err != nil {
		x.isWrong("%v", err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, separator)
		lines[name] += line
	}
	return lines
}

// undated takes the day of the last change out of a line of shadow: it may be
// midnight.
func undated(line string) string {
	fields := strings.Split(line, ":")
	if len(fields) > 2 {
		fields[2] = ""
	}
	return strings.Join(fields, ":")
}
