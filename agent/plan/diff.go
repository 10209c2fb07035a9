package plan

import (
	"bytes"
	"slices"
	"sort"
	"strconv"
	"strings"

	"latchkey/authz"
)

// Desired is what a machine should be.
type Desired struct {
	Grants   []authz.Grant // valid now, sorted by name
	Rejected []Refused     // users the bundle's reading refused
	SSHD     bool          // our sshd drop-in should be in
	KeysMode KeysMode      // how sshd should get keys then
	Leave    Leave
	// Unmanaged is what becomes of keys that others put into homes of our accounts;
	// MinRSABits is asked of those that are adopted.
	Unmanaged  Unmanaged
	MinRSABits int
}

// Diff returns what turns the observed machine into the desired one, touching
// only what the ledger names or the steps will make. Its plan is empty when there
// is nothing to do. The order is: keys, sudo, groups, sessions and account of
// everybody who leaves; then the machine's own needs; then accounts, keys and
// sudo of everybody who comes or whose things were changed.
func Diff(have State, want Desired, owned Ledger, l Layout) Plan {
	d := differ{have: have, want: want, owned: owned, layout: l, heirs: map[authz.Username]bool{}}
	d.plan.Refused = append(d.plan.Refused, want.Rejected...)
	if want.SSHD && want.KeysMode.AsksHook() && have.Hook != nil {
		d.plan.Refused = append(d.plan.Refused, Refused{"everybody", have.Hook})
	}
	d.admit()
	d.takeAway()
	d.prepare()
	d.give()
	if d.switching() {
		d.writeSSHD()
	}
	d.removeGone()
	return d.plan
}

// differ carries the arguments of one Diff.
type differ struct {
	have     State
	want     Desired
	owned    Ledger
	layout   Layout
	admitted []admitted
	// keysWritten are the key files that a step which takes keys away leaves as wanted.
	keysWritten map[string]bool
	// sudoTaken says that a step takes rules away, sudoWritten that it leaves exactly
	// those wanted.
	sudoTaken, sudoWritten bool
	// heirs are names whose account, or what is left of it, still belongs to an
	// earlier user: that one goes in this plan, the new account comes in the next.
	heirs map[authz.Username]bool
	held  *holders // of have; nil until somebody asks
	plan  Plan
}

// holders are found once: whoever is new asks for two ids.
func (d *differ) holders() *holders {
	if d.held == nil {
		d.held = d.have.holders()
	}
	return d.held
}

// admitted is a grant that this machine can honour, with its key file.
type admitted struct {
	authz.Grant
	keys []byte
}

func (d *differ) step(s Step) { d.plan.Steps = append(d.plan.Steps, s) }

// admit sorts out the grants this machine cannot honour, each with its reason.
func (d *differ) admit() {
	for _, g := range d.want.Grants {
		if err := d.clash(g); err != nil {
			d.plan.Refused = append(d.plan.Refused, Refused{g.Username.String(), err})
			continue
		}
		if d.waits(g) {
			d.heirs[g.Username] = true
			continue
		}
		g = d.withAdopted(g)
		keys, err := keyFile(g)
		if err != nil {
			d.plan.Refused = append(d.plan.Refused, Refused{g.Username.String(), err})
			continue
		}
		if err := d.noSudoFor(g); g.Sudo && err != nil {
			d.plan.Refused = append(d.plan.Refused, Refused{g.Username.String(), err})
			g.Sudo = false
		}
		d.admitted = append(d.admitted, admitted{g, keys})
	}
}

// waits reports whether the account of an earlier user of the name has to go first, or
// what is left of it where others removed it or its removal was cut short.
func (d *differ) waits(g authz.Grant) bool {
	if account, exists := d.have.Accounts[g.Username.String()]; exists {
		return account.UID != uint32(g.UID)
	}
	own, ours := d.owned.Accounts[g.Username]
	group, left := d.have.Groups[g.Username.String()]
	return ours && own.UID != g.UID && (d.homeOf(g.Username, own.UID) || left && group.GID == uint32(own.UID))
}

// homeOf reports whether the home is a folder and the uid's.
func (d *differ) homeOf(u authz.Username, uid authz.UID) bool {
	home, found := d.have.Homes[d.layout.Home(u)]
	return found && home.Real && home.UID == uint32(uid)
}

// noSudoFor says why this machine cannot give sudo as a grant has it, nil when it
// can. One rule that sudo does not read would keep out those of all others.
func (d *differ) noSudoFor(g authz.Grant) error {
	err := d.noSudo()
	if err == nil && d.have.SudoEndless && !g.NotAfter.IsZero() {
		err = ErrSudoEnd
	}
	return err
}

// noSudo says why this machine cannot give sudo to anybody, nil when it can.
func (d *differ) noSudo() error {
	if _, found := d.have.Files[d.layout.Sudoers]; found && !d.owned.Sudoers {
		return ErrSudoersForeign
	}
	switch {
	case d.have.SudoEffective:
		return nil
	case d.have.SudoReason != nil:
		return d.have.SudoReason
	}
	return ErrNoSudo
}

