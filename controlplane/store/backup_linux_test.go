package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"latchkey/controlplane/store"
)

// What a backup and a restore make is private whatever the umask is. It is of the
// whole process; no test here runs in parallel.
func TestBackup_Umask(t *testing.T) {
	for _, umask := range []int{0, 0o777} {
		t.Run(fmt.Sprintf("umask-%03o", umask), func(t *testing.T) {
			dir := t.TempDir()
			defer syscall.Umask(syscall.Umask(umask))
			database, backup := since(t, dir)
			mustRestore(t, database, backup)
			for _, file := range []string{"backup", "latchkey.db", "latchkey.db.before-restore-1"} {
				if info := must(os.Stat(filepath.Join(dir, file))); info.Mode() != 0o600 {
					t.Errorf("%s: %v", file, info.Mode())
				}
			}
		})
	}
}

// A pipe as a backup is refused, not waited for.
func TestRestore_Pipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (store.Restore{Database: dir + "/latchkey.db"}).Prepare(t.Context(), dir+"/pipe"); !errors.Is(err, store.ErrForeign) {
		t.Errorf("got %v", err)
	}
}
