package authz

import (
	"encoding/base64"
	"strings"
)

// keyLine returns the one line of plain ASCII that the text is, without its
// newline.
func keyLine(text string) (string, error) {
	switch {
	case privateKey(text[:min(len(text), MaxKeyText)]):
		return "", ErrKeyPrivate
	case len(text) > MaxKeyText:
		return "", ErrKeyTooLong
	}
	line, ended := strings.CutSuffix(text, "\n")
	if ended {
		line = strings.TrimSuffix(line, "\r")
	}
	if strings.Contains(line, "\n") {
		return "", ErrKeyLines
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c >= 0x80:
			return "", ErrKeyNonASCII
		case c < ' ' || c == 0x7f:
			return "", ErrKeyControl
		}
	}
	return line, nil
}

// privateKey reports whether the text looks like a private key, or a part of
// one, in any of the forms that tools write: PEM and OpenSSH, ssh.com, PuTTY,
// SSH-1, and the body of an OpenSSH key without its frame. It errs towards yes.
func privateKey(text string) bool {
	const openssh = "b3BlbnNzaC1rZXktdj" // base64 of "openssh-key-v"
	upper := strings.ToUpper(text)
	switch {
	case strings.Contains(upper, "BEGIN ") && strings.Contains(upper, "PRIVATE KEY"),
		strings.Contains(upper, "END ") && strings.Contains(upper, "PRIVATE KEY"),
		strings.Contains(upper, "PUTTY-USER-KEY-FILE-"),
		strings.Contains(upper, "PRIVATE-LINES:"),
		strings.Contains(upper, "SSH PRIVATE KEY FILE FORMAT"),
		strings.Contains(text, openssh):
		return true
	}
	return false
}

// keyWords takes a line apart into the key's type, which is one of those
// accepted, and its wire form.
func keyWords(line string) (typ string, blob []byte, err error) {
	word := strings.Fields(line)
	switch {
	case len(word) < 2, strings.HasPrefix(word[0], "#"):
		return "", nil, ErrKeyEmpty
	case stringsOf(word[0]) == 0:
		return "", nil, refuseType(word)
	}
	blob, err = decodeBlob(word[1])
	if err != nil {
		return "", nil, err
	}
	if _, err := wireStrings(blob); err != nil && continued(word[1:]) {
		return "", nil, ErrKeyNotCanonical
	}
	return word[0], blob, nil
}

// decodeBlob reads padded base64 in the one form it can have, which is how it
// would be printed.
func decodeBlob(s string) ([]byte, error) {
	blob, err := base64.StdEncoding.DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(blob) != s {
		return nil, ErrKeyNotCanonical
	}
	return blob, nil
}

// continued reports whether the second word goes on as base64 where the first
// one, too short for a key, leaves off: a space fell into the middle.
func continued(word []string) bool {
	if len(word) < 2 {
		return false
	}
	_, err := decodeBlob(word[0] + word[1])
	return err == nil
}

// refuseType says what is wrong with a line whose first word is no accepted key
// type: options before the key, an option's name in the place of the type (which
// older parsers took for a key without the option, requirement R4), or a type
// that is not accepted.
func refuseType(word []string) error {
	switch {
	case option(word[0]) && strings.HasPrefix(word[1], "AAAA"): // a wire form's first length
		return ErrKeyTypeMismatch
	case option(word[0]), strings.ContainsAny(word[0], `=",`), stringsOf(word[1]) != 0:
		return ErrKeyOptions
	}
	return ErrKeyType
}

// option reports whether the word is an option of sshd's authorized_keys format
// that takes no value. The names are not case-sensitive (sshd(8)).
func option(word string) bool {
	switch strings.TrimPrefix(strings.ToLower(word), "no-") {
	case "restrict", "cert-authority", "pty", "port-forwarding", "agent-forwarding", "x11-forwarding", "user-rc",
		"touch-required", "verify-required":
		return true
	}
	return false
}