// clash says why an account cannot be ours here. Existing accounts, groups and
// homes are never taken over (requirements R15, R20, R23).
func (d *differ) clash(g authz.Grant) error {
	name := g.Username.String()
	own, ours := d.owned.Accounts[g.Username]
	account, exists := d.have.Accounts[name]
	if strings.EqualFold(name, shortHostname(d.have.Hostname)) {
		return ErrHostname
	}
	if exists && !(ours && account.UID == uint32(own.UID)) {
		return ErrNameTaken
	}
	if exists && own.UID == g.UID {
		return nil
	}
	if exists && own.Before != nil {
		return ErrAdoptedHolds
	}
	if other(d.holders().uids[uint32(g.UID)], name) != "" {
		return ErrUIDTaken
	}
	if other(d.holders().gids[uint32(g.UID)], name) != "" {
		return ErrGIDTaken
	}
	if _, taken := d.have.Groups[name]; taken && !ours {
		return ErrGroupTaken
	}
	home, found := d.have.Homes[d.layout.Home(g.Username)]
	switch {
	case !found || exists:
	case home.Unread:
		return ErrHomeUnread
	case !d.homeOf(g.Username, g.UID) && !(ours && d.homeOf(g.Username, own.UID)):
		return ErrHomeForeign
	}
	return nil
}

func shortHostname(h string) string { h, _, _ = strings.Cut(h, "."); return h }

// leaver is an account of ours that must not be usable. Where somebody made another
// account of its name, or of its uid, what bears that is not its own any more.
type leaver struct {
	user              authz.Username
	own               Owned
	exist             bool
	nameLost, uidLost bool
}

func (d *differ) leavers() []leaver {
	stay := map[authz.Username]authz.UID{}
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
	keep := map[string]bool{}
	for _, g := range d.admitted {
		keep[d.layout.KeyFile(g.Username)] = true
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
		path := d.layout.KeyFile(g.Username)
		f, found := d.have.Files[path]
		if !found || f.Folder || f.Odd || !losesLines(f.Content, g.keys) {
			continue
		}
		if _, exists := d.have.Accounts[g.Username.String()]; !exists || !reader {
			d.step(Step{Op: OpRemoveFile, Path: path}) // written again when there is one to write it for
			continue
		}
		d.keysWritten[path] = true
		d.step(Step{Op: OpTakeKeys, User: g.Username, UID: g.UID, Path: path, Keys: g.keys, Attr: attr, Why: "holds what it should not"})
	}
}

