package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// proveTime is how long sudo may take to answer about all users of one change. It
// bounds what a revocation waits for: sudo looks up the host's name each time.
const proveTime = 20 * time.Second

// lookSudo says why a rule in our folder would not count, nil when it would
// (requirement R54). sudo-rs is taken like sudo: the proof after each change tells
// whether it reads the file as we mean it.
func (h *Host) lookSudo(ctx context.Context) error {
	if _, err := toolPath("visudo"); errors.Is(err, errNoTool) {
		return plan.ErrSudoMissing
	} else if err != nil {
		return fmt.Errorf("%w: %v", plan.ErrSudoUnseen, err)
	}
	policy, err := h.sudoPolicy(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(policy)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %v", plan.ErrSudoNotRead, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", plan.ErrSudoUnseen, err)
	}
	if folder := filepath.Dir(h.Layout.Sudoers); !includesFolder(string(text), folder) {
		return fmt.Errorf("%w: there is no line  @includedir %s  in %s", plan.ErrSudoNotRead, folder, policy)
	}
	return nil
}

const sudoersFile = "/etc/sudoers"

// sudoPolicy is the main file of the sudo that is installed. sudo-rs has one of
// its own, and reads sudo's where that is missing.
func (h *Host) sudoPolicy(ctx context.Context) (string, error) {
	version, err := h.sudoVersion(ctx)
	if errors.Is(err, errNoTool) {
		return "", plan.ErrSudoMissing
	}
	// Without a policy it ends with 1, but says first what it is.
	switch kind := sudoKind(version); {
	case kind == "" && err != nil && exitCode(err) < 0: // it was not run, or not to its end
		return "", fmt.Errorf("%w: %v", plan.ErrSudoUnseen, err)
	case kind == "" && err != nil:
		return "", fmt.Errorf("%w: %v", plan.ErrSudoOther, err)
	case kind == "":
		return "", plan.ErrSudoOther
	case kind == sudoRS && exists("/etc/sudoers-rs"):
		return "/etc/sudoers-rs", nil
	}
	return sudoersFile, nil
}

