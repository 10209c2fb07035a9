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

// TestFolder holds R33, R40, R43, T-F1, T-F2 and T-F17 for the folders on the way. Each
// case makes root/a/b and says what Replace of root/a/b/file comes to.
func TestFolder(t *testing.T) {
	t.Parallel()
	const stranger = 65534
	chown := func(t *testing.T, path string) {
		needRoot(t)
		must(t, os.Lchown(path, stranger, stranger))
	}
	tests := []struct {
		situation string
		change    func(t *testing.T, root string)
		want      error
	}{
		{"as-it-should-be", func(*testing.T, string) {}, nil},
		{"missing", func(t *testing.T, root string) { must(t, os.Remove(root+"/a/b")) }, fs.ErrNotExist},
		{"file", func(t *testing.T, root string) {
			must(t, os.Remove(root+"/a/b"))
			put(t, root+"/a/b", "")
		}, safefile.ErrNotFolder},
		{"fifo", func(t *testing.T, root string) {
			must(t, os.Remove(root+"/a/b"))
			must(t, unix.Mkfifo(root+"/a/b", 0o600))
		}, safefile.ErrNotFolder},
		{"group-writable", func(t *testing.T, root string) { must(t, os.Chmod(root+"/a/b", 0o775)) }, safefile.ErrUnsafe},
		{"world-writable", func(t *testing.T, root string) { must(t, os.Chmod(root+"/a/b", 0o757)) }, safefile.ErrUnsafe},
		{"sticky", func(t *testing.T, root string) { must(t, os.Chmod(root+"/a/b", 0o777|fs.ModeSticky)) }, safefile.ErrUnsafe},
		{"of-a-stranger", func(t *testing.T, root string) { chown(t, root+"/a/b") }, safefile.ErrUnsafe},
		{"ancestor-world-writable", func(t *testing.T, root string) { must(t, os.Chmod(root+"/a", 0o757)) }, safefile.ErrUnsafe},
		{"ancestor-sticky", func(t *testing.T, root string) { must(t, os.Chmod(root+"/a", 0o777|fs.ModeSticky)) }, nil},
		{"ancestor-of-a-stranger", func(t *testing.T, root string) { chown(t, root+"/a") }, safefile.ErrUnsafe},

		{"absolute-link", func(t *testing.T, root string) {
			must(t, os.Rename(root+"/a/b", root+"/real"))
			must(t, os.Symlink(root+"/real", root+"/a/b"))
		}, nil},
		{"relative-link", func(t *testing.T, root string) {
			must(t, os.Rename(root+"/a", root+"/real"))
			must(t, os.Symlink("./real/../real/", root+"/a"))
		}, nil},
		{"link-to-unsafe", func(t *testing.T, root string) {
			must(t, os.Mkdir(root+"/open", 0o700))
			must(t, os.Chmod(root+"/open", 0o777))
			must(t, os.Remove(root+"/a/b"))
			must(t, os.Symlink(root+"/open", root+"/a/b"))
		}, safefile.ErrUnsafe},
		{"link-through-unsafe", func(t *testing.T, root string) {
			must(t, os.MkdirAll(root+"/open/b", 0o700))
			must(t, os.Chmod(root+"/open", 0o777))
			must(t, os.Remove(root+"/a/b"))
			must(t, os.Symlink(root+"/open/b", root+"/a/b"))
		}, safefile.ErrUnsafe},
		{"link-to-nothing", func(t *testing.T, root string) {
			must(t, os.Remove(root+"/a/b"))
			must(t, os.Symlink("gone", root+"/a/b"))
		}, fs.ErrNotExist},
		{"link-to-itself", func(t *testing.T, root string) {
			must(t, os.Remove(root+"/a/b"))
			must(t, os.Symlink("b", root+"/a/b"))
		}, safefile.ErrLinks},
		{"link-of-a-stranger", func(t *testing.T, root string) {
			must(t, os.Rename(root+"/a/b", root+"/real"))
			must(t, os.Symlink(root+"/real", root+"/a/b"))
			chown(t, root+"/a/b")
		}, safefile.ErrLinks},
		{"link-where-others-write", func(t *testing.T, root string) {
			must(t, os.Rename(root+"/a/b", root+"/real"))
			must(t, os.Symlink(root+"/real", root+"/a/b"))
			must(t, os.Chmod(root+"/a", 0o777|fs.ModeSticky))
		}, safefile.ErrLinks},
		{"nine-links", func(t *testing.T, root string) {
			must(t, os.Rename(root+"/a/b", root+"/l0"))
			for i := range 8 {
				must(t, os.Symlink(fmt.Sprintf("l%d", i), fmt.Sprintf("%s/l%d", root, i+1)))
			}
			must(t, os.Symlink(root+"/l8", root+"/a/b"))
		}, safefile.ErrLinks},
		{"link-above-the-root", func(t *testing.T, root string) {
			must(t, os.Remove(root+"/a/b"))
			must(t, os.Rename(root+"/a", root+"/real"))
			must(t, os.Mkdir(root+"/real/b", 0o755))
			must(t, os.Symlink(strings.Repeat("../", 40)+root[1:]+"/real", root+"/a"))
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			root := newDir(t)
			must(t, os.MkdirAll(root+"/a/b", 0o755))
			must(t, os.Chmod(root+"/a", 0o755))
			must(t, os.Chmod(root+"/a/b", 0o755))
			test.change(t, root)
			before := tree(t, root)
			var w safefile.Writer
			path := filepath.Join(root, "a/b/file")
			changed, err := w.Replace(path, []byte("x"), own(0o600), nil)
			if changed != (test.want == nil) || !errors.Is(err, test.want) {
				t.Fatalf("Replace = %v, %v; want %v", changed, err, test.want)
			}
			if err := w.Clean(filepath.Dir(path)); !errors.Is(err, test.want) && !errors.Is(test.want, fs.ErrNotExist) {
				t.Errorf("Clean = %v, want %v", err, test.want)
			}
			if test.want != nil {
				if after := tree(t, root); after != before {
					t.Errorf("the tree was\n%sand is\n%s", before, after)
				}
				return
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != "x" {
				t.Errorf("the file holds %q, %v", content, err)
			}
		})
	}
}

func TestWriter_Mkdir(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	path := filepath.Join(dir, "folder")
	var steps []string
	w := safefile.Writer{Point: func(step string) { steps = append(steps, step) }}
	mkdir := func(mode fs.FileMode) string {
		t.Helper()
		steps = nil
		must(t, w.Mkdir(path, own(mode)))
		return strings.Join(steps, " ")
	}
	if got := mkdir(0o711); got != "mkdir attr syncdir" {
		t.Errorf("a new folder took the steps %q", got)
	}
	wantTree(t, dir, "drwx--x--x folder USER\n")
	if got := mkdir(0o711); got != "" {
		t.Errorf("the same again took the steps %q", got)
	}
	put(t, path+"/file", "")
	if got := mkdir(0o700); got != "attr syncdir" {
		t.Errorf("another mode took the steps %q", got)
	}
	wantTree(t, dir, "drwx------ folder USER\n-rw------- folder/file USER 1 \"\"\n")

	must(t, os.RemoveAll(path))
	if got := mkdir(0o700); got != "mkdir syncdir" {
		t.Errorf("a new folder, right as made, took the steps %q", got)
	}
	if err := w.Mkdir(filepath.Join(dir, "none/folder"), own(0o700)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("two levels = %v, want %v", err, fs.ErrNotExist)
	}
}

func TestWriter_Mkdir_owner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := newDir(t)
	var w safefile.Writer
	must(t, w.Mkdir(dir+"/new", safefile.Attr{GID: 20900, Mode: 0o750}))
	must(t, os.Mkdir(dir+"/old", 0o700))
	must(t, os.Chown(dir+"/old", 65534, 65534))
	must(t, os.Chmod(dir+"/old", 0o777|fs.ModeSetgid|fs.ModeSticky))
	must(t, w.Mkdir(dir+"/old", safefile.Attr{GID: 20900, Mode: 0o750}))
	wantTree(t, dir, "drwxr-x--- new 0:20900\ndrwxr-x--- old 0:20900\n")
}

