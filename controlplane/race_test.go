//go:build race

package controlplane_test

// raced says whether the race detector is on.
const raced = true
