package wire_test

import (
	"errors"
	"testing"
	"time"

	"latchkey/authz/wire"
)

func TestParseStale(t *testing.T) {
	const week = 168 * time.Hour
	for s, want := range map[string]wire.Stale{
		"keep":           {},
		"drop-sudo:168h": {Sudo: true, After: week},
		"drop-all:168h":  {All: true, After: week},
		"drop-all:1h":    {All: true, After: time.Hour},
		"drop-all:8784h": {All: true, After: 8784 * time.Hour},
	} {
		got, err := wire.ParseStale(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "Keep", "keep:1h", "keep ", "drop-sudo", "drop-sudo:", "drop-sudo:h", "drop-sudo:0h", "drop-sudo:-1h", "drop-sudo:+1h", "drop-sudo:01h",
		"drop-sudo:1", "drop-sudo:1hh", "drop-sudo:1d", "drop-sudo:60m", "drop-sudo:1.5h", "drop-sudo:8785h", "drop-sudo:99999999999999999999h",
		"drop-sudo: 1h", "drop-sudo:1h\n", "drop-sudo:1h:1h", "drop-all:", "drop-home:1h", "drop:1h", ":1h", "drop-sudo:١h",
	} {
		if got, err := wire.ParseStale(s); !errors.Is(err, wire.ErrSettings) || got != (wire.Stale{}) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
}
