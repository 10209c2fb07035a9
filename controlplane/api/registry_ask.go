package api

import "latchkey/controlplane"

// questions holds the actions that answer who may do what.
func questions() []Action {
	return []Action{
		action("latchkey:Authorize", reads, "Answer whether a user may do an action, and what decides it.", (*cp).Authorize),
		action("latchkey:BatchAuthorize", reads, "Answer up to a thousand such questions at once.", (*cp).BatchAuthorize),
		action("latchkey:SimulatePolicy", reads, "Decide requests by policies that are given with them.", (*cp).SimulatePolicy).
			upTo(controlplane.MaxSimulation),
		action("latchkey:ExplainAccess", reads, "Explain why a user may, or may not, enter a stack's instances.", (*cp).ExplainAccess),
		action("latchkey:ListLastUses", reads, "List when users last logged in anywhere, and with which keys; or only those who did not of late.", (*cp).ListLastUses),
		action("latchkey:DescribeUnmanagedAccess", reads, "List the access on an instance that is not ours, as it was last reported.", (*cp).DescribeUnmanagedAccess),
		action("latchkey:ListAccess", reads, "List who may enter a stack's instances, or where a user may.", (*cp).ListAccess),
	}
}
