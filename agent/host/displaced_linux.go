package host

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"latchkey/authz/name"
)

// errDisplaced refuses to keep a command that sshd would not run, or that could run
// for ever.
var errDisplaced = name.Refuse("displaced_unsafe", "the displaced AuthorizedKeysCommand is not kept")

// Displaced returns the AuthorizedKeysCommand that sshd has for everybody who is not in
// our block, as whom it runs it, and an empty command when there is none. A command
// that sshd would refuse to run is refused; what stands for the program in the answer
// is its path without links.
func (h *Host) Displaced(ctx context.Context) (command, user string, err error) {
	text, err := h.run(ctx, "sshd", "-T")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "authorizedkeyscommand":
			command = value
		case "authorizedkeyscommanduser":
			user = value
		}
	}
	words := strings.Fields(command)
	if len(words) == 0 || command == "none" {
		return "", "", nil
	}
	program, err := filepath.EvalSymlinks(words[0])
	if err == nil {
		err = runnable(program)
	}
	if err == nil {
		err = runnable("/usr/bin/timeout") // by which the hook ends it
	}
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", errDisplaced, err)
	}
	words[0] = program
	return strings.Join(words, " "), user, nil
}
