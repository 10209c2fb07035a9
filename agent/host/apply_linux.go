package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
)

func (h *Host) apply(ctx context.Context, s plan.Step) error {
	switch s.Op {
	case plan.OpRemoveFile:
		return h.Files.Remove(s.Path)
	case plan.OpTakeBlock:
		return h.setBlock(s)
	case plan.OpTakeSudo:
		return h.takeSudo(ctx, s)
	case plan.OpRemoveSudo:
		return h.removeSudo(ctx, s)
	case plan.OpGiveSudo:
		return h.giveSudo(ctx, s)
	case plan.OpDropGroups:
		return h.dropGroups(ctx, s)
	case plan.OpEndSessions:
		return h.endSessions(ctx, s)
	case plan.OpEndLinger:
		return h.endLinger(ctx, s)
	case plan.OpTakeJobs:
		return h.takeJobs(s)
	case plan.OpQuarantine:
		return h.quarantine(s)
	case plan.OpAdopt:
		return ours(s) // the ledger does the rest
	case plan.OpLock:
		return h.lock(ctx, s)
	case plan.OpRetire:
		return h.retire(ctx, s)
	case plan.OpCreateGroup:
		return h.createGroup(ctx, s.Group)
	case plan.OpCreateHookUser:
		return h.createHookUser(ctx, s.Group)
	case plan.OpMakeFolder:
		attr, err := attrOf(s.Attr)
		if err != nil {
			return err
		}
		return h.Files.Mkdir(s.Path, attr)
	case plan.OpCreateAccount:
		return h.createAccount(ctx, s)
	case plan.OpRepair:
		return h.repair(ctx, s)
	case plan.OpTakeKeys, plan.OpWriteKeys, plan.OpKeepCommand:
		return h.write(s.Path, s.Keys, s.Attr, nil)
	case plan.OpWriteBlock:
		return h.writeBlock(s)
	case plan.OpWriteSSHD:
		return h.putSSHD(ctx, s)
	case plan.OpRemoveSSHD:
		return h.takeSSHD(ctx, s)
	case plan.OpRemoveHome:
		return h.removeHome(ctx, s)
	case plan.OpDeleteAccount:
		return h.deleteAccount(ctx, s)
	case plan.OpGiveBack:
		return h.giveBack(ctx, s)
	case plan.OpDeleteGroup:
		return h.deleteGroup(ctx, s.Group)
	case plan.OpDeleteHookUser:
		return h.deleteUser(ctx, s.Group)
	case plan.OpRemoveFolder:
		return h.Files.RemoveDir(s.Path)
	}
	return fmt.Errorf("step %d: %w", s.Op, errors.ErrUnsupported)
}

// Clean removes what a process that was killed in the middle left in the folders
// where we write, and begins a pass. The caller holds the agent's lock.
func (h *Host) Clean() error {
	l := h.Layout
	h.homes.spent = 0
	errs := []error{h.cleanRoot()}
	for _, folder := range []string{l.AgentDir, l.StateDir, l.KeysDir, l.ArchivedDir, filepath.Dir(l.Sudoers), filepath.Dir(l.SSHD)} {
		errs = append(errs, h.Files.Clean(folder))
	}
	// Where others than root may change the folder of the homes we make none in it.
	if err := h.Files.Clean(l.HomeBase); !errors.Is(err, safefile.ErrUnsafe) {
		errs = append(errs, err)
	}
	for _, staged := range []string{stagedSudo, stagedSSHD} {
		errs = append(errs, h.Files.Remove(filepath.Join(l.AgentDir, staged)))
	}
	return errors.Join(errs...)
}

// The whole policies with a candidate in its place, while they are checked.
const (
	stagedSudo = "sudoers.staged"
	stagedSSHD = "sshd.staged"
)

// ignoreExit passes an exit code that says "already so": shadow's tools use 9
// for a name in use and 6 for a name that does not exist.
func (h *Host) ignoreExit(code int) func(string, error) error {
	return func(_ string, err error) error {
		if exitCode(err) == code {
			return nil
		}
		return err
	}
}

func (h *Host) write(path string, content []byte, attr plan.Attr, check func(string) error) error {
	a, err := attrOf(attr)
	if err != nil {
		return err
	}
	_, err = h.Files.Replace(path, content, a, check)
	return err
}

// attrOf turns names into ids by the account files, not by NSS: a directory
// service must not decide who owns our files.
func attrOf(a plan.Attr) (safefile.Attr, error) {
	text, err := readAll(groupFile)
	if err != nil {
		return safefile.Attr{}, err
	}
	groups, _ := readGroups(text[0])
	g, found := groups[a.Group]
	if !found || a.Owner != "root" {
		return safefile.Attr{}, fmt.Errorf("group %q: %w", a.Group, fs.ErrNotExist)
	}
	return safefile.Attr{UID: 0, GID: int(g.GID), Mode: fs.FileMode(a.Mode)}, nil
}

// account reads one account afresh, to see what a tool really did.
func account(name string) (plan.Account, bool, error) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return plan.Account{}, false, err
	}
	accounts, _ := readAccounts(text[0], text[1], text[2])
	a, found := accounts[name]
	return a, found, nil
}

