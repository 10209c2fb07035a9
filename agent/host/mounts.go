package host

import (
	"path/filepath"
	"strconv"
	"strings"
)

// mounts are what is mounted where, in the order in which it was (proc(5), mountinfo).
type mounts []mounted

type mounted struct {
	id, at string
	auto   bool // each name in it may become a mount of its own when it is looked up (autofs(5))
}

// parseMounts leaves out what it does not understand.
func parseMounts(text string) (all mounts) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		_, kind, _ := strings.Cut(line, " - ")
		if len(fields) < 5 {
			continue
		}
		at, err := strconv.Unquote(`"` + strings.ReplaceAll(fields[4], `"`, `\"`) + `"`) // blanks stand there as \040
		if err == nil {
			all = append(all, mounted{id: fields[0], at: at, auto: strings.HasPrefix(kind, "autofs ")})
		}
	}
	return all
}

// group names what hangs together: of a path what is mounted there and the folder that the
// homes are in, since a link in the way to it is not seen here. It is the path itself where
// it may hang alone, or nothing is known of mounts.
func (all mounts) group(path, base string) string {
	var found mounted
	for _, m := range all {
		inside, err := filepath.Rel(m.at, path)
		if err == nil && filepath.IsLocal(inside) && len(m.at) >= len(found.at) {
			found = m
		}
	}
	if found.id == "" || found.auto {
		return path
	}
	return found.id + " " + base
}
