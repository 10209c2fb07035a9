package safefile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

func TestReplaceAll(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	for name, content := range map[string]string{"same": "kept", "old": "before", "linked": "two names"} {
		put(t, filepath.Join(dir, name), content)
	}
	must(t, os.Link(filepath.Join(dir, "linked"), filepath.Join(dir, "again")))
	must(t, os.Symlink("old", filepath.Join(dir, "link")))
	var points []string
	w := safefile.Writer{Point: func(step string) { points = append(points, step) }}
	file := func(name, content string) safefile.File {
		return safefile.File{Name: name, Content: []byte(content), Attr: own(0o600)}
	}
	errs := w.ReplaceAll(dir, []safefile.File{
		file("new", "made"), file("same", "kept"), file("old", "after"), file("link", "x"), file("linked", "x"),
		file("a/b", "x"), file("..", "x"), file("", "x"), {Name: "open", Attr: own(0o666)},
	})
	want := []error{nil, nil, nil, safefile.ErrNotRegular, safefile.ErrNames, safefile.ErrPath, safefile.ErrPath, safefile.ErrPath, safefile.ErrAttr}
	for i := range want {
		if !errors.Is(errs[i], want[i]) || (errs[i] == nil) != (want[i] == nil) {
			t.Errorf("file %d: %v, want %v", i, errs[i], want[i])
		}
	}
	wantTree(t, dir, `-rw------- again USER 2 "two names"
Lrwxrwxrwx link USER -> old
-rw------- linked USER 2 "two names"
-rw------- new USER 1 "made"
-rw------- old USER 1 "after"
-rw------- same USER 1 "kept"
`)
	// Nothing takes its name before everything is permanent, and then each once.
	if got, want := strings.Join(points, " "), "create attr write create attr write syncfs rename rename syncdir compare compare"; got != want {
		t.Errorf("points are %s, want %s", got, want)
	}
	if errs := w.ReplaceAll(filepath.Join(dir, "none"), []safefile.File{file("new", "x")}); !errors.Is(errs[0], fs.ErrNotExist) {
		t.Errorf("missing folder: %v", errs[0])
	}
}

// TestMakeCopies: a folder is whole under its name or is not there, and the model is
// only read.
func TestMakeCopies(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := newDir(t)
	must(t, os.MkdirAll(filepath.Join(dir, "skel/sub"), 0o750))
	put(t, filepath.Join(dir, "skel/.profile"), "hello\n")
	put(t, filepath.Join(dir, "skel/sub/run"), "")
	must(t, os.Chmod(filepath.Join(dir, "skel/sub/run"), 0o755))
	must(t, os.Symlink("/etc/motd", filepath.Join(dir, "skel/motd")))
	must(t, os.Chmod(filepath.Join(dir, "skel"), 0o755))
	m, err := safefile.ReadModel(filepath.Join(dir, "skel"), 100)
	must(t, err)
	home := filepath.Join(dir, "home")
	must(t, os.Mkdir(home, 0o755))
	must(t, os.Mkdir(filepath.Join(home, "taken"), 0o700))
	must(t, os.Symlink("/etc", filepath.Join(home, "linked")))
	attr := func(id int) safefile.Attr { return safefile.Attr{UID: id, GID: id + 1, Mode: 0o750} }
	errs := safefile.Writer{}.MakeCopies(home, m, []safefile.Folder{
		{"taken", attr(5)}, {"alice", attr(7)}, {"linked", attr(5)}, {"../out", attr(5)}, {"alice", attr(9)},
	})
	want := []error{safefile.ErrExists, nil, safefile.ErrExists, safefile.ErrPath, safefile.ErrExists}
	for i := range want {
		if !errors.Is(errs[i], want[i]) || (errs[i] == nil) != (want[i] == nil) {
			t.Errorf("folder %d: %v, want %v", i, errs[i], want[i])
		}
	}
	wantTree(t, home, `drwxr-x--- alice 7:8
-rw------- alice/.profile 7:8 1 "hello\n"
Lrwxrwxrwx alice/motd 7:8 -> /etc/motd
drwxr-x--- alice/sub 7:8
-rwxr-xr-x alice/sub/run 7:8 1 ""
Lrwxrwxrwx linked USER -> /etc
drwx------ taken USER
`)
}

func TestReadModel_refused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  error
	}{
		"too-long": {func(t *testing.T, dir string) {
			put(t, dir+"/sub/long", strings.Repeat("x", 60))
			put(t, dir+"/rest", strings.Repeat("x", 60))
		}, safefile.ErrTooLong},
		"too-many": {func(t *testing.T, dir string) {
			for i := range 300 {
				put(t, fmt.Sprint(dir, "/", i), "")
			}
		}, safefile.ErrTooLong},
		"fifo":      {func(t *testing.T, dir string) { must(t, unix.Mkfifo(dir+"/sub/fifo", 0o600)) }, safefile.ErrNotRegular},
		"two-names": {func(t *testing.T, dir string) { put(t, dir+"/a", ""); must(t, os.Link(dir+"/a", dir+"/b")) }, safefile.ErrNames},
		"setuid": {func(t *testing.T, dir string) {
			put(t, dir+"/su", "")
			must(t, os.Chmod(dir+"/su", 0o755|fs.ModeSetuid))
		}, safefile.ErrAttr},
		"foreign": {func(t *testing.T, dir string) { needRoot(t); must(t, os.Chown(dir+"/sub", 5, 5)) }, safefile.ErrUnsafe},
		"open":    {func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o777)) }, safefile.ErrUnsafe},
		"missing": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			must(t, os.Mkdir(dir+"/sub", 0o755))
			c.spoil(t, dir)
			if _, err := safefile.ReadModel(dir, 100); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestMakeCopies_ended: what a process that is ended leaves in the middle is removed
// by Clean, and nothing else under such a name.
func TestMakeCopies_ended(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := newDir(t)
	must(t, os.Mkdir(filepath.Join(dir, "skel"), 0o755))
	put(t, filepath.Join(dir, "skel/file"), "x")
	m, err := safefile.ReadModel(filepath.Join(dir, "skel"), 100)
	must(t, err)
	home := filepath.Join(dir, "home")
	must(t, os.Mkdir(home, 0o755))
	alice := []safefile.Folder{{Name: "alice", Attr: safefile.Attr{UID: 7, GID: 7, Mode: 0o755}}}
	for _, at := range []string{"nursery", "copy"} {
		func() {
			defer func() {
				if recover() != at {
					t.Errorf("%s was not reached", at)
				}
			}()
			safefile.Writer{Point: func(step string) {
				if step == at {
					panic(at)
				}
			}}.MakeCopies(home, m, alice)
		}()
		if entries, err := os.ReadDir(home); err != nil || len(entries) != 1 || !safefile.Leftover(entries[0].Name()) {
			t.Errorf("ended at %s: in the folder are %v, %v", at, entries, err)
		}
		must(t, safefile.Writer{}.Clean(home))
		wantTree(t, home, "")
	}
	theirs := ".latchkey." + strings.Repeat("0", 32) + ".new"
	must(t, os.Mkdir(filepath.Join(home, theirs), 0o700))
	must(t, os.Chown(filepath.Join(home, theirs), 7, 7))
	must(t, safefile.Writer{}.Clean(home))
	wantTree(t, home, "drwx------ "+theirs+" 7:7\n")
}
