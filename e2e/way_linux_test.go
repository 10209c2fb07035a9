package e2e_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/e2e/fleet"
	"latchkey/e2e/machine"
)

// TestBrokenWay holds T-L1 with the ten days of TestRun_TenDaysAway: on a machine with
// the real sshd the agent starts and works with a control plane that is broken in every
// way there is. Its users log in, what is damaged is repaired, and nothing else changes;
// and the next change is taken when it is whole again.
func TestBrokenWay(t *testing.T) {
	t.Parallel()
	const name = "way1"
	b := &brokenWay{world: newWorld(t, 8486, 86, name), name: name}
	b.cli("stack", "create", "one")
	b.grant("alice", true)
	b.listen()
	b.through(b.whole)
	url := b.server.URL
	b.server.URL = fmt.Sprintf("https://%s:%d", machine.HostAddress, wayPort)
	b.join(name, b.stack())
	b.server.URL = url
	b.startAgent(name)
	b.wantLogin(name, "alice", "in, root")
	b.settled(name)
	b.was = b.snapshot(name)
	for situation, breaks := range b.situations() {
		b.sub(situation, func() { b.stays(breaks) })
	}
	b.through(b.whole)
	b.run(name, "systemctl", "restart", "latchkey-agent") // it would try again within half a minute
	b.grant("bob", true)
	b.revoke("alice")
	b.wantLogin(name, "bob", "in, root")
	b.wantLogin(name, "alice", "refused")
	(&crash{world: b.world, name: name}).dropIns("bob")
}

// brokenWay stands between a machine and its control plane: what the machine connects
// to goes through what answers at the moment.
type brokenWay struct {
	*world
	name   string
	was    map[string]string // the files when all was well
	answer atomic.Pointer[func(net.Conn)]
	met    atomic.Int64 // how often it was met since the answer was set

	mu    sync.Mutex
	conns map[net.Conn]bool
}

const (
	wayPort = 8487
	offPort = 8488
)

// listen waits for the machine on a port of its own.
func (b *brokenWay) listen() {
	b.conns = map[net.Conn]bool{}
	l, err := net.Listen("tcp", net.JoinHostPort(machine.HostAddress, fmt.Sprint(wayPort)))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = l.Close(); b.drop() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.keep(c)
			b.met.Add(1)
			go (*b.answer.Load())(c)
		}
	}()
}

func (b *brokenWay) keep(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[c] = true
}

// drop closes what is open.
func (b *brokenWay) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close()
	}
	clear(b.conns)
}

// through sets what answers from now on.
func (b *brokenWay) through(answer func(net.Conn)) {
	b.answer.Store(&answer)
	b.drop()
	b.met.Store(0)
}

// whole is the control plane itself.
func (b *brokenWay) whole(c net.Conn) { b.relay(c, after(0)) }

// relay hands on what comes from both sides in chunks of at most 1 kB.
func (b *brokenWay) relay(c net.Conn, pass func(to io.Writer, chunk []byte) error) {
	up, err := net.Dial("tcp", net.JoinHostPort(machine.HostAddress, fmt.Sprint(b.port)))
	if err != nil {
		_ = c.Close()
		return
	}
	b.keep(up)
	carry := func(to, from net.Conn) {
		defer func() { _ = to.Close(); _ = from.Close() }()
		chunk := make([]byte, 1000)
		for {
			n, err := from.Read(chunk)
			if n > 0 && pass(to, chunk[:n]) != nil || err != nil {
				return
			}
		}
	}
	go carry(up, c)
	go carry(c, up)
}

// situation sets one up and returns how to see that the machine has met it.
type situation func() (met func() bool)

func (b *brokenWay) situations() map[string]situation {
	met := func(answer func(net.Conn)) situation {
		return func() func() bool {
			b.through(answer)
			return func() bool { return b.met.Load() > 0 }
		}
	}
	page := "HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
	html := "<html>please log in</html>\n"
	proved, another := b.certificate(b.server.Data), b.certificate(b.otherServer())
	return map[string]situation{
		"reset":                met(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }),
		"hangs":                met(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }),
		"hangs-when-asked":     met(overTLS(proved, "")),
		"answers-503":          met(overTLS(proved, fmt.Sprintf(page, "503 Service Unavailable", len(html), html))),
		"answers-200-html":     met(overTLS(proved, fmt.Sprintf(page, "200 OK", len(html), html))),
		"answers-200-empty":    met(overTLS(proved, fmt.Sprintf(page, "200 OK", 0, ""))),
		"captive-portal":       met(overTLS(another, fmt.Sprintf(page, "200 OK", len(html), html))),
		"captive-portal-plain": met(func(c net.Conn) { _, _ = fmt.Fprintf(c, page, "200 OK", len(html), html); _ = c.Close() }),
		"half-open":            met(b.halfOpen),
		"1-kb-a-second":        met(func(c net.Conn) { b.relay(c, after(time.Second)) }),
		"5-s-late":             met(func(c net.Conn) { b.relay(c, after(5*time.Second)) }),
		"30-percent-lost":      met(func(c net.Conn) { lose(c, 30); b.whole(c) }),
		"off":                  b.off,
		"no-names":             b.noNames,
		"ipv6-black-hole":      b.blackHole,
	}
}

// after hands each chunk on when so much time has gone by.
func after(wait time.Duration) func(io.Writer, []byte) error {
	return func(to io.Writer, chunk []byte) error {
		time.Sleep(wait)
		_, err := to.Write(chunk)
		return err
	}
}