// sudoVersion runs sudo once for each program file that is found in its place: it
// looks up the host's name even for this, which is slow where the name service is.
func (h *Host) sudoVersion(ctx context.Context) (string, error) {
	return h.sudo.of("sudo", func() (string, error) { return h.run(ctx, "sudo", "--version") })
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// giveSudo replaces our drop-in after visudo has read the whole policy with the
// new one in its place, and then has sudo say what the policy means (requirements
// R50, R51). If that is not what was meant, no rule stays but those that were in
// force before and still should be.
func (h *Host) giveSudo(ctx context.Context, s plan.Step) error {
	if len(s.Rules) == 0 {
		return nil // everybody it was for fell out
	}
	old, err := h.oldSudoers(s)
	if err != nil {
		return err
	}
	err = h.write(s.Path, plan.SudoersFile(s.Rules), s.Attr, func(candidate string) error {
		return h.checkSudoers(ctx, candidate)
	})
	if err != nil {
		return err
	}
	h.point("sudo.written")
	if err := h.proveSudo(ctx, toProve(plan.ReadSudoers(old), s.Rules)); err != nil {
		return errors.Join(err, h.restoreSudo(s, old))
	}
	return nil
}

func (h *Host) restoreSudo(s plan.Step, old []byte) error {
	kept := plan.Kept(s.Rules, old)
	if len(kept) == 0 {
		return h.Files.Remove(s.Path)
	}
	return h.write(s.Path, plan.SudoersFile(kept), s.Attr, nil)
}

// takeSudo leaves fewer rules. Only our file is read by visudo, not the whole
// policy: somebody else's broken file must not keep a rule in force that has to
// go, and fewer lines of ours cannot clash with anything that more did not. Nor
// does anything come back when sudo does not agree: that is told, and is an alarm.
func (h *Host) takeSudo(ctx context.Context, s plan.Step) error {
	old, err := h.oldSudoers(s)
	if err != nil {
		return err
	}
	err = h.write(s.Path, plan.SudoersFile(s.Rules), s.Attr, func(candidate string) error {
		_, err := h.run(ctx, "visudo", "-c", "-s", "-f", candidate)
		return err
	})
	if err != nil {
		return err
	}
	h.point("sudo.written")
	return h.proveLost(ctx, toProve(plan.ReadSudoers(old), s.Rules))
}

func (h *Host) removeSudo(ctx context.Context, s plan.Step) error {
	old, err := h.oldSudoers(s)
	if err != nil {
		old = nil // whatever it is, it has to go
	}
	if err := h.Files.Remove(s.Path); err != nil {
		return err
	}
	h.point("sudo.written")
	return h.proveLost(ctx, toProve(plan.ReadSudoers(old), nil))
}

func (h *Host) oldSudoers(s plan.Step) ([]byte, error) {
	old, _, err := safefile.Read(s.Path, maxOurFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return old, err
}

// proveLost is proveSudo for a file with less in it. Where there is no sudo any
// more there is nothing that it could give.
func (h *Host) proveLost(ctx context.Context, p proof) error {
	if _, err := h.sudoPolicy(ctx); errors.Is(err, plan.ErrSudoMissing) {
		return nil
	}
	return h.proveSudo(ctx, p)
}

// proveSudo asks sudo what the policy means: the canary, who never had a rule, may
// do nothing; who lost his rule has it no more; who has one may do just what it
// says. It fails with plan.ErrSudoUnproved.
func (h *Host) proveSudo(ctx context.Context, p proof) error {
	ctx, cancel := context.WithTimeoutCause(ctx, proveTime, fmt.Errorf("sudo did not answer about all within %v", proveTime))
	defer cancel()
	if err := h.proveCanary(ctx); err != nil {
		return fmt.Errorf("%w: %w", plan.ErrSudoUnproved, err)
	}
	for _, r := range p.lost {
		if err := h.proveGone(ctx, r); err != nil {
			return fmt.Errorf("%w: %w", plan.ErrSudoUnproved, err)
		}
	}
	for _, r := range p.have {
		if err := h.proveRule(ctx, r); err != nil {
			return fmt.Errorf("%w: %w", plan.ErrSudoUnproved, err)
		}
	}
	return nil
}

// proveCanary asks about the hook's own user, which can have no grant: its name is
// a reserved one. A rule of somebody else that it falls under, as one for all
// users, falls under everybody of ours too.
func (h *Host) proveCanary(ctx context.Context) error {
	canary := h.Layout.HookUser
	if _, found, err := account(canary); err != nil || !found {
		canary = "nobody"
	}
	l, err := h.listSudo(ctx, canary)
	if err == nil && !l.denied {
		err = fmt.Errorf("%s, who has no grant, may run %s", canary, l)
	}
	return err
}

func (h *Host) proveGone(ctx context.Context, r plan.Rule) error {
	if _, found, err := account(r.User.String()); err != nil || !found {
		return err // sudo knows no such user either
	}
	l, err := h.listSudo(ctx, r.User.String())
	if err == nil && l.holds(r) {
		err = fmt.Errorf("%s may still run %s, by a rule that is not ours", r.User, l)
	}
	return err
}

// proveRule looks at the list, in which an expired rule stands too, and has sudo
// decide about a command.
func (h *Host) proveRule(ctx context.Context, r plan.Rule) error {
	l, err := h.listSudo(ctx, r.User.String())
	if err != nil {
		return err
	}
	if !l.gives(r) {
		return fmt.Errorf("%s may run %s, and should %s", r.User, l, r.Listed())
	}
	if command, found := allowed(r.Commands); found {
		if err := h.decideSudo(ctx, r, command...); err != nil {
			return fmt.Errorf("%s may not run a command: %v", r.User, err)
		}
	}
	if r.Commands.IsZero() {
		return nil
	}
	switch err := h.decideSudo(ctx, r, "/bin/sh", outsideLists); {
	case err == nil:
		return fmt.Errorf("%s may run any command, by a rule that is not ours: %s", r.User, l)
	case exitCode(err) != 1:
		return fmt.Errorf("ask sudo about %s: %w", r.User, err)
	}
	return nil
}

// outsideLists is an argument that no list holds: authz.ParseCommand refuses it.
const outsideLists = "=latchkey="

// allowed is a command that a rule allows: of a list the first that this machine has,
// as sudo decides about no other.
func allowed(c authz.Commands) ([]string, bool) {
	if c.IsZero() {
		return []string{"/bin/sh"}, true
	}
	for _, text := range c.List() {
		command := strings.Fields(text)
		info, err := os.Stat(command[0])
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return command, true
		}
	}
	return nil, false
}

// decideSudo has sudo decide whether the user of a rule may run a command; it ends with
// 1 where not.
func (h *Host) decideSudo(ctx context.Context, r plan.Rule, command ...string) error {
	_, err := h.run(ctx, "sudo", append([]string{"-l", "-U", r.User.String(), "--"}, command...)...)
	return err
}

// listSudo asks what a user may do. Newer versions end with 1 where that is nothing.
func (h *Host) listSudo(ctx context.Context, user string) (listing, error) {
	text, err := h.run(ctx, "sudo", "-l", "-U", user)
	var exit *exitError
	if errors.As(err, &exit) {
		text += exit.stderr
	}
	l := readListing(text)
	switch {
	case l.denied && (err == nil || exit != nil && exit.code == 1):
		return l, nil
	case err != nil:
		return l, fmt.Errorf("ask sudo about %s: %w", user, err)
	case len(l.rules) == 0:
		return l, fmt.Errorf("ask sudo about %s: the answer %q is not known", user, oneLine(text))
	}
	return l, nil
}

func (h *Host) checkSudoers(ctx context.Context, candidate string) error {
	folder, ours := filepath.Split(h.Layout.Sudoers)
	folder = strings.TrimSuffix(folder, "/")
	policy, err := h.sudoPolicy(ctx)
	if err != nil {
		return err
	}
	main, err := os.ReadFile(policy)
	if err != nil {
		return fmt.Errorf("read sudo policy: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("read sudo policy: %w", err)
	}
	var files []string
	for _, e := range entries {
		// sudo passes over names with a dot or a trailing ~ and over what is no
		// plain file (sudoers(5)).
		n := e.Name()
		info, err := os.Stat(filepath.Join(folder, n))
		if err == nil && info.Mode().IsRegular() && !strings.Contains(n, ".") && !strings.HasSuffix(n, "~") {
			files = append(files, n)
		}
	}
	staged := filepath.Join(h.Layout.AgentDir, stagedSudo)
	text := stagedSudoers(string(main), folder, files, ours, candidate)
	if _, err := h.Files.Replace(staged, []byte(text), safefile.Attr{Mode: 0o440}, nil); err != nil {
		return err
	}
	// Without -q, which keeps visudo from saying whose file is broken and where.
	_, err = h.run(ctx, "visudo", "-c", "-s", "-f", staged)
	return errors.Join(err, h.Files.Remove(staged))
}
