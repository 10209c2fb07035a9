package cache_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/agent/cache"
	"latchkey/authz/wire"
)

// readers read each file; none may give something that was not stored.
func readers(dir *cache.Dir) map[string]func() (string, error) {
	return map[string]func() (string, error){
		"identity.json": func() (string, error) { v, err := dir.Identity(); return text(v), err },
		"ledger.json":   func() (string, error) { v, err := dir.Ledger(); return text(v), err },
		"seen.json":     func() (string, error) { v, err := dir.Seen(); return text(v), err },
		"status.json":   func() (string, error) { v, err := dir.Status(); return text(v), err },
		"trial.json":    func() (string, error) { v, err := dir.Trial(); return text(v), err },
	}
}

// TestDamaged cuts each file short at every byte and changes every byte: what is read
// is an error, or else a document that says plainly something else, as when a digit is
// another digit. It is never taken for empty (requirement R104 in part).
func TestDamaged(t *testing.T) {
	dir, path := newDir(t)
	fill(t, dir)
	for file, read := range readers(dir) {
		t.Run(file, func(t *testing.T) {
			at := filepath.Join(path, file)
			whole, err := os.ReadFile(at)
			must(t, err)
			for n := range whole {
				must(t, os.WriteFile(at, whole[:n], 0o600))
				if got, err := read(); err == nil {
					t.Errorf("cut to %d bytes it gives %s", n, got)
				}
			}
			for n := range whole {
				changed := bytes.Clone(whole)
				changed[n] ^= 1
				must(t, os.WriteFile(at, changed, 0o600))
				if got, err := read(); err == nil && !strings.ContainsAny(string(whole[n]), allowedToChange) {
					t.Errorf("with %q for %q at byte %d it gives %s", changed[n], whole[n], n, got)
				}
			}
		})
	}
}

// allowedToChange are bytes of a document's texts and numbers; punctuation is not.
const allowedToChange = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -+./:<>&\\=_"

func TestDamaged_Forms(t *testing.T) {
	dir, path := newDir(t)
	fill(t, dir)
	edits := map[string]func(string) string{
		"empty":           func(string) string { return "" },
		"null":            func(string) string { return "null\n" },
		"object":          func(string) string { return "{}\n" },
		"list":            func(string) string { return "[]\n" },
		"newline":         func(s string) string { return s + "\n" },
		"no-newline":      func(s string) string { return strings.TrimSuffix(s, "\n") },
		"second-document": func(s string) string { return s + s },
		"extra-field":     func(s string) string { return strings.Replace(s, "{", `{"command":"id",`, 1) },
		"first-key-twice": func(s string) string { return "{" + s[1:strings.Index(s, ",")+1] + s[1:] },
		"white-space":     func(s string) string { return strings.Replace(s, ":", ": ", 1) },
		"upper-case-key":  func(s string) string { return s[:2] + strings.ToUpper(s[2:3]) + s[3:] },
		"byte-order-mark": func(s string) string { return "\ufeff" + s },
		"nul-bytes":       func(s string) string { return strings.Repeat("\x00", len(s)) },
		"crlf":            func(s string) string { return strings.Replace(s, "\n", "\r\n", 1) },
	}
	for file, read := range readers(dir) {
		at := filepath.Join(path, file)
		whole, err := os.ReadFile(at)
		must(t, err)
		for situation, edit := range edits {
			t.Run(file+"/"+situation, func(t *testing.T) {
				must(t, os.WriteFile(at, []byte(edit(string(whole))), 0o600))
				if got, err := read(); !errors.Is(err, wire.ErrNotCanonical) || !strings.Contains(err.Error(), file) {
					t.Errorf("it gives %s, %v", got, err)
				}
			})
		}
	}
}

// TestDamaged_Ledger: what names no account of ours is not read, so that nothing
// which a ledger says can make the agent touch root.
func TestDamaged_Ledger(t *testing.T) {
	dir, path := newDir(t)
	want := fill(t, dir)
	at := filepath.Join(path, "ledger.json")
	whole, err := os.ReadFile(at)
	must(t, err)
	for situation, edit := range map[string][2]string{
		"root":         {`"alice"`, `"root"`},
		"path":         {`"alice"`, `"../alice"`},
		"no-name":      {`"alice"`, `""`},
		"uid-negative": {`20001`, `-1`},
		"uid-too-big":  {`20001`, `4294967296`},
		"uid-text":     {`20001`, `"20001"`},
		"user":         {`00020001-0000`, `00020001_0000`},
	} {
		t.Run(situation, func(t *testing.T) {
			must(t, os.WriteFile(at, bytes.Replace(whole, []byte(edit[0]), []byte(edit[1]), 1), 0o600))
			if got, err := dir.Ledger(); err == nil {
				t.Errorf("it gives %+v", got)
			}
		})
	}
	must(t, dir.SaveLedger(want.ledger))
	if _, err := dir.Ledger(); err != nil {
		t.Errorf("written over: %v", err)
	}
}
