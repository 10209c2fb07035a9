package host

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"path"
	"strconv"
	"strings"
)

// Inventory is the access on a machine that we do not manage. Its strings are as
// they were found.
type Inventory struct {
	Keys      []UnmanagedKey `json:"keys"`
	Rules     []SudoRule     `json:"sudo_rules"`
	Members   []Member       `json:"privileged_members"`
	Roots     []string       `json:"uid_0_accounts"` // besides root
	Passwords []Password     `json:"passwords"`
	// SetIDs are only of the homes of our accounts, and only where they were asked for.
	SetIDs []SetID `json:"set_ids,omitempty"`
	// Unread are the places that were not read, and so may hold more.
	Unread []Unread `json:"unread"`
	// Notes are ways in that this list cannot show.
	Notes []string `json:"notes"`
}

// UnmanagedKey is a key in a file that sshd may read for an account.
type UnmanagedKey struct {
	Account string `json:"account"`
	// Managed says that the account is ours.
	Managed     bool   `json:"managed_account"`
	InHome      bool   `json:"in_home"` // the file is below the account's home
	File        string `json:"file"`
	Line        int    `json:"line"`
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"` // SHA256:…, as ssh-keygen prints it
	Options     string `json:"options,omitempty"`
	// Ignored says why sshd would not read the file for this account, with our drop-in
	// as it is or with StrictModes; empty where it would.
	Ignored string `json:"ignored,omitempty"`
}

// SudoRule is a line of sudo's policy that lets somebody do something.
type SudoRule struct {
	File string `json:"file"` // empty: only cvtsudoers found it
	Line int    `json:"line"` // of its beginning
	Who  string `json:"who"`
	Rule string `json:"rule"` // what stands behind them
}

// Member is an account in a group that is as good as root, or reads what root reads.
type Member struct {
	Group   string `json:"group"`
	Account string `json:"account"`
}

// Password is an account that a password opens.
type Password struct {
	Account string `json:"account"`
	Empty   bool   `json:"empty"` // needs none
}

// SetID is a program in a home that runs with other rights than its starter's.
type SetID struct {
	Account string `json:"account"`
	File    string `json:"file"`
	Rights  string `json:"rights"` // such as "uid 0"
}

// Unread is a place and why it was not read.
type Unread struct {
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

// privileged are groups whose members become root, read root's files or disks, or
// are commonly given sudo.
var privileged = []string{"root", "sudo", "wheel", "admin", "adm", "docker", "lxd", "incus", "incus-admin", "libvirt", "podman", "disk", "shadow",
	"kmem", "staff", "systemd-journal"}

// keyLine is a line of authorized_keys(5) taken apart.
type keyLine struct {
	number                    int
	options, typ, fingerprint string
}

// keyLines reads a file of authorized keys as sshd does: a line is a key, or options
// and a key. bad counts the lines that are neither, nor comments.
func keyLines(text string) (keys []keyLine, bad int) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, ok := oneKey(line)
		if !ok {
			end := optionsEnd(line)
			if k, ok = oneKey(strings.TrimLeft(line[end:], " \t")); ok {
				k.options = line[:end]
			}
		}
		if !ok {
			bad++
			continue
		}
		k.number = number
		keys = append(keys, k)
	}
	return keys, bad
}

// oneKey reads TYPE BASE64: the type must be the one inside.
func oneKey(text string) (keyLine, bool) {
	f := strings.Fields(text)
	if len(f) < 2 {
		return keyLine{}, false
	}
	blob, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil || len(blob) < 4 {
		return keyLine{}, false
	}
	n := binary.BigEndian.Uint32(blob)
	if uint64(n) > uint64(len(blob)-4) || string(blob[4:4+n]) != f[0] {
		return keyLine{}, false
	}
	sum := sha256.Sum256(blob)
	return keyLine{typ: f[0], fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])}, true
}

