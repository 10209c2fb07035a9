package wire

import (
	"strconv"
	"strings"
	"time"
)

// Stale is what a stack wants of an instance that has not heard from its control plane
// for a while (requirement R142). The zero value takes nothing away.
type Stale struct {
	Sudo  bool          // sudo goes
	All   bool          // all that is managed goes, sudo too
	After time.Duration // since the last answer; whole hours
}

// maxStale is the longest wait in hours, a year of 366 days.
const maxStale = 366 * 24

// ParseStale reads the setting: keep, drop-sudo:HOURSh or drop-all:HOURSh with 1 to 8784
// hours in their shortest form, such as drop-sudo:168h. Anything else is ErrSettings.
func ParseStale(s string) (Stale, error) {
	if s == "keep" {
		return Stale{}, nil
	}
	what, hours, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(strings.TrimSuffix(hours, "h"))
	stale := Stale{Sudo: what == "drop-sudo", All: what == "drop-all", After: time.Duration(n) * time.Hour}
	if err != nil || n < 1 || n > maxStale || stale.String() != s {
		return Stale{}, ErrSettings
	}
	return stale, nil
}

// String prints the setting as ParseStale reads it.
func (s Stale) String() string {
	hours := ":" + strconv.Itoa(int(s.After/time.Hour)) + "h"
	switch {
	case s.All:
		return "drop-all" + hours
	case s.Sudo:
		return "drop-sudo" + hours
	}
	return "keep"
}
