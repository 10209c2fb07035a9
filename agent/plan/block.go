package plan

import (
	"bytes"
	"strings"

	"latchkey/authz/name"
)

// The marks around our lines in a file that is somebody else's (requirement R41).
const (
	blockBegin = "# latchkey begin: latchkey-agent writes the lines from here to the end, and undoes changes"
	blockEnd   = "# latchkey end"
)

// Reasons for leaving a user's own file as it is.
var (
	// ErrBlock is for marks that are half deleted, doubled, nested or in disorder.
	ErrBlock = name.Refuse("keys_block_damaged", "the marks around our lines are not one whole pair: take them and what is between them out by hand")
	// ErrBlockForm is for a file that sshd would not read as lines, or not as the same.
	ErrBlockForm = name.Refuse("keys_file_form", "the file has a byte order mark, a carriage return or a zero byte: save it as plain text with plain line ends")
	// ErrHomeKeys is for a home or a file in whose place or state nothing is written.
	ErrHomeKeys = name.Refuse("home_keys", "keys are not put into the home")
)

// ReadBlock returns our lines in a user's file, each with its newline, and whether
// there is a block of ours at all.
func ReadBlock(file []byte) (lines string, found bool, err error) {
	_, lines, _, found, err = cutBlock(file)
	return lines, found, err
}

// OwnLines returns a user's file with an empty line in the place of each of ours, so
// that every other line keeps its number; a file that is not understood as it is.
func OwnLines(file []byte) []byte {
	before, lines, after, found, err := cutBlock(file)
	if err != nil || !found {
		return file
	}
	return []byte(before + strings.Repeat("\n", strings.Count(lines, "\n")+2) + after)
}

// SetBlock returns the file with these lines between our marks, or without the marks
// when there are none. The user's own lines stay to the byte; but a last one without
// newline gets one when a block comes behind it. A file that is not understood is
// refused with ErrBlock or ErrBlockForm: nothing is guessed.
func SetBlock(file, lines []byte) ([]byte, error) {
	before, _, after, found, err := cutBlock(file)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return []byte(before + after), nil
	}
	if !found && before != "" && !strings.HasSuffix(before, "\n") {
		before += "\n"
	}
	return []byte(before + blockBegin + "\n" + string(lines) + blockEnd + "\n" + after), nil
}

// cutBlock takes a file apart. Without a block everything is before it.
func cutBlock(file []byte) (before, lines, after string, found bool, err error) {
	for _, odd := range []string{"\r", "\x00", "\ufeff"} {
		if bytes.Contains(file, []byte(odd)) {
			return "", "", "", false, ErrBlockForm
		}
	}
	var marks []string
	var ends []int // where each mark's line begins and ends
	at := 0
	for line := range strings.Lines(string(file)) {
		if isMark(line) {
			marks, ends = append(marks, strings.TrimSuffix(line, "\n")), append(ends, at, at+len(line))
		}
		at += len(line)
	}
	text := string(file)
	switch {
	case len(marks) == 0:
		return text, "", "", false, nil
	case len(marks) != 2 || marks[0] != blockBegin || marks[1] != blockEnd:
		return "", "", "", false, ErrBlock
	}
	return text[:ends[0]], text[ends[1]:ends[2]], text[ends[3]:], true, nil
}

// isMark reports whether a line is a mark of ours, or was one before somebody changed
// it.
func isMark(line string) bool {
	comment, found := strings.CutPrefix(strings.TrimLeft(line, " \t"), "#")
	return found && strings.HasPrefix(strings.TrimLeft(comment, " \t#"), "latchkey")
}