// overTLS answers what comes over TLS with a text, or with nothing.
func overTLS(as tls.Certificate, answer string) func(net.Conn) {
	return func(c net.Conn) {
		secured := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{as}})
		if _, err := secured.Read(make([]byte, 4096)); err != nil {
			return
		}
		if answer == "" {
			_, _ = io.Copy(io.Discard, secured)
		}
		_, _ = io.WriteString(secured, answer)
		_ = secured.Close()
	}
}

// halfOpen lets a connection begin and then loses all that comes on it: the other side is
// gone, and has not said so.
func (b *brokenWay) halfOpen(c net.Conn) {
	var first sync.Once
	b.relay(c, func(to io.Writer, chunk []byte) error {
		_, err := to.Write(chunk)
		first.Do(func() { time.AfterFunc(100*time.Millisecond, func() { lose(c, 100) }) })
		return err
	})
}

// lose has the kernel drop so many of a hundred packets that come for a socket, with a
// filter of socket(7), SO_ATTACH_FILTER.
func lose(c net.Conn, percent uint32) {
	const random = 0xfffff000 + 56 // SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: random},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: 100},
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: percent, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
				&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
		})
	}
	if err != nil {
		_ = c.Close() // it is not met as it should be, which the test sees
	}
}

// certificate is what a control plane shows, from its data directory.
func (b *brokenWay) certificate(data string) tls.Certificate {
	b.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(data, "tls", "server.pem"), filepath.Join(data, "tls", "server.key"))
	if err != nil {
		b.t.Fatal(err)
	}
	return pair
}

// otherServer makes the data directory of a control plane that the machine does not know.
func (b *brokenWay) otherServer() string {
	b.t.Helper()
	data := filepath.Join(b.dir, "other")
	other, err := fleet.Start(b.t.Context(), b.programs, data, machine.HostAddress, offPort)
	if err == nil {
		err = other.Stop()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// moved has the machine take another address for its control plane.
func (b *brokenWay) moved(to string) {
	b.t.Helper()
	const file = agentFolder + "/identity.json"
	was := b.run(b.name, "cat", file)
	at := fmt.Sprintf("https://%s:%d", machine.HostAddress, wayPort)
	if strings.Count(was, at) != 1 {
		b.t.Fatalf("the identity is %s", was)
	}
	m, ctx := b.machines[b.name], b.t.Context()
	put := func(text string) error { return m.WriteFile(ctx, file, []byte(text), 0o600) }
	if err := put(strings.Replace(was, at, to, 1)); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx = context.WithoutCancel(ctx)
		err := put(was)
		if err == nil {
			_, err = m.Run(ctx, "systemctl", "restart", "latchkey-agent")
		}
		if err != nil {
			b.t.Error(err)
		}
	})
}

// off is an address at which nobody listens.
func (b *brokenWay) off() func() bool {
	b.moved(fmt.Sprintf("https://%s:%d", machine.HostAddress, offPort))
	return func() bool { return strings.Contains(b.run(b.name, "latchkey-agent", "status"), "connection refused") }
}

// noNames has a server of names that does not answer.
func (b *brokenWay) noNames() func() bool {
	names, err := net.ListenPacket("udp", machine.HostAddress+":53")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = names.Close() })
	b.moved("https://nobody-knows.example.com:443")
	b.run(b.name, "sh", "-c", "echo nameserver "+machine.HostAddress+" >/etc/resolv.conf")
	return func() bool {
		_ = names.SetReadDeadline(time.Now().Add(time.Second))
		n, _, err := names.ReadFrom(make([]byte, 512))
		return err == nil && n > 0
	}
}

// blackHole has one address for the name, at which nothing comes back.
func (b *brokenWay) blackHole() func() bool {
	b.moved("https://cp.example.com:443")
	b.run(b.name, "sh", "-c", `set -e; echo "fd00:99::1 cp.example.com" >>/etc/hosts
		ip -6 address add fd00:99::2/64 dev host0 nodad; ip -6 neighbour add fd00:99::1 lladdr 02:00:00:00:00:99 dev host0 nud permanent`)
	return func() bool {
		for line := range strings.Lines(b.run(b.name, "cat", "/proc/net/tcp6")) {
			if f := strings.Fields(line); len(f) > 3 && f[3] == "02" { // SYN_SENT (proc_net_tcp)
				return true
			}
		}
		return false
	}
}

// stays has the agent start in a situation and work in it.
func (b *brokenWay) stays(sets situation) {
	met := sets()
	b.run(b.name, "systemctl", "restart", "latchkey-agent")
	b.eventually("the machine meets it", func() error {
		if !met() {
			return errors.New("it has not yet")
		}
		return nil
	})
	for _, damage := range []string{"true", "rm /etc/sudoers.d/90-latchkey"} {
		b.run(b.name, "sh", "-c", damage)
		b.eventually("all is as it was", func() error {
			files, err := b.machines[b.name].Snapshot(givenBack...)
			if diff := cmp.Diff(b.was, files); diff != "" {
				err = fmt.Errorf("(-before +after):\n%s", diff)
			}
			return err
		})
		if got := b.login(b.name, "alice"); got != "in, root" {
			b.t.Errorf("alice is %q", got)
			b.explain(b.name)
		}
	}
}
