package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/agent/doctor"
	"latchkey/agent/plan"
	"latchkey/authz"
)

// hookTime is how long the login hook is waited for; what is slow is a finding long
// before.
const hookTime = 5 * time.Second

// examineLogins looks at who should get in, and asks the system about the first of
// them.
func (h *Host) examineLogins(ctx context.Context, q doctor.Question, f *doctor.Host) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		f.LoginsErr = err
		return
	}
	accounts, groups := readAccounts(text[0], text[1], text[2])
	f.HookUser, _ = accountOf(h.Layout.HookUser, accounts, groups)
	grants := slices.Clone(q.Grants)
	slices.SortFunc(grants, func(a, b authz.Grant) int { return strings.Compare(a.Username.String(), b.Username.String()) })
	var options []string
	if len(f.SSHD.Running) > 0 {
		options = f.SSHD.Running[0].Options
	}
	for _, g := range grants {
		l := doctor.Login{Name: g.Username.String(), UID: uint32(g.UID), Ends: !g.NotAfter.IsZero(), Sudo: g.Sudo, Rule: plan.RuleOf(g).Listed()}
		for _, k := range g.Keys {
			l.KeyTypes = append(l.KeyTypes, k.Type())
		}
		l.Account, l.Groups = accountOf(l.Name, accounts, groups)
		if l.Account != nil && f.Inspected < mostAsked {
			h.ask(ctx, g, &l, f, options)
			f.Inspected = len(f.Logins) + 1
		}
		f.Logins = append(f.Logins, l)
	}
}

// ask asks the name service, sshd, sudo and the hook about one login.
func (h *Host) ask(ctx context.Context, g authz.Grant, l *doctor.Login, f *doctor.Host, options []string) {
	passwd, err := h.run(ctx, "getent", "passwd", "--", l.Name)
	if err != nil && exitCode(err) != 2 { // 2: no such key
		l.NameErr = err
	}
	known, _ := readAccounts(passwd, "", "")
	if a, found := known[l.Name]; found {
		l.Known = &a
	}
	if f.SSHD.Installed {
		l.Settings, l.SettingsErr = h.settingsFor(ctx, l.Name, options)
	}
	if f.Sudo.Installed {
		l.Rules, l.RulesErr = h.run(ctx, "sudo", "-l", "-U", l.Name)
		if exit := (*exitError)(nil); errors.As(l.RulesErr, &exit) {
			l.Rules += exit.stderr
		}
		l.Rules = unescaped(l.Rules)
	}
	if f.Hook == nil && f.HookUser != nil && len(g.Keys) > 0 {
		l.Hook = h.askHook(ctx, g, *f.HookUser)
	}
}

// settingsFor asks sshd what it would use for a user, with the options that the
// running sshd was started with. Address and port are given, because blocks may
// ask for them.
func (h *Host) settingsFor(ctx context.Context, user string, options []string) (map[string][]string, error) {
	args := append(slices.Clone(options), "-T", "-C", "user="+user+",host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22")
	text, err := h.run(ctx, "sshd", args...)
	if err != nil {
		return nil, err
	}
	settings := map[string][]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		settings[key] = append(settings[key], value)
	}
	return settings, nil
}

// askHook asks the login hook for the first key of the account.
func (h *Host) askHook(ctx context.Context, g authz.Grant, as plan.Account) *doctor.Answer {
	start := time.Now()
	lines, err := h.hookLines(ctx, g, as)
	return &doctor.Answer{Took: time.Since(start), Key: strings.Contains(lines, g.Keys[0].String()), Err: err}
}

