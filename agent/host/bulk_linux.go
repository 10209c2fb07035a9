package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
)

func (h *Host) applyAll(ctx context.Context, steps []plan.Step) []error {
	if steps[0].Op == plan.OpWriteKeys {
		return h.writeAll(steps)
	}
	return h.createAccounts(ctx, steps)
}

// writeAll writes files that are in one folder and have one owner and mode.
func (h *Host) writeAll(steps []plan.Step) []error {
	attr, err := attrOf(steps[0].Attr)
	if err != nil {
		return slices.Repeat([]error{err}, len(steps))
	}
	files := make([]safefile.File, len(steps))
	for i, s := range steps {
		files[i] = safefile.File{Name: filepath.Base(s.Path), Content: s.Keys, Attr: attr}
	}
	return h.Files.ReplaceAll(filepath.Dir(steps[0].Path), files)
}

// createAccounts makes accounts by few runs of systemd-sysusers and of chpasswd, each
// for all of them, and their homes itself: useradd reads and writes the account files
// anew for each. What comes out is what createAccount makes with useradd, but for
// subordinate ids (subuid(5)), which these accounts have not. Where the machine asks for
// something of useradd that this does not do, useradd makes them.
//
// systemd-sysusers passes over a name that exists and takes another id where the one
// wanted is taken. So it makes groups first, then accounts for the groups that turned
// out right, and then members of the accounts that did: nothing of others is ever given
// to an account of ours, or the other way round. What is not right at the end and is
// nobody else's is left to createAccount.
func (h *Host) createAccounts(ctx context.Context, steps []plan.Step) []error {
	var errs []error
	for len(steps) > 0 {
		now, err := lookToMake(ctx, steps...)
		if err != nil {
			return append(errs, slices.Repeat([]error{err}, len(steps))...)
		}
		some := steps[:min(len(steps), atOnce(len(now.accounts)))]
		steps = steps[len(some):]
		h.tell(some[0])
		errs = append(errs, h.createSome(ctx, some)...)
	}
	return errs
}

func (h *Host) createSome(ctx context.Context, steps []plan.Step) []error {
	b := bulk{Host: h, steps: slices.Clone(steps), errs: make([]error, len(steps)), left: make([]bool, len(steps))}
	if err := b.begin(ctx); err == nil {
		b.run(ctx)
	}
	after, err := lookAccounts()
	for i, s := range b.steps {
		switch {
		case b.errs[i] != nil:
		case err != nil:
			b.errs[i] = err
		case h.made(after.accounts[s.User.String()], s) != nil:
			h.tell(s)
			b.errs[i] = h.createAccount(ctx, s)
		}
	}
	return b.errs
}

// bulk is the making of many accounts.
type bulk struct {
	*Host
	steps  []plan.Step
	errs   []error // why one cannot be made
	left   []bool  // those that are right so far
	before looked
	model  safefile.Model // of a home
	mode   fs.FileMode    // of a home
}

var errByUseradd = errors.New("useradd does something here that is not done in bulk")

// begin sorts out who is in it. Its error says why nobody can be.
func (b *bulk) begin(ctx context.Context) (err error) {
	if err := b.able(ctx); err != nil {
		return err
	}
	if b.before, err = lookAccounts(); err != nil {
		return err
	}
	for i, s := range b.steps {
		b.errs[i] = errors.Join(b.before.taken(s), b.homeTaken(s))
		b.left[i] = b.errs[i] == nil
	}
	return nil
}

// able says why useradd has to make accounts here.
func (b *bulk) able(ctx context.Context) error {
	if version, err := b.Host.run(ctx, "systemctl", "--version"); err != nil || !soundSysusers(version) {
		return errByUseradd
	}
	for _, tool := range []string{"systemd-sysusers", "chpasswd"} {
		if _, err := toolPath(tool); err != nil {
			return err
		}
	}
	text, err := readAll(passwdFile, shadowFile, groupFile, gshadowFile)
	if err != nil {
		return err
	}
	defaults, err := optional("/etc/default/useradd")
	if err != nil {
		return err
	}
	logins, err := optional("/etc/login.defs")
	if err != nil {
		return err
	}
	// SELinux: useradd knows what a home has to be labelled.
	if exists("/sys/fs/selinux/enforce") || !plainUseradd(defaults) || !plainAccounts(text[0], text[1], text[2], text[3]) {
		return errByUseradd
	}
	if b.mode, err = homeMode(logins); err != nil {
		return err
	}
	if b.model, err = safefile.ReadModel(skeleton, maxSkeleton); err != nil {
		return err
	}
	return b.Files.Clean(b.Layout.HomeBase) // refuses a folder in which we would make none
}

const (
	gshadowFile = "/etc/gshadow"
	maxSkeleton = 1 << 20 // bytes, as often as there are homes
)

