package host

import (
	"net"
	"strconv"
	"strings"
)

// openSSH stands before the version in what sshd says of itself.
const openSSH = "OpenSSH_"

// endless reports whether the sshd that says this of itself refuses a line of keys with
// an end in UTC: those before 9.1 do (its release notes; what came before reads 8, 12 or 14
// digits and nothing else). Distributions do not put it into older ones.
func endless(said string) bool {
	_, version, found := strings.Cut(said, openSSH)
	digits := strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if !found || len(digits) < 2 {
		return false
	}
	major, _ := strconv.Atoi(digits[0]) // one too large to be read is the largest there is
	minor, _ := strconv.Atoi(digits[1])
	return major < 9 || major == 9 && minor < 1
}

// listenAddresses reads where sshd listens from the output of sshd -T. An
// unspecified address is reached through loopback.
func listenAddresses(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		value, found := strings.CutPrefix(strings.TrimSpace(line), "listenaddress ")
		if !found {
			continue
		}
		value, _, _ = strings.Cut(value, " ") // a routing domain may follow
		host, port, err := net.SplitHostPort(value)
		if err != nil {
			continue
		}
		switch host {
		case "0.0.0.0":
			host = "127.0.0.1"
		case "::":
			host = "::1"
		}
		out = append(out, net.JoinHostPort(host, port))
	}
	return out
}
