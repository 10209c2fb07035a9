package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
)

// Locals returns the accounts of the account files by name, each with what giving it
// back needs, and the names of those whose primary group is the one asked for.
func (h *Host) Locals(group string) (all map[string]plan.Local, members []string, err error) {
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return nil, nil, err
	}
	accounts, groups := readAccounts(text[0], text[1], text[2])
	all = make(map[string]plan.Local, len(accounts))
	for name, a := range accounts {
		_, own := groups[name]
		local := plan.Local{Account: a, Before: plan.Before{Passwd: lineOf(text[0], name), Shadow: lineOf(text[1], name),
			Groups: append([]string{}, a.Groups...), OwnGroup: own}}
		for _, p := range privileged {
			if g, found := groups[p]; found && (g.GID == a.GID || slices.Contains(a.Groups, p)) {
				local.Privileged = append(local.Privileged, p)
			}
		}
		all[name] = local
		if g, found := groups[group]; found && g.GID == a.GID {
			members = append(members, name)
		}
	}
	slices.Sort(members)
	return all, members, nil
}

// lineOf returns the first line about a name in an account file.
func lineOf(text, name string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+":") {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

// giveBack makes an adopted account what it was. The private group goes if it was made
// for it; files that it got meanwhile keep its number.
func (h *Host) giveBack(ctx context.Context, s plan.Step) error {
	passwd, shadow := strings.Split(s.Before.Passwd, ":"), strings.Split(s.Before.Shadow, ":")
	if len(passwd) != 7 || len(shadow) != 9 {
		return errors.New("what the account was is not known")
	}
	if err := h.setPrimary(ctx, s, passwd[3]); err != nil {
		return err
	}
	groups, err := stillThere(s.Before.Groups)
	if err != nil {
		return err
	}
	if err := h.usermod(ctx, s, "-d", passwd[5], "-s", passwd[6], "-G", groups); err != nil {
		return err
	}
	if !s.Closed {
		if err := h.setShadow(ctx, s, shadow); err != nil {
			return err
		}
	}
	text, err := readAll(passwdFile, shadowFile, groupFile)
	if err != nil {
		return err
	}
	name := s.User.String()
	if lineOf(text[0], name) != s.Before.Passwd || !s.Closed && lineOf(text[1], name) != s.Before.Shadow {
		return fmt.Errorf("account %s is not as it was", s.User)
	}
	if all, _ := readGroups(text[2]); all[name].GID == uint32(s.UID) && !s.Before.OwnGroup {
		return h.deleteGroup(ctx, name)
	}
	return nil
}

// stillThere lists the groups that there still are, as usermod takes them.
func stillThere(names []string) (string, error) {
	text, err := readAll(groupFile)
	if err != nil {
		return "", err
	}
	groups, _ := readGroups(text[0])
	var there []string
	for _, n := range names {
		if _, found := groups[n]; found {
			there = append(there, n)
		}
	}
	return strings.Join(there, ","), nil
}

// setShadow gives an account back its password, the day it was set and the day the
// account expires. A hash does not go through an argument, which everybody can read.
func (h *Host) setShadow(ctx context.Context, s plan.Step, shadow []string) error {
	args := []string{"-e", shadow[7]}
	secret := len(strings.Trim(shadow[1], "!*")) > 0
	if !secret {
		args = append(args, "-p", shadow[1])
	}
	if err := h.usermod(ctx, s, args...); err != nil {
		return err
	}
	if secret {
		if _, err := h.feed(ctx, s.User.String()+":"+shadow[1]+"\n", "chpasswd", "-e"); err != nil {
			return err
		}
	}
	day := shadow[2]
	if day == "" {
		day = "-1"
	}
	if err := ours(s); err != nil {
		return err
	}
	_, err := h.run(ctx, "chage", "-d", day, "--", s.User.String())
	return err
}

// accountRoot is a folder of ours in which etc is a link to the real one, and nothing
// else.
const accountRoot = "accounts"

// setPrimary gives an account another primary group. usermod would then give every file
// of the home that has the old group the new one, walking by name through what the user
// could have filled with links, which requirement R23 rules out. With a prefix under
// which there is no home it finds none. It does not take the system's lock then, so that
// is done here.
func (h *Host) setPrimary(ctx context.Context, s plan.Step, gid string) error {
	if err := ours(s); err != nil {
		return err
	}
	a, _, err := account(s.User.String())
	if err != nil || strconv.FormatUint(uint64(a.GID), 10) == gid {
		return err
	}
	group, err := groupOf(gid)
	if err != nil {
		return err
	}
	root := filepath.Join(h.Layout.AgentDir, accountRoot)
	if err := h.Files.Mkdir(root, safefile.Attr{Mode: 0o700}); err != nil {
		return err
	}
	if err := h.Files.Link(filepath.Join(root, "etc"), h.Layout.AccountsDir); err != nil {
		return err
	}
	if err := errors.Join(h.usermodIn(ctx, root, "-g", group, "--", s.User.String()), h.cleanRoot()); err != nil {
		return err
	}
	a, _, err = account(s.User.String())
	if err == nil && strconv.FormatUint(uint64(a.GID), 10) != gid {
		err = fmt.Errorf("account %s has the group %d after usermod", s.User, a.GID)
	}
	return err
}

// groupOf is the name of a group: with a prefix and a number, usermod of shadow 4.17
// crashes.
func groupOf(gid string) (string, error) {
	now, err := lookAccounts()
	for name, g := range now.groups {
		if strconv.FormatUint(uint64(g.GID), 10) == gid {
			return name, err
		}
	}
	return "", errors.Join(err, fmt.Errorf("there is no group with the id %s", gid))
}

// usermodIn runs usermod with a prefix, under the system's lock.
func (h *Host) usermodIn(ctx context.Context, root string, args ...string) (err error) {
	release, err := h.lockAccounts(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	_, err = h.run(ctx, "usermod", append([]string{"--prefix", root}, args...)...)
	return err
}

// cleanRoot removes the folder of setPrimary.
func (h *Host) cleanRoot() error {
	root := filepath.Join(h.Layout.AgentDir, accountRoot)
	if err := h.Files.Unlink(filepath.Join(root, "etc")); err != nil {
		return err
	}
	return h.Files.RemoveDir(root)
}

// lockFile is what lckpwdf(3) locks, and with it every tool of shadow.
const lockFile = ".pwd.lock"

// lockAccounts takes that lock. Tools of the system wait for it up to 15 s, and so does
// this.
func (h *Host) lockAccounts(ctx context.Context) (release func() error, err error) {
	const wait, poll = 15 * time.Second, 20 * time.Millisecond
	for deadline := time.Now().Add(wait); ; {
		release, err := safefile.LockRecord(filepath.Join(h.Layout.AccountsDir, lockFile))
		if !errors.Is(err, safefile.ErrLocked) || time.Now().After(deadline) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(poll):
		}
	}
}

// Leftovers lists what OpsWorks left that lets people in, with what to do about each. It
// changes nothing.
func (h *Host) Leftovers(ctx context.Context, owned plan.Ledger) ([]Leftover, error) {
	in, err := h.Inventory(ctx, owned)
	if err != nil {
		return nil, err
	}
	local, members, err := h.Locals(OpsWorksGroup)
	if err != nil {
		return nil, err
	}
	// Adopted ones have a group of their own by now.
	accounts := map[string]plan.Account{}
	for name, a := range local {
		accounts[name] = a.Account
	}
	for user, own := range owned.Accounts {
		if own.Before != nil {
			members = append(members, user.String())
		}
	}
	policy, err := readAll(sudoersFile)
	if err != nil {
		policy = []string{""} // no sudo here
	}
	return leftovers(in, sudoersFile, policy[0], accounts, members), nil
}
