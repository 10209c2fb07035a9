package store_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// The database and the files that SQLite puts beside it are private whatever the
// umask is. It is of the whole process; no test here runs in parallel.
func TestOpen_Umask(t *testing.T) {
	for _, umask := range []int{0, 0o22, 0o777} {
		t.Run(fmt.Sprintf("umask-%03o", umask), func(t *testing.T) {
			dir := t.TempDir()
			defer syscall.Umask(syscall.Umask(umask))
			insertUser(t, mustOpen(t, dir+"/latchkey.db"), 1)
			for _, file := range []string{"latchkey.db", "latchkey.db-wal", "latchkey.db-shm"} {
				info, err := os.Stat(dir + "/" + file)
				if err != nil || info.Mode() != 0o600 {
					t.Errorf("%s: %v, %v", file, info.Mode(), err)
				}
			}
		})
	}
}
