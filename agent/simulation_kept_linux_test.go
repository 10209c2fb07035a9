//go:build !race

package agent_test

// keptSeed is a history in which an agent before did wrong.
type keptSeed struct {
	name string // what it did
	seed uint64
}

func keptSeeds() []keptSeed {
	return []keptSeed{}
}
