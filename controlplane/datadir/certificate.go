package datadir

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"latchkey/authz/wire"
)

const (
	caLife     = 30 * 365 * 24 * time.Hour // its end would stop every instance at once
	serverLife = 90 * 24 * time.Hour
	// backdate lets machines whose clocks are late accept a new certificate.
	backdate = wire.MaxSkew
)

// server is the server's side of TLS: the authority and its one certificate.
type server struct {
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	names names
	now   func() time.Time

	mu      sync.Mutex // guards current
	current *tls.Certificate
}

func (s *server) pin() wire.Pin { return sha256.Sum256(s.ca.RawSubjectPublicKeyInfo) }

// GetCertificate is for tls.Config: it gives the server's certificate, and makes
// a new one at two thirds of its life. A server that is not restarted keeps the
// new one in memory only; the next Open writes one to the disk.
func (d *Dir) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := d.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due(s.current.Leaf, s.now()) {
		renewed, _, err := s.issue(s.now())
		if err != nil {
			return nil, fmt.Errorf("renew the server certificate: %w", err)
		}
		s.current = renewed
	}
	return s.current, nil
}

// server makes or reads the authority, and a server certificate for the names of
// now: one that is for other names, of another authority, past two thirds of its
// life or damaged is replaced.
func (m *maker) server(opt Options) (*server, error) {
	ns, err := wanted(opt)
	if err != nil {
		return nil, err
	}
	s := &server{names: ns, now: opt.Now}
	if s.caKey, err = m.authorityKey(); err != nil {
		return nil, err
	}
	if s.ca, err = m.authority(s.caKey); err != nil {
		return nil, err
	}
	if s.current, err = m.serverCertificate(s); err != nil {
		return nil, err
	}
	return s, nil
}

func (m *maker) authorityKey() (*ecdsa.PrivateKey, error) {
	text, err := m.secret("authority's key", caKey, func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return encodeKey(key)
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s %w", m.path(caKey), ErrKeyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s %w", m.path(caKey), ErrKeyFile)
	}
	return key, nil
}

// authority makes or reads the authority's certificate. It is the last file of a
// first run. Made again from the same key it has the same name and the same pin, so
// what the old one vouched for stays good.
func (m *maker) authority(key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	text, err := os.ReadFile(m.path(caCertificate))
	if errors.Is(err, fs.ErrNotExist) {
		return m.newAuthority(key)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not a certificate", m.path(caCertificate))
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is not a certificate: %v", m.path(caCertificate), err)
	}
	if !key.PublicKey.Equal(ca.PublicKey) {
		return nil, fmt.Errorf("%s and %s are not a pair", m.path(caCertificate), m.path(caKey))
	}
	return ca, nil
}

func (m *maker) newAuthority(key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	sum := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber:          serialNumber(),
		Subject:               pkix.Name{CommonName: fmt.Sprintf("Latchkey authority %x", sum[:4])},
		NotBefore:             m.now.Add(-backdate),
		NotAfter:              m.now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	if err := replace(m.path(caCertificate), encodeCertificates(der), 0o644); err != nil {
		return nil, err
	}
	m.note("certificate authority", caCertificate)
	return x509.ParseCertificate(der)
}

func (m *maker) serverCertificate(s *server) (*tls.Certificate, error) {
	have, err := m.readServerCertificate(s.ca)
	if err != nil {
		return nil, err
	}
	if have != nil && !s.due(have.Leaf, m.now) {
		return have, nil
	}
	made, key, err := s.issue(m.now)
	if err != nil {
		return nil, fmt.Errorf("make the server certificate: %w", err)
	}
	// Killed between the two, the next run finds no pair and makes another.
	if err := replace(m.path(serverKey), key, 0o600); err != nil {
		return nil, err
	}
	if err := replace(m.path(serverCert), encodeCertificates(made.Certificate...), 0o644); err != nil {
		return nil, err
	}
	m.note("server certificate for "+s.names.String()+" in", serverCert)
	return made, nil
}

// readServerCertificate returns nil when there is no sound pair by the authority.
func (m *maker) readServerCertificate(ca *x509.Certificate) (*tls.Certificate, error) {
	key, err := readPrivate(m.path(serverKey))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	chain, err := os.ReadFile(m.path(serverCert))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil || pair.Leaf.CheckSignatureFrom(ca) != nil || !bytes.Equal(pair.Leaf.RawIssuer, ca.RawSubject) {
		return nil, nil
	}
	return &pair, nil
}

// due reports whether a certificate must be replaced.
func (s *server) due(c *x509.Certificate, now time.Time) bool {
	ips := make([]string, len(c.IPAddresses))
	for i, ip := range c.IPAddresses {
		ips[i] = ip.String()
	}
	slices.Sort(ips)
	twoThirds := c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3)
	return !slices.Equal(c.DNSNames, s.names.dns) || !slices.Equal(ips, s.names.ips) ||
		now.Before(c.NotBefore) || !now.Before(twoThirds)
}

// issue makes a key and a certificate for the server's names, and the key's PEM.
func (s *server) issue(now time.Time) (*tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serialNumber(),
		Subject:      pkix.Name{CommonName: "Latchkey server"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(serverLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     s.names.dns,
	}
	for _, ip := range s.names.ips {
		template.IPAddresses = append(template.IPAddresses, net.IP(netip.MustParseAddr(ip).AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.ca, &key.PublicKey, s.caKey)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	text, err := encodeKey(key)
	return &tls.Certificate{Certificate: [][]byte{der, s.ca.Raw}, PrivateKey: key, Leaf: leaf}, text, err
}

func serialNumber() *big.Int { return new(big.Int).SetBytes(append([]byte{1}, randomBytes(15)...)) }

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func encodeCertificates(ders ...[]byte) []byte {
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}
