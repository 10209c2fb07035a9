package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Progress is one line on a terminal that says what a long command is doing. In
// a pipe or a file it writes nothing. It is for one goroutine.
type Progress struct {
	w     io.Writer // nil: quiet
	shown bool
}

// NewProgress writes to w if that is a terminal. Give it the error stream, so
// that the output stays clean.
func NewProgress(w io.Writer) *Progress {
	if !IsTerminal(w) {
		return &Progress{}
	}
	return &Progress{w: w}
}

// IsTerminal reports whether w (or a reader) is a terminal.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Step replaces the line.
func (p *Progress) Step(format string, args ...any) {
	if p.w != nil {
		fmt.Fprintf(p.w, "\r\x1b[K%s", Text(fmt.Sprintf(format, args...)))
		p.shown = true
	}
}

// Done removes the line. Call it before anything else is printed; a deferred
// call covers every way out.
func (p *Progress) Done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
