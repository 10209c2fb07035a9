package safefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// TestMemory holds R153 in part: of many files those are read again that somebody
// changed, in whatever way, and no others.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(t *testing.T, file string)
		reads  int
		want   string // the files after
	}{
		{name: "nothing", change: func(*testing.T, string) {}, want: "a=one b=two c=six"},
		{name: "longer", change: func(t *testing.T, file string) { put(t, file, "three") }, reads: 1, want: "a=one b=three c=six"},
		{name: "same-size-mtime-put-back", change: func(t *testing.T, file string) {
			before, err := os.Stat(file)
			must(t, err)
			overwrite(t, file, "TWO")
			must(t, os.Chtimes(file, before.ModTime(), before.ModTime()))
		}, reads: 1, want: "a=one b=TWO c=six"},
		{name: "renamed-over", change: func(t *testing.T, file string) {
			put(t, file+".new", "TWO")
			must(t, os.Rename(file+".new", file))
		}, reads: 2, want: "a=one b=TWO c=six"},
		{name: "other-mode", change: func(t *testing.T, file string) { must(t, os.Chmod(file, 0o640)) }, reads: 1, want: "a=one b=two c=six"},
		{name: "removed", change: func(t *testing.T, file string) { must(t, os.Remove(file)) }, reads: 1, want: "a=one c=six"},
		{name: "made", change: func(t *testing.T, file string) { put(t, file+"2", "new") }, reads: 2, want: "a=one b2=new b=two c=six"},
		{name: "swapped", change: func(t *testing.T, file string) {
			other := filepath.Join(filepath.Dir(file), "c")
			must(t, unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE))
		}, reads: 3, want: "a=one b=six c=two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			for name, content := range map[string]string{"a": "one", "b": "two", "c": "six"} {
				put(t, filepath.Join(dir, name), content)
			}
			// For this memory it is later, and nothing was changed just now.
			m := safefile.Memory{Now: func() time.Time { return time.Now().Add(time.Minute) }}
			remembered(t, &m, dir)
			before := m.Reads()
			c.change(t, filepath.Join(dir, "b"))
			if got := remembered(t, &m, dir); got != c.want {
				t.Errorf("the files are %s, want %s", got, c.want)
			}
			if reads := m.Reads() - before; reads != c.reads {
				t.Errorf("%d were read again, want %d", reads, c.reads)
			}
		})
	}
}

// TestMemory_Young: what changed just now, or by its time in the future, may change
// again without a trace in its status, so it is read each time.
func TestMemory_Young(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"just-now": 0, "tick-ago": time.Second, "clock-set-back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			put(t, filepath.Join(dir, "a"), "one")
			m := safefile.Memory{Now: func() time.Time { return time.Now().Add(ahead) }}
			for range 3 {
				remembered(t, &m, dir)
			}
			if m.Reads() != 6 {
				t.Errorf("folder and file were read %d times in three looks, want 6", m.Reads())
			}
		})
	}
}

// TestMemory_Forgets: a change that no status shows does not stay unseen for ever.
func TestMemory_Forgets(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	put(t, filepath.Join(dir, "a"), "one")
	now := time.Now().Add(time.Minute)
	m := safefile.Memory{Now: func() time.Time { return now }}
	for _, later := range []struct {
		by    time.Duration
		reads int
	}{{0, 2}, {59 * time.Minute, 2}, {time.Minute, 4}, {-2 * time.Second, 6}} {
		now = now.Add(later.by)
		if remembered(t, &m, dir); m.Reads() != later.reads {
			t.Errorf("%v later: %d reads, want %d", later.by, m.Reads(), later.reads)
		}
	}
}

func TestMemory_Refuses(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	put(t, filepath.Join(dir, "a"), "one")
	var m safefile.Memory
	if err := m.ReadIn(filepath.Join(dir, "none"), 3, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
	must(t, m.ReadIn(dir, 2, func(r safefile.Reader) {
		status, err := r.Status("a")
		must(t, err)
		if _, err := r.Read("a", status); !errors.Is(err, safefile.ErrTooLong) {
			t.Errorf("long file: %v", err)
		}
		for _, name := range []string{"", ".", "..", "../a", "/a"} {
			if _, err := r.Status(name); !errors.Is(err, safefile.ErrPath) {
				t.Errorf("status of %q: %v", name, err)
			}
			if _, err := r.Read(name, status); !errors.Is(err, safefile.ErrPath) {
				t.Errorf("read of %q: %v", name, err)
			}
		}
	}))
	must(t, os.Chmod(dir, 0o777))
	if err := m.ReadIn(dir, 3, nil); !errors.Is(err, safefile.ErrUnsafe) {
		t.Errorf("folder that others may change: %v", err)
	}
}

// remembered reads a folder through a memory.
func remembered(t *testing.T, m *safefile.Memory, dir string) string {
	t.Helper()
	var files []string
	must(t, m.ReadIn(dir, 100, func(r safefile.Reader) {
		names, err := r.Names()
		must(t, err)
		for _, name := range names {
			status, err := r.Status(name)
			must(t, err)
			content, err := r.Read(name, status)
			must(t, err)
			files = append(files, name+"="+string(content))
		}
	}))
	slices.Sort(files)
	return strings.Join(files, " ")
}

// overwrite changes a file in its place.
func overwrite(t *testing.T, file, content string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(content)
	must(t, errors.Join(err, f.Close()))
}
