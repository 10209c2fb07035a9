package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPower_Lost holds T-F11 and T-F12: at each system call of an apply that has much to
// do, and of a revert, the power may go, and of what was not synced any part be lost,
// and any part not. Whatever is left, the ledger on the disk names every account, key
// file and sudo rule on it, and whom the apply does not concern has what was there.
func TestPower_Lost(t *testing.T) {
	t.Parallel()
	x := newFaulty(t, 2)
	x.putBack()
	for i, argv := range [][]string{{"apply"}, {"revert", "--yes"}} {
		d := &disk{x: x, stays: []string{"alice", ""}[i]}
		r := watch(t, x.machine.Command(t.Context(), append([]string{agentProgram}, argv...)...), agentProgram, d.see)
		if r.code != 0 {
			t.Fatalf("%q ends with %d: %s", argv, r.code, r.errs)
		}
		d.see(site{})
		if d.syncs < 5 || d.most < 4 {
			t.Errorf("%q syncs %d times, and at most %d things are there at once", argv, d.syncs, d.most)
		}
	}
	if got := x.lines("/etc/passwd", ":")["alice"]; got != "" {
		t.Errorf("after the revert there is %q", got)
	}
}

// disk is what may be on the disk of a machine after the power was lost. A name in a
// folder is sure once the folder is synced after it: other programs that the agent runs
// may do that, but nothing is given on it.
type disk struct {
	x       *faulty
	stays   string    // who is in every version
	records [4]record // the ledger, then what it has to name
	syncing string    // the folder that is synced by the call of the moment
	syncs   int
	most    int
}

// record is the versions of a file or folder of which one is on the disk.
type record struct {
	versions []map[string]bool // the last one is the newest
	synced   int               // which one was there when the sync of the moment began
}

// see looks at the machine before a call: the one before it is done by now.
func (d *disk) see(s site) {
	for i, part := range []struct {
		folder string
		read   func(root string) []string
	}{{agentFolder, readClaims}, {"/etc", readPeople}, {keysFolder, readKeyed}, {filepath.Dir(sudoersFile), readRuled}} {
		r := &d.records[i]
		if d.syncing == part.folder {
			d.syncs++
			r.versions = r.versions[r.synced:]
		}
		now := map[string]bool{}
		for _, name := range part.read(d.x.machine.Root()) {
			now[name] = true
		}
		if len(r.versions) == 0 || fmt.Sprint(now) != fmt.Sprint(r.versions[len(r.versions)-1]) {
			r.versions = append(r.versions, now)
		}
		r.synced = len(r.versions) - 1
	}
	d.syncing = ""
	if s.call == "fsync" {
		d.syncing = s.path
	}
	for i, r := range d.records {
		for _, there := range r.versions {
			if d.stays != "" && !there[d.stays] {
				d.x.t.Errorf("before %v: of %d, %v may be there, without %s", s, i, there, d.stays)
			}
		}
	}
	for _, r := range d.records[1:] {
		for _, there := range r.versions {
			d.most = max(d.most, len(there))
			d.named(s, there)
		}
	}
}

// named checks that whichever ledger is on the disk, it names what may be there.
func (d *disk) named(s site, there map[string]bool) {
	for _, claims := range d.records[0].versions {
		for name := range there {
			if !claims[name] {
				d.x.t.Errorf("before %v: %s may be there, and the ledger names %v", s, name, claims)
			}
		}
	}
}

// readClaims reads what the ledger names; none is there after a revert.
func readClaims(root string) (names []string) {
	var ledger struct {
		Accounts map[string]any
		Groups   map[string]bool
		HookUser bool `json:"hook_user"`
		Sudoers  bool
	}
	text, err := os.ReadFile(root + agentFolder + "/ledger.json")
	if err == nil {
		err = json.Unmarshal(text, &ledger)
	}
	if err != nil {
		return nil
	}
	for name := range ledger.Accounts {
		names = append(names, name)
	}
	if ledger.HookUser {
		names = append(names, "latchkey-keys")
	}
	if ledger.Sudoers {
		names = append(names, "the sudoers file")
	}
	return names
}

// readPeople reads which accounts there are that are not the system's own.
func readPeople(root string) (names []string) {
	text, _ := os.ReadFile(root + "/etc/passwd")
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(line, ":")
		if name := fields[0]; len(fields) > 2 && len(fields[2]) == 5 && fields[2] != "65534" || name == "latchkey-keys" {
			names = append(names, name)
		}
	}
	return names
}

// readKeyed reads who has a key file; ghost's was put there by the test.
func readKeyed(root string) (names []string) {
	entries, _ := os.ReadDir(root + keysFolder)
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && name != "ghost" {
			names = append(names, name)
		}
	}
	return names
}

// readRuled reads who has a sudo rule in our file, and that it is there.
func readRuled(root string) (names []string) {
	text, err := os.ReadFile(root + sudoersFile)
	if err != nil {
		return nil
	}
	names = append(names, "the sudoers file")
	for line := range strings.Lines(string(text)) {
		if name, _, found := strings.Cut(line, " ALL="); found {
			names = append(names, name)
		}
	}
	return slices.Compact(names)
}
