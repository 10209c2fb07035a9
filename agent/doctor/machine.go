package doctor

import (
	"path"
	"strings"
	"time"
)

// Unit is the name of the agent's unit of systemd.
const Unit = "latchkey-agent.service"

// What is taken for too long, too little and too far.
const (
	quietWarning  = 10 * time.Minute // without an answer of the control plane
	quietProblem  = 24 * time.Hour
	passWarning   = 2 * time.Hour // without a pass: twice the longest interval
	clockBehind   = 2 * time.Minute
	clockAhead    = 10 * 365 * 24 * time.Hour // of this program's making
	bytesWarning  = 200 << 20
	bytesProblem  = 16 << 20
	inodesWarning = 2000
	inodesProblem = 100
)

func identity(f Facts, r *report) {
	a := f.Agent
	switch {
	case a.IdentityErr != nil:
		r.problem("first what is said of files; then put it back from a backup, or latchkey-agent revert and enrol again", "the identity does not read: %v", a.IdentityErr)
	case !a.Enrolled:
		r.problem("latchkey-agent enroll --server https://HOST:PORT --token-file FILE", "this machine is not enrolled")
	}
	if a.LedgerErr != nil {
		r.problem("first what is said of files; then put it back from a backup: without it nothing is managed", "the ledger does not read: %v", a.LedgerErr)
	}
	r.fine("this machine is enrolled")
}

func service(f Facts, r *report) {
	const start = "systemctl enable --now latchkey-agent"
	if !f.Agent.Enrolled {
		return
	}
	u, found := f.Host.unit(Unit)
	switch {
	case !f.Host.Systemd && !f.Host.AgentRuns:
		r.problem("let the init system run latchkey-agent run", "no latchkey-agent runs, and this machine has no systemd")
	case !f.Host.Systemd:
		r.fine("latchkey-agent runs; this machine has no systemd")
	case f.Host.UnitsErr != nil:
		r.warn("systemctl status latchkey-agent", "systemd does not say how the service is: %v", f.Host.UnitsErr)
	case !found || u.Load != "loaded":
		r.problem("install the package's unit file, then "+start, "systemd has no %s (%s)", Unit, orNone(u.Load))
	case u.Active != "active":
		r.problem(start+"; journalctl -u latchkey-agent", "the service is %s", u.Active)
	}
	if found && u.Load == "loaded" && !strings.HasPrefix(u.File, "enabled") {
		r.problem("systemctl enable latchkey-agent", "the service does not start with the machine: it is %s", orNone(u.File))
	}
	r.fine("the service runs and starts with the machine")
}

func (h Host) unit(name string) (Service, bool) {
	for _, u := range h.Units {
		if u.Name == name {
			return u, true
		}
	}
	return Service{}, false
}

