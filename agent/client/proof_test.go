package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"latchkey/agent/client"
	"latchkey/authz/wire"
)

// TestNew_ProvesTheServer holds R71, R84 and R169 in part: a server that does not prove the
// pinned key hears nothing, not even the path of a request.
func TestNew_ProvesTheServer(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	good := ours.leaf(t, nil)
	between, betweenKey := intermediate(t, ours)
	tests := map[string]struct {
		config   *tls.Config // nil: plain HTTP
		pin      wire.Pin
		url      func(string) string
		accepted bool
		noProof  bool
	}{
		"right":                {config: with(good), pin: ours.pin(), accepted: true},
		"right-name":           {config: with(good), pin: ours.pin(), url: host("localhost"), accepted: true},
		"intermediate-between": {config: with(under(t, between, betweenKey, ours)), pin: ours.pin(), accepted: true},
		"other-authority":      {config: with(newAuthority(t).leaf(t, nil)), pin: ours.pin()},
		"self-signed":          {config: with(selfSigned(t)), pin: ours.pin()},
		"ours-shown-but-did-not-sign": {config: with(func() tls.Certificate {
			c := newAuthority(t).leaf(t, nil)
			c.Certificate[1] = ours.cert.Raw
			return c
		}()), pin: ours.pin()},
		"ours-behind-another-chain": {config: with(func() tls.Certificate {
			c := newAuthority(t).leaf(t, nil)
			c.Certificate = append(c.Certificate, ours.cert.Raw)
			return c
		}()), pin: ours.pin()},
		"authority-not-shown": {config: with(func() tls.Certificate {
			c := ours.leaf(t, nil)
			c.Certificate = c.Certificate[:1]
			return c
		}()), pin: ours.pin()},
		"pin-of-nothing": {config: with(good), pin: wire.Pin{}},
		"expired":        {config: with(ours.leaf(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), pin: ours.pin()},
		"not-yet-valid":  {config: with(ours.leaf(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })), pin: ours.pin()},
		"other-address":  {config: with(ours.leaf(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} })), pin: ours.pin()},
		"other-name":     {config: with(ours.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost.example"} })), pin: ours.pin(), url: host("localhost")},
		"no-name":        {config: with(ours.leaf(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })), pin: ours.pin()},
		"certificate-for-clients": {config: with(ours.leaf(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), pin: ours.pin()},
		"tls-1.2":    {config: &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, pin: ours.pin(), noProof: true},
		"plain-http": {pin: ours.pin(), noProof: true, url: func(u string) string { return strings.Replace(u, "http:", "https:", 1) }},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, test.config, enrolled)
			url := s.URL
			if test.url != nil {
				url = test.url(url)
			}
			_, err := newClient(t, url, test.pin).Enroll(t.Context(), enrolment)
			requests, received := s.seen()
			if test.accepted {
				if err != nil || requests != 1 {
					t.Errorf("Enroll = %v after %d requests", err, requests)
				}
				return
			}
			// Who does not speak TLS 1.3 does not come so far as to show a certificate.
			if err == nil || errors.Is(err, client.ErrServer) == test.noProof || requests != 0 {
				t.Errorf("Enroll = %v, %d requests", err, requests)
			}
			for _, secret := range []string{enrolment.Secret, "/agent/v1/", "POST"} {
				if strings.Contains(received, secret) {
					t.Errorf("the server was sent %q", secret)
				}
			}
			if received == "" {
				t.Error("the server was not even asked")
			}
		})
	}
}

// TestNew_PinOfTheCertificateItself: a certificate of one's own may be its own
// authority, or be all that was given; the token then pins its key.
func TestNew_PinOfTheCertificateItself(t *testing.T) {
	t.Parallel()
	leaf := newAuthority(t).leaf(t, func(c *x509.Certificate) { c.DNSNames = nil })
	leaf.Certificate = leaf.Certificate[:1]
	for situation, cert := range map[string]tls.Certificate{"self-signed": selfSigned(t), "leaf-alone": leaf} {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, with(cert), enrolled)
			if _, err := newClient(t, s.URL, pinOf(cert)).Enroll(t.Context(), enrolment); err != nil {
				t.Errorf("Enroll = %v", err)
			}
			// Its name counts all the same.
			elsewhere := host("localhost")(s.URL)
			if _, err := newClient(t, elsewhere, pinOf(cert)).Enroll(t.Context(), enrolment); !errors.Is(err, client.ErrServer) {
				t.Errorf("under another name: %v", err)
			}
		})
	}
}

func with(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS13}
}

func host(name string) func(string) string {
	return func(u string) string { return strings.Replace(u, "127.0.0.1", name, 1) }
}

func pinOf(c tls.Certificate) wire.Pin { return sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo) }

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	a := newAuthority(t)
	template := *a.cert
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	cert := sign(t, &template, &template, a.key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: a.key, Leaf: cert}
}

func intermediate(t *testing.T, above authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := *above.cert
	template.Subject.CommonName = "between"
	return sign(t, &template, above.cert, key, above.key), key
}

// under is a server's certificate of an authority that another one made.
func under(t *testing.T, between *x509.Certificate, key *ecdsa.PrivateKey, top authority) tls.Certificate {
	t.Helper()
	c := authority{between, key}.leaf(t, nil)
	c.Certificate = append(c.Certificate, top.cert.Raw)
	return c
}
