package safefile_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// newMemoryDir is a newDir that other users can get to, in memory, where a sync costs
// nothing: it is the number of tries that counts.
func newMemoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "latchkey-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// victims is a folder of which nothing may change: a file of root's, and one that
// all may write, because only to such a one can the attacker make a hard link
// (proc_sys_fs(5), protected_hardlinks).
type victims struct{ dir, before string }

func newVictims(t *testing.T, dir string) victims {
	t.Helper()
	v := victims{dir: dir + "/outside"}
	must(t, os.Mkdir(v.dir, 0o755))
	put(t, v.dir+"/f", "outside")
	put(t, v.dir+"/shared", "shared")
	must(t, os.Chmod(v.dir+"/shared", 0o666))
	v.before = v.look(t)
	return v
}

// look is the tree without the link counts, which are the attacker's business.
func (v victims) look(t *testing.T) string {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(v.dir, &st))
	return fmt.Sprintf("%o %d:%d\n", st.Mode, st.Uid, st.Gid) + linkCount.ReplaceAllString(tree(t, v.dir), ` "`)
}

var linkCount = regexp.MustCompile(` \d+ "`)

func (v victims) wantUntouched(t *testing.T) {
	t.Helper()
	if after := v.look(t); after != v.before {
		t.Errorf("outside was\n%sand is\n%s", v.before, after)
	}
}

// newScene makes what is swapped: the folder x with the file f, and what comes in
// its place, all of it the attacker's.
func newScene(t *testing.T, uid int) (dir string, outside victims) {
	t.Helper()
	base := newMemoryDir(t)
	outside = newVictims(t, base)
	dir = base + "/scene"
	for _, folder := range []string{"", "/x", "/y", "/other"} {
		must(t, os.Mkdir(dir+folder, 0o755))
	}
	must(t, os.WriteFile(dir+"/x/f", []byte("attacker's"), 0o600))
	must(t, os.Symlink(outside.dir, dir+"/link"))
	must(t, unix.Mkfifo(dir+"/fifo", 0o666))
	for _, path := range []string{"", "/x", "/y", "/other", "/x/f", "/link", "/fifo"} {
		must(t, os.Lchown(dir+path, uid, uid))
	}
	return dir, outside
}

// What can be swapped by whom: what lies in x, by its owner; x, by the owner of the
// folder it is in.
func inFolder() []string {
	return []string{"link-to-file", "link-to-folder", "link-to-nothing", "hard-link", "fifo", "folder", "own-file"}
}

func ofFolder() []string {
	return []string{"away-and-back", "parent-for-other-folder", "parent-for-fifo", "parent-for-link"}
}

// TestAttack holds R33 and T-F1, T-F2, T-F3 and T-F4 in part for folders that are another user's, or in such a one:
// whatever he swaps, root does nothing there, and nothing outside is written, removed
// or read.
func TestAttack(t *testing.T) {
	t.Parallel()
	needRoot(t)
	tests := map[string]struct {
		prepare func(t *testing.T, dir string)
		chosen  []string
	}{
		"own-folder": {func(*testing.T, string) {}, append(inFolder(), ofFolder()...)},
		// The folder swapped is root's, and safe in itself; the one it is in is not.
		"roots-folder-in-own-folder": {func(t *testing.T, dir string) { must(t, os.Chown(dir+"/x", 0, 0)) }, ofFolder()},
		"own-folders-in-sticky-folder": {func(t *testing.T, dir string) {
			must(t, os.Chown(dir, 0, 0))
			must(t, os.Chmod(dir, 0o777|os.ModeSticky))
		}, append(inFolder(), ofFolder()...)},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			dir, outside := newScene(t, attacker)
			test.prepare(t, dir)
			put(t, outside.dir+"/ours", "ours")
			outside.before = outside.look(t)
			a := newAttack(t, attacker, dir, outside, test.chosen)
			tried := 0
			for a.on(tried) {
				tried += refuseAll(t, tried, dir, outside)
			}
			a.end()
			outside.wantUntouched(t)
			wantNothingOfRoots(t, dir)
			t.Logf("%d operations, %s", tried, a)
		})
	}
}

