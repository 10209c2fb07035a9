package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/authz/name"
)

// permissive is an sshd that allows everybody everything that a key line can take away.
const permissive = sshdConfig + `
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
AllowAgentForwarding yes
X11Forwarding yes
XAuthLocation /usr/bin/true
PermitTunnel yes
PermitUserRC yes
PermitTTY yes
`

// Inside the machine: what alice's forwardings lead to.
const (
	aliceHome  = "/var/lib/home"
	localEnd   = "/run/local.sock"
	targetSock = "/run/target.sock"
	agentSock  = "/run/agent.sock"
	ownTunnel  = 7 // a tunnel device that belongs to alice
)

// sshdProgram is the sshd of this machine, or the program that stands for that of
// another release: LATCHKEY_TEST_SSHD is its path, and it is called as sshd is.
func sshdProgram() string {
	if path := os.Getenv("LATCHKEY_TEST_SSHD"); path != "" {
		return path
	}
	return lookTool("sshd")
}

// inMachineRestricted holds R12 and T-K32 in part: the real sshd, which itself allows all of it,
// refuses a restricted key every forwarding, the tunnel and ~/.ssh/rc, and lets it open
// a session, with a terminal and without. What is refused works with the same key where
// it is not restricted.
func inMachineRestricted(t *testing.T) {
	key := permitEverything(t)
	port := serveForwarded(t)
	probes := []struct {
		what    string
		allowed bool // with a restricted key
		works   func(t *testing.T) (bool, string)
	}{
		{"command", true, says("in as 20001\n", "echo in as $(id -u)")},
		{"terminal", true, says("/dev/pts/", "tty", "-tt")},
		{"local-port", false, reaches(fmt.Sprintf("%s:127.0.0.1:%d", localEnd, port))},
		{"local-socket", false, reaches(localEnd + ":" + targetSock)},
		{"standard-output", false, says("reached\n", "", "-W", fmt.Sprintf("127.0.0.1:%d", port))},
		{"remote-port", false, says("in\n", "echo in", "-o", "ExitOnForwardFailure=yes", "-R", fmt.Sprintf("127.0.0.1:0:127.0.0.1:%d", port))},
		{"remote-socket", false, says("in\n", "echo in", "-o", "ExitOnForwardFailure=yes", "-R", fmt.Sprintf(aliceHome+"/remote.sock:127.0.0.1:%d", port))},
		{"remote-any-port", false, says("in\n", "echo in", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0")},
		{"agent", false, says("agent\n", `test -S "$SSH_AUTH_SOCK" && echo agent`, "-A")},
		{"x11", false, says("display\n", `test -n "$DISPLAY" && echo display`, "-X")},
		{"x11-trusted", false, says("display\n", `test -n "$DISPLAY" && echo display`, "-Y")},
		{"tunnel", false, says("tun7\n", `echo "$SSH_TUNNEL"`, "-w", fmt.Sprint("8:", ownTunnel))},
		{"rc", false, says("rc ran\n", "cat "+aliceHome+"/rc-ran; rm "+aliceHome+"/rc-ran")},
	}
	for form, options := range map[string]string{
		"free":                   "",
		"restricted":             name.RestrictedKey + " ",
		"restricted-with-expiry": name.RestrictedKey + `,expiry-time="` + time.Now().Add(time.Hour).UTC().Format("20060102150405Z") + `" `,
	} {
		t.Run(form, func(t *testing.T) {
			putKeys(t, "# latchkey 1 uid=20001\n"+options+key+" alice\n")
			for _, p := range probes {
				if works, said := p.works(t); works != (p.allowed || options == "") {
					t.Errorf("%s works: %t; said %s", p.what, works, said)
				}
			}
			if options == "" {
				return
			}
			for _, device := range []string{"any", "0", "2147483645"} {
				if _, said := says("\x00", `echo "tunnel:$SSH_TUNNEL"`, "-w", "8:"+device)(t); !strings.Contains(said, "tunnel:\n") && !strings.Contains(said, "Tunnel forwarding failed") {
					t.Errorf("a tunnel on device %s: %s", device, said)
				}
			}
		})
	}
}

// permitEverything prepares the machine for all that could be forwarded, and returns the
// public half of alice's key.
func permitEverything(t *testing.T) string {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"restricted", "restricted-host"} {
		out, err := exec.Command(lookTool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/var/lib/etc/"+key).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	config := strings.Replace(permissive, "/var/lib/etc/host", "/var/lib/etc/restricted-host", 1)
	check(os.WriteFile("/var/lib/etc/sshd_permissive", []byte(config), 0o644))
	check(os.MkdirAll(aliceHome+"/.ssh", 0o700))
	check(os.WriteFile(aliceHome+"/.ssh/rc", []byte("echo rc ran > "+aliceHome+"/rc-ran\n"), 0o600))
	for _, path := range []string{aliceHome, aliceHome + "/.ssh", aliceHome + "/.ssh/rc"} {
		check(os.Chown(path, 20001, 20001))
	}
	// Any user may open the device on most machines; what he may use is the kernel's to say.
	check(syscall.Mknod("/run/tun", syscall.S_IFCHR|0o666, 10<<8|200))
	check(os.Chmod("/run/tun", 0o666))
	check(syscall.Mount("/run/tun", "/dev/net/tun", "", syscall.MS_BIND, ""))
	for _, args := range []string{"link set lo up", fmt.Sprintf("tuntap add dev tun%d mode tun user 20001", ownTunnel)} {
		if out, err := exec.Command(lookTool("ip"), strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	public, err := os.ReadFile("/var/lib/etc/restricted.pub")
	check(err)
	return strings.TrimSpace(string(public))
}

// serveForwarded answers whoever comes through a forwarding, beside an agent that may be
// forwarded. It returns the port.
func serveForwarded(t *testing.T) int {
	t.Helper()
	serve := func(network, address string, answer func(net.Conn)) net.Addr {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				answer(c)
				c.Close()
			}
		}()
		return l.Addr()
	}
	reached := func(c net.Conn) { _, _ = io.WriteString(c, "reached\n") }
	serve("unix", targetSock, reached)
	if err := os.Chmod(targetSock, 0o666); err != nil {
		t.Fatal(err)
	}
	startAgent(t)
	return serve("tcp", "127.0.0.1:0", reached).(*net.TCPAddr).Port
}

// startAgent runs an agent without keys, and comes back when it listens.
func startAgent(t *testing.T) {
	t.Helper()
	cmd := exec.Command(lookTool("ssh-agent"), "-D", "-a", agentSock)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := stdout.Read(make([]byte, 512)); err != nil { // it says where it listens
		t.Fatal(err)
	}
}

// sshAs is the real client, on its way to alice by the restricted key.
func sshAs(ctx context.Context, options []string, command ...string) *exec.Cmd {
	args := append([]string{"-F", "none", "-i", "/var/lib/etc/restricted",
		"-o", "ProxyCommand=" + sshdProgram() + " -i -e -f /var/lib/etc/sshd_permissive", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "StreamLocalBindUnlink=yes"}, options...)
	cmd := exec.CommandContext(ctx, lookTool("ssh"), append(append(args, "alice@machine"), command...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "SSH_AUTH_SOCK=" + agentSock, "DISPLAY=:0", "HOME=/root"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// says runs a command in a session and reports whether its output begins so.
func says(want, command string, options ...string) func(*testing.T) (bool, string) {
	return func(t *testing.T) (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var commands []string
		if command != "" {
			commands = []string{command}
		}
		cmd := sshAs(ctx, options, commands...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		return strings.HasPrefix(string(out), want), fmt.Sprintf("%s, %v: %s", out, err, stderr.String())
	}
}

// reaches forwards from the local end while a session is open, and reports whether
// somebody answers there.
func reaches(forward string) func(*testing.T) (bool, string) {
	return func(t *testing.T) (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := sshAs(ctx, []string{"-L", forward}, "echo ready; cat")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { stdin.Close(); _ = cmd.Wait() }()
		if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
			return false, "no session: " + err.Error()
		}
		c, err := net.Dial("unix", localEnd)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answer, err := io.ReadAll(c)
		return string(answer) == "reached\n", fmt.Sprintf("%q, %v", answer, err)
	}
}
