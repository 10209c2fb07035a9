package cache_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"latchkey/agent/safefile"
)

// freezeFile is where the freeze file of a folder from newDir is.
func freezeFile(dir string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(dir)), "etc", "freeze")
}

// TestFrozen: whatever stands in the file's place freezes, and only nothing does not.
func TestFrozen(t *testing.T) {
	write := func(content string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o644) }
	}
	for _, c := range []struct {
		name   string
		make   func(path string) error
		frozen bool
		reason string
	}{
		{"no-file", func(string) error { return nil }, false, ""},
		{"no-folder", func(p string) error { return os.Remove(filepath.Dir(p)) }, false, ""},
		{"empty", write(""), true, ""},
		{"reason", write("upgrade of the database\n"), true, "upgrade of the database"},
		{"first-line-alone", write(" one \r\ntwo\n"), true, "one"},
		{"control-characters", write("\x1b[2Jred\x00\u0085\xff"), true, "[2Jred"},
		{"long", write(strings.Repeat("x", 300)), true, strings.Repeat("x", 200) + "…"},
		{"too-long", write(strings.Repeat("x", 5000)), true, "file is longer than the limit"},
		{"folder", func(p string) error { return os.Mkdir(p, 0o755) }, true, "not a regular file"},
		{"fifo", func(p string) error { return syscall.Mkfifo(p, 0o644) }, true, "not a regular file"},
		{"link-to-nothing", func(p string) error { return os.Symlink("/nonexistent", p) }, true, "not a regular file"},
		{"link-to-a-file", func(p string) error { return os.Symlink("/etc/passwd", p) }, true, "not a regular file"},
		{"second-name", func(p string) error { return errors.Join(write("x")(p), os.Link(p, p+"2")) }, true, "more than one name"},
		{"folder-is-a-file", func(p string) error {
			return errors.Join(os.Remove(filepath.Dir(p)), os.WriteFile(filepath.Dir(p), nil, 0o644))
		}, true, "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, path := newDir(t)
			file := freezeFile(path)
			must(t, os.Mkdir(filepath.Dir(file), 0o755))
			must(t, c.make(file))
			got, frozen := dir.Frozen()
			if frozen != c.frozen || !strings.Contains(got.Reason, c.reason) || c.reason == "" && got.Reason != "" {
				t.Errorf("frozen %t, reason %q", frozen, got.Reason)
			}
			if _, err := os.Lstat(file); err == nil && got.Since == "" {
				t.Error("it does not say since when")
			}
		})
	}
}

func TestFreeze(t *testing.T) {
	dir, path := newDir(t)
	file := freezeFile(path)
	for _, why := range []string{"first", "second\nline", ""} {
		must(t, dir.Freeze(why))
		want, _, _ := strings.Cut(why, "\n")
		if got, frozen := dir.Frozen(); !frozen || got.Reason != want {
			t.Errorf("frozen %t because %q, want %q", frozen, got.Reason, want)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for range 2 {
		must(t, dir.Unfreeze())
		if _, frozen := dir.Frozen(); frozen {
			t.Error("it is still frozen")
		}
	}
	if _, err := os.Stat(filepath.Dir(file)); err == nil {
		t.Error("the empty folder is still there")
	}
	must(t, errors.Join(os.MkdirAll(file, 0o755)))
	if err := dir.Unfreeze(); !errors.Is(err, safefile.ErrNotRegular) {
		t.Errorf("a folder in its place: %v", err)
	}
	if _, frozen := dir.Frozen(); !frozen {
		t.Error("a folder in its place does not freeze")
	}
}