func TestWriter_Mkdir_target(t *testing.T) {
	t.Parallel()
	elsewhere := newDir(t)
	tests := map[string]func(t *testing.T, path string){
		"file":            func(t *testing.T, p string) { put(t, p, "") },
		"link-to-folder":  func(t *testing.T, p string) { must(t, os.Symlink(elsewhere, p)) },
		"link-to-nothing": func(t *testing.T, p string) { must(t, os.Symlink(elsewhere+"/none", p)) },
		"fifo":            func(t *testing.T, p string) { must(t, unix.Mkfifo(p, 0o600)) },
	}
	for situation, make := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			path := filepath.Join(dir, "folder")
			make(t, path)
			before := shape(t, dir)
			var w safefile.Writer
			if err := w.Mkdir(path, own(0o700)); !errors.Is(err, safefile.ErrNotFolder) {
				t.Errorf("Mkdir = %v, want %v", err, safefile.ErrNotFolder)
			}
			if err := w.RemoveDir(path); !errors.Is(err, safefile.ErrNotFolder) {
				t.Errorf("RemoveDir = %v, want %v", err, safefile.ErrNotFolder)
			}
			if after := shape(t, dir); after != before {
				t.Errorf("the folder was\n%sand is\n%s", before, after)
			}
		})
	}
	t.Cleanup(func() { wantTree(t, elsewhere, "") })
}

func TestWriter_Remove(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	var steps []string
	w := safefile.Writer{Point: func(step string) { steps = append(steps, step) }}
	put(t, dir+"/file", "x")
	put(t, dir+"/other", "x")
	must(t, w.Remove(dir+"/file"))
	wantTree(t, dir, "-rw------- other USER 1 \"x\"\n")
	must(t, w.Remove(dir+"/file"))
	must(t, w.Remove(dir+"/none/file"))
	// The second call syncs the folder too, for the run that could not.
	if got := strings.Join(steps, " "); got != "remove syncdir syncdir" {
		t.Errorf("took the steps %q", got)
	}
}

