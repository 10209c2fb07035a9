package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
	"latchkey/authz"
)

// maxQuarantined bounds the files that are kept of one account, so that nobody fills
// the disk by planting keys: then they stay where they are, and the report says so.
const maxQuarantined = 100

// ForeignKeys reads the key files in the homes of the ledger's accounts. What is in the
// way in one home is a fact about that one.
func (h *Host) ForeignKeys(owned plan.Ledger) map[authz.Username][]plan.ForeignFile {
	found := map[authz.Username][]plan.ForeignFile{}
	type file struct {
		user authz.Username
		home safefile.Home
		name string
	}
	var files []file
	var spots []spot
	for user, own := range owned.Accounts {
		for _, name := range plan.ForeignNames() {
			f := file{user, h.homeOf(user, own.UID), name}
			files, spots = append(files, f), append(spots, spotInHome(f.home, name))
		}
	}
	read := func(i int) inHome { return readInHome(files[i].home, files[i].name) }
	askEach(&h.stuck, spots, read, func(i int, r inHome, silent error) {
		f := plan.ForeignFile{Path: spots[i].path}
		switch err := errors.Join(r.err, silent); {
		case errors.Is(err, fs.ErrNotExist):
			return
		case err != nil:
			f.Err = fmt.Errorf("%w: %v", plan.ErrHomeRead, err)
		default:
			f.Lines, f.Err = plan.ReadForeign(r.content)
		}
		found[files[i].user] = append(found[files[i].user], f)
	})
	for _, list := range found {
		slices.SortFunc(list, func(a, b plan.ForeignFile) int { return strings.Compare(a.Path, b.Path) })
	}
	return found
}

// quarantine takes the lines that are not ours out of a key file in a home. They are
// kept first: a kill in between leaves them in both spots, and the next pass takes
// them again without keeping them twice.
func (h *Host) quarantine(s plan.Step) error {
	if err := ours(s); err != nil {
		return err
	}
	home := h.homeOf(s.User, s.UID)
	name := strings.TrimPrefix(s.Path, home.Path+"/")
	if !slices.Contains(plan.ForeignNames(), name) {
		return fmt.Errorf("%s: %w", s.Path, errors.ErrUnsupported)
	}
	private := safefile.Attr{Mode: 0o700}
	if err := errors.Join(h.Files.Mkdir(h.Layout.QuarantineDir, private), h.Files.Mkdir(s.Home, private), h.Files.Clean(s.Home)); err != nil {
		return err
	}
	_, err := h.Files.EditHome(home, name, func(old []byte) ([]byte, error) {
		left, taken, err := plan.TakeForeign(old)
		if err != nil || len(taken) == 0 {
			return old, err
		}
		if kept, err := os.ReadDir(s.Home); err != nil || len(kept) >= maxQuarantined {
			return nil, errors.Join(err, fmt.Errorf("%s holds %d files: look at them first", s.Home, len(kept)))
		}
		err = h.keepJob(filepath.Join(s.Home, filepath.Base(name)), taken)
		h.point("quarantine.kept")
		return left, err
	})
	return err
}
