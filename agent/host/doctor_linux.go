package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/agent/safefile"
)

const (
	// mostAsked bounds the logins about whom sshd, sudo, the name service and the hook
	// are asked: each takes about 0.1 s.
	mostAsked = 8
	// maxSmallFile bounds a configuration file, in bytes.
	maxSmallFile = 1 << 20
	// maxAudit is how much of the end of the audit log is read, in bytes: some
	// thousand records.
	maxAudit = 512 << 10
)

const (
	auditLog   = "/var/log/audit/audit.log"
	selinuxDir = "/sys/fs/selinux"
	pamFolder  = "/etc/pam.d"
	accessFile = "/etc/security/access.conf"
)

// Examine looks at everything that doctor has a check for. It changes nothing, and
// what does not show is a fact too.
func (h *Host) Examine(ctx context.Context, q doctor.Question) doctor.Host {
	f := doctor.Host{
		Leftovers: h.leftovers(), Hook: h.checkHook(), Shells: h.checkShell(), PAM: readPAM(), SELinux: h.seLinux(),
		SSHD: h.examineSSHD(ctx), Sudo: h.examineSudo(ctx), Unsynced: unsynced(),
	}
	f.Systemd, f.Units, f.UnitsErr = h.units(ctx)
	f.AgentRuns = agentRuns()
	for _, path := range []string{h.Layout.StateDir, h.Layout.AccountsDir} {
		f.Disks = append(f.Disks, diskOf(path))
	}
	f.Files, f.FilesErr = h.ourFiles()
	for _, path := range []string{"/etc/nologin", "/run/nologin"} {
		if _, err := os.Lstat(path); err == nil {
			f.NoLogin = append(f.NoLogin, path)
		}
	}
	h.examineLogins(ctx, q, &f)
	return f
}

// units asks systemd for the units of the agent and of sshd. A unit that is an alias
// comes under its own name.
func (h *Host) units(ctx context.Context) (systemd bool, units []doctor.Service, err error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return false, nil, nil
	}
	names := append([]string{doctor.Unit, "ssh.socket", "sshd.socket"}, sshdUnits...)
	text, err := h.run(ctx, "systemctl", append([]string{"show", "--property=Id,LoadState,ActiveState,UnitFileState", "--"}, names...)...)
	return true, readUnits(text), err
}

// readUnits takes apart what systemctl show prints: a block for each unit.
func readUnits(text string) []doctor.Service {
	var units []doctor.Service
	for block := range strings.SplitSeq(text, "\n\n") {
		values := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[key] = value
		}
		if values["Id"] != "" {
			units = append(units, doctor.Service{Name: values["Id"], Load: values["LoadState"], Active: values["ActiveState"], File: values["UnitFileState"]})
		}
	}
	return units
}

// agentRuns looks for a process of root's that was started as the service is.
func agentRuns() bool {
	found := false
	_ = eachProcess(func(pid int, uid uint32) { // an unreadable /proc shows nothing, which is said
		if uid != 0 {
			return
		}
		args := argumentsOf(pid)
		found = found || len(args) > 1 && filepath.Base(args[0]) == "latchkey-agent" && args[1] == "run"
	})
	return found
}

// argumentsOf reads proc(5)'s cmdline, nil when there is none.
func argumentsOf(pid int) []string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	defer f.Close()
	text := make([]byte, 64<<10)
	n, err := f.Read(text)
	if err != nil {
		return nil
	}
	return strings.Split(string(bytes.TrimRight(text[:n], "\x00")), "\x00")
}

// unsynced asks the kernel (adjtimex(2)) and changes nothing.
func unsynced() bool {
	var now unix.Timex
	_, err := unix.Adjtimex(&now)
	return err == nil && now.Status&unix.STA_UNSYNC != 0
}

// diskOf looks at the file system of the path, or of the nearest folder above that
// exists. Only what root may use counts.
func diskOf(path string) doctor.Disk {
	var st unix.Statfs_t
	at := path
	err := unix.Statfs(at, &st)
	for err == unix.ENOENT && at != "/" {
		at = filepath.Dir(at)
		err = unix.Statfs(at, &st)
	}
	if err != nil {
		return doctor.Disk{Path: path, Err: err}
	}
	return doctor.Disk{Path: path, ReadOnly: st.Flags&unix.ST_RDONLY != 0, Bytes: st.Bfree * uint64(st.Bsize), Inodes: st.Ffree, TotalInodes: st.Files}
}

