package safefile_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"latchkey/agent/safefile"
)

// need skips where the machine lacks something real; under LATCHKEY_NO_SKIP,
// which make test sets after installing everything, that is a failure.
func need(t testing.TB, have bool, what string) {
	t.Helper()
	if have {
		return
	}
	if os.Getenv("LATCHKEY_NO_SKIP") != "" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}

func needRoot(t testing.TB) {
	t.Helper()
	need(t, os.Getuid() == 0, "root")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// own is an Attr of this process's user.
func own(mode fs.FileMode) safefile.Attr {
	return safefile.Attr{UID: os.Getuid(), GID: os.Getgid(), Mode: mode}
}

// put makes a file outside safefile's ways.
func put(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

// newDir returns a folder that safefile accepts, whatever the umask.
func newDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// tree prints everything below dir: mode, owner, link count of files, content.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %s %d:%d", info.Mode(), path[len(dir)+1:], st.Uid, st.Gid)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %q", st.Nlink, content)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			b.WriteString(" -> " + target)
		}
		b.WriteString("\n")
		return nil
	})
	must(t, err)
	return b.String()
}

// wantTree compares a tree with a text in which USER stands for this process's
// user and group.
func wantTree(t testing.TB, dir, want string) {
	t.Helper()
	want = strings.ReplaceAll(want, "USER", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()))
	if got := tree(t, dir); got != want {
		t.Errorf("tree is\n%swant\n%s", got, want)
	}
}
