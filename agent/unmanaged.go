package agent

import "latchkey/agent/plan"

// unmanaged is what the stack wants with keys that others put into homes of our
// accounts.
func (a *Agent) unmanaged() plan.Unmanaged { return plan.Unmanaged(a.bundle.Settings.Unmanaged) }

// disown forgets adopted keys where the stack wants none any more: the pass takes them
// out of the key files, also where that cannot be stored.
func (a *Agent) disown(owned *plan.Ledger) {
	if a.unmanaged() == plan.UnmanagedAdopt || !owned.Disown() {
		return
	}
	if err := a.Cache.SaveLedger(*owned); err != nil {
		a.Log.Warn("the ledger goes on naming adopted keys", "reason", err)
	}
}
