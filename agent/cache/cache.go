// Package cache is the agent's own folder on its machine: who the instance is,
// which keys it trusts, the newest bundle it accepted, and the ledger of what it
// made. Everything is written through agent/safefile and read strictly: a damaged
// file is an error, never an empty one.
package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz/wire"
)

// Dir is the agent's folder. Hold Lock while using it to change the machine.
type Dir struct {
	path   string
	kept   []string // what was taken from users; not of this folder
	freeze string   // the freeze file, which is an administrator's
	files  safefile.Writer
	last   *lastLedger
}

// Limits of what is read back, in bytes.
const (
	maxIdentity = 64 << 10
	maxLedger   = 64 << 20
	maxStatus   = 16 << 20
)

// The files of the folder.
const (
	identityFile = "identity.json"
	bundleFile   = "bundle"
	goodFile     = "bundle.good"
	heldFile     = "bundle.held"
	trialFile    = "trial.json"
	seenFile     = "seen.json"
	ledgerFile   = "ledger.json"
	statusFile   = "status.json"
	usesFile     = "uses.json"
	foreignFile  = "inventory.json"
	passLock     = "pass.lock"
	runLock      = "run.lock"
)

// Open returns the agent's folder of the layout. The folder need not exist yet.
func Open(l plan.Layout, files safefile.Writer) *Dir {
	return &Dir{path: l.AgentDir, kept: []string{l.RevokedDir, l.ArchivedDir, l.QuarantineDir}, freeze: l.Freeze, files: files, last: &lastLedger{}}
}

// Make makes the folder and the one above it.
func (d *Dir) Make() error {
	if err := d.files.Mkdir(filepath.Dir(d.path), safefile.Attr{Mode: 0o711}); err != nil {
		return err
	}
	if err := d.files.Mkdir(d.path, safefile.Attr{Mode: 0o700}); err != nil {
		return err
	}
	return d.files.Clean(d.path)
}

// Lock waits for the right to look at and change the machine. Every pass holds
// it, so two programs never work at once (requirement R47).
func (d *Dir) Lock() (release func() error, err error) {
	return safefile.Lock(filepath.Join(d.path, passLock), true)
}

// LockRun takes the right to be the agent that runs, or returns
// safefile.ErrLocked at once.
func (d *Dir) LockRun() (release func() error, err error) {
	return safefile.Lock(filepath.Join(d.path, runLock), false)
}

// Seen is the newest bundle that was ever accepted: older ones are refused.
type Seen struct {
	Epoch  int64 `json:"epoch"`
	Serial int64 `json:"serial"`
}

// Or returns the newer of two versions.
func (s Seen) Or(epoch, serial int64) Seen {
	if epoch > s.Epoch || epoch == s.Epoch && serial > s.Serial {
		return Seen{Epoch: epoch, Serial: serial}
	}
	return s
}

// Seen returns the newest version accepted, zero before the first.
func (d *Dir) Seen() (Seen, error) {
	var s Seen
	err := d.load(seenFile, maxIdentity, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return Seen{}, nil
	}
	return s, err
}

// SaveBundle stores a bundle that was opened and found good, then its version:
// in this order a kill between the two leaves a bundle that still opens.
func (d *Dir) SaveBundle(sealed []byte, s Seen) error {
	if err := d.put(bundleFile, sealed); err != nil {
		return err
	}
	return d.SaveSeen(s)
}

// SaveSeen stores the version of the stored bundle, where a kill left an older one.
func (d *Dir) SaveSeen(s Seen) error { return d.store(seenFile, s) }

// Bundle returns the stored bundle, still sealed, or fs.ErrNotExist. It must be
// opened again before use: a file edited by hand proves nothing.
func (d *Dir) Bundle() ([]byte, error) {
	content, _, err := safefile.Read(filepath.Join(d.path, bundleFile), wire.MaxBundle)
	return content, err
}

// HeldBundle returns the last bundle that was held and not accepted, still sealed, or
// fs.ErrNotExist. It is of interest while it is newer than the accepted one.
func (d *Dir) HeldBundle() ([]byte, error) {
	content, _, err := safefile.Read(filepath.Join(d.path, heldFile), wire.MaxBundle)
	return content, err
}

