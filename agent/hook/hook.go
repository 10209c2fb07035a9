// Package hook owns the per-account key file: how the agent renders it, and
// what the login hook answers from it when sshd asks.
//
// A file is one header line and then lines of sshd's authorized_keys format:
//
//	# latchkey 1 uid=20001
//	expiry-time="20261122000000Z" ssh-ed25519 AAAA… alice
//	ssh-ed25519 AAAA… alice
//
// Before expiry-time, or without it, the options of name.RestrictedKey may stand.
//
// The header carries the format's version and the uid the keys were granted to,
// so keys never reach another account that came to bear the same name. sshd
// skips it as a comment when it reads the file itself.
//
// The package is pure. It links next to nothing, because cmd/keys is started by
// sshd for every key a client offers.
package hook

import (
	"strings"
	"time"

	"latchkey/authz/name"
)

// Bounds of the file and of the offered key (requirements R7, R64).
const (
	MaxFile = 64 << 10 // bytes of a whole file
	MaxKeys = 50       // key lines of a file
	MaxKey  = 8 << 10  // bytes of one key in base64
)

// Reasons for refusing a question of sshd, each about one argument. The
// argument is not repeated: it is a stranger's.
var (
	ErrArguments = name.Refuse("hook_arguments", "the arguments are not USER UID TYPE KEY [FINGERPRINT]")
	ErrUID       = name.Refuse("hook_uid", "uid is not a decimal number in 1000-59999")
	ErrType      = name.Refuse("hook_type", "key type is not one that is served")
	ErrPrint     = name.Refuse("hook_fingerprint", "fingerprint is not one of SHA256 or MD5")
	ErrKey       = name.Refuse("hook_key", "key is not padded base64 of at most 8192 bytes")
)

// Reasons for not trusting a file. One bad line refuses all of it: we write the
// file whole, so anything else in it was put there by somebody else.
var (
	ErrFileSize   = name.Refuse("file_size", "key file is longer than 65536 bytes")
	ErrFileEnd    = name.Refuse("file_end", "key file does not end in a newline")
	ErrFileHeader = name.Refuse("file_header", "key file does not begin with our header")
	ErrFileUID    = name.Refuse("file_uid", "key file was written for another uid")
	ErrFileCount  = name.Refuse("file_count", "key file holds more than 50 keys")
	ErrFileLine   = name.Refuse("file_line", "key file holds a line that we do not write")
)

// header is the first line up to the uid. The 1 is the format's version.
const header = "# latchkey 1 uid="

// Request is one question of sshd: may this key open this account? Only
// ParseRequest makes one; the zero value is answered with ErrArguments.
type Request struct {
	user     name.Username
	uid      string // canonical decimal
	typ, key string
	print    string // empty when not given
}

// ParseRequest reads the arguments sshd gives by the tokens %u %U %t %k and, since
// a displaced command may ask for it, %f: login name, uid, key type, key in base64, the
// key's fingerprint. sshd expands tokens without quoting
// (sshd_config(5)), so all are taken for hostile and parsed (requirement
// R63). A malformed one is refused with its own reason.
//
// The certificate types of OpenSSH are well-formed: people offer certificates,
// and that is an ordinary miss, not a fault to be logged.
func ParseRequest(args []string) (Request, error) {
	var print string
	if len(args) == 5 {
		print, args = args[4], args[:4]
		if !isFingerprint(print) {
			return Request{}, ErrPrint
		}
	}
	if len(args) != 4 {
		return Request{}, ErrArguments
	}
	user, err := name.ParseUsername(args[0])
	switch {
	case err != nil:
		return Request{}, err
	case !isUID(args[1]):
		return Request{}, ErrUID
	case !isServed(args[2]) && !isCertificate(args[2]):
		return Request{}, ErrType
	case !isBase64(args[3]):
		return Request{}, ErrKey
	}
	return Request{user: user, uid: args[1], typ: args[2], key: args[3], print: print}, nil
}

// User returns the account in question, which names the file to read.
func (r Request) User() name.Username { return r.user }

// Answer returns the complete output for sshd: the lines of the account's file
// whose type and key equal the offered ones, each with its newline, or nothing
// when there is none. It takes the file's whole content. A file that is not
// exactly what Render writes for this account and uid is refused, and then there
// is no output at all (requirement R60).
//
// A line with an end is given out before it only, and without it: sshd reads an
// end in UTC since 9.1 alone, refuses the whole line before, and takes one
// without Z for local time (requirement R11).
func (r Request) Answer(file []byte, now time.Time) ([]byte, error) {
	if r.user.IsZero() {
		return nil, ErrArguments
	}
	lines, err := body(file, r.uid)
	if err != nil {
		return nil, err
	}
	moment := now.UTC().Format(endForm)
	var out []byte
	count := 0
	for lines != "" {
		line, rest, _ := strings.Cut(lines, "\n")
		lines = rest
		k, ok := cutLine(line, r.user.String())
		switch count++; {
		case !ok:
			return nil, ErrFileLine
		case count > MaxKeys:
			return nil, ErrFileCount
		case k.typ == r.typ && k.key == r.key && (k.end == "" || moment < k.end):
			out = append(out, k.options+k.typ+" "+k.key+" "+r.user.String()+"\n"...)
		}
	}
	return out, nil
}

