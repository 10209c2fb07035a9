package plan

import "latchkey/agent/hook"

// displaced is the file of the AuthorizedKeysCommand that ours displaces, which the
// hook is to become for a key it does not know; nil when it is to do nothing then. Only
// while sshd may ask the hook is there a need for it.
func (d *differ) displaced() []byte {
	if !d.uses(KeysCommand) || d.owned.Displaced == "" {
		return nil
	}
	command, err := hook.ParseDisplaced(d.owned.Displaced)
	if err != nil {
		return nil // it was looked at before it was noted: the ledger is damaged
	}
	return command.Render()
}

func (d *differ) takeDisplaced() {
	if _, found := d.have.Files[d.layout.Displaced]; found && d.displaced() == nil {
		d.step(Step{Op: OpRemoveFile, Path: d.layout.Displaced})
	}
}

func (d *differ) giveDisplaced() {
	content := d.displaced()
	if content == nil || d.have.has(d.layout.Displaced, content, d.layout.keyFileAttr()) {
		return
	}
	d.step(Step{Op: OpKeepCommand, Path: d.layout.Displaced, Keys: content, Attr: d.layout.keyFileAttr(), Why: d.owned.Displaced})
}

// CheckDisplaced says why a command cannot be kept, nil when it can.
func CheckDisplaced(command string) error {
	_, err := hook.ParseDisplaced(command)
	return err
}
