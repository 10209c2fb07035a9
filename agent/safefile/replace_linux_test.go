package safefile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

func TestWriter_Replace(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	path := filepath.Join(dir, "file")
	var steps []string
	w := safefile.Writer{Point: func(step string) { steps = append(steps, step) }}
	replace := func(content string, mode fs.FileMode) bool {
		t.Helper()
		steps = nil
		changed, err := w.Replace(path, []byte(content), own(mode), func(string) error { return nil })
		must(t, err)
		return changed
	}
	const all = "create attr write sync check rename syncdir compare"

	if !replace("one", 0o640) || strings.Join(steps, " ") != all {
		t.Errorf("a first file took the steps %q", steps)
	}
	wantTree(t, dir, "-rw-r----- file USER 1 \"one\"\n")

	if !replace("two", 0o640) {
		t.Error("other content: not changed")
	}
	wantTree(t, dir, "-rw-r----- file USER 1 \"two\"\n")

	if replace("two", 0o640) || steps != nil {
		t.Errorf("the same again took the steps %q", steps)
	}

	if !replace("two", 0o600) || strings.Join(steps, " ") != all {
		t.Errorf("another mode took the steps %q", steps)
	}
	wantTree(t, dir, "-rw------- file USER 1 \"two\"\n")

	if !replace("", 0o600) {
		t.Error("no content: not changed")
	}
	wantTree(t, dir, "-rw------- file USER 1 \"\"\n")
	if replace("", 0o600) {
		t.Error("no content again: changed")
	}
}

// TestWriter_Replace_untouched looks at the inode and its times: nothing may
// have been written when the file is as wanted already.
func TestWriter_Replace_untouched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(newDir(t), "file")
	var w safefile.Writer
	content := bytes.Repeat([]byte("x"), 100_000)
	_, err := w.Replace(path, content, own(0o600), nil)
	must(t, err)
	var before, after unix.Stat_t
	must(t, unix.Stat(path, &before))
	changed, err := w.Replace(path, content, own(0o600), nil)
	must(t, err)
	must(t, unix.Stat(path, &after))
	before.Atim = after.Atim
	if changed || before != after {
		t.Errorf("changed = %v\n%+v\n%+v", changed, before, after)
	}
}

func TestWriter_Replace_owner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := newDir(t)
	path := filepath.Join(dir, "file")
	put(t, path, "x")
	must(t, os.Chown(path, 12, 34))
	var w safefile.Writer
	changed, err := w.Replace(path, []byte("x"), safefile.Attr{UID: 0, GID: 20900, Mode: 0o640}, nil)
	if err != nil || !changed {
		t.Errorf("Replace = %v, %v", changed, err)
	}
	wantTree(t, dir, "-rw-r----- file 0:20900 1 \"x\"\n")
}

var tempForm = regexp.MustCompile(`^\.latchkey\.[0-9a-f]{32}\.new$`)

// TestWriter_Replace_check holds T-F4 in part.
func TestWriter_Replace_check(t *testing.T) {
	t.Parallel()
	refusal := errors.New("refused by its tool")
	tests := []struct {
		situation string
		check     func(t *testing.T, temp string) error
		want      error
	}{
		{"refused", func(*testing.T, string) error { return refusal }, refusal},
		{"edited", func(t *testing.T, temp string) error { put(t, temp, "other"); return nil }, safefile.ErrChanged},
		{"edited-in-size", func(t *testing.T, temp string) error {
			put(t, temp, "NEW")
			return os.Chtimes(temp, time.Time{}, time.Now().Add(time.Hour))
		}, safefile.ErrChanged},
		{"mode-changed", func(t *testing.T, temp string) error { return os.Chmod(temp, 0o666) }, safefile.ErrChanged},
		{"linked", func(t *testing.T, temp string) error { return os.Link(temp, temp+".also") }, safefile.ErrChanged},
		{"swapped", func(t *testing.T, temp string) error {
			// Only the inode tells it from ours.
			info, err := os.Stat(temp)
			must(t, err)
			put(t, temp+".other", "NEW")
			must(t, os.Chtimes(temp+".other", info.ModTime(), info.ModTime()))
			return os.Rename(temp+".other", temp)
		}, safefile.ErrChanged},
		{"removed", func(t *testing.T, temp string) error { return os.Remove(temp) }, fs.ErrNotExist},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			path := filepath.Join(dir, "file")
			put(t, path, "old")
			var w safefile.Writer
			changed, err := w.Replace(path, []byte("new"), own(0o600), func(temp string) error {
				content, attr, err := safefile.Read(temp, 100)
				if err != nil || string(content) != "new" || attr != own(0o600) {
					t.Errorf("check sees %q, %v, %v", content, attr, err)
				}
				if filepath.Dir(temp) != dir || !tempForm.MatchString(filepath.Base(temp)) {
					t.Errorf("check sees it at %s", temp)
				}
				return test.check(t, temp)
			})
			if changed || !errors.Is(err, test.want) {
				t.Errorf("Replace = %v, %v; want false, %v", changed, err, test.want)
			}
			removeAlso(t, dir)
			wantTree(t, dir, "-rw------- file USER 1 \"old\"\n")
		})
	}
}