// ProveHook says in what the installed login hook does not answer for the first key of
// a grant as the grant wants it, nil when it does.
func (h *Host) ProveHook(ctx context.Context, g authz.Grant) error {
	as, found, err := account(h.Layout.HookUser)
	if err == nil && !found {
		err = fmt.Errorf("there is no account %s", h.Layout.HookUser)
	}
	if err != nil {
		return err
	}
	lines, err := h.hookLines(ctx, g, as)
	if err != nil {
		return fmt.Errorf("for %s: %w", g.Username, err)
	}
	if !g.NotAfter.IsZero() && !time.Now().Before(g.NotAfter) {
		return nil // the end came in between
	}
	g.NotAfter = time.Time{} // the hook leaves out an end that is still to come
	if lines != authz.AuthorizedKeysLine(g, g.Keys[0])+"\n" {
		return fmt.Errorf("for %s its answer is another: %d bytes", g.Username, len(lines))
	}
	return nil
}

// hookLines runs the login hook as sshd does: as its own user, without other groups,
// for the first key of the account.
func (h *Host) hookLines(ctx context.Context, g authz.Grant, as plan.Account) (string, error) {
	typ, blob, _ := strings.Cut(g.Keys[0].String(), " ")
	return runAs(ctx, as.UID, as.GID, h.Layout.Hook, g.Username.String(), g.UID.String(), typ, blob)
}

// runAs runs a program as another user, without other groups.
func runAs(ctx context.Context, uid, gid uint32, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = []string{"PATH=" + strings.Join(toolFolders, ":")}, "/", time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	stdout, stderr := &bounded{most: 64 << 10}, &bounded{most: 4 << 10}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("no answer within %s", hookTime)
	case errors.As(err, &exit):
		return "", &exitError{filepath.Base(program), exit.ExitCode(), oneLine(stderr.String())}
	}
	return stdout.String(), err
}

func (h *Host) examineSSHD(ctx context.Context) doctor.SSHD {
	var s doctor.SSHD
	_, err := toolPath("sshd")
	if s.Installed = err == nil; !s.Installed {
		return s
	}
	s.Endless, s.EndlessErr = h.sshdEndless(ctx)
	s.Running = listeningSSHD()
	var options []string
	if len(s.Running) > 0 {
		options = s.Running[0].Options
	}
	_, s.Test = h.run(ctx, "sshd", append(slices.Clone(options), "-t")...)
	main := h.Layout.SSHDConfig
	if at := slices.Index(options, "-f"); at >= 0 {
		main = options[at+1]
	}
	r := configReader{base: filepath.Dir(h.Layout.SSHDConfig)}
	s.LinesErr = r.read(main, "", 0)
	s.Lines = r.lines
	return s
}

// Bounds of what is read of sshd's configuration. The depth is sshd's own.
const (
	maxInclude     = 16
	maxConfigFiles = 256
)

// configReader follows the includes of sshd's configuration as sshd does: in order,
// the files of a pattern by name, relative to the folder of the main file.
type configReader struct {
	base  string
	lines []doctor.Line
	files int
}

func (r *configReader) read(path, match string, depth int) error {
	if r.files++; depth > maxInclude || r.files > maxConfigFiles {
		return fmt.Errorf("read %s: too many files are included", path)
	}
	text, err := readSmall(path)
	if err != nil {
		return err
	}
	for _, line := range doctor.ConfigLines(path, text, match) {
		r.lines = append(r.lines, line)
		if line.Key != "include" {
			continue
		}
		for _, pattern := range strings.Fields(line.Value) {
			if pattern = strings.Trim(pattern, `"`); !filepath.IsAbs(pattern) {
				pattern = filepath.Join(r.base, pattern)
			}
			names, err := filepath.Glob(pattern)
			if err != nil {
				continue // sshd finds nothing by it either
			}
			for _, name := range names {
				if err := r.read(name, line.Match, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// listeningSSHD looks for sshds of root's in our own process space: others are those
// of containers.
func listeningSSHD() []doctor.Process {
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return nil
	}
	var running []doctor.Process
	_ = eachProcess(func(pid int, uid uint32) { // an unreadable /proc shows nothing, which is said
		if uid != 0 {
			return
		}
		options, ok := sshdOptions(argumentsOf(pid))
		if !ok {
			return
		}
		if theirs, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid"); err == nil && theirs == space {
			running = append(running, doctor.Process{PID: pid, Options: options})
		}
	})
	return running
}
