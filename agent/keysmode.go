package agent

import "latchkey/agent/plan"

// keysMode is how the stack wants sshd to get keys; that of the hook before there is a
// bundle.
func (a *Agent) keysMode() plan.KeysMode {
	if a.bundle == nil {
		return plan.KeysCommand
	}
	return plan.KeysMode(a.bundle.Settings.KeysMode)
}

// outlive records that logins by a mode that sshd used before have ended, or that it
// was just seen to use another. Where that cannot be stored the ledger goes on claiming
// more modes than there are, which is safe and delays nothing.
func (a *Agent) outlive(owned *plan.Ledger) {
	if !owned.Outlive(a.Now()) {
		return
	}
	if err := a.Cache.SaveLedger(*owned); err != nil {
		a.Log.Warn("the earlier keys mode stays served", "reason", err)
	}
}