// refuseAll tries everything that writes or reads, and says how many operations that
// are. What removes may say that there is nothing to remove; what that did is looked
// at in the end.
func refuseAll(t *testing.T, tried int, dir string, outside victims) int {
	t.Helper()
	var w safefile.Writer
	refused := map[string]error{
		"replace":     second(w.Replace(dir+"/x/f", []byte("root's"), own(0o600), nil)),
		"make folder": w.Mkdir(dir+"/x/d", own(0o700)),
		"rename":      w.Rename(dir+"/x/f", dir+"/x/g"),
		"rename in":   w.Rename(outside.dir+"/ours", dir+"/x/g"),
		"lock":        second(safefile.Lock(dir+"/x/lock", false)),
	}
	for what, err := range refused {
		if err == nil {
			t.Fatalf("try %d: %s was done in a folder that is not root's", tried, what)
		}
	}
	if content, _, err := safefile.Read(dir+"/x/f", 100); err == nil {
		t.Fatalf("try %d: read %q", tried, content)
	}
	removing := []error{w.Remove(dir + "/x/f"), w.Remove(dir + "/x/shared"), w.RemoveDir(dir + "/x/f"), w.Clean(dir + "/x")}
	return len(refused) + 1 + len(removing)
}

func second[T any](_ T, err error) error { return err }

// roots is what refuseAll would have made.
var roots = regexp.MustCompile(`root's|ours|\.latchkey\.|/(d|g|lock) `)

func wantNothingOfRoots(t *testing.T, dir string) {
	t.Helper()
	for line := range strings.Lines(tree(t, dir)) {
		if roots.MatchString(line) {
			t.Errorf("root made %s", line)
		}
	}
}

// TestAttack_spool holds R31's part of T-F1: root takes a file out of a folder of
// another user's, or reads it there, and touches nothing but that name.
func TestAttack_spool(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir, outside := newScene(t, attacker)
	must(t, os.Chown(dir, 0, 0))
	a := newAttack(t, attacker, dir, outside, inFolder())
	var w safefile.Writer
	tried, removed, read := 0, 0, 0
	for ; a.on(tried); tried += 2 {
		content, _, err := safefile.ReadSpooled(dir+"/x/f", 100)
		switch {
		case err == nil && string(content) == "outside":
			t.Fatalf("try %d: read %q", tried, content)
		case err == nil:
			read++
		}
		if w.RemoveSpooled(dir+"/x/f") == nil {
			removed++
		}
	}
	a.end()
	outside.wantUntouched(t)
	if read == 0 || removed == 0 {
		t.Errorf("%d times read, %d times removed: nothing was tested", read, removed)
	}
	t.Logf("%d operations, %d reads, %d removals, %s", tried, read, removed, a)
}

// TestAttack_home holds R33, R34 and T-F1 to T-F4: root edits a file in a home that its
// user swaps under it. What is read and written is that user's own, and nothing of
// root's is left there.
func TestAttack_home(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir, outside := newScene(t, attacker)
	home := safefile.Home{Path: dir, UID: attacker, GID: attacker}
	a := newAttack(t, attacker, dir, outside, append(inFolder(), ofFolder()...))
	var w safefile.Writer
	tried, done, read := 0, 0, 0
	for ; a.on(tried); tried += 2 {
		sees := func(content []byte) {
			// What he may write himself he can let us read: a file has one name again when
			// its link goes as we look. Root's own he can make no link to.
			if strings.Contains(string(content), "outside") {
				t.Fatalf("try %d: read %q", tried, content)
			}
		}
		changed, err := w.EditHome(home, "x/f", func(old []byte) ([]byte, error) {
			sees(old)
			return fmt.Appendf(nil, "new %d", tried), nil
		})
		if changed && err == nil {
			done++
		}
		content, _, err := safefile.ReadHome(home, "x/f")
		if sees(content); err == nil {
			read++
		}
	}
	a.end()
	outside.wantUntouched(t)
	for line := range strings.Lines(tree(t, dir)) {
		if strings.Contains(line, " 0:0") && !strings.Contains(line, `"shared"`) { // his hard link
			t.Errorf("root left %s", line)
		}
	}
	if done < 100 || read < 100 {
		t.Errorf("%d times written, %d times read: little was tested", done, read)
	}
	t.Logf("%d operations, %d edits, %d reads, %s", tried, done, read, a)
}

