package host

import (
	"net"
	"strings"
	"testing"
)

func TestListenAddresses(t *testing.T) {
	for situation, c := range map[string]struct{ text, want string }{
		"default":      {"port 22\nlistenaddress [::]:22\nlistenaddress 0.0.0.0:22\nusepam yes\n", "[::1]:22 127.0.0.1:22"},
		"other-port":   {"listenaddress 0.0.0.0:2222\n", "127.0.0.1:2222"},
		"one-address":  {"listenaddress 10.0.0.1:22\nlistenaddress [fe80::1]:22\n", "10.0.0.1:22 [fe80::1]:22"},
		"rdomain":      {"listenaddress 10.0.0.1:22 rdomain mgmt\n", "10.0.0.1:22"},
		"none":         {"port 22\n", ""},
		"nothing":      {"", ""},
		"no-port":      {"listenaddress 0.0.0.0\n", ""},
		"empty":        {"listenaddress \nlistenaddress\n", ""},
		"prefix":       {"listenaddresses 0.0.0.0:22\n", ""},
		"crlf":         {"listenaddress 0.0.0.0:22\r\n", "127.0.0.1:22"},
		"last-line":    {"listenaddress 0.0.0.0:22", "127.0.0.1:22"},
		"of-a-comment": {"# listenaddress 0.0.0.0:22\n", ""},
	} {
		t.Run(situation, func(t *testing.T) {
			if got := strings.Join(listenAddresses(c.text), " "); got != c.want {
				t.Errorf("addresses are %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzListenAddresses(f *testing.F) {
	f.Add("listenaddress [::]:22\nlistenaddress 0.0.0.0:22\n")
	f.Add("listenaddress [fe80::1%eth0]:22\r\nlistenaddress :22")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range listenAddresses(text) {
			if host, _, err := net.SplitHostPort(a); err != nil || host == "0.0.0.0" || host == "::" {
				t.Errorf("%q gives the address %q, %v", text, a, err)
			}
		}
	})
}