// removeAlso removes the second name that the check of "linked" made.
func removeAlso(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".latchkey.*.also"))
	must(t, err)
	for _, path := range found {
		must(t, os.Remove(path))
	}
}

// TestWriter_Replace_panic: a check or a fault in us that ends the goroutine
// leaves nothing behind either.
func TestWriter_Replace_panic(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	func() {
		defer func() { recover() }()
		var w safefile.Writer
		w.Replace(filepath.Join(dir, "file"), []byte("new"), own(0o600), func(string) error { panic("check") })
		t.Error("the panic was swallowed")
	}()
	wantTree(t, dir, "")
}

// TestWriter_Replace_read_back holds T-F14 for the moment after the rename
// (requirement R40): what somebody else made of the file at once is reported,
// and changed is true, because the name no longer stands for the old file.
func TestWriter_Replace_read_back(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		meddle func(t *testing.T, path string) error
		want   error
	}{
		"content": {func(t *testing.T, path string) error { put(t, path, "NEW"); return nil }, safefile.ErrChanged},
		"mode":    {func(_ *testing.T, path string) error { return os.Chmod(path, 0o644) }, safefile.ErrChanged},
		"swapped": {func(t *testing.T, path string) error {
			put(t, path+".other", "new")
			return os.Rename(path+".other", path)
		}, safefile.ErrChanged},
		"link": {func(_ *testing.T, path string) error {
			return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path))
		}, safefile.ErrNotRegular},
		"removed": {func(_ *testing.T, path string) error { return os.Remove(path) }, fs.ErrNotExist},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(newDir(t), "file")
			w := safefile.Writer{Point: func(step string) {
				if step == "rename" {
					must(t, test.meddle(t, path))
				}
			}}
			changed, err := w.Replace(path, []byte("new"), own(0o600), nil)
			if !changed || !errors.Is(err, test.want) {
				t.Errorf("Replace = %v, %v; want true, %v", changed, err, test.want)
			}
		})
	}
}

// TestTarget holds R39 in part, T-F1 and T-F2 for everything that may stand under the
// name: refused by each operation with its reason, at once, and left as it is.
func TestTarget(t *testing.T) {
	t.Parallel()
	victim := filepath.Join(newDir(t), "victim")
	put(t, victim, "victim")
	tests := []struct {
		situation string
		make      func(t *testing.T, path string)
		want      error
	}{
		{"link-to-file", func(t *testing.T, p string) { must(t, os.Symlink(victim, p)) }, safefile.ErrNotRegular},
		{"link-to-nothing", func(t *testing.T, p string) { must(t, os.Symlink("/nonexistent", p)) }, safefile.ErrNotRegular},
		{"link-to-itself", func(t *testing.T, p string) { must(t, os.Symlink(p, p)) }, safefile.ErrNotRegular},
		{"link-to-memory", func(t *testing.T, p string) { must(t, os.Symlink("/proc/self/mem", p)) }, safefile.ErrNotRegular},
		{"link-to-folder", func(t *testing.T, p string) { must(t, os.Symlink(filepath.Dir(victim), p)) }, safefile.ErrNotRegular},
		{"hard-link", func(t *testing.T, p string) {
			put(t, p+".1", "x")
			must(t, os.Link(p+".1", p))
		}, safefile.ErrNames},
		{"fifo", func(t *testing.T, p string) { must(t, unix.Mkfifo(p, 0o600)) }, safefile.ErrNotRegular},
		{"folder", func(t *testing.T, p string) { must(t, os.Mkdir(p, 0o700)) }, safefile.ErrNotRegular},
		{"socket", func(t *testing.T, p string) {
			l, err := net.Listen("unix", p)
			must(t, err)
			t.Cleanup(func() { l.Close() })
		}, safefile.ErrNotRegular},
		{"device", func(t *testing.T, p string) {
			needRoot(t)
			must(t, unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))) // zero
		}, safefile.ErrNotRegular},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			path := filepath.Join(dir, "file")
			test.make(t, path)
			before := shape(t, dir)
			start := time.Now()
			var w safefile.Writer
			if changed, err := w.Replace(path, []byte("new"), own(0o600), nil); changed || !errors.Is(err, test.want) {
				t.Errorf("Replace = %v, %v; want false, %v", changed, err, test.want)
			}
			if err := w.Remove(path); !errors.Is(err, test.want) {
				t.Errorf("Remove = %v, want %v", err, test.want)
			}
			if content, _, err := safefile.Read(path, 1<<20); content != nil || !errors.Is(err, test.want) {
				t.Errorf("Read = %q, %v; want nothing, %v", content, err, test.want)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v: something blocked", took)
			}
			if after := shape(t, dir); after != before {
				t.Errorf("the folder was\n%sand is\n%s", before, after)
			}
		})
	}
	t.Cleanup(func() {
		if content, err := os.ReadFile(victim); err != nil || string(content) != "victim" {
			t.Errorf("the victim holds %q, %v", content, err)
		}
	})
}

