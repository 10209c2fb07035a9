package machine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"latchkey/e2e/machine"
)

func TestTree(t *testing.T) {
	found := need(t)

	t.Run("second-call-finds-it", func(t *testing.T) {
		again, err := machine.Tree(t.Context(), "bookworm", "", func(line string) { t.Errorf("second call: %s", line) })
		if again != found || err != nil {
			t.Errorf("got %s, %v\nwant %s", again, err, found)
		}
	})
	t.Run("holds-nothing-of-this-system", func(t *testing.T) {
		for _, pattern := range []string{"etc/ssh/ssh_host_*", "etc/machine-id", "etc/hostname", "etc/resolv.conf", "proc/*"} {
			if paths, _ := filepath.Glob(filepath.Join(found, pattern)); len(paths) > 0 {
				t.Errorf("found %v", paths)
			}
		}
	})
	t.Run("release-is-no-name", func(t *testing.T) {
		if _, err := machine.Tree(t.Context(), "../etc", "", nil); err == nil || err.Error() != `"../etc" is no Debian release` {
			t.Errorf("got %v", err)
		}
	})
	t.Run("release-is-unknown", func(t *testing.T) {
		cache := t.TempDir()
		_, err := machine.Tree(t.Context(), "nosuchrelease", cache, nil)
		if err == nil || !strings.Contains(err.Error(), "No such script") {
			t.Errorf("got %v", err)
		}
		mustHoldOnlyLock(t, cache)
	})
	t.Run("context-ends-while-building", func(t *testing.T) {
		cache, name := t.TempDir(), filepath.Base(found)
		if err := os.MkdirAll(filepath.Join(cache, name+".unfinished", "left-by-a-killed-builder"), 0o755); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := machine.Tree(ctx, "bookworm", cache, func(string) { cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		mustHoldOnlyLock(t, cache)
	})
	t.Run("another-builder-has-the-lock", func(t *testing.T) {
		cache := t.TempDir()
		lock, err := os.Create(filepath.Join(cache, filepath.Base(found)+".lock"))
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var lines []string
		_, err = machine.Tree(ctx, "bookworm", cache, func(line string) { lines = append(lines, line); cancel() })
		if err == nil || !strings.Contains(err.Error(), "is locked by another builder") || len(lines) != 1 {
			t.Errorf("got %v after %q", err, lines)
		}
		mustHoldOnlyLock(t, cache)
	})
}

func mustHoldOnlyLock(t *testing.T, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil || len(entries) != 1 || filepath.Ext(entries[0].Name()) != ".lock" {
		t.Errorf("cache folder holds %v, %v", entries, err)
	}
}
