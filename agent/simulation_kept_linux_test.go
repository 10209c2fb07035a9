//go:build !race

package agent_test

import "strconv"

// keptSeed is a history in which an agent that once was did wrong.
type keptSeed struct {
	name string
	seed uint64
	why  string
	// toolsEnd has tools end with their agents, as all did in the simulation then.
	toolsEnd bool
}

// seedOf is the history that LATCHKEY_SEED tells: a number, or the name of a kept one.
func seedOf(text string) (simSeed, error) {
	for _, k := range keptSeeds() {
		if k.name == text {
			return simSeed{k.seed, k.toolsEnd}, nil
		}
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	return simSeed{seed: seed}, err
}

// keptSeeds are kept for the bugs that the simulation found: with the mend of each taken
// out again, its history still shows it. Whoever changes what the simulation draws from a
// seed has to look for them anew in the same way.
func keptSeeds() []keptSeed {
	return []keptSeed{
		{"key-waits-for-accounts", 1, "a key that was taken from a user stayed until the accounts of others were made", true},
		{"heir-without-a-home", 1, "what others left of the earlier user of a name kept the next one out", true},
		{"full-disk-keeps-access", 7, "nothing was taken away where the ledger could not be stored", true},
		{"failure-after-success", 1, "the report said done of a step that went wrong when it was repeated", true},
		{"rule-goes-for-other-trouble", 11, "who had sudo lost it because his account could not be repaired", true},
		{"restart-gives-back", 11, "who was removed by a held bundle came back when the agent started anew", true},
		{"fork-after-a-kill", 32, "another bundle of a stored serial was taken after a kill", true},
		{"drop-in-stays", 113, "sshd disable left a drop-in that could not be taken back when enabling failed", true},
		{"by-hand-undone", 273, "the running agent undid what apply had taken by hand", true},
		{"rule-for-a-lost-name", 136, "a sudo rule stayed for a name whose account others removed", true},
		{"version-not-stored", 355, "an older bundle was taken after a kill between a bundle and its version", true},
		{"line-waits-for-accounts", 2, "a key that was taken from a user stayed in his home until others had got theirs", true},
		{"heir-of-a-group", 10, "the group that was left of a removed account took a pass of its own, before its heir came", true},
		{"aside-gives-back", 12, "who was removed by a held bundle came back when the newest one was set aside", true},
		{"switch-before-the-home", 93, "sshd was switched to home mode before a home that was just made had its lines", true},
		{"adopted-key-comes-back", 256, "a key from a home came back with a later grant, after a kill when the account was closed", true},
		{"marks-keep-sudo-out", 695, "who damaged our marks in his home got no sudo and no new key any more", true},
		{"lines-forgotten-with-the-account", 1308, "lines in a home stayed whose account was made anew before it was closed", true},
		{"home-of-an-open-account", 1795338903489367619, "an account that could not be closed lost its home, and somebody got it so again", true},
		{"switch-over-what-was-left-out", 1508, "sshd was switched to home mode although a home had no lines, because another step had gone wrong", true},
		{"held-after-it-was-taken", 1795341124167918032, "a bundle was held by what was before the one that root had taken by hand", true},
		{"marks-keep-the-account-closed", 1795345525893619705, "who damaged our marks in his home was not let in again with a later grant", true},
		{"forgotten-over-its-lines", 1795348293355605028, "an account was removed while lines in its home lingered, and the next grant brought them back", true},
		{"adopted-key-outlives-the-account", 1795348714932520082, "a key from a home came back with a later grant, because others had removed the account before it was closed", true},
		{"good-one-ends-the-quarantine", 1795349446561935169, "a pass with the last good bundle took the newest one out of its quarantine", true},
		{"by-hand-undone-from-the-last-good", 1795344809723041392, "the agent, its newest bundle set aside, undid what apply had taken by hand", true},
		{"opened-over-a-line-that-goes", 1795342441184274379, "an account was made anew over a line in its home that should have gone and had not", true},
		{"made-after-it-was-forgotten", 1795357551673650505, "an agent was killed while a tool made an account, the next one had another uid for the name, and the ledger forgot what the tool then made", false},
		{"opened-without-a-home", 1795359203546481275, "whose account was closed before it had a home, and opened by others, was let in again without one", false},
		{"switch-before-a-home-made-anew", 1795359915541059321, "sshd was switched to home mode before our lines were in a home that the same plan made for an account without one", false},
	}
}