func orNone(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

func server(f Facts, r *report) {
	const fix = "latchkey-agent apply tries at once; then look at name resolution, route, firewall, and at the control plane"
	a := f.Agent
	switch {
	case !a.Enrolled:
		return
	case a.StatusErr != nil:
		r.warn("systemctl restart latchkey-agent", "the status file does not read: %v", a.StatusErr)
		return
	case a.Status == nil:
		r.warn("systemctl enable --now latchkey-agent", "no pass was made yet, so it is not known whether the control plane answers")
		return
	case a.Status.Contact.IsZero() && a.Status.Trouble == "":
		r.warn(fix, "the agent has not yet heard from the control plane since it started")
		return
	}
	quiet := f.Now.Sub(a.Status.Contact).Round(time.Second)
	switch {
	case a.Status.Contact.IsZero():
		r.problem(fix, "the control plane never answered since the agent started: %s", a.Status.Trouble)
	case quiet > quietProblem:
		r.problem(fix, "the control plane last answered %s ago%s", quiet, because(a.Status.Trouble))
	case quiet > quietWarning, a.Status.Trouble != "":
		r.warn(fix, "the control plane last answered %s ago%s", quiet, because(a.Status.Trouble))
	}
	r.fine("the control plane answered %s ago, when the last pass was written down", quiet)
}

func because(trouble string) string {
	if trouble == "" {
		return ""
	}
	return ": " + trouble
}

func bundle(f Facts, r *report) {
	const fix = "latchkey-agent apply fetches a new one"
	a := f.Agent
	switch {
	case !a.Enrolled:
		return
	case a.BundleErr != nil:
		r.problem(fix, "the stored bundle does not open: %v", a.BundleErr)
	case !a.HasBundle:
		r.problem(fix, "no bundle has been received yet: nobody gets in through latchkey")
	}
	if len(a.Ended) > 0 {
		r.warn("latchkey permission set gives a new end, if they should get in", "the permission has ended of %s", few(a.Ended))
	}
	if a.Issued.IsZero() {
		r.fine("the stored bundle opens")
	}
	r.fine("the stored bundle opens; it was made %s ago", f.Now.Sub(a.Issued).Round(time.Second))
}

func lastPass(f Facts, r *report) {
	s := f.Agent.Status
	if s == nil {
		return
	}
	for _, step := range s.Undone {
		r.problem("latchkey-agent apply", "not done in the last pass: %s", step)
	}
	for _, who := range s.Refused {
		r.warn("latchkey-agent explain USER; put right what is in the way", "left out: %s", who)
	}
	if age := f.Now.Sub(s.Pass).Round(time.Second); age > passWarning {
		r.warn("systemctl status latchkey-agent", "the last pass was %s ago", age)
	}
	r.fine("the last pass did everything")
}

func drift(f Facts, r *report) {
	a := f.Agent
	if a.PendingErr != nil {
		r.problem("latchkey-agent plan", "what is to be done is not known: %v", a.PendingErr)
		return
	}
	if !a.Enrolled || !a.HasBundle {
		return
	}
	for _, step := range a.Pending {
		r.problem("latchkey-agent doctor --fix, which makes one pass", "still to be done: %s", step)
	}
	r.fine("the machine is as its stack says")
}

// clock compares with what cannot be in the future: this program and the newest
// bundle.
func clock(f Facts, r *report) {
	const fix = "set the clock: timedatectl set-ntp true, or chronyc makestep"
	if f.Agent.Issued.Sub(f.Now) > clockBehind {
		r.problem(fix, "the clock is at least %s behind: it says %s, and the newest bundle was made at %s",
			f.Agent.Issued.Sub(f.Now).Round(time.Second), stamp(f.Now), stamp(f.Agent.Issued))
	}
	switch {
	case f.Built.IsZero():
	case f.Now.Before(f.Built):
		r.problem(fix, "the clock says %s, which is before this program was made (%s)", stamp(f.Now), stamp(f.Built))
	case f.Now.Sub(f.Built) > clockAhead:
		r.problem(fix, "the clock says %s, more than ten years after this program was made (%s)", stamp(f.Now), stamp(f.Built))
	}
	if f.Host.Unsynced {
		r.warn("timedatectl set-ntp true", "the kernel says that nothing keeps the clock right; permissions end by it")
	}
	r.fine("the clock says %s", stamp(f.Now))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func disk(f Facts, r *report) {
	for _, d := range f.Host.Disks {
		const room = "make room: du -xh / | sort -h | tail; journalctl --vacuum-size=100M"
		switch {
		case d.Err != nil:
			r.problem("look at the mount", "%s is not to be looked at: %v", d.Path, d.Err)
			continue
		case d.ReadOnly:
			r.problem("mount -o remount,rw, after looking at dmesg for why", "%s is on a read-only file system: nothing can be given or taken away", d.Path)
		case d.Bytes < bytesProblem:
			r.problem(room, "%s has %d KiB left", d.Path, d.Bytes>>10)
		case d.Bytes < bytesWarning:
			r.warn(room, "%s has %d MiB left", d.Path, d.Bytes>>20)
		}
		switch {
		case d.TotalInodes == 0:
		case d.Inodes < inodesProblem:
			r.problem("remove files: du --inodes -x / | sort -n | tail", "%s has %d inodes left", d.Path, d.Inodes)
		case d.Inodes < inodesWarning:
			r.warn("remove files: du --inodes -x / | sort -n | tail", "%s has %d inodes left", d.Path, d.Inodes)
		}
	}
	r.fine("there is room on the disk")
}

// files holds sshd's rule (StrictModes, and for the hook always): what it reads,
// and every folder above, belongs to root and nobody else can write there.
func files(f Facts, r *report) {
	if f.Host.FilesErr != nil {
		r.problem("ls -la "+f.Layout.StateDir, "our files do not list: %v", f.Host.FilesErr)
	}
	for _, file := range f.Host.Files {
		switch {
		case file.Odd:
			r.problem("ls -la "+path.Dir(file.Path), "%s is neither a folder nor a plain file with one name", file.Path)
		case file.UID != 0:
			r.problem(file.fix("chown root "), "%s belongs to uid %d and not to root", file.Path, file.UID)
		case file.Mode&0o022 != 0:
			r.problem(file.fix("chmod go-w "), "%s can be written to by others than root (mode %#o): sshd and we refuse what is there", file.Path, file.Mode)
		case file.Private && file.Mode&0o077 != 0:
			r.problem(file.fix("chmod go= "), "%s can be read by others than root (mode %#o)", file.Path, file.Mode)
		case file.Passed && file.Mode&0o001 == 0:
			r.problem(file.fix("chmod o+x "), "the login hook's user does not get through %s (mode %#o)", file.Path, file.Mode)
		}
	}
	r.fine("our files and the folders above them belong to root alone")
}

func (f File) fix(command string) string {
	if f.Ours {
		return "latchkey-agent doctor --fix"
	}
	return command + f.Path
}

func leftovers(f Facts, r *report) {
	if left := f.Host.Leftovers; len(left) > 0 {
		r.warn("latchkey-agent doctor --fix", "files are left of a process that was killed: %s", few(left))
	}
	r.fine("nothing is left of a process that was killed")
}

// selinux reports what would keep sshd from the hook, or the hook from its files.
func selinux(f Facts, r *report) {
	s := f.Host.SELinux
	if s.Mode == "" {
		return
	}
	add := r.warn
	if s.Mode == "enforcing" {
		add = r.problem
	}
	for _, l := range s.Labels {
		if kind := labelType(l.Label); kind == "" || kind == "unlabeled_t" || kind == "default_t" || kind == "file_t" {
			add("restorecon -RFv "+l.Path, "%s has no label of its place (%s): sshd may not reach it", l.Path, orNone(l.Label))
		}
	}
	if n := len(s.Denied); n > 0 {
		add("ausearch -m avc -ts recent; restorecon -RFv "+f.Layout.StateDir+" "+f.Layout.Hook,
			"SELinux is %s and recently denied something of ours %d times, last: %s", s.Mode, n, s.Denied[n-1])
	}
	r.fine("SELinux is %s and denied nothing of ours lately", s.Mode)
}

// labelType is the third part of USER:ROLE:TYPE:LEVEL.
func labelType(label string) string {
	parts := strings.SplitN(label, ":", 4)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}
