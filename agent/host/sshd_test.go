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

// TestEndless holds R11 in part.
func TestEndless(t *testing.T) {
	for said, want := range map[string]bool{
		"unknown option -- ?; OpenSSH_8.4p1 Debian-5+deb11u3, OpenSSL 1.1.1w  11 Sep 2023; usage: sshd [-46DdeiqTt]": true,
		"unknown option -- ?; OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.20 7 Apr 2026; usage: sshd [-46DdeiqTtV]": false,
		"OpenSSH_7.4p1, OpenSSL 1.0.2k-fips  26 Jan 2017":                                                            true,
		"OpenSSH_9.0p1 Ubuntu-1ubuntu8, OpenSSL 3.0.5":                                                               true,
		"OpenSSH_9.1p1":                             false,
		"OpenSSH_9.10p1":                            false,
		"OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.7":    false,
		"OpenSSH_for_Windows_8.6p1, LibreSSL 3.4.3": true,
		"OpenSSH_9":                                 false,
		"OpenSSH_":                                  false,
		"Dropbear v2022.83":                         false,
		"":                                          false,
		"OpenSSH_99999999999999999999.0":            false,
	} {
		if got := endless(said); got != want {
			t.Errorf("%q refuses a line with an end: %t", said, got)
		}
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
