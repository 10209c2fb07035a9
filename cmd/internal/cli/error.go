package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitError = 1
	exitUsage = 2
)

// UsageError is a command line that cannot be obeyed as it stands. Run prints it
// and returns exit status 2.
type UsageError struct {
	// Fact is what is wrong, lower case, without a full stop.
	Fact string
	// Next is the thing to type or do next; empty stands for the command's --help.
	Next string
}

// Error returns the fact.
func (e *UsageError) Error() string { return e.Fact }

// Hint returns the next step, or "".
func (e *UsageError) Hint() string { return e.Next }

// Usage returns a *UsageError. hint may be empty: the command's --help is then
// the next step.
func Usage(hint, format string, args ...any) error {
	return &UsageError{Fact: fmt.Sprintf(format, args...), Next: hint}
}

// Hint adds a next step to an error. Any error of any package with a method
// Hint() string gives one too; the outermost counts.
func Hint(err error, hint string) error { return &hinted{err, hint} }

type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }
func (h *hinted) Hint() string  { return h.hint }

// ExitError ends the program with a status and prints nothing: the status is the
// answer. "plan" uses it for "there are changes".
type ExitError struct{ Code int }

// Error says the status.
func (e *ExitError) Error() string { return "exit status " + strconv.Itoa(e.Code) }

// Exit returns an *ExitError; Exit(0) returns nil.
func Exit(code int) error {
	if code == 0 {
		return nil
	}
	return &ExitError{Code: code}
}

// report prints err for a person and returns the exit status. Errors joined with
// errors.Join get a line each, so faults can be reported together.
func report(cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	hint := ""
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		hint = h.Hint()
	}
	code := exitError
	var usage *UsageError
	if errors.As(err, &usage) {
		code = exitUsage
		if hint == "" {
			hint = cmd.CommandPath() + " --help shows the usage and an example"
		}
	}
	w := cmd.ErrOrStderr()
	for _, fact := range facts(err) {
		fmt.Fprintf(w, "%s: %s\n", cmd.Root().Name(), Text(fact))
	}
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", Text(hint))
	}
	return code
}

// facts returns the texts of a joined error, or the one text. A text made of several
// errors by fmt.Errorf is one.
func facts(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var all, texts []string
	for _, e := range joined.Unwrap() {
		all, texts = append(all, facts(e)...), append(texts, e.Error())
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []string{err.Error()}
	}
	return all
}
