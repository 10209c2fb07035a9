package cli

import (
	"strings"
	"testing"
)

func TestProgressOnATerminal(t *testing.T) {
	var b strings.Builder
	p := &Progress{w: &b}
	p.Step("waiting for %s", "a\x1b[2Jb")
	p.Done()
	p.Done()
	if got, want := b.String(), "\r\x1b[Kwaiting for a\\x1b[2Jb\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