// body checks what holds for the file as a whole and returns the key lines.
func body(file []byte, uid string) (string, error) {
	if len(file) > MaxFile {
		return "", ErrFileSize
	}
	first, lines, found := strings.Cut(string(file), "\n")
	got, ours := strings.CutPrefix(first, header)
	switch {
	case !found, lines != "" && !strings.HasSuffix(lines, "\n"):
		return "", ErrFileEnd
	case !ours:
		return "", ErrFileHeader
	case got != uid:
		return "", ErrFileUID
	}
	return lines, nil
}

// endForm is how a line states its end, in UTC. Two of them compare as their
// texts do.
const endForm = "20060102150405Z"

// keyLine is a line of a key file, taken apart.
type keyLine struct {
	options  string // name.RestrictedKey and a space, or nothing
	end      string // in endForm, or nothing
	typ, key string
}

// cutLine takes [OPTIONS ]TYPE KEY USER, single spaces, apart. It is false for
// anything else.
func cutLine(line, user string) (k keyLine, ok bool) {
	k.options, k.end, line, ok = cutOptions(line)
	typ, rest, _ := strings.Cut(line, " ")
	key, comment, _ := strings.Cut(rest, " ")
	k.typ, k.key = typ, key
	return k, ok && isServed(typ) && isBase64(key) && comment == user
}

// cutOptions takes the options off a line: none, name.RestrictedKey,
// expiry-time="YYYYMMDDHHMMSSZ", or the two in this order. It is false where others
// begin the same way.
func cutOptions(line string) (options, end, rest string, ok bool) {
	rest, restricted := strings.CutPrefix(line, name.RestrictedKey)
	if restricted {
		options = name.RestrictedKey + " "
		if key, alone := strings.CutPrefix(rest, " "); alone {
			return options, "", key, true
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return "", "", "", false
		}
	}
	rest, ends := strings.CutPrefix(rest, `expiry-time="`)
	if !ends {
		return options, "", rest, !restricted
	}
	end, rest, ok = strings.Cut(rest, `" `)
	return options, end, rest, ok && isEnd(end)
}

// isEnd reports whether s is YYYYMMDDHHMMSSZ. The Z matters: without it sshd,
// where it reads the file itself, takes it for local time.
func isEnd(s string) bool {
	return len(s) == len(endForm) && isDigits(s[:14]) && s[14] == 'Z'
}

// isUID reports whether s is a uid of ours in its one decimal form; 0 is not
// (requirement R63; the range is R19's).
func isUID(s string) bool {
	switch len(s) {
	case 4:
		return isDigits(s) && s[0] != '0'
	case 5:
		return isDigits(s) && '1' <= s[0] && s[0] <= '5'
	}
	return false
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isServed reports whether keys of this type may be in a file (requirement R5).
func isServed(typ string) bool {
	switch typ {
	case "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa",
		"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
		"sk-ecdsa-sha2-nistp256@openssh.com":
		return true
	}
	return false
}

// isCertificate reports whether typ is a certificate type of OpenSSH's
// PROTOCOL.certkeys. No file of ours holds one.
func isCertificate(typ string) bool {
	plain, found := strings.CutSuffix(typ, "-cert-v01@openssh.com")
	if strings.HasPrefix(plain, "sk-") {
		plain += "@openssh.com"
	}
	return found && isServed(plain)
}

// isBase64 reports whether s is the one canonical form of RFC 4648 base64, with
// padding, of at least one byte and at most MaxKey characters.
func isBase64(s string) bool {
	if s == "" || len(s) > MaxKey || len(s)%4 != 0 {
		return false
	}
	digits := strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	last := 0
	for i := 0; i < len(digits); i++ {
		if last = sextet(digits[i]); last < 0 {
			return false
		}
	}
	// The bits that the padding cuts off must be zero, or two texts would
	// stand for one key.
	switch len(s) - len(digits) {
	case 1:
		return last&3 == 0
	case 2:
		return last&15 == 0
	}
	return true
}

// sextet is the value of one base64 character, or -1.
func sextet(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}
