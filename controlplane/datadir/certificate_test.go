package datadir_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane/datadir"
)

// Clients that trust ca.pem accept the server under every name, and no other.
func TestDir_GetCertificate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, _ := mustOpen(t, dir, options("latchkey.example", "2001:db8::5"))
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: d.GetCertificate, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go serve(server)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(mustRead(t, d.CAPath()))) {
		t.Fatal("ca.pem holds no certificate")
	}
	for name, accepted := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true, "machine.example": true, "192.0.2.7": true,
		"latchkey.example": true, "2001:db8::5": true, "other.example": false, "192.0.2.8": false,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := tls.Dial("tcp", server.Addr().String(), &tls.Config{
				RootCAs: roots, ServerName: name, Time: func() time.Time { return noon },
			})
			if accepted != (err == nil) {
				t.Errorf("got %v", err)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}

func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_ = c.(*tls.Conn).Handshake() // a client that refuses us is the point
			c.Close()
		}()
	}
}

func leaf(t *testing.T, d *datadir.Dir) *x509.Certificate {
	t.Helper()
	c, err := d.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func TestOpen_ReissuesServerCertificate(t *testing.T) {
	const life = 91 * 24 * time.Hour // with the day that it is backdated
	for _, tc := range []struct {
		name    string
		change  func(dir string, opt *datadir.Options) error
		another bool
	}{
		{"nothing-changed", nil, false},
		{"name-added", func(_ string, o *datadir.Options) error { o.Names = append(o.Names, "new.example"); return nil }, true},
		{"name-dropped", func(_ string, o *datadir.Options) error { o.Names = nil; return nil }, true},
		{"name-said-twice", func(_ string, o *datadir.Options) error {
			o.Names = []string{"OLD.example.", "old.example"}
			return nil
		}, false},
		{"address-changed", func(_ string, o *datadir.Options) error {
			o.Addresses = func() ([]netip.Addr, error) { return nil, nil }
			return nil
		}, true},
		{"host-renamed", func(_ string, o *datadir.Options) error {
			o.Hostname = func() (string, error) { return "other", nil }
			return nil
		}, true},
		{"just-before-two-thirds", at(noon.Add(-24*time.Hour + life*2/3 - time.Second)), false},
		{"at-two-thirds", at(noon.Add(-24*time.Hour + life*2/3)), true},
		{"clock-far-back", at(noon.Add(-48 * time.Hour)), true},
		{"key-gone", func(dir string, _ *datadir.Options) error { return remove("tls/server.key")(dir) }, true},
		{"certificate-gone", func(dir string, _ *datadir.Options) error { return remove("tls/server.pem")(dir) }, true},
		{"certificate-damaged", func(dir string, _ *datadir.Options) error { return write("tls/server.pem", "x")(dir) }, true},
		{"authority-made-again", func(dir string, _ *datadir.Options) error { return remove("tls/ca.pem")(dir) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			opt := options("old.example")
			before, _ := mustOpen(t, dir, opt)
			if tc.change != nil {
				if err := tc.change(dir, &opt); err != nil {
					t.Fatal(err)
				}
			}
			after, _ := mustOpen(t, dir, opt)
			if after.Pin() != before.Pin() {
				t.Error("the pin changed: every instance would refuse the server")
			}
			if another := leaf(t, after).SerialNumber.Cmp(leaf(t, before).SerialNumber) != 0; another != tc.another {
				t.Errorf("another certificate: %v, want %v", another, tc.another)
			}
			expectTrusted(t, dir, leaf(t, after), opt.Now())
			pair, err := tls.LoadX509KeyPair(dir+"/tls/server.pem", dir+"/tls/server.key")
			if err != nil || !pair.Leaf.Equal(leaf(t, after)) {
				t.Errorf("the disk has another certificate: %v", err)
			}
		})
	}
}

// expectTrusted checks the certificate as a client with ca.pem does.
func expectTrusted(t *testing.T, dir string, c *x509.Certificate, now time.Time) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(mustRead(t, dir+"/tls/ca.pem"))) {
		t.Fatal("ca.pem holds no certificate")
	}
	if now.Before(noon) {
		now = noon // a clock that went back: the authority is not valid yet
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: "localhost"}); err != nil {
		t.Error(err)
	}
}

func at(now time.Time) func(string, *datadir.Options) error {
	return func(_ string, o *datadir.Options) error {
		o.Now = func() time.Time { return now }
		return nil
	}
}

// A server that runs for months renews without a restart.
func TestDir_GetCertificate_Renews(t *testing.T) {
	now := noon
	opt := options()
	opt.Now = func() time.Time { return now }
	d, _ := mustOpen(t, filepath.Join(t.TempDir(), "data"), opt)
	first := leaf(t, d)
	now = noon.Add(80 * 24 * time.Hour)
	second := leaf(t, d)
	if second.Equal(first) || !now.Before(second.NotAfter) || !cmp.Equal(first.DNSNames, second.DNSNames) {
		t.Errorf("after 80 days: serial %v, until %s", second.SerialNumber, second.NotAfter)
	}
	if third := leaf(t, d); !third.Equal(second) {
		t.Error("renewed again at once")
	}
}