// lookAccounts reads the account files afresh, to see what a tool really did.
func lookAccounts() (looked, error) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return looked{}, err
	}
	return lookedAt(text[0], text[1], text[2]), nil
}

// ours fails unless the account still has the uid that the plan was made for:
// between looking and acting somebody else may have taken the name.
func ours(s plan.Step) error {
	a, found, err := account(s.User.String())
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("account %s: %w", s.User, fs.ErrNotExist)
	case a.UID != uint32(s.UID):
		return plan.ErrNameTaken
	}
	return nil
}

func (h *Host) usermod(ctx context.Context, s plan.Step, args ...string) error {
	if err := ours(s); err != nil {
		return err
	}
	_, err := h.run(ctx, "usermod", append(args, "--", s.User.String())...)
	return err
}

func (h *Host) dropGroups(ctx context.Context, s plan.Step) error {
	if err := h.usermod(ctx, s, "-G", h.Layout.MarkerGroup); err != nil {
		return err
	}
	a, _, err := account(s.User.String())
	for _, g := range a.Groups {
		if g != a.Name && g != h.Layout.MarkerGroup {
			return fmt.Errorf("account %s is still in group %s after usermod", s.User, g)
		}
	}
	return err
}

func (h *Host) createGroup(ctx context.Context, name string) error {
	if err := h.ignoreExit(9)(h.run(ctx, "groupadd", "--system", "--", name)); err != nil {
		return err
	}
	return proveGroup(name, true)
}

func (h *Host) deleteUser(ctx context.Context, name string) error {
	if err := h.ignoreExit(6)(h.run(ctx, "userdel", "--", name)); err != nil {
		return err
	}
	_, found, err := account(name)
	if err == nil && found {
		err = fmt.Errorf("account %s is still there after userdel", name)
	}
	return errors.Join(err, h.Files.Sync(h.Layout.AccountsDir)) // or it might be there again
}

func (h *Host) deleteGroup(ctx context.Context, name string) error {
	if err := h.ignoreExit(6)(h.run(ctx, "groupdel", "--", name)); err != nil {
		return err
	}
	return errors.Join(proveGroup(name, false), h.Files.Sync(h.Layout.AccountsDir))
}

// proveGroup looks whether a group is there, or is not.
func proveGroup(name string, want bool) error {
	text, err := readAll(groupFile)
	if err != nil {
		return err
	}
	groups, _ := readGroups(text[0])
	switch _, found := groups[name]; {
	case want && !found:
		return fmt.Errorf("group %s is not there after groupadd", name)
	case !want && found:
		return fmt.Errorf("group %s is still there after groupdel", name)
	}
	return nil
}

// lock closes the account and then ends what was started since its sessions were
// ended: from now on nothing new can be.
func (h *Host) lock(ctx context.Context, s plan.Step) error {
	if err := h.usermod(ctx, s, "-L", "-e", "1"); err != nil {
		return err
	}
	if a, _, err := account(s.User.String()); err != nil || !a.Locked() {
		return errors.Join(err, fmt.Errorf("account %s is still open after usermod", s.User))
	}
	h.point("lock.closed")
	return endProcesses(ctx, s)
}

func (h *Host) createHookUser(ctx context.Context, name string) error {
	shell, err := toolPath("nologin")
	if err != nil {
		shell = "/bin/false"
	}
	args := []string{"--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", shell,
		"-G", h.Layout.MarkerGroup}
	text, err := readAll(groupFile)
	if err != nil {
		return err
	}
	// A run that was cut short may have left the group.
	if groups, _ := readGroups(text[0]); groups[name].Name == name {
		args = append(args, "-g", name)
	} else {
		args = append(args, "--user-group")
	}
	if err := h.ignoreExit(9)(h.run(ctx, "useradd", append(args, "--", name)...)); err != nil {
		return err
	}
	_, found, err := account(name)
	if err == nil && !found {
		err = fmt.Errorf("account %s is not there after useradd", name)
	}
	return err
}

// createAccount makes the private group, the account and its home. The password
// is *, which no password matches and which, unlike !, sshd does not take for a
// locked account (requirement R25). What an earlier run left half made goes first.
func (h *Host) createAccount(ctx context.Context, s plan.Step) error {
	before, err := lookToMake(ctx, s)
	if err == nil {
		err = before.taken(s)
	}
	if err != nil {
		return err
	}
	if a, found := before.accounts[s.User.String()]; found {
		if h.made(a, s) == nil {
			return nil // the step is Again, or taken would have refused
		}
		if err := h.deleteAccount(ctx, s); err != nil {
			return err
		}
	}
	return h.useradd(ctx, s)
}

