package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"strings"

	"latchkey/authz/wire"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane/datadir"
)

// certificate is what the server shows, and how clients know it.
type certificate struct {
	config *tls.Config
	pin    wire.Pin // goes into join tokens
	ca     string   // a file that verifies it
	name   string   // a name it is for
}

// ownCertificate reads --tls-cert and --tls-key; nil when they are not given.
func ownCertificate(cfg config) (*certificate, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, cli.Usage("", "--tls-cert, --tls-key: %v", err)
	}
	last, err := x509.ParseCertificate(pair.Certificate[len(pair.Certificate)-1])
	if err != nil {
		return nil, cli.Usage("", "--tls-cert: %v", err)
	}
	ca, err := filepath.Abs(cfg.TLSCert)
	if err != nil {
		return nil, err
	}
	return &certificate{
		config: &tls.Config{Certificates: []tls.Certificate{pair}},
		pin:    sha256.Sum256(last.RawSubjectPublicKeyInfo),
		ca:     ca,
		name:   firstName(pair.Leaf),
	}, nil
}

// firstName is a name or an address that a certificate is for.
func firstName(leaf *x509.Certificate) string {
	for _, n := range leaf.DNSNames {
		if !strings.Contains(n, "*") {
			return n
		}
	}
	if len(leaf.IPAddresses) > 0 {
		return leaf.IPAddresses[0].String()
	}
	return "localhost"
}

// dirCertificate is the one that the data directory's own authority made.
func dirCertificate(dir *datadir.Dir) *certificate {
	return &certificate{
		config: &tls.Config{GetCertificate: dir.GetCertificate},
		pin:    dir.Pin(),
		ca:     dir.CAPath(),
	}
}
