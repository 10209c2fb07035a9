package hook

import (
	"strings"

	"latchkey/authz/name"
)

// Bounds of a displaced command.
const (
	maxWords = 16
	maxWord  = 255 // bytes
)

// Reasons for not keeping the AuthorizedKeysCommand that our drop-in displaces.
var (
	ErrDisplaced       = name.Refuse("displaced_command", "the command is not a program by its absolute path and at most 15 plain words, without quotes and backslashes")
	ErrDisplacedTokens = name.Refuse("displaced_tokens", "the command uses a token of sshd other than %u %U %t %k %f and %%")
	ErrDisplacedFile   = name.Refuse("displaced_file", "the file of the displaced command is not as latchkey-agent writes it")
)

const displacedHeader = "# latchkey 1 displaced command\n"

// Displaced is another's AuthorizedKeysCommand, which our drop-in displaces for our
// users and which the hook becomes when it does not know a key. Only ParseDisplaced and
// ReadDisplaced make one.
type Displaced struct{ words []string }

// ParseDisplaced reads the command as it stands in sshd's configuration. sshd would
// also take quotes; a command with any is refused, so that there is one way to read it.
// Without arguments sshd gives a command the user, and so does the hook
// (sshd_config(5)).
func ParseDisplaced(command string) (Displaced, error) {
	words := strings.Fields(command)
	if len(words) == 1 {
		words = append(words, "%u")
	}
	d := Displaced{words}
	return d, d.check()
}

func (d Displaced) check() error {
	if len(d.words) < 2 || len(d.words) > maxWords || !strings.HasPrefix(d.words[0], "/") || strings.ContainsAny(d.words[0], "%") {
		return ErrDisplaced
	}
	for _, w := range d.words {
		if w == "" || len(w) > maxWord || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\'' || r == '\\' }) {
			return ErrDisplaced
		}
		if _, known := (Request{}).expand(w); !known {
			return ErrDisplacedTokens
		}
	}
	return nil
}

// Program is the path of the program.
func (d Displaced) Program() string { return d.words[0] }

// Render returns the file that ReadDisplaced reads: a header, then a word a line.
func (d Displaced) Render() []byte {
	return []byte(displacedHeader + strings.Join(d.words, "\n") + "\n")
}

// ReadDisplaced reads a file that Render printed, and refuses any other.
func ReadDisplaced(file []byte) (Displaced, error) {
	text, ours := strings.CutPrefix(string(file), displacedHeader)
	text, ended := strings.CutSuffix(text, "\n")
	d := Displaced{strings.Split(text, "\n")}
	if !ours || !ended || d.check() != nil {
		return Displaced{}, ErrDisplacedFile
	}
	return d, nil
}

// Arguments are the words of the command for this question, the program first. Each
// token stands for what ParseRequest has read, and a word stays one word.
func (r Request) Arguments(d Displaced) []string {
	args := make([]string, len(d.words))
	for i, w := range d.words {
		args[i], _ = r.expand(w) // they were looked at when the command was read
	}
	return args
}

// expand puts what was read in the place of sshd's tokens; known says that it could.
func (r Request) expand(word string) (text string, known bool) {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] != '%' {
			b.WriteByte(word[i])
			continue
		}
		if i++; i == len(word) {
			return "", false
		}
		switch word[i] {
		case 'u':
			b.WriteString(r.user.String())
		case 'U':
			b.WriteString(r.uid)
		case 't':
			b.WriteString(r.typ)
		case 'k':
			b.WriteString(r.key)
		case 'f':
			b.WriteString(r.print)
		case '%':
			b.WriteByte('%')
		default:
			return "", false
		}
	}
	return b.String(), true
}

// isFingerprint reports whether s is a fingerprint as sshd gives it by %f: SHA256: and
// base64 without padding, or MD5: and hexadecimal digits with colons.
func isFingerprint(s string) bool {
	if digest, found := strings.CutPrefix(s, "SHA256:"); found {
		return len(digest) == 43 && isBase64(digest+"=")
	}
	digest, found := strings.CutPrefix(s, "MD5:")
	return found && len(digest) == 47 && strings.Trim(digest, "0123456789abcdef:") == ""
}
