package plan

import (
	"errors"
	"fmt"
	"slices"
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
	// keysWritten are the key files, those in homes too, that a step which takes keys away
	// leaves as wanted.
	keysWritten map[string]bool
	// sudoTaken says that a step takes rules away, sudoWritten that it leaves exactly
	// those wanted.
	sudoTaken, sudoWritten bool
	// heirs are names whose account, or what is left of it, still belongs to an
	// earlier user: that one goes in this plan, the new account comes in the next.
	heirs map[authz.Username]bool
	held  *holders  // of have; nil until somebody asks
	gone  *[]leaver // the same
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
	path string
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
		if d.want.SSHD && d.have.RefusesEnd(d.want.KeysMode, g) {
			// What it refuses gives nothing, and the account stays as it is for the day on
			// which sshd is another one: a session is not to end for this.
			d.plan.Refused = append(d.plan.Refused, Refused{g.Username.String(), ErrSSHDEnd})
		}
		if err := d.noSudoFor(g); g.Sudo && err != nil {
			d.plan.Refused = append(d.plan.Refused, Refused{g.Username.String(), err})
			g.Sudo = errors.Is(err, ErrSudoUnseen) && d.hasSudo(g)
		}
		d.admitted = append(d.admitted, admitted{g, d.layout.KeyFile(g.Username), keys})
	}
}

// waits reports whether the account of an earlier user of the name has to go first, or
// what is left of it where others removed it or its removal was cut short, or what may be
// made of it yet where its making was.
func (d *differ) waits(g authz.Grant) bool {
	if account, exists := d.have.Accounts[g.Username.String()]; exists {
		return account.UID != uint32(g.UID)
	}
	own, ours := d.owned.Accounts[g.Username]
	group, left := d.have.Groups[g.Username.String()]
	mayCome := own.State == Intended && len(d.holders().uids[uint32(own.UID)]) == 0
	return ours && own.UID != g.UID && (mayCome || d.homeOf(g.Username, own.UID) || left && group.GID == uint32(own.UID))
}

// homeOf reports whether the home is a folder and the uid's.
func (d *differ) homeOf(u authz.Username, uid authz.UID) bool {
	home, found := d.have.Homes[d.layout.Home(u)]
	return found && home.Real && home.UID == uint32(uid)
}

// hasSudo reports whether our file gives a grant's sudo already.
func (d *differ) hasSudo(g authz.Grant) bool {
	return d.owned.Sudoers && len(Kept(rulesOf([]admitted{{Grant: g}}), d.have.Files[d.layout.Sudoers].Content)) > 0
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
	if left := d.have.Left[g.Username]; len(left) > 0 && !exists && !ours {
		return fmt.Errorf("%w: %s", ErrNameLeft, strings.Join(left, ", "))
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
		if !d.keysWritten[g.path] && !d.have.has(g.path, g.keys, d.layout.keyFileAttr()) {
			d.step(Step{Op: OpWriteKeys, User: g.Username, UID: g.UID, Path: g.path, Keys: g.keys,
				Attr: d.layout.keyFileAttr(), Why: d.changed(g.path)})
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
	own := d.owned.Accounts[g.Username]
	begun := own.State == Intended && own.UID == g.UID
	if !exists {
		// What makes it may be under way yet: a tool outlives an agent that is killed.
		d.step(Step{Op: OpCreateAccount, User: g.Username, UID: g.UID, Shell: d.shell(), Again: begun})
		return
	}
	why := d.wrong(account, g)
	switch {
	case d.closedHomeless(account, g):
		d.step(Step{Op: OpCreateAccount, User: g.Username, UID: g.UID, Shell: d.shell(), Again: true, Why: "it was closed, and has no home"})
	case why == "":
	case begun && !d.homeOf(g.Username, g.UID):
		// With a home it may be in use, and only the record of its making was cut short.
		d.step(Step{Op: OpCreateAccount, User: g.Username, UID: g.UID, Shell: d.shell(), Again: true, Why: "its making was cut short, " + why})
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