func TestWriter_RemoveDir(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	var w safefile.Writer
	must(t, os.Mkdir(dir+"/folder", 0o700))
	put(t, dir+"/folder/file", "x")
	if err := w.RemoveDir(dir + "/folder"); !errors.Is(err, safefile.ErrNotEmpty) {
		t.Errorf("RemoveDir = %v, want %v", err, safefile.ErrNotEmpty)
	}
	wantTree(t, dir, "drwx------ folder USER\n-rw------- folder/file USER 1 \"x\"\n")
	must(t, w.Remove(dir+"/folder/file"))
	must(t, w.RemoveDir(dir+"/folder"))
	wantTree(t, dir, "")
	must(t, w.RemoveDir(dir+"/folder"))
	must(t, w.RemoveDir(dir+"/folder/below"))
}

func TestWriter_Rename(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	var w safefile.Writer
	must(t, os.MkdirAll(dir+"/home/alice/work", 0o700))
	must(t, os.Mkdir(dir+"/home/bob", 0o700))
	err := w.Rename(dir+"/home/alice", dir+"/home/bob")
	if want := "rename " + dir + "/home/bob: name is taken"; !errors.Is(err, safefile.ErrExists) || err.Error() != want {
		t.Errorf("Rename = %q, want %q", err, want)
	}
	must(t, w.Rename(dir+"/home/alice", dir+"/home/alice.20001"))
	wantTree(t, dir, "drwx------ home USER\ndrwx------ home/alice.20001 USER\n"+
		"drwx------ home/alice.20001/work USER\ndrwx------ home/bob USER\n")
	if err := w.Rename(dir+"/home/alice", dir+"/home/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rename = %v, want %v", err, fs.ErrNotExist)
	}
	must(t, os.Chmod(dir+"/home", 0o777))
	if err := w.Rename(dir+"/home/bob", dir+"/bob"); !errors.Is(err, safefile.ErrUnsafe) {
		t.Errorf("Rename = %v, want %v", err, safefile.ErrUnsafe)
	}
}

// TestWriter_Clean holds R38 and T-F8 in part: left-over files of ours go, look-alikes
// stay, and none of them is in the way of the next Replace.
func TestWriter_Clean(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	for i := range 1000 {
		path := fmt.Sprintf("%s/.latchkey.%032x.new", dir, i)
		put(t, path, "left over")
		if i%2 == 0 && os.Getuid() == 0 {
			must(t, os.Chown(path, 65534, 65534))
		}
	}
	hex := strings.Repeat("0f", 16)
	for _, name := range []string{
		"file", ".latchkey." + hex, ".latchkey." + hex + ".new~", ".latchkey." + hex + "0.new", ".latchkey." + hex[1:] + ".new",
		".latchkey." + strings.ToUpper(hex) + ".new", "latchkey." + hex + ".new", ".latchkey..new", ".latchkey.new",
	} {
		put(t, filepath.Join(dir, name), "kept")
	}
	must(t, os.Mkdir(dir+"/.latchkey."+strings.Repeat("f", 32)+".new", 0o755)) // one of ours is root's alone
	must(t, os.Symlink("file", dir+"/.latchkey."+strings.Repeat("e", 32)+".new"))
	var w safefile.Writer
	if changed, err := w.Replace(dir+"/another", []byte("kept"), own(0o600), nil); err != nil || !changed {
		t.Errorf("Replace = %v, %v", changed, err)
	}
	must(t, w.Clean(dir))
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 12 {
		t.Errorf("%d files are left:\n%s", len(entries), tree(t, dir))
	}
	before := tree(t, dir)
	must(t, w.Clean(dir))
	if after := tree(t, dir); after != before {
		t.Errorf("the second Clean changed\n%sto\n%s", before, after)
	}
	must(t, w.Clean(dir+"/none"))
}

// TestUmask holds R37 and T-F13: not parallel, because the umask is the whole
// process's.
func TestUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o027, 0o077, 0o777} {
		t.Run(fmt.Sprintf("%03o", mask), func(t *testing.T) {
			dir := newDir(t)
			must(t, os.Chmod(dir, 0o755|fs.ModeSetgid))
			old := unix.Umask(mask)
			defer unix.Umask(old)
			var w safefile.Writer
			if _, err := w.Replace(dir+"/file", []byte("x"), own(0o644), nil); err != nil {
				t.Fatal(err)
			}
			want := "-rw-r--r-- file USER 1 \"x\"\n"
			// Without root, a folder that nobody may read cannot be opened.
			if mask != 0o777 || os.Getuid() == 0 {
				must(t, w.Mkdir(dir+"/folder", own(0o755)))
				want += "drwxr-xr-x folder USER\n"
			}
			wantTree(t, dir, want)
			home := ownHome(newDir(t))
			if _, err := w.EditHome(home, keys, become("x")); err != nil {
				t.Fatal(err)
			}
			wantTree(t, home.Path, newKeys)
		})
	}
}
