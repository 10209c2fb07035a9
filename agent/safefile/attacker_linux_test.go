package safefile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// In the tests of attacks a process swaps, as fast as it can, what lies in dir/x and dir/x
// itself, while the test works on dir/x/f. What it swaps in leads to a folder
// outside, of which nothing may change.

const attacker = 65534 // a user of his own, who may do nothing

// swaps is how many times something must be swapped, and how many operations must be
// tried, in each situation; there are five.
func swaps() int {
	if os.Getenv("LATCHKEY_LONG") != "" {
		return 400_000
	}
	return 40_000
}

// swap is one thing that the attacker does, in dir with victims in outside. It tells
// whether it came off.
type swap struct {
	name string
	do   func(dir, outside string) bool
}

func allSwaps() []swap {
	// One file takes the place of another whatever that is; make says what it is.
	target := func(name string, make func(path, outside string) error) swap {
		return swap{name, func(dir, outside string) bool {
			next, f := dir+"/y/next", dir+"/x/f"
			if make(next, outside) != nil {
				return false
			}
			came := unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, f, unix.RENAME_EXCHANGE) == nil || unix.Rename(next, f) == nil
			if unix.Unlink(next) != nil {
				unix.Rmdir(next)
			}
			return came
		}}
	}
	// The folder goes and something else comes, and then it is there again.
	folder := func(name, other string) swap {
		return swap{name, func(dir, _ string) bool {
			there := func() error {
				return unix.Renameat2(unix.AT_FDCWD, dir+"/x", unix.AT_FDCWD, dir+"/"+other, unix.RENAME_EXCHANGE)
			}
			came := there() == nil
			return came && there() == nil
		}}
	}
	return []swap{
		target("link-to-file", func(path, outside string) error { return unix.Symlink(outside+"/f", path) }),
		target("link-to-folder", func(path, outside string) error { return unix.Symlink(outside, path) }),
		target("link-to-nothing", func(path, outside string) error { return unix.Symlink(outside+"/nothing", path) }),
		target("hard-link", func(path, outside string) error { return unix.Link(outside+"/shared", path) }),
		target("fifo", func(path, _ string) error { return unix.Mkfifo(path, 0o666) }),
		target("folder", func(path, _ string) error { return unix.Mkdir(path, 0o777) }),
		target("own-file", func(path, _ string) error { return os.WriteFile(path, []byte("attacker's"), 0o600) }),
		{"away-and-back", func(dir, _ string) bool {
			defer os.RemoveAll(dir + "/away") // it can not come back where the folder was made anew
			return unix.Rename(dir+"/x", dir+"/away") == nil && unix.Rename(dir+"/away", dir+"/x") == nil
		}},
		folder("parent-for-other-folder", "other"),
		folder("parent-for-fifo", "fifo"),
		folder("parent-for-link", "link"),
	}
}

// attackingChild swaps until it is killed, and counts what came off in a file that
// the test has mapped too.
func attackingChild(dir string) int {
	counts, err := mapCounts(dir + "/counts")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	chosen := strings.Split(os.Getenv("LATCHKEY_TEST_SWAPS"), " ")
	for {
		for i, s := range allSwaps() {
			if contains(chosen, s.name) && s.do(dir, os.Getenv("LATCHKEY_TEST_OUTSIDE")) {
				counts[i].Add(1)
			}
		}
	}
}

func mapCounts(path string) ([]atomic.Int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	memory, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*atomic.Int64)(unsafe.Pointer(&memory[0])), len(allSwaps())), nil
}

// attack is an attacker at work.
type attack struct {
	t      *testing.T
	dir    string
	chosen []string
	counts []atomic.Int64
	start  time.Time
	end    func()
}

// newAttack starts an attacker with the rights of a user on a folder that is ready
// for the swaps chosen.
func newAttack(t *testing.T, uid uint32, dir string, outside victims, chosen []string) *attack {
	t.Helper()
	must(t, os.WriteFile(dir+"/counts", make([]byte, os.Getpagesize()), 0o600))
	must(t, os.Chown(dir+"/counts", int(uid), int(uid)))
	counts, err := mapCounts(dir + "/counts")
	must(t, err)
	cmd := newChild(t, "attack", dir)
	cmd.Path = programForAll(t)
	cmd.Env = append(cmd.Env, "LATCHKEY_TEST_OUTSIDE="+outside.dir, "LATCHKEY_TEST_SWAPS="+strings.Join(chosen, " "))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	a := &attack{t: t, dir: dir, chosen: chosen, counts: counts, start: time.Now()}
	a.end = func() { cmd.Process.Kill(); cmd.Wait() }
	t.Cleanup(a.end)
	return a
}

// on reports whether the attack must go on for there to be enough of it: operations
// tried, swaps, and some of every kind. It ends the test when the attacker does
// nothing, but not for being slow.
func (a *attack) on(tried int) bool {
	a.t.Helper()
	all, least := a.total()
	if least == 0 && time.Since(a.start) > time.Minute {
		a.t.Fatalf("the attacker does not do everything: %s", a)
	}
	return tried < swaps() || all < swaps() || least < swaps()/100
}

// total returns the number of swaps, and that of the rarest kind.
func (a *attack) total() (all, least int) {
	least = 1 << 30
	for i, s := range allSwaps() {
		n := int(a.counts[i].Load())
		all += n
		if contains(a.chosen, s.name) {
			least = min(least, n)
		}
	}
	return all, least
}

// String lists what came off.
func (a *attack) String() string {
	all, _ := a.total()
	var b strings.Builder
	fmt.Fprintf(&b, "%d swaps:", all)
	for i, s := range allSwaps() {
		if n := a.counts[i].Load(); n > 0 {
			fmt.Fprintf(&b, " %s %d", s.name, n)
		}
	}
	return b.String()
}

// programForAll copies this test binary to where the attacker may run it.
func programForAll(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(os.Args[0])
	must(t, err)
	dir := newDir(t)
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	// A process forked meanwhile would hold the file open for writing, and it could not
	// be run ("text file busy").
	syscall.ForkLock.RLock()
	err = os.WriteFile(dir+"/attacker", content, 0o600)
	syscall.ForkLock.RUnlock()
	must(t, err)
	must(t, os.Chmod(dir+"/attacker", 0o755))
	return dir + "/attacker"
}
