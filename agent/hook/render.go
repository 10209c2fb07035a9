package hook

import (
	"strconv"
	"strings"

	"latchkey/authz/name"
)

// Render returns the key file of one account: the header, then the lines in the
// order given, each as authz.AuthorizedKeysLine prints it, without its newline.
// No lines make a file that lets nobody in.
//
// What the hook would later refuse is refused here, with the same reason, so a
// file that cannot be answered from is never written: user is the zero value
// (ErrArguments), uid is not an account's (ErrUID), a line is not of our form
// or names another user (ErrFileLine), more than MaxKeys lines (ErrFileCount)
// or MaxFile bytes (ErrFileSize).
func Render(user name.Username, uid uint32, lines []string) ([]byte, error) {
	number := strconv.FormatUint(uint64(uid), 10)
	switch {
	case user.IsZero():
		return nil, ErrArguments
	case !isUID(number):
		return nil, ErrUID
	case len(lines) > MaxKeys:
		return nil, ErrFileCount
	}
	var b strings.Builder
	b.WriteString(header + number + "\n")
	for _, line := range lines {
		if _, ok := cutLine(line, user.String()); !ok {
			return nil, ErrFileLine
		}
		b.WriteString(line + "\n")
	}
	if b.Len() > MaxFile {
		return nil, ErrFileSize
	}
	return []byte(b.String()), nil
}