// shape is tree without opening anything.
func shape(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var b strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %s %d %d %d\n", info.Mode(), e.Name(), st.Ino, st.Size, st.Nlink)
	}
	return b.String()
}

// TestRead holds R39 in part and T-F2.
func TestRead(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	path := filepath.Join(dir, "file")
	put(t, path, "12345")
	content, attr, err := safefile.Read(path, 5)
	if err != nil || string(content) != "12345" || attr != own(0o600) {
		t.Errorf("Read = %q, %v, %v", content, attr, err)
	}
	if content, _, err := safefile.Read(path, 4); content != nil || !errors.Is(err, safefile.ErrTooLong) {
		t.Errorf("Read = %q, %v; want nothing, %v", content, err, safefile.ErrTooLong)
	}
	for _, missing := range []string{"none", "none/file", "none/at/all"} {
		if _, _, err := safefile.Read(filepath.Join(dir, missing), 4); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Read %s = %v, want %v", missing, err, fs.ErrNotExist)
		}
	}
	if _, _, err := safefile.Read(path+"/below", 4); !errors.Is(err, safefile.ErrNotFolder) {
		t.Errorf("Read below a file = %v, want %v", err, safefile.ErrNotFolder)
	}
	must(t, os.Truncate(path, 1<<40))
	if _, _, err := safefile.Read(path, 1<<20); !errors.Is(err, safefile.ErrTooLong) {
		t.Errorf("Read of a sparse tebibyte = %v, want %v", err, safefile.ErrTooLong)
	}
	var w safefile.Writer
	if changed, err := w.Replace(path, []byte("new"), own(0o600), nil); err != nil || !changed {
		t.Errorf("Replace of a sparse tebibyte = %v, %v", changed, err)
	}
	// A file that says 0 of its size is read to its end all the same, and bounded.
	if content, _, err := safefile.Read("/proc/version", 1<<10); err != nil || len(content) == 0 {
		t.Errorf("Read = %q, %v", content, err)
	}
	if _, _, err := safefile.Read("/proc/version", 10); !errors.Is(err, safefile.ErrTooLong) {
		t.Errorf("Read = %v, want %v", err, safefile.ErrTooLong)
	}
}

// TestError: the text is one fact with operation and path.
func TestError(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	must(t, os.Mkdir(filepath.Join(dir, "file"), 0o700))
	var w safefile.Writer
	_, err := w.Replace(filepath.Join(dir, "file"), nil, own(0o600), nil)
	if want := "replace " + dir + "/file: not a regular file"; err == nil || err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	for link, target := range map[string]string{"one": "gone/x", "two": dir + "/gone"} {
		must(t, os.Symlink(target, filepath.Join(dir, link)))
		err := w.Mkdir(filepath.Join(dir, link, "folder"), own(0o700))
		if want := "open " + dir + "/gone: no such file or directory"; err == nil || err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	must(t, os.Chmod(dir, 0o777))
	_, err = w.Replace(filepath.Join(dir, "file"), nil, own(0o600), nil)
	if want := "open " + dir + ": folder may be changed by others than root"; err == nil || err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
