// Package name holds the names that may reach a machine, and the reasons for
// refusing the others.
//
// It is pure and links nothing but the standard library's strings, because the
// login hook (cmd/keys) needs the grammar and must stay small: a large program
// out of the page cache shows in a login.
package name

import (
	"strings"
)

// Refusal says why something a person typed was not accepted. Code is stable
// and for programs; Text is one fact for people. Every reason is one variable,
// so callers compare with errors.Is.
type Refusal struct {
	Code string
	Text string
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

// Refuse makes a reason. Packages keep each as one variable.
func Refuse(code, text string) *Refusal { return &Refusal{Code: code, Text: text} }

// Reasons for refusing a login name.
var (
	ErrEmpty     = Refuse("name_empty", "name is empty")
	ErrTooLong   = Refuse("name_too_long", "name is longer than 31 characters")
	ErrStart     = Refuse("name_start", "name does not begin with a lower-case letter a-z")
	ErrCharacter = Refuse("name_character", "name holds a character other than a-z, 0-9, - and _")
	ErrEnd       = Refuse("name_end", "name ends in -")
	ErrReserved  = Refuse("name_reserved", "name is reserved by the system")
)

// MaxLength is the longest login name in bytes. Linux allows 32; the grammar of
// requirement R14 keeps one spare.
const MaxLength = 31

// Username is a login name that is safe as a file name, an argument, a sudoers
// user and an sshd token. Only ParseUsername makes one; the zero value is no
// name.
type Username struct{ s string }

// ParseUsername accepts exactly ^[a-z][a-z0-9_-]{0,30}$ not ending in -, and
// none of the reserved names (requirements R14, R16). It never changes its
// input: what is not in the grammar is refused with its own reason.
func ParseUsername(s string) (Username, error) {
	switch {
	case s == "":
		return Username{}, ErrEmpty
	case len(s) > MaxLength:
		return Username{}, ErrTooLong
	case s[0] < 'a' || s[0] > 'z':
		return Username{}, ErrStart
	}
	for i := 0; i < len(s); i++ {
		if !allowed(s[i]) {
			return Username{}, ErrCharacter
		}
	}
	switch {
	case s[len(s)-1] == '-':
		return Username{}, ErrEnd
	case reserved(s):
		return Username{}, ErrReserved
	}
	return Username{s}, nil
}

// Canonical turns a name a person typed, or one derived from an ARN, into the
// name that is kept: ASCII punctuation other than - and _ removed and letters
// lower-cased, as the original service did, then ParseUsername. White space,
// control characters and anything beyond ASCII are not punctuation and refuse
// the name.
func Canonical(s string) (Username, error) {
	if len(s) > 4*MaxLength {
		return Username{}, ErrTooLong
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case punctuation(c):
		default:
			b.WriteByte(c)
		}
	}
	return ParseUsername(b.String())
}

// String returns the name, or "" for the zero value.
func (u Username) String() string { return u.s }

// IsZero reports whether u is no name.
func (u Username) IsZero() bool { return u.s == "" }

// MarshalText prints the name.
func (u Username) MarshalText() ([]byte, error) { return []byte(u.s), nil }

// UnmarshalText parses the name, so a file edited by hand cannot smuggle one in.
func (u *Username) UnmarshalText(text []byte) error {
	parsed, err := ParseUsername(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

func allowed(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// punctuation is ASCII punctuation less the two marks that a name may hold.
func punctuation(c byte) bool {
	return c > ' ' && c < 0x7f && !allowed(c) && !('A' <= c && c <= 'Z')
}

// reserved reports whether s is a name that a system, a cloud image, sudoers or
// Windows already gives a meaning (requirement R16). A switch, not a map: it
// costs the hook nothing at start.
func reserved(s string) bool {
	switch s {
	case "root", "toor", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy",
		"backup", "list", "irc", "gnats", "nobody", "nogroup", "operator", "halt", "shutdown", "ftp", "sshd",
		"messagebus", "polkitd", "chrony", "ntp", "syslog", "tss", "uuidd", "tcpdump", "landscape", "dbus", "rpc",
		"adm", "sudo", "wheel", "admin", "admins", "docker", "lxd", "disk", "shadow", "staff", "users", "kvm",
		"libvirt", "podman", "kmem", "tty", "input", "video", "audio", "plugdev", "netdev", "ssh", "utmp", "crontab",
		"all", "defaults", "none", "localhost", "self",
		"administrator", "administrators", "guest", "system", "defaultaccount", "wdagutilityaccount", "krbtgt",
		"ubuntu", "debian", "centos", "fedora", "rocky", "almalinux", "core", "opc", "vagrant", "azureuser",
		"ec2-user", "cloud-user", "bitnami", "alpine", "arch", "freebsd", "suse", "opensuse", "rhel",
		"con", "nul", "aux", "prn", "clock",
		"postgres", "mysql", "redis", "nginx", "apache", "http", "git", "jenkins", "www-data", "www":
		return true
	}
	for _, prefix := range []string{"systemd-", "latchkey"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return len(s) == 4 && (s[:3] == "com" || s[:3] == "lpt") && '0' <= s[3] && s[3] <= '9'
}
