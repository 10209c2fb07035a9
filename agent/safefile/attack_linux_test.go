package safefile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

const (
	attacker = 65534
	tries    = 10_000
)

// attackingChild exchanges dir/x and dir/y as fast as it can, until killed.
func attackingChild(dir string) int {
	for {
		unix.Renameat2(unix.AT_FDCWD, dir+"/x", unix.AT_FDCWD, dir+"/y", unix.RENAME_EXCHANGE)
	}
}

// newAttack starts an attacker with its own uid on dir and returns once it has
// been seen to swap.
func newAttack(t *testing.T, dir string) {
	t.Helper()
	needRoot(t)
	cmd := newChild(t, "attack", dir)
	cmd.Path = programForAll(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: attacker, Gid: attacker},
		Pdeathsig:  syscall.SIGKILL,
	}
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	inode := func() uint64 {
		var st unix.Stat_t
		must(t, unix.Lstat(dir+"/x", &st))
		return st.Ino
	}
	for start, first := time.Now(), inode(); inode() == first; {
		if time.Since(start) > 20*time.Second {
			t.Fatal("the attacker does nothing")
		}
	}
}

// programForAll copies this test binary to where the attacker may run it.
func programForAll(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(os.Args[0])
	must(t, err)
	path := newOpenDir(t) + "/attacker"
	must(t, os.WriteFile(path, content, 0o600))
	must(t, os.Chmod(path, 0o755))
	return path
}

// newOpenDir is a newDir that other users can get to.
func newOpenDir(t *testing.T) string {
	t.Helper()
	dir := newDir(t)
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// newOutside is a folder of root's that no operation of the test may change.
func newOutside(t *testing.T) string {
	t.Helper()
	outside := newDir(t)
	put(t, outside+"/f", "outside")
	before := tree(t, outside)
	t.Cleanup(func() {
		if after := tree(t, outside); after != before {
			t.Errorf("outside was\n%sand is\n%s", before, after)
		}
	})
	return outside
}

// giveTo gives a path to the attacker, link or not.
func giveTo(t *testing.T, path string) {
	t.Helper()
	must(t, os.Lchown(path, attacker, attacker))
}

// TestAttack holds R33 and T-F3 in part: while a local user swaps, at full speed, the
// folder that root works in for a link of his, nothing outside is written, removed or
// read.
func TestAttack(t *testing.T) {
	t.Parallel()
	needRoot(t)
	tests := map[string]func(t *testing.T, dir, outside string){
		"own-folder": func(t *testing.T, dir, outside string) {
			must(t, os.Mkdir(dir+"/x", 0o755))
			must(t, os.Symlink(outside, dir+"/y"))
			giveTo(t, dir+"/x")
			giveTo(t, dir+"/y")
			giveTo(t, dir)
		},
		// The folder swapped is root's, and safe in itself; the one it is in is not.
		"roots-folder-in-own-folder": func(t *testing.T, dir, outside string) {
			must(t, os.Mkdir(dir+"/x", 0o755))
			must(t, os.Symlink(outside, dir+"/y"))
			giveTo(t, dir)
		},
		"two-folders-in-sticky-folder": func(t *testing.T, dir, outside string) {
			must(t, os.Mkdir(dir+"/x", 0o755))
			must(t, os.Symlink(outside, dir+"/y"))
			giveTo(t, dir+"/x")
			giveTo(t, dir+"/y")
			must(t, os.Chmod(dir, 0o777|os.ModeSticky))
		},
	}
	for situation, prepare := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			outside := newOutside(t)
			dir := newOpenDir(t)
			prepare(t, dir, outside)
			newAttack(t, dir)
			var w safefile.Writer
			for i := range tries {
				if changed, err := w.Replace(dir+"/x/f", []byte("root's"), own(0o600), nil); err == nil {
					t.Fatalf("try %d: Replace = %v in a folder that is not root's", i, changed)
				}
				if w.Remove(dir+"/x/f") == nil || w.Mkdir(dir+"/x/d", own(0o700)) == nil ||
					w.RemoveDir(dir+"/x/f") == nil || w.Rename(dir+"/x/f", dir+"/x/g") == nil {
					t.Fatalf("try %d: something was done in a folder that is not root's", i)
				}
				if content, _, err := safefile.Read(dir+"/x/f", 100); err == nil {
					t.Fatalf("try %d: read %q", i, content)
				}
			}
		})
	}
}

// TestAttack_root swaps with root's own rights, as another tool of the machine
// might: the target for a link to a file outside, and the folder for another
// one. What is done is done in one folder, to the name, and never through a link.
func TestAttack_root(t *testing.T) {
	t.Parallel()
	outside := newOutside(t)
	// In memory, where a sync costs nothing: it is the number of tries that counts.
	dir, err := os.MkdirTemp("/dev/shm", "latchkey-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, folder := range []string{"x", "y"} {
		must(t, os.Mkdir(filepath.Join(dir, folder), 0o755))
		must(t, os.Symlink(outside+"/f", filepath.Join(dir, folder, "link")))
		put(t, filepath.Join(dir, folder, "f"), "old")
	}
	swapping := make(chan struct{})
	swapped := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-swapping:
				swapped <- n
				return
			default:
			}
			for _, pair := range [][2]string{{"x/f", "x/link"}, {"x", "y"}} {
				if unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, pair[0]), unix.AT_FDCWD, filepath.Join(dir, pair[1]), unix.RENAME_EXCHANGE) == nil {
					n++
				}
			}
		}
	}()
	var w safefile.Writer
	done := 0
	for i := range tries {
		changed, err := w.Replace(dir+"/x/f", fmt.Appendf(nil, "new %d", i), own(0o600), nil)
		if changed || err == nil {
			done++
		}
		if content, _, err := safefile.Read(dir+"/x/f", 100); err == nil && string(content) == "outside" {
			t.Fatalf("try %d: read %q", i, content)
		}
	}
	close(swapping)
	if n := <-swapped; n < tries/10 || done == 0 {
		t.Errorf("%d swaps, %d files written: nothing was tested", n, done)
	}
	for _, folder := range []string{"x", "y"} {
		if temps, err := filepath.Glob(filepath.Join(dir, folder, ".latchkey.*")); err != nil || len(temps) != 0 {
			t.Errorf("left behind: %q, %v", temps, err)
		}
	}
}

// TestAttack_at_each_step swaps the folder for a link at each step of a Replace: all
// of it happens in the folder that was opened (requirement R33 and T-F3 in part).
func TestAttack_at_each_step(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"create", "attr", "write", "sync", "check", "rename", "syncdir", "compare"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			outside := newOutside(t)
			dir := newDir(t)
			must(t, os.Mkdir(dir+"/folder", 0o755))
			put(t, dir+"/folder/f", "old")
			swaps := 0
			w := safefile.Writer{Point: func(step string) {
				if step == at {
					must(t, os.Rename(dir+"/folder", dir+"/moved"))
					must(t, os.Symlink(outside, dir+"/folder"))
					swaps++
				}
			}}
			if changed, err := w.Replace(dir+"/folder/f", []byte("new"), own(0o600), func(string) error { return nil }); !changed || err != nil {
				t.Errorf("Replace = %v, %v", changed, err)
			}
			if swaps != 1 {
				t.Errorf("%d swaps", swaps)
			}
			wantTree(t, dir+"/moved", "-rw------- f USER 1 \"new\"\n")
		})
	}
}