// TestAttack_root is an attack with root's own rights, as another tool of the machine
// might make it unknowingly, on folders of root's. What is done is done in one folder
// and to the name. A folder is not swapped for a link, which would be followed:
// root made it where only root can.
func TestAttack_root(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir, outside := newScene(t, 0)
	chosen := append(inFolder(), "away-and-back", "parent-for-other-folder", "parent-for-fifo")
	a := newAttack(t, 0, dir, outside, chosen)
	var w safefile.Writer
	tried, done := 0, map[string]int{}
	count := func(what string, err error) {
		if err == nil {
			done[what]++
		}
	}
	for ; a.on(tried); tried += 3 {
		count("replace", second(w.Replace(dir+"/x/f", fmt.Appendf(nil, "new %d", tried), own(0o600), nil)))
		content, _, err := safefile.Read(dir+"/x/f", 100)
		if count("read", err); err == nil && string(content) != "attacker's" && string(content) != "shared" && !strings.HasPrefix(string(content), "new ") && len(content) > 0 {
			t.Fatalf("try %d: read %q", tried, content)
		}
		switch tried % 4 {
		case 0:
			count("remove", w.Remove(dir+"/x/f"))
		case 1:
			count("make folder", w.Mkdir(dir+"/x/d", own(0o700)))
		case 2:
			count("remove folder", w.RemoveDir(dir+"/x/d"))
		case 3:
			count("rename", w.Rename(dir+"/x/f", dir+"/y/moved"))
			os.RemoveAll(dir + "/y/moved")
		}
	}
	a.end()
	outside.wantUntouched(t)
	if len(done) < 6 {
		t.Errorf("of six operations these were ever done: %v", done)
	}
	for line := range strings.Lines(tree(t, dir)) {
		if strings.Contains(line, ".latchkey.") {
			t.Errorf("left behind: %s", line)
		}
	}
	t.Logf("%d operations, done %v, %s", tried, done, a)
}

// TestAttack_naive proves that the attack finds what it is for: each of these ways to
// do the same by path is caught.
func TestAttack_naive(t *testing.T) {
	t.Parallel()
	needRoot(t)
	write := func(path string) {
		// Not to wait for who reads a fifo.
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, 0o600); err == nil {
			f.WriteString("root's")
			f.Close()
		}
	}
	tests := map[string]func(dir string){
		"write": func(dir string) { write(dir + "/x/f") },
		"look-and-write": func(dir string) {
			if info, err := os.Lstat(dir + "/x/f"); err == nil && info.Mode().IsRegular() && info.Sys().(*syscall.Stat_t).Nlink == 1 {
				write(dir + "/x/f")
			}
		},
		"change-owner": func(dir string) { os.Chown(dir+"/x/f", attacker, attacker) },
		"look-and-remove": func(dir string) {
			if info, err := os.Lstat(dir + "/x"); err == nil && info.IsDir() {
				os.Remove(dir + "/x/f")
			}
		},
		"make-folder": func(dir string) { os.Mkdir(dir+"/x/d", 0o700) },
		"rename": func(dir string) {
			write(dir + "/x/new")
			os.Rename(dir+"/x/new", dir+"/x/f")
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, outside := newScene(t, attacker)
			a := newAttack(t, attacker, dir, outside, append(inFolder(), ofFolder()...))
			for tried := 0; ; tried++ {
				do(dir)
				if outside.look(t) != outside.before {
					t.Logf("caught at try %d, %s", tried, a)
					return
				}
				if time.Since(a.start) > 2*time.Minute {
					t.Fatalf("not caught in %d tries, %s", tried, a)
				}
			}
		})
	}
}

// TestAttack_at_each_step swaps the folder for a link at each step of a Replace:
// all of it happens in the folder that was opened.
func TestAttack_at_each_step(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"create", "attr", "write", "sync", "check", "rename", "syncdir", "compare"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			outside := newVictims(t, newDir(t))
			must(t, os.Mkdir(dir+"/folder", 0o755))
			put(t, dir+"/folder/f", "old")
			swaps := 0
			w := safefile.Writer{Point: func(step string) {
				if step == at {
					must(t, os.Rename(dir+"/folder", dir+"/moved"))
					must(t, os.Symlink(outside.dir, dir+"/folder"))
					swaps++
				}
			}}
			if changed, err := w.Replace(dir+"/folder/f", []byte("new"), own(0o600), func(string) error { return nil }); !changed || err != nil {
				t.Errorf("Replace = %v, %v", changed, err)
			}
			if swaps != 1 {
				t.Errorf("%d swaps", swaps)
			}
			outside.wantUntouched(t)
			wantTree(t, dir+"/moved", "-rw------- f USER 1 \"new\"\n")
		})
	}
}