// ourFiles lists what is ours and every folder above it, each once. What is not
// there is left out: a pass makes it or the plan says why not.
func (h *Host) ourFiles() ([]doctor.File, error) {
	l := h.Layout
	list := []doctor.File{{Path: l.Sudoers, Ours: true}, {Path: l.SSHD, Ours: true}, {Path: l.Displaced, Ours: true}}
	var errs []error
	for _, folder := range []string{l.AgentDir, l.KeysDir} {
		private := folder == l.AgentDir
		list = append(list, doctor.File{Path: folder, Ours: true, Private: private})
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			list = append(list, doctor.File{Path: filepath.Join(folder, e.Name()), Ours: true, Private: private})
		}
	}
	for path := l.StateDir; path != "/"; path = filepath.Dir(path) {
		list = append(list, doctor.File{Path: path, Passed: true, Ours: path == l.StateDir})
	}
	for _, path := range []string{l.Sudoers, l.SSHD} {
		for path = filepath.Dir(path); path != "/"; path = filepath.Dir(path) {
			list = append(list, doctor.File{Path: path})
		}
	}
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(f doctor.File) bool {
		twice := seen[f.Path]
		seen[f.Path] = true
		return twice
	})
	for i := range list {
		look(&list[i])
	}
	return slices.DeleteFunc(list, func(f doctor.File) bool { return f.Mode == missing }), errors.Join(errs...)
}

// missing is no mode: permission bits are fewer.
const missing = 1 << 31

// look fills in owner and mode. Only a link that root made where only root can, on
// the way to our folder, is followed, as the writer does.
func look(f *doctor.File) {
	var st unix.Stat_t
	err := unix.Lstat(f.Path, &st)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK && !f.Ours && st.Uid == 0 {
		err = unix.Stat(f.Path, &st)
	}
	if err != nil {
		f.Mode = missing
		return
	}
	f.UID, f.GID, f.Mode = st.Uid, st.Gid, st.Mode&0o7777
	f.Folder = st.Mode&unix.S_IFMT == unix.S_IFDIR
	f.Odd = !f.Folder && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1)
}

// leftovers lists what Clean would remove.
func (h *Host) leftovers() []string {
	l := h.Layout
	var left []string
	for _, folder := range []string{l.AgentDir, l.StateDir, l.KeysDir, filepath.Dir(l.Sudoers), filepath.Dir(l.SSHD)} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // a folder that does not read is a finding of its own
		}
		for _, e := range entries {
			if safefile.Leftover(e.Name()) && e.Type().IsRegular() {
				left = append(left, filepath.Join(folder, e.Name()))
			}
		}
	}
	for _, staged := range []string{stagedSudo, stagedSSHD} {
		path := filepath.Join(l.AgentDir, staged)
		if _, err := os.Lstat(path); err == nil {
			left = append(left, path)
		}
	}
	return left
}

// checkShell says why our accounts can not have their shell: it is not there, not a
// program, or no shell by shells(5), which services beside sshd go by.
func (h *Host) checkShell() error {
	info, err := os.Stat(h.Layout.Shell)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// The shell of every account hangs on it, so a fault of a moment shall not count.
		info, err = os.Stat(h.Layout.Shell)
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 != 0o111 {
		return fmt.Errorf("%s is not a program that all may run", h.Layout.Shell)
	}
	list, err := readSmall(shellsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil // a list that does not read says nothing
	}
	for line := range strings.Lines(list) {
		if path, _, _ := strings.Cut(line, "#"); strings.TrimSpace(path) == h.Layout.Shell {
			return nil
		}
	}
	return fmt.Errorf("%s does not name %s", shellsFile, h.Layout.Shell)
}

// shellsFile is what getusershell(3) reads.
const shellsFile = "/etc/shells"

func (h *Host) examineSudo(ctx context.Context) doctor.Sudo {
	var s doctor.Sudo
	_, err := toolPath("sudo")
	s.Installed = err == nil
	if !s.Installed {
		return s
	}
	_, err = toolPath("visudo")
	s.Visudo = err == nil
	if text, err := h.run(ctx, "sudo", "-V"); err == nil {
		s.Version, _, _ = strings.Cut(text, "\n")
	}
	text, err := readSmall(sudoersFile)
	s.IncludeErr = err
	s.Included = includesFolder(text, filepath.Dir(h.Layout.Sudoers))
	if s.Visudo {
		_, s.Policy = h.run(ctx, "visudo", "-c")
	}
	return s
}

