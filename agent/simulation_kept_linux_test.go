//go:build !race

package agent_test

// keptSeed is a history in which an agent that once was did wrong.
type keptSeed struct {
	name string
	seed uint64
	why  string
}

// keptSeeds are kept for the bugs that the simulation found: with the mend of each taken
// out again, its history still shows it. Whoever changes what the simulation draws from a
// seed has to look for them anew in the same way.
func keptSeeds() []keptSeed {
	return []keptSeed{
		{"key-waits-for-accounts", 101, "a key that was taken from a user stayed until the accounts of others were made"},
		{"heir-without-a-home", 105, "what others left of the earlier user of a name kept the next one out"},
		{"full-disk-keeps-access", 104, "nothing was taken away where the ledger could not be stored"},
		{"failure-after-success", 110, "the report said done of a step that went wrong when it was repeated"},
		{"rule-goes-for-other-trouble", 339, "who had sudo lost it because his account could not be repaired"},
		{"restart-gives-back", 125, "who was removed by a held bundle came back when the agent started anew"},
		{"fork-after-a-kill", 145, "another bundle of a stored serial was taken after a kill"},
		{"drop-in-stays", 487, "sshd disable left a drop-in that could not be taken back when enabling failed"},
		{"by-hand-undone", 173, "the running agent undid what apply had taken by hand"},
		{"rule-for-a-lost-name", 183, "a sudo rule stayed for a name whose account others removed"},
		{"made-again-in-use", 28, "an account in use was to be made again because the record of its making was cut short"},
		{"drop-in-not-wanted", 34, "sshd enable put the drop-in in, and the ledger did not want it"},
		{"version-not-stored", 75, "an older bundle was taken after a kill between a bundle and its version"},
	}
}
