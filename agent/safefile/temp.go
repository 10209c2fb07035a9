package safefile

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// The name of a new file before it takes its place is .latchkey.HEX.new: random,
// so that nobody can stand there first; and of a form that sudo passes over for
// its dots (sudoers(5)) and that no *.conf of an sshd Include matches.
const (
	tempPrefix = ".latchkey."
	tempSuffix = ".new"
	tempRandom = 16 // bytes
)

func tempName() string {
	var random [tempRandom]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	return tempPrefix + hex.EncodeToString(random[:]) + tempSuffix
}

// Leftover reports whether the name is one that a new file has before it takes its
// place, so that a file under it is left of a process that was ended.
func Leftover(name string) bool {
	middle, ok := strings.CutPrefix(name, tempPrefix)
	middle, end := strings.CutSuffix(middle, tempSuffix)
	return ok && end && len(middle) == 2*tempRandom && strings.Trim(middle, "0123456789abcdef") == ""
}