// losesLines reports whether the old text has a line that the new one has not.
func losesLines(old, next []byte) bool {
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

// prepare makes what the machine needs before anybody can be given anything.
func (d *differ) prepare() {
	l := d.layout
	if _, found := d.have.Groups[l.MarkerGroup]; !found {
		d.step(Step{Op: OpCreateGroup, Group: l.MarkerGroup})
	}
	if _, found := d.have.Accounts[l.HookUser]; !found {
		d.step(Step{Op: OpCreateHookUser, Group: l.HookUser})
	}
	for _, f := range l.folders(d.uses(KeysDirectory)) {
		if !d.have.hasFolder(f.path, f.attr) {
			d.step(Step{Op: OpMakeFolder, Path: f.path, Attr: f.attr})
		}
	}
	d.giveDisplaced()
	if !d.switching() {
		d.writeSSHD()
	}
}

func (d *differ) give() {
	for _, g := range d.admitted {
		d.giveAccount(g.Grant)
	}
	for _, g := range d.admitted {
		path := d.layout.KeyFile(g.Username)
		if !d.keysWritten[path] && !d.have.has(path, g.keys, d.layout.keyFileAttr()) {
			d.step(Step{Op: OpWriteKeys, User: g.Username, UID: g.UID, Path: path, Keys: g.keys,
				Attr: d.layout.keyFileAttr(), Why: d.changed(path)})
		}
	}
	d.giveBlocks()
	d.adoptForeign()
	rules := rulesOf(d.admitted)
	written := d.sudoWritten || !d.sudoTaken && d.have.has(d.layout.Sudoers, SudoersFile(rules), sudoersAttr())
	if len(rules) > 0 && !(written && d.owned.SudoProved) {
		d.step(Step{Op: OpGiveSudo, Path: d.layout.Sudoers, Rules: rules, InForce: d.inForce(rules), Attr: sudoersAttr(), Why: sudoFor(rules)})
	}
}

func (d *differ) giveAccount(g authz.Grant) {
	account, exists := d.have.Accounts[g.Username.String()]
	if !exists {
		d.step(Step{Op: OpCreateAccount, User: g.Username, UID: g.UID, Shell: d.shell()})
		return
	}
	why := d.wrong(account, g)
	switch {
	case why == "":
	case d.owned.Accounts[g.Username].State == Intended && !d.homeOf(g.Username, g.UID):
		// With a home it may be in use, and only the record of its making was cut short.
		d.step(Step{Op: OpCreateAccount, User: g.Username, UID: g.UID, Shell: d.shell(), Again: true, Why: "its making was cut short, " + why})
	case d.removalBegun(account, g):
		d.step(Step{Op: OpCreateAccount, User: g.Username, UID: g.UID, Shell: d.shell(), Again: true, Why: "its removal was cut short"})
	default:
		d.step(Step{Op: OpRepair, User: g.Username, UID: g.UID, Shell: d.shell(), Why: why})
	}
}

// shell is that of accounts here. sshd lets nobody in whose shell is not there
// (requirement R26).
func (d *differ) shell() string {
	if d.have.Shell != nil {
		return d.layout.SafeShell
	}
	return d.layout.Shell
}

// wrong says what is wrong with an account of ours, empty when nothing is.
func (d *differ) wrong(a Account, g authz.Grant) string {
	var why []string
	add := func(bad bool, text string) {
		if bad {
			why = append(why, text)
		}
	}
	add(a.Password != "*", "password is not *")
	add(a.Expires != 0, "account expires")
	add(a.Shell != d.shell(), "shell is "+quote(a.Shell))
	add(a.Home != d.layout.Home(g.Username), "home is "+quote(a.Home))
	add(a.GID != uint32(g.UID), "group is not its own")
	add(!slices.Contains(a.Groups, d.layout.MarkerGroup), "not in group "+d.layout.MarkerGroup)
	if d.owned.Accounts[g.Username].State == Intended {
		home := d.have.Homes[d.layout.Home(g.Username)]
		add(!home.Real || home.UID != uint32(g.UID), "no home")
	}
	return strings.Join(why, ", ")
}

// changed says how a file of ours differs from nothing: new, or altered by others.
func (d *differ) changed(path string) string {
	if _, found := d.have.Files[path]; found {
		return "differs"
	}
	return ""
}

// count says a number of things for people.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// sudoFor says for people whom the rules are for.
func sudoFor(rules []Rule) string {
	var names []string
	for _, r := range rules {
		who := r.User.String()
		if !r.Commands.IsZero() {
			who += " (" + r.Commands.Count() + ")"
		}
		names = append(names, who)
	}
	return "sudo for " + strings.Join(names, ", ")
}

// ways sorts our accounts by how they came to be.
func (d *differ) ways() (made, adopted []leaver) {
	for _, a := range d.leavers() {
		if a.own.Before != nil {
			adopted = append(adopted, a)
		} else {
			made = append(made, a)
		}
	}
	return made, adopted
}

// Revert returns what gives the machine back: everything the ledger names is
// undone, access first. Accounts are removed, their homes kept; adopted ones become
// what they were, and what runs there goes on.
func Revert(have State, owned Ledger, l Layout) Plan {
	d := differ{have: have, owned: owned, layout: l}
	made, adopted := d.ways()
	d.takeKeys()
	d.takeBlocks()
	d.takeDisplaced()
	d.takeSudo()
	d.close(made)
	d.takeSSHD()
	for _, a := range adopted {
		d.giveBack(a)
	}
	for _, a := range made {
		if a.exist {
			d.step(Step{Op: OpDeleteAccount, User: a.user, UID: a.own.UID, Home: l.Home(a.user)})
		}
	}
	d.endRemovals()
	if _, found := have.Accounts[l.HookUser]; found && owned.HookUser {
		d.step(Step{Op: OpDeleteHookUser, Group: l.HookUser})
	}
	if _, found := have.Groups[l.MarkerGroup]; found && owned.Groups[l.MarkerGroup] {
		d.step(Step{Op: OpDeleteGroup, Group: l.MarkerGroup})
	}
	if _, found := have.Files[l.KeysDir]; found && owned.Folders {
		d.step(Step{Op: OpRemoveFolder, Path: l.KeysDir})
	}
	return d.plan
}

// PrepareSSHD returns what puts our sshd drop-in in, and what it needs: the
// groups, the hook's user, the folders. It touches no account. Where a drop-in is in
// already its mode stays: to change it is the work of a Diff, which knows the accounts.
func PrepareSSHD(have State, owned Ledger, mode KeysMode, l Layout) Plan {
	if owned.SSHD {
		mode = owned.KeysMode()
	}
	d := differ{have: have, want: Desired{SSHD: true, KeysMode: mode}, owned: owned, layout: l}
	d.takeDisplaced()
	d.prepare()
	if d.switching() {
		d.writeSSHD()
	}
	return d.plan
}

// takeSSHD takes our drop-in out, also one that nobody wants: sshd did not use it, and
// putting back what was there before did not succeed.
func (d *differ) takeSSHD() {
	ours := func(m KeysMode) bool { return d.have.has(d.layout.SSHD, SSHDFile(d.layout, m), sshdAttr()) }
	if d.owned.SSHD || slices.ContainsFunc([]KeysMode{KeysCommand, KeysDirectory, KeysHome}, ours) {
		d.step(Step{Op: OpRemoveSSHD, Path: d.layout.SSHD})
	}
}

// RemoveSSHD returns what takes our sshd drop-in out, and first our lines out of the
// homes: without it sshd may read those.
func RemoveSSHD(have State, owned Ledger, l Layout) Plan {
	d := differ{have: have, owned: owned, layout: l}
	d.takeBlocks()
	d.takeDisplaced()
	d.takeSSHD()
	return d.plan
}