// SaveHeldBundle stores a bundle that was opened and is held.
func (d *Dir) SaveHeldBundle(sealed []byte) error { return d.put(heldFile, sealed) }

// Ledger returns the record of what we made; a new one before the first. It is the
// caller's to change.
func (d *Dir) Ledger() (plan.Ledger, error) {
	content, _, err := safefile.Read(filepath.Join(d.path, ledgerFile), maxLedger)
	if errors.Is(err, fs.ErrNotExist) {
		return plan.NewLedger(), nil
	}
	if err != nil {
		return plan.Ledger{}, err
	}
	return d.last.read(content, func() (l plan.Ledger, err error) {
		if err := d.decode(ledgerFile, content, &l); err != nil {
			return l, err
		}
		if l.Accounts == nil || l.Groups == nil {
			return l, fmt.Errorf("read %s: %w", ledgerFile, wire.ErrNotCanonical)
		}
		return l, nil
	})
}

// SaveLedger stores the record durably.
func (d *Dir) SaveLedger(l plan.Ledger) error { return d.store(ledgerFile, l) }

// lastLedger is what the ledger's file held when it was last read. It has an account for
// each user, and to decode it takes far longer than to read it. It serves several
// goroutines.
type lastLedger struct {
	mu     sync.Mutex // guards all
	sum    [sha256.Size]byte
	ledger plan.Ledger
}

// read returns what the content is decoded to, which decode does when it is another than
// that of the last time.
func (l *lastLedger) read(content []byte, decode func() (plan.Ledger, error)) (plan.Ledger, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sum := sha256.Sum256(content); sum != l.sum {
		ledger, err := decode()
		if err != nil {
			return plan.Ledger{}, err
		}
		l.sum, l.ledger = sum, ledger
	}
	return l.ledger.Clone(), nil
}

// Status is what the last pass came to, for people.
type Status struct {
	Pass    string `json:"pass"`    // when the last pass ended, RFC 3339
	Contact string `json:"contact"` // when the control plane last answered
	Seen    string `json:"seen"`    // the latest time that was believed
	Trouble string `json:"trouble"` // why it does not answer, or what of it was refused
	// BreakGlass is how the account for emergencies was found; empty when nobody looks.
	BreakGlass string      `json:"break_glass"`
	Report     wire.Report `json:"report"`
}

// Status returns what the last pass came to, or fs.ErrNotExist.
func (d *Dir) Status() (Status, error) {
	var s Status
	err := d.load(statusFile, maxStatus, &s)
	return s, err
}

// SaveStatus stores what the last pass came to.
func (d *Dir) SaveStatus(s Status) error { return d.store(statusFile, s) }

// Forget removes everything of the folder, the identity last, and the folders. The
// one above stays while it holds what was taken from users.
func (d *Dir) Forget() error {
	for _, name := range []string{bundleFile, goodFile, heldFile, trialFile, seenFile, statusFile, usesFile, foreignFile, ledgerFile, identityFile, passLock, runLock} {
		if err := d.files.Remove(filepath.Join(d.path, name)); err != nil {
			return err
		}
	}
	if err := d.files.Clean(d.path); err != nil {
		return err
	}
	if err := d.files.RemoveDir(d.path); err != nil {
		return err
	}
	err := d.files.RemoveDir(filepath.Dir(d.path))
	for _, kept := range d.kept {
		if _, none := os.Lstat(kept); none == nil && errors.Is(err, safefile.ErrNotEmpty) {
			return nil
		}
	}
	return err
}

func (d *Dir) load(name string, limit int64, into any) error {
	content, _, err := safefile.Read(filepath.Join(d.path, name), limit)
	if err != nil {
		return err
	}
	return d.decode(name, content, into)
}

func (d *Dir) decode(name string, content []byte, into any) error {
	if err := wire.Decode(content, into); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(d.path, name), err)
	}
	return nil
}

func (d *Dir) store(name string, v any) error {
	content, err := wire.Encode(v)
	if err != nil {
		return err
	}
	return d.put(name, content)
}

func (d *Dir) put(name string, content []byte) error {
	_, err := d.files.Replace(filepath.Join(d.path, name), content, safefile.Attr{Mode: 0o600}, nil)
	return err
}
