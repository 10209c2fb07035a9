package plan

import (
	"slices"
)

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
