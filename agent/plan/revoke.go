package plan

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"latchkey/authz"
)

// Taking away comes first in a plan, and waits for nothing that gives.

// leaver is an account of ours that must not be usable. Where somebody made another
// account of its name, or of its uid, what bears that is not its own any more.
type leaver struct {
	user              authz.Username
	own               Owned
	exist             bool
	nameLost, uidLost bool
}

// leavers are found once, after all are admitted.
func (d *differ) leavers() []leaver {
	if d.gone == nil {
		d.gone = new(d.findLeavers())
	}
	return *d.gone
}

func (d *differ) findLeavers() []leaver {
	stay := make(map[authz.Username]authz.UID, len(d.admitted))
	for _, g := range d.admitted {
		stay[g.Username] = g.UID
	}
	var out []leaver
	for user, own := range d.owned.Accounts {
		if uid, stays := stay[user]; stays && uid == own.UID {
			continue
		}
		a := leaver{user: user, own: own}
		account, found := d.have.Accounts[user.String()]
		a.exist = found && account.UID == uint32(own.UID)
		if a.nameLost = found && !a.exist; !a.exist {
			a.uidLost = len(d.holders().uids[uint32(own.UID)]) > 0
		}
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].user.String() < out[j].user.String() })
	return out
}

func (d *differ) takeAway() {
	d.takeKeys()
	d.takeBlocks()
	d.takeDisplaced()
	d.takeSudo()
	d.close(d.leavers())
}

// close makes accounts unusable, in the order of requirement R29.
func (d *differ) close(gone []leaver) {
	for _, a := range gone {
		if groups := d.extraGroups(a); len(groups) > 0 {
			d.step(Step{Op: OpDropGroups, User: a.user, UID: a.own.UID, Why: strings.Join(groups, ", ")})
		}
	}
	for _, a := range gone {
		if n := d.have.Processes[a.own.UID]; n > 0 && !a.uidLost {
			d.step(Step{Op: OpEndSessions, User: a.user, UID: a.own.UID, Why: count(n, "process", "processes")})
		}
	}
	for _, a := range gone {
		d.unschedule(a)
	}
	d.takeForeign()
	for _, a := range gone {
		if a.exist && !d.have.Accounts[a.user.String()].Locked() {
			d.step(Step{Op: OpLock, User: a.user, UID: a.own.UID})
		}
	}
	for _, a := range gone {
		if d.heirs[a.user] && !(d.homeGoes(a) && (a.exist || d.homeOf(a.user, a.own.UID))) {
			d.step(Step{Op: OpRetire, User: a.user, UID: a.own.UID, Home: d.layout.OldHome(a.user, a.own.UID)})
		}
	}
}

// unschedule takes away what would start for an account again without a login.
func (d *differ) unschedule(a leaver) {
	s := d.have.Scheduled[a.user]
	if s.Linger && !a.nameLost {
		d.step(Step{Op: OpEndLinger, User: a.user, UID: a.own.UID})
	}
	var jobs, why []string
	if len(s.Crontabs) > 0 && !a.nameLost {
		jobs, why = append(jobs, s.Crontabs...), append(why, "crontab")
	}
	if len(s.AtJobs) > 0 && !a.uidLost {
		jobs, why = append(jobs, s.AtJobs...), append(why, count(len(s.AtJobs), "at job", "at jobs"))
	}
	if len(jobs) > 0 {
		d.step(Step{Op: OpTakeJobs, User: a.user, UID: a.own.UID, Jobs: jobs, Path: d.layout.Revoked(a.user, a.own.UID),
			Why: strings.Join(why, " and ")})
	}
}

// takeKeys removes every file in our key folder that is nobody's. The folder is
// ours, so a file that we did not write there goes too.
func (d *differ) takeKeys() {
	keep := make(map[string]bool, len(d.admitted))
	for _, g := range d.admitted {
		keep[g.path] = true
	}
	var paths []string
	for path, f := range d.have.Files {
		if strings.HasPrefix(path, d.layout.KeysDir+"/") && !keep[path] && !f.Folder {
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	for _, path := range paths {
		d.step(Step{Op: OpRemoveFile, Path: path})
	}
	d.takeSomeKeys()
}

// takeSomeKeys puts right the key files that hold what they should not: a key that
// goes, or an end that comes sooner, waits for no account to be made or repaired.
func (d *differ) takeSomeKeys() {
	d.keysWritten = map[string]bool{}
	attr := d.layout.keyFileAttr()
	_, reader := d.have.Groups[attr.Group]
	for _, g := range d.admitted {
		path := g.path
		f, found := d.have.Files[path]
		if !found || f.Folder || f.Odd || !losesLines(f.Content, g.keys) {
			continue
		}
		if _, exists := d.have.Accounts[g.Username.String()]; !exists || !reader {
			// It is written again when there is an account to write it for, which is not made
			// while it stays.
			d.step(Step{Op: OpRemoveFile, User: g.Username, UID: g.UID, Path: path})
			continue
		}
		d.keysWritten[path] = true
		d.step(Step{Op: OpTakeKeys, User: g.Username, UID: g.UID, Path: path, Keys: g.keys, Attr: attr, Why: "holds what it should not"})
	}
}

// losesLines reports whether the old text has a line that the new one has not.
func losesLines(old, next []byte) bool {
	if bytes.Equal(old, next) {
		return false
	}
	known := map[string]bool{}
	for line := range bytes.Lines(next) {
		known[string(line)] = true
	}
	for line := range bytes.Lines(old) {
		if !known[string(line)] {
			return true
		}
	}
	return false
}

// takeSudo takes rules away, and lines that are not ours, without giving any: the
// file is rewritten with what it already says and should still say, or removed.
func (d *differ) takeSudo() {
	file, found := d.have.Files[d.layout.Sudoers]
	if !found || !d.owned.Sudoers {
		return
	}
	rules := rulesOf(d.admitted)
	stay := d.inForce(rules)
	if len(stay) == 0 {
		d.step(Step{Op: OpRemoveSudo, Path: d.layout.Sudoers})
		d.sudoTaken = true
		return
	}
	if string(SudoersFile(stay)) == string(file.Content) {
		return // nothing to take: give, below, writes the whole file if it differs
	}
	d.step(Step{Op: OpTakeSudo, Path: d.layout.Sudoers, Rules: stay, Attr: sudoersAttr(), Why: sudoFor(stay) + " only"})
	d.sudoTaken, d.sudoWritten = true, len(stay) == len(rules)
}

// inForce is what of the rules our file gives already, to accounts that are there: one
// for a name that is gone would be for whoever comes to bear it. A file that could not
// be read is taken to give all of them: nobody who keeps sudo is to lose it for that.
func (d *differ) inForce(rules []Rule) []Rule {
	stay := slices.Clone(rules)
	if file := d.have.Files[d.layout.Sudoers]; !file.Unread {
		stay = Kept(rules, file.Content)
	}
	return slices.DeleteFunc(stay, func(r Rule) bool {
		_, exists := d.have.Accounts[r.User.String()]
		return !exists
	})
}

func (d *differ) extraGroups(a leaver) []string {
	if !a.exist {
		return nil
	}
	return d.extra(d.have.Accounts[a.user.String()])
}

// extra lists the groups of an account beyond its own and the marker.
func (d *differ) extra(a Account) []string {
	var out []string
	for _, g := range a.Groups {
		if g != a.Name && g != d.layout.MarkerGroup {
			out = append(out, g)
		}
	}
	return out
}