// run takes everybody from one stage to the next. A tool that does not end well ends
// it: what it did is looked at in any case.
func (b *bulk) run(ctx context.Context) {
	stages := []struct {
		name string
		do   func(context.Context) error
	}{{"groups", b.groups}, {"users", b.users}, {"members", b.members}, {"passwords", b.passwords}, {"homes", b.homes}}
	for _, stage := range stages {
		if !slices.Contains(b.left, true) || stage.do(ctx) != nil {
			return
		}
		b.point("accounts." + stage.name)
	}
}

func (b *bulk) groups(ctx context.Context) error {
	line := func(s plan.Step) string { return "g " + s.User.String() + " " + s.UID.String() }
	return b.make(ctx, line, func(after looked, s plan.Step) bool {
		_, found := after.groups[s.User.String()]
		return found
	})
}

func (b *bulk) users(ctx context.Context) error {
	for i := range b.steps {
		b.steps[i].Again = b.steps[i].Again || b.left[i] // from now on an account that is there is ours
	}
	line := func(s plan.Step) string {
		return fmt.Sprintf("u %s %s:%s - %s %s", s.User, s.UID, s.UID, b.Layout.Home(s.User), s.Shell)
	}
	return b.make(ctx, line, func(after looked, s plan.Step) bool {
		a, found := after.accounts[s.User.String()]
		return found && a.GID == uint32(s.UID) && a.Home == b.Layout.Home(s.User) && a.Shell == s.Shell && a.Expires == 0
	})
}

// make has systemd-sysusers make something for each that is left and looks what came
// of it. Those are left for whom it is right, and nothing is anybody else's.
func (b *bulk) make(ctx context.Context, line func(plan.Step) string, right func(looked, plan.Step) bool) error {
	ran := b.sysusers(ctx, line)
	after, err := lookAccounts()
	if err != nil {
		return err
	}
	for i, s := range b.steps {
		if !b.left[i] {
			continue
		}
		if why := after.taken(s); why != nil {
			b.errs[i] = errors.Join(why, b.undo(ctx, after, s, why))
		}
		b.left[i] = b.errs[i] == nil && right(after, s)
	}
	return ran
}

// undo removes what was made for somebody who falls out: under a name that was free
// before, with the id wanted, or with another where systemd-sysusers had a reason to
// take one. What differs otherwise was made by somebody else.
func (b *bulk) undo(ctx context.Context, after looked, s plan.Step, why error) error {
	name, id := s.User.String(), uint32(s.UID)
	other := errors.Is(why, plan.ErrUIDTaken) || errors.Is(why, plan.ErrGIDTaken)
	var errs []error
	a, found := after.accounts[name]
	if _, old := b.before.accounts[name]; found && !old && a.UID != id && other {
		errs = append(errs, b.deleteUser(ctx, name))
	}
	g, found := after.groups[name]
	if _, old := b.before.groups[name]; found && !old && (g.GID == id || other) {
		errs = append(errs, b.deleteGroup(ctx, name))
	}
	return errors.Join(errs...)
}

func (b *bulk) members(ctx context.Context) error {
	return b.sysusers(ctx, func(s plan.Step) string { return "m " + s.User.String() + " " + b.Layout.MarkerGroup })
}

// sysusers has systemd-sysusers do one line (sysusers.d(5)) for each that is left.
//
// With a root of its own it asks the files alone. It would ask the name services about
// each name and id otherwise, which takes ten times as long; the plan has asked them.
func (b *bulk) sysusers(ctx context.Context, line func(plan.Step) string) error {
	_, err := b.feed(ctx, b.lines(line), "systemd-sysusers", "--root=/", "-")
	return err
}

func (b *bulk) lines(line func(plan.Step) string) string {
	var text strings.Builder
	for i, s := range b.steps {
		if b.left[i] {
			text.WriteString(line(s) + "\n")
		}
	}
	return text.String()
}

// passwords opens the accounts, which systemd-sysusers makes locked.
func (b *bulk) passwords(ctx context.Context) error {
	_, err := b.feed(ctx, b.lines(func(s plan.Step) string { return s.User.String() + ":*" }), "chpasswd", "-e")
	return err
}

// homes makes those that are not there.
func (b *bulk) homes(context.Context) error {
	var who []int
	var homes []safefile.Folder
	for i, s := range b.steps {
		if b.left[i] && !exists(b.Layout.Home(s.User)) {
			who = append(who, i)
			homes = append(homes, safefile.Folder{Name: s.User.String(), Attr: safefile.Attr{UID: int(s.UID), GID: int(s.UID), Mode: b.mode}})
		}
	}
	for at, err := range b.Files.MakeCopies(b.Layout.HomeBase, b.model, homes) {
		b.errs[who[at]] = err
	}
	return nil
}

// homeTaken says whether a home is there and is not the user's (requirement R23).
func (b *bulk) homeTaken(s plan.Step) error {
	info, err := os.Lstat(b.Layout.Home(s.User))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir() || ownerOf(info) != uint32(s.UID):
		return plan.ErrHomeForeign
	}
	return nil
}
