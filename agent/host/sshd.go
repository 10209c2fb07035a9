package host

import (
	"net"
	"strings"
)

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
