package safefile_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// TestLock holds R47.
func TestLock(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	path := dir + "/lock"
	release, err := safefile.Lock(path, true)
	must(t, err)
	wantTree(t, dir, "-rw------- lock USER 1 \"\"\n")
	if _, err := safefile.Lock(path, false); !errors.Is(err, safefile.ErrLocked) {
		t.Errorf("a second Lock = %v, want %v", err, safefile.ErrLocked)
	}
	must(t, release())
	release, err = safefile.Lock(path, false)
	must(t, err)
	must(t, release())

	must(t, os.Chmod(dir, 0o777))
	if _, err := safefile.Lock(path, true); !errors.Is(err, safefile.ErrUnsafe) {
		t.Errorf("Lock = %v, want %v", err, safefile.ErrUnsafe)
	}
}

// TestLock_removed: the holder removes the file, as revert does. Who waits must
// not be left with a lock on a file that nobody else will find.
func TestLock_removed(t *testing.T) {
	t.Parallel()
	path := newDir(t) + "/lock"
	release, err := safefile.Lock(path, true)
	must(t, err)
	got := make(chan error)
	go func() {
		release, err := safefile.Lock(path, true)
		if err == nil {
			_, err = os.Lstat(path)
			err = errors.Join(err, release())
		}
		got <- err
	}()
	awaitWaiter(t, path)
	must(t, os.Remove(path))
	must(t, release())
	if err := <-got; err != nil {
		t.Errorf("the lock was taken on a file without a name: %v", err)
	}
}

// awaitWaiter returns when somebody waits for the lock on path (proc_locks(5)).
func awaitWaiter(t *testing.T, path string) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	inode := fmt.Sprintf(":%d 0 EOF", st.Ino)
	for start := time.Now(); ; {
		if time.Since(start) > 20*time.Second {
			t.Fatal("nobody waits")
		}
		locks, err := os.ReadFile("/proc/locks")
		must(t, err)
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> FLOCK") && strings.Contains(line, inode) {
				return
			}
		}
	}
}

// TestLockRecord: it excludes what locks as lckpwdf(3) does, and the other way round.
func TestLockRecord(t *testing.T) {
	t.Parallel()
	path := newDir(t) + "/lock"
	other := func() error {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	release, err := safefile.LockRecord(path)
	must(t, err)
	if err := other(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("another lock: %v", err)
	}
	must(t, release())
	must(t, other())
	if _, err := safefile.LockRecord(path); !errors.Is(err, safefile.ErrLocked) {
		t.Errorf("LockRecord = %v, want %v", err, safefile.ErrLocked)
	}
}