// optionsEnd is where the options of a line end: at the first blank that is not
// inside quotes.
func optionsEnd(line string) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
		case line[i] == '"':
			quoted = !quoted
		case !quoted && (line[i] == ' ' || line[i] == '\t'):
			return i
		}
	}
	return len(line)
}

// keyPath expands a word of AuthorizedKeysFile (sshd_config(5), TOKENS) for an
// account. A token that is not known gives no path.
func keyPath(pattern, user, home string, uid uint32) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		if i++; i == len(pattern) {
			return "", false
		}
		switch pattern[i] {
		case '%':
			b.WriteByte('%')
		case 'h':
			b.WriteString(home)
		case 'u':
			b.WriteString(user)
		case 'U':
			b.WriteString(strconv.FormatUint(uint64(uid), 10))
		default:
			return "", false
		}
	}
	if p := b.String(); path.IsAbs(p) {
		return path.Clean(p), true
	}
	return path.Join(home, b.String()), path.IsAbs(home)
}

// sudoLine is a line of sudoers(5), with those that continue it.
type sudoLine struct {
	number int
	text   string
}

// sudoLines joins continued lines and drops comments. A # before a digit is a uid
// and no comment, and so is one before include.
func sudoLines(text string) []sudoLine {
	var lines []sudoLine
	number, start, whole := 0, 0, ""
	for line := range strings.Lines(text) {
		number++
		if whole == "" {
			start = number
		}
		line = strings.TrimRight(line, "\r\n")
		if more, continued := strings.CutSuffix(line, `\`); continued {
			whole += more + " "
			continue
		}
		lines = append(lines, sudoLine{start, uncommented(whole + line)})
		whole = ""
	}
	if whole != "" {
		lines = append(lines, sudoLine{start, uncommented(whole)})
	}
	return lines
}

func uncommented(line string) string {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case line[i] == '#' && !quoted:
			rest := line[i+1:]
			if rest != "" && rest[0] >= '0' && rest[0] <= '9' || i == 0 && strings.HasPrefix(rest, "include") || i > 0 && line[i-1] == '%' {
				continue
			}
			return strings.TrimSpace(line[:i])
		}
	}
	return strings.TrimSpace(line)
}

// sudoInclude reads an include of a folder or of a file.
func sudoInclude(line string) (name string, folder, ok bool) {
	if name, ok := includedFolder(line); ok {
		return name, true, true
	}
	rest, found := strings.CutPrefix(line, "#include")
	if !found {
		rest, found = strings.CutPrefix(line, "@include")
	}
	text := strings.TrimLeft(rest, " \t")
	if !found || text == rest {
		return "", false, false
	}
	name, _, whole := firstWord(text)
	return strings.ReplaceAll(name, `\ `, " "), false, whole && name != ""
}

// sudoSpec takes a user specification apart: a list of users and the rest. Defaults
// and definitions of aliases are none.
func sudoSpec(line string) (who, rule string, ok bool) {
	first, _, _ := strings.Cut(line, " ")
	first, _, _ = strings.Cut(first, "\t")
	if strings.HasPrefix(first, "Defaults") || strings.HasSuffix(first, "_Alias") || !strings.Contains(line, "=") {
		return "", "", false
	}
	// The list ends at a blank that no comma stands beside.
	quoted, last := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			rest := strings.TrimLeft(line[i:], " \t")
			if last == ',' || last == '!' || strings.HasPrefix(rest, ",") {
				continue
			}
			return line[:i], rest, true
		}
		last = c
	}
	return "", "", false
}

// sudoAlias reads the definitions of a User_Alias line: NAME = LIST : NAME = LIST.
func sudoAlias(line string) map[string]string {
	rest, found := strings.CutPrefix(line, "User_Alias")
	if !found {
		return nil
	}
	aliases := map[string]string{}
	for definition := range strings.SplitSeq(rest, ":") {
		if name, list, ok := strings.Cut(definition, "="); ok {
			aliases[strings.TrimSpace(name)] = strings.TrimSpace(list)
		}
	}
	return aliases
}