// readSmall reads a plain file of the system's configuration, which may be reached
// by links, and never waits for one that is none.
func readSmall(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, _, err := readPlain(f)
	return text, err
}

// readPlain reads an open file if it is a regular one of at most 1 MiB, and says
// whose it is.
func readPlain(f *os.File) (string, unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", st, fmt.Errorf("look at %s: %w", f.Name(), err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "", st, fmt.Errorf("read %s: %w", f.Name(), safefile.ErrNotRegular)
	case st.Size > maxSmallFile:
		return "", st, fmt.Errorf("read %s: %w", f.Name(), safefile.ErrTooLong)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSmallFile))
	return string(text), st, err
}

// EnableService has systemd start the agent now and with the machine.
func (h *Host) EnableService(ctx context.Context) error {
	if _, err := h.run(ctx, "systemctl", "enable", "--now", "--", doctor.Unit); err != nil {
		return err
	}
	_, err := h.run(ctx, "systemctl", "is-active", "--quiet", "--", doctor.Unit)
	return err
}

// readPAM follows the includes of sshd's service and looks for pam_access among the
// account rules (pam.conf(5)).
func readPAM() doctor.PAM {
	var p doctor.PAM
	seen := map[string]bool{}
	var walk func(service string) error
	walk = func(service string) error {
		if seen[service] || len(seen) > 32 {
			return nil
		}
		seen[service] = true
		text, err := readSmall(filepath.Join(pamFolder, filepath.Base(service)))
		if err != nil {
			return err
		}
		for _, rule := range pamRules(text) {
			if rule.include != "" {
				if err := walk(rule.include); err != nil {
					return err
				}
			}
			p.Access = p.Access || rule.module == "pam_access.so"
		}
		return nil
	}
	if p.Err = walk("sshd"); errors.Is(p.Err, fs.ErrNotExist) && len(seen) == 1 {
		p.Err = nil // sshd without PAM has no service
	}
	if p.Access {
		text, err := readSmall(accessFile)
		p.AccessErr = err
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				p.AccessFile = append(p.AccessFile, line)
			}
		}
	}
	return p
}

// seLinux reads the mode, the labels of what sshd and the hook read, and the end of
// the audit log.
func (h *Host) seLinux() doctor.SELinux {
	var s doctor.SELinux
	enforce, err := os.ReadFile(filepath.Join(selinuxDir, "enforce"))
	if err != nil {
		return s
	}
	s.Mode = "permissive"
	if strings.TrimSpace(string(enforce)) == "1" {
		s.Mode = "enforcing"
	}
	for _, path := range []string{h.Layout.StateDir, h.Layout.KeysDir, h.Layout.Hook} {
		label := make([]byte, 1024)
		n, err := unix.Lgetxattr(path, "security.selinux", label)
		if err == unix.ENOENT {
			continue
		}
		s.Labels = append(s.Labels, doctor.Label{Path: path, Label: strings.TrimRight(string(label[:max(n, 0)]), "\x00")})
	}
	s.Denied = deniedIn(tail(auditLog, maxAudit))
	return s
}

// deniedIn keeps the lines of an audit log that say no to something of ours.
func deniedIn(text string) []string {
	var denied []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "avc:") && strings.Contains(line, "denied") && strings.Contains(line, "latchkey") {
			denied = append(denied, strings.TrimSpace(line))
		}
	}
	return denied
}

// tail reads the end of a file, empty when it does not read.
func tail(path string, most int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text := make([]byte, min(most, info.Size()))
	n, err := f.ReadAt(text, info.Size()-int64(len(text)))
	if err != nil && n == 0 {
		return ""
	}
	return string(text[:n])
}

// accountOf returns the account with its own group's name among its groups, first.
func accountOf(name string, accounts map[string]plan.Account, groups map[string]plan.Group) (*plan.Account, []string) {
	a, found := accounts[name]
	if !found {
		return nil, nil
	}
	all := slices.Clone(a.Groups)
	for _, g := range groups {
		if g.GID == a.GID && !slices.Contains(all, g.Name) {
			all = slices.Insert(all, 0, g.Name)
		}
	}
	return &a, all
}