func (h *Host) useradd(ctx context.Context, s plan.Step) error {
	name, uid, home := s.User.String(), s.UID.String(), h.Layout.Home(s.User)
	if h.folders(home)[home].Unread {
		return plan.ErrHomeUnread // useradd would wait for it
	}
	if err := h.ownGroup(ctx, s); err != nil {
		return err
	}
	h.point("account.group")
	// An age of the password, which nobody has, would keep its user out one day (pam_unix(8)).
	_, err := h.run(ctx, "useradd", "--create-home", "--home-dir", home, "--uid", uid, "--gid", uid,
		"--groups", h.Layout.MarkerGroup, "--shell", s.Shell, "--password", "*",
		"--key", "PASS_MAX_DAYS=-1", "--key", "PASS_MIN_DAYS=-1", "--key", "PASS_WARN_AGE=-1",
		"--expiredate", "", "--inactive", "-1", "--comment", "", "--", name)
	if err != nil {
		return err
	}
	h.point("account.user")
	a, _, err := account(name)
	if err != nil {
		return err
	}
	return h.made(a, s)
}

// made says how an account differs from what a step asks for, in all that its user
// needs before he comes (requirement R24).
func (h *Host) made(a plan.Account, s plan.Step) error {
	home := h.Layout.Home(s.User)
	if a.Name != s.User.String() || a.UID != uint32(s.UID) || a.GID != uint32(s.UID) || a.Home != home || a.Shell != s.Shell ||
		a.Password != "*" || a.Expires != 0 || !slices.Contains(a.Groups, h.Layout.MarkerGroup) {
		return fmt.Errorf("account %s is not as it was asked for", s.User)
	}
	seen, made := h.folders(home)[home]
	switch {
	case !made:
		return fmt.Errorf("account %s has no home", s.User)
	case seen.Unread:
		return plan.ErrHomeUnread
	case !seen.Real || seen.UID != uint32(s.UID):
		return plan.ErrHomeForeign
	}
	return nil
}

// ownGroup makes the account's private group, with the uid as its id.
func (h *Host) ownGroup(ctx context.Context, s plan.Step) error {
	text, err := readAll(groupFile)
	if err != nil {
		return err
	}
	groups, _ := readGroups(text[0])
	g, found := groups[s.User.String()]
	switch {
	case found && g.GID == uint32(s.UID):
		return nil
	case found:
		return plan.ErrGroupTaken
	}
	_, err = h.run(ctx, "groupadd", "--gid", s.UID.String(), "--", s.User.String())
	return err
}

func (h *Host) repair(ctx context.Context, s plan.Step) error {
	if err := h.ownGroup(ctx, s); err != nil {
		return err
	}
	if err := h.setPrimary(ctx, s, s.UID.String()); err != nil {
		return err
	}
	home := h.Layout.Home(s.User)
	err := h.usermod(ctx, s, "-p", "*", "-e", "", "-s", s.Shell, "-d", home,
		"-g", s.UID.String(), "-a", "-G", h.Layout.MarkerGroup)
	if err != nil {
		return err
	}
	a, _, err := account(s.User.String())
	if err == nil && (a.Password != "*" || a.Expires != 0 || a.Shell != s.Shell || a.Home != home || a.GID != uint32(s.UID) ||
		!slices.Contains(a.Groups, h.Layout.MarkerGroup)) {
		err = fmt.Errorf("account %s is not as usermod was asked to make it", s.User)
	}
	return err
}

// deleteAccount removes account and private group and keeps the home.
func (h *Host) deleteAccount(ctx context.Context, s plan.Step) error {
	if err := awaitUnmade(ctx, s); err != nil {
		return err
	}
	if err := ours(s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := h.deleteUser(ctx, s.User.String()); err != nil {
		return err
	}
	return h.dropGroup(ctx, s)
}

// dropGroup removes the private group, which userdel leaves where login.defs says so.
func (h *Host) dropGroup(ctx context.Context, s plan.Step) error {
	text, err := readAll(groupFile)
	if err != nil {
		return err
	}
	if groups, _ := readGroups(text[0]); groups[s.User.String()].GID == uint32(s.UID) {
		return h.deleteGroup(ctx, s.User.String())
	}
	return nil
}

// retire moves the home of an earlier user out of the way of the new one and removes
// the account. The home is first: cut short after it, the account is still there to say
// that there is more to do. Both folders are in root's own folder, so no user can put
// a link in the way.
func (h *Host) retire(ctx context.Context, s plan.Step) error {
	if err := awaitUnmade(ctx, s); err != nil {
		return err
	}
	if err := notTaken(s); err != nil {
		return err
	}
	if err := h.keepHome(s); err != nil {
		return err
	}
	h.point("retire.home")
	return h.deleteAccount(ctx, s)
}

func (h *Host) keepHome(s plan.Step) error {
	home := h.Layout.Home(s.User)
	seen := h.folders(home)[home]
	switch {
	case seen.Unread:
		return plan.ErrHomeUnread
	case !seen.Real || seen.UID != uint32(s.UID):
		return nil // gone, or not the user's: not ours to move
	}
	to := s.Home
	for n := 1; ; n++ { // he had the name before, and left it for another
		if _, taken := h.folders(to)[to]; !taken {
			return h.Files.Rename(home, to)
		}
		to = s.Home + "." + strconv.Itoa(n)
	}
}
