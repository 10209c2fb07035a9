package host

import (
	"net"
	"os"
	"runtime"
	"strings"

	"latchkey/authz/wire"
)

// Facts says what machine this is, for people who look at a list of instances.
// What cannot be found out is left empty. system is the kind of system; server is the
// host and port through which the machine's own address is found.
func Facts(system, agent, server string) wire.Facts {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = ""
	}
	return wire.Facts{
		Hostname: hostname, OS: system, Platform: platform(), Architecture: runtime.GOARCH,
		Agent: agent, Address: localAddress(server),
	}
}

// platform reads os-release(5).
func platform() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = strings.Trim(value, `"'`)
	}
	return strings.TrimSpace(values["ID"] + " " + values["VERSION_ID"])
}

// localAddress asks the routing table, sending nothing.
func localAddress(server string) string {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return ""
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return ""
	}
	return host
}
