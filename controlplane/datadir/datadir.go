// Package datadir keeps the server's data directory: it makes on the first run
// what is not there, and opens after that.
//
//	DIR                      0700
//	DIR/latchkey.db          0600 the database; package store makes it
//	DIR/tls/ca.pem           0644 the certificate authority
//	DIR/tls/ca.key           0600
//	DIR/tls/server.pem       0644 the server's certificate, then the authority's
//	DIR/tls/server.key       0600
//	DIR/keys/signing.key     0600 signs bundles, a signer key of sumdb/note
//	DIR/keys/secrets.key     0600 seals the secrets of access keys
//	DIR/admin-credentials    0600 the first administrator's access key
//
// Every file appears whole or not at all, and is on the disk before the function
// that made it returns; the modes do not depend on the umask. On Windows the
// directory's access list does what the modes do. A key that is missing from a
// directory that was complete is never made anew, because instances trust the old
// one: that is an error, and the cure is a backup.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"latchkey/authz/wire"
)

// ErrIncomplete is returned by Open when a key of a directory in use is gone.
var ErrIncomplete = errors.New("is missing from a data directory that is in use; restore it from a backup")

// ErrNotPrivate is returned when others than the owner can get at the directory
// or at a key.
var ErrNotPrivate = errors.New("is open to other users than the one who runs this program")

// Options says for what names the server's certificate is.
type Options struct {
	// Names are host names and IP addresses beside localhost, the loopback
	// addresses and the machine's own.
	Names []string
	// Hostname and Addresses tell the machine's own; nil means the system's answer.
	Hostname  func() (string, error)
	Addresses func() ([]netip.Addr, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Dir is an open data directory. It is safe for concurrent use.
type Dir struct {
	path     string
	sealer   *Sealer
	signer   note.Signer
	verifier string
	server   *server
}

// The parts of the directory.
const (
	database         = "latchkey.db"
	caCertificate    = "tls/ca.pem"
	caKey            = "tls/ca.key"
	serverCert       = "tls/server.pem"
	serverKey        = "tls/server.key"
	signingKey       = "keys/signing.key"
	secretsKey       = "keys/secrets.key"
	adminCredentials = "admin-credentials"
)

// Open makes or opens a data directory; its parents are made as well. made has
// one line per thing that was created, each with where it is, for the person who
// started the server. A directory that exists must be empty or private already.
func Open(dir string, opt Options) (d *Dir, made []string, err error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, nil, err
	}
	m := &maker{dir: dir, now: opt.Now()}
	if err := m.folders(); err != nil {
		return nil, m.made, err
	}
	d = &Dir{path: dir}
	if d.signer, d.verifier, err = m.signer(); err != nil {
		return nil, m.made, err
	}
	if d.sealer, err = m.sealer(); err != nil {
		return nil, m.made, err
	}
	if d.server, err = m.server(opt); err != nil {
		return nil, m.made, err
	}
	return d, m.made, nil
}

// DatabasePath is where the database is or shall be.
func (d *Dir) DatabasePath() string { return filepath.Join(d.path, database) }

// CAPath is the certificate authority's PEM file, for clients.
func (d *Dir) CAPath() string { return filepath.Join(d.path, caCertificate) }

// AdminCredentialsPath is the first administrator's file, for clients.
func (d *Dir) AdminCredentialsPath() string { return filepath.Join(d.path, adminCredentials) }

// Pin is the SHA-256 of the certificate authority's SubjectPublicKeyInfo.
func (d *Dir) Pin() wire.Pin { return d.server.pin() }

// Signer signs bundles.
func (d *Dir) Signer() note.Signer { return d.signer }

// VerifierKeys are the keys that instances shall trust, in the form of sumdb/note.
func (d *Dir) VerifierKeys() []string { return []string{d.verifier} }

// Sealer seals secrets with keys/secrets.key.
func (d *Dir) Sealer() *Sealer { return d.sealer }

// maker makes what is missing and remembers what it made.
type maker struct {
	dir  string
	now  time.Time
	made []string
	// complete says that the directory held everything once: its last file is there.
	complete bool
}

func (m *maker) path(part string) string { return filepath.Join(m.dir, filepath.FromSlash(part)) }

func (m *maker) note(what, part string) { m.made = append(m.made, what+" "+m.path(part)) }

func (m *maker) folders() error {
	if err := os.MkdirAll(filepath.Dir(m.dir), 0o755); err != nil {
		return err
	}
	isNew, err := makePrivate(m.dir)
	if err != nil {
		return err
	}
	if isNew {
		m.note("data directory", "")
	}
	for _, sub := range []string{"tls", "keys"} {
		if _, err := makePrivate(m.path(sub)); err != nil {
			return err
		}
	}
	for _, last := range []string{caCertificate, database} {
		_, err := os.Lstat(m.path(last))
		if err == nil {
			m.complete = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// secret returns the content of a private file. One that is not there yet is
// filled by generate, unless the directory was complete.
func (m *maker) secret(what, part string, generate func() ([]byte, error)) ([]byte, error) {
	content, err := readPrivate(m.path(part))
	if !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	if m.complete {
		return nil, fmt.Errorf("%s %w", m.path(part), ErrIncomplete)
	}
	content, isNew, err := createOnce(m.path(part), generate)
	if isNew {
		m.note(what, part)
	}
	return content, err
}
