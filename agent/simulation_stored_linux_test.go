//go:build !race

package agent_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"latchkey/agent/cache"
	"latchkey/agent/plan"
	"latchkey/authz/wire"
)

// simMemo is what was read of the agent's folder. A write always makes a new file, so
// what was read of one need not be read again.
type simMemo struct {
	good   map[string]simFile // what could be read, by name
	ledger plan.Ledger
	// Who has access at a moment, and what that gives.
	moment    simMoment
	may, must map[string]simUser
	ok        map[fact]bool
}

// simFile tells a file from every other that ever had its name.
type simFile struct {
	number  uint64
	changed syscall.Timespec
}

// file looks at a file of the agent's folder; the zero value is none.
func (s *sim) file(name string) simFile {
	var st syscall.Stat_t
	if syscall.Stat(filepath.Join(s.path, name), &st) != nil {
		return simFile{}
	}
	return simFile{st.Ino, st.Ctim}
}

// read reports whether reading a file for the first time goes well; one that is missing
// does.
func (s *sim) read(name string, do func() error) error {
	f := s.file(name)
	if f == (simFile{}) || f == s.memo.good[name] {
		return nil
	}
	if err := do(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.memo.good[name] = f
	return nil
}

// ledger is the stored one, which the caller must not change.
func (s *sim) ledger() (plan.Ledger, error) {
	const name = "ledger.json"
	if s.file(name) == (simFile{}) {
		return plan.NewLedger(), nil
	}
	err := s.read(name, func() (err error) { s.memo.ledger, err = s.dir.Ledger(); return err })
	return s.memo.ledger, err
}

// readable has everything stored read back.
func (s *sim) readable() {
	if _, err := s.ledger(); err != nil {
		s.violate("I5: %v", err)
	}
	for name, do := range map[string]func() error{
		"seen.json":   func() error { _, err := s.dir.Seen(); return err },
		"bundle":      func() error { _, err := s.dir.Bundle(); return err },
		"bundle.good": func() error { _, err := s.dir.GoodBundle(); return err },
		"status.json": func() error { _, err := s.dir.Status(); return err },
		"trial.json":  func() error { _, err := s.dir.Trial(); return err },
	} {
		if err := s.read(name, do); err != nil {
			s.violate("I5: %v", err)
		}
	}
}

// stored is what a pass that came to its end at this moment stored.
func (s *sim) stored() (status cache.Status, ended bool) {
	text, err := os.ReadFile(filepath.Join(s.path, "status.json"))
	if err == nil {
		err = json.Unmarshal(text, &status)
	}
	ended = err == nil && status.Pass == wire.FormatTime(time.Now().Add(s.skew))
	if ended && status.Contact != "" {
		s.kept = s.silentSince
	}
	return status, ended
}
