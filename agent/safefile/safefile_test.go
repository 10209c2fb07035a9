package safefile_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/agent/safefile"
)

// TestPath holds R35 and T-F6: what could mean two things is refused before any system
// call, by every operation.
func TestPath(t *testing.T) {
	t.Parallel()
	root := string(filepath.Separator)
	if volume := filepath.VolumeName(t.TempDir()); volume != "" {
		root = volume + root
	}
	tests := map[string]string{
		"empty":           "",
		"relative":        "x",
		"dot":             "." + root + "x",
		"root":            root,
		"trailing":        root + "tmp" + root + "x" + root,
		"parent":          root + "tmp" + root + ".." + root + "x",
		"parent-at-start": ".." + root + "x",
		"double":          root + "tmp" + root + root + "x",
		"dot-inside":      root + "tmp" + root + "." + root + "x",
		"nul":             root + "tmp" + root + "x\x00y",
		"too-long":        root + strings.Repeat("x"+root, 2047) + "xxx",
	}
	var w safefile.Writer
	attr := safefile.Attr{Mode: 0o600}
	operations := map[string]func(string) error{
		"replace":    func(p string) error { _, err := w.Replace(p, nil, attr, nil); return err },
		"remove":     w.Remove,
		"mkdir":      func(p string) error { return w.Mkdir(p, attr) },
		"remove-dir": w.RemoveDir,
		"rename":     func(p string) error { return w.Rename(p, filepath.Join(t.TempDir(), "x")) },
		"rename-to":  func(p string) error { return w.Rename(filepath.Join(t.TempDir(), "x"), p) },
		"clean":      w.Clean,
		"read":       func(p string) error { _, _, err := safefile.Read(p, 1); return err },
		"lock":       func(p string) error { _, err := safefile.Lock(p, false); return err },
	}
	for situation, path := range tests {
		for name, do := range operations {
			t.Run(situation+"/"+name, func(t *testing.T) {
				t.Parallel()
				err := do(path)
				var named *fs.PathError
				if !errors.Is(err, safefile.ErrPath) || !errors.As(err, &named) {
					t.Errorf("got %v, want %v in a *fs.PathError", err, safefile.ErrPath)
				}
			})
		}
	}
}

func TestAttr(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	var w safefile.Writer
	tests := map[string]safefile.Attr{
		"world-writable": {Mode: 0o646},
		"group-writable": {Mode: 0o660},
		"setuid":         {Mode: 0o755 | fs.ModeSetuid},
		"raw-setuid":     {Mode: 0o4755},
		"folder":         {Mode: 0o755 | fs.ModeDir},
		"no-owner":       {UID: -1, Mode: 0o600},
		"no-group":       {GID: -1, Mode: 0o600},
		"as-it-is":       {UID: 1<<32 - 1, Mode: 0o600},
	}
	for situation, attr := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			if _, err := w.Replace(path, nil, attr, nil); !errors.Is(err, safefile.ErrAttr) {
				t.Errorf("Replace = %v, want %v", err, safefile.ErrAttr)
			}
			if err := w.Mkdir(path, attr); !errors.Is(err, safefile.ErrAttr) {
				t.Errorf("Mkdir = %v, want %v", err, safefile.ErrAttr)
			}
		})
	}
}
