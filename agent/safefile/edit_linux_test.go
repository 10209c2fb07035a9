package safefile_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

const keys = ".ssh/authorized_keys"

const newKeys = "drwx------ .ssh USER\n-rw------- " + keys + " USER 1 \"x\"\n"

// ownHome is a home of this process's user.
func ownHome(dir string) safefile.Home {
	return safefile.Home{Path: dir, UID: os.Getuid(), GID: os.Getgid()}
}

// become is an edit to a content, whatever there was.
func become(content string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(content), nil }
}

// TestEditHome holds R33, R36 and R41 in part: a file in a home is made, changed and
// left alone, and keeps its owner and mode.
func TestEditHome(t *testing.T) {
	t.Parallel()
	refuse := errors.New("refused")
	tests := map[string]struct {
		prepare func(t *testing.T, dir string)
		name    string
		edit    func([]byte) ([]byte, error)
		want    string
		changed bool
		err     error
	}{
		"made":           {func(*testing.T, string) {}, keys, become("x"), newKeys, true, nil},
		"made-of-home":   {func(*testing.T, string) {}, "f", become("x"), "-rw------- f USER 1 \"x\"\n", true, nil},
		"nothing-to-put": {func(*testing.T, string) {}, keys, become(""), "", false, nil},
		"refused-first":  {func(*testing.T, string) {}, keys, func([]byte) ([]byte, error) { return nil, refuse }, "", false, refuse},
		"mode-kept": {func(t *testing.T, dir string) { putKeys(t, dir, "old", 0o644) }, keys,
			func(old []byte) ([]byte, error) { return append(old, "new"...), nil },
			"drwx------ .ssh USER\n-rw-r--r-- " + keys + " USER 1 \"oldnew\"\n", true, nil},
		"mode-narrowed": {func(t *testing.T, dir string) { putKeys(t, dir, "old", 0o666) }, keys, become("x"),
			"drwx------ .ssh USER\n-rw-r--r-- " + keys + " USER 1 \"x\"\n", true, nil},
		"emptied": {func(t *testing.T, dir string) { putKeys(t, dir, "x", 0o600) }, keys, become(""),
			"drwx------ .ssh USER\n-rw------- " + keys + " USER 1 \"\"\n", true, nil},
		"equal": {func(t *testing.T, dir string) { putKeys(t, dir, "x", 0o600) }, keys, become("x"), newKeys, false, nil},
		"refused": {func(t *testing.T, dir string) { putKeys(t, dir, "x", 0o600) }, keys,
			func([]byte) ([]byte, error) { return []byte("new"), refuse }, newKeys, false, refuse},
		"too-long": {func(t *testing.T, dir string) { putKeys(t, dir, "x", 0o600) }, keys,
			become(strings.Repeat("x", safefile.MaxInHome+1)), newKeys, false, safefile.ErrTooLong},
		"one-folder-at-a-time": {func(*testing.T, string) {}, "a/b/f", become("x"), "", false, fs.ErrNotExist},
		"up":                   {func(*testing.T, string) {}, "../f", become("x"), "", false, safefile.ErrName},
		"absolute":             {func(*testing.T, string) {}, "/etc/f", become("x"), "", false, safefile.ErrName},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			test.prepare(t, dir)
			var w safefile.Writer
			changed, err := w.EditHome(ownHome(dir), test.name, test.edit)
			if changed != test.changed || !errors.Is(err, test.err) {
				t.Errorf("EditHome = %v, %v; want %v, %v", changed, err, test.changed, test.err)
			}
			wantTree(t, dir, test.want)
		})
	}
}

func putKeys(t *testing.T, dir, content string, mode fs.FileMode) {
	t.Helper()
	must(t, os.Mkdir(dir+"/.ssh", 0o700))
	put(t, dir+"/"+keys, content)
	must(t, os.Chmod(dir+"/"+keys, mode))
}

// TestEditHome_changed: what the user writes between our reading and our renaming is
// not lost.
func TestEditHome_changed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		at   string
		do   func(t *testing.T, path string)
		want string
	}{
		"written": {"sync", func(t *testing.T, path string) { put(t, path, "theirs") }, `1 "theirs"`},
		"removed": {"sync", func(t *testing.T, path string) { must(t, os.Remove(path)) }, ""},
		"replaced": {"sync", func(t *testing.T, path string) {
			put(t, path+".theirs", "old")
			must(t, os.Rename(path+".theirs", path))
		}, `1 "old"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			putKeys(t, dir, "old", 0o600)
			w := safefile.Writer{Point: func(step string) {
				if step == test.at {
					test.do(t, dir+"/"+keys)
				}
			}}
			changed, err := w.EditHome(ownHome(dir), keys, become("ours"))
			if changed || !errors.Is(err, safefile.ErrChanged) {
				t.Errorf("EditHome = %v, %v; want %v", changed, err, safefile.ErrChanged)
			}
			want := "drwx------ .ssh USER\n"
			if test.want != "" {
				want += "-rw------- " + keys + " USER " + test.want + "\n"
			}
			wantTree(t, dir, want)
		})
	}
}

// TestEditHome_root holds R33 and R34: what root makes in a home is the user's, and
// what was root's stays it.
func TestEditHome_root(t *testing.T) {
	t.Parallel()
	needRoot(t)
	var w safefile.Writer
	t.Run("made", func(t *testing.T) {
		t.Parallel()
		home := usersHome(t)
		if changed, err := w.EditHome(home, keys, become("x")); !changed || err != nil {
			t.Fatalf("EditHome = %v, %v", changed, err)
		}
		want := strings.ReplaceAll(newKeys, "USER", "65534:65534")
		if got := tree(t, home.Path); got != want {
			t.Errorf("tree is\n%swant\n%s", got, want)
		}
	})
	t.Run("root's-file", func(t *testing.T) {
		t.Parallel()
		home := usersHome(t)
		putKeys(t, home.Path, "old", 0o644)
		if changed, err := w.EditHome(home, keys, become("x")); !changed || err != nil {
			t.Fatalf("EditHome = %v, %v", changed, err)
		}
		wantTree(t, home.Path, "drwx------ .ssh USER\n-rw-r--r-- "+keys+" USER 1 \"x\"\n")
	})
	t.Run("closed-home", func(t *testing.T) {
		t.Parallel()
		home := usersHome(t)
		must(t, os.Chmod(home.Path, 0o500))
		if _, err := w.EditHome(home, keys, become("x")); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("EditHome: %v, want %v", err, fs.ErrPermission)
		}
	})
}

// TestEditHome_at_each_step holds T-F3 and T-F4: the folder is swapped for a link at each
// step of an edit that also makes it; nothing outside that home is touched.
func TestEditHome_at_each_step(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, at := range []string{"mkdir", "create", "attr", "write", "sync", "check", "rename", "syncdir", "compare"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			home := usersHome(t)
			outside := newVictims(t, newDir(t))
			swaps := 0
			w := safefile.Writer{Point: func(step string) {
				if step == at {
					must(t, os.Rename(home.Path+"/.ssh", home.Path+"/moved"))
					must(t, os.Symlink(outside.dir, home.Path+"/.ssh"))
					swaps++
				}
			}}
			changed, err := w.EditHome(home, keys, become("x"))
			outside.wantUntouched(t)
			want := "drwx------ moved USER\n-rw------- moved/authorized_keys USER 1 \"x\"\n"
			if at == "mkdir" {
				want = "drwx------ moved USER\n" // it is opened after that
			}
			if changed != (at != "mkdir") || changed != (err == nil) || swaps != 1 {
				t.Errorf("EditHome = %v, %v, with %d swaps", changed, err, swaps)
			}
			must(t, os.Remove(home.Path+"/.ssh"))
			if got := tree(t, home.Path); got != strings.ReplaceAll(want, "USER", "65534:65534") {
				t.Errorf("tree is\n%swant\n%s", got, want)
			}
		})
	}
}

func usersHome(t *testing.T) safefile.Home {
	t.Helper()
	dir := newDir(t) + "/home"
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chown(dir, attacker, attacker))
	return safefile.Home{Path: dir, UID: attacker, GID: attacker}
}

// TestHome_hostile holds R39, T-F1 and T-F2: whatever stands in the way in a home is
// refused at once, and what it leads to is neither read nor changed.
func TestHome_hostile(t *testing.T) {
	t.Parallel()
	link := func(target, name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { must(t, os.Symlink(target, dir+"/"+name)) }
	}
	inSSH := func(do func(t *testing.T, path string)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"/.ssh", 0o700))
			do(t, dir+"/"+keys)
		}
	}
	linkTo := func(target string) func(t *testing.T, dir string) {
		return inSSH(func(t *testing.T, path string) { must(t, os.Symlink(target, path)) })
	}
	tests := map[string]struct {
		prepare func(t *testing.T, dir string)
		err     error
	}{
		"folder-is-link-to-etc":     {link("/etc", ".ssh"), safefile.ErrNotFolder},
		"folder-is-link-in-home":    {link(".", ".ssh"), safefile.ErrNotFolder},
		"folder-is-file":            {func(t *testing.T, dir string) { put(t, dir+"/.ssh", "x") }, safefile.ErrNotFolder},
		"folder-is-fifo":            {func(t *testing.T, dir string) { must(t, unix.Mkfifo(dir+"/.ssh", 0o600)) }, safefile.ErrNotFolder},
		"folder-for-all":            {folderForAll, safefile.ErrOwner},
		"home-for-all":              {func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o777)) }, safefile.ErrOwner},
		"link-to-shadow":            {linkTo("/etc/shadow"), safefile.ErrNotRegular},
		"link-to-cron":              {linkTo("/etc/cron.d/x"), safefile.ErrNotRegular},
		"link-to-device":            {linkTo("/dev/zero"), safefile.ErrNotRegular},
		"link-to-memory":            {linkTo("/proc/self/mem"), safefile.ErrNotRegular},
		"link-to-nothing":           {linkTo("nothing"), safefile.ErrNotRegular},
		"link-to-itself":            {linkTo("authorized_keys"), safefile.ErrNotRegular},
		"fifo":                      {inSSH(func(t *testing.T, path string) { must(t, unix.Mkfifo(path, 0o600)) }), safefile.ErrNotRegular},
		"fifo-with-writer":          {inSSH(fifoWithWriter), safefile.ErrNotRegular},
		"socket":                    {inSSH(func(t *testing.T, path string) { must(t, unix.Mknod(path, unix.S_IFSOCK|0o600, 0)) }), safefile.ErrNotRegular},
		"folder":                    {inSSH(func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }), safefile.ErrNotRegular},
		"terabyte-of-holes":         {inSSH(func(t *testing.T, path string) { put(t, path, ""); must(t, os.Truncate(path, 1<<40)) }), safefile.ErrTooLong},
		"one-byte-too-long":         {inSSH(func(t *testing.T, path string) { put(t, path, ""); must(t, os.Truncate(path, 1<<20+1)) }), safefile.ErrTooLong},
		"two-names":                 {inSSH(func(t *testing.T, path string) { put(t, path, "x"); must(t, os.Link(path, path+"2")) }), safefile.ErrNames},
		"device":                    {inSSH(device), safefile.ErrNotRegular},
		"another's-file":            {inSSH(othersFile), safefile.ErrOwner},
		"another's-folder":          {othersFolder, safefile.ErrOwner},
		"another's-home":            {func(t *testing.T, dir string) { needRoot(t); must(t, os.Chown(dir, 1000, 1000)) }, safefile.ErrOwner},
		"root's-folder-for-all-too": {func(t *testing.T, dir string) { needRoot(t); folderForAll(t, dir) }, safefile.ErrOwner},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			test.prepare(t, dir)
			before := hostileTree(t, dir)

			var w safefile.Writer
			if changed, err := w.EditHome(ownHome(dir), keys, become("ours")); changed || !errors.Is(err, test.err) {
				t.Errorf("EditHome = %v, %v; want %v", changed, err, test.err)
			}
			if content, _, err := safefile.ReadHome(ownHome(dir), keys); content != nil || !errors.Is(err, test.err) {
				t.Errorf("ReadHome = %q, %v; want %v", content, err, test.err)
			}
			if after := hostileTree(t, dir); after != before {
				t.Errorf("tree is\n%swas\n%s", after, before)
			}

		})
	}
}

func folderForAll(t *testing.T, dir string) {
	must(t, os.Mkdir(dir+"/.ssh", 0o700))
	must(t, os.Chmod(dir+"/.ssh", 0o777))
}

func fifoWithWriter(t *testing.T, path string) {
	must(t, unix.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.WriteString("never to be read")
	must(t, err)
}

func device(t *testing.T, path string) {
	needRoot(t)
	must(t, unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))) // zero
}

func othersFile(t *testing.T, path string) {
	needRoot(t)
	put(t, path, "x")
	must(t, os.Chown(path, 1000, 1000))
}

func othersFolder(t *testing.T, dir string) {
	needRoot(t)
	must(t, os.Mkdir(dir+"/.ssh", 0o755))
	must(t, os.Chown(dir+"/.ssh", 1000, 1000))
}

// hostileTree lists names, types and sizes: the content may be endless.
func hostileTree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			b.WriteString(fs.FormatFileInfo(info) + " " + path + "\n")
		}
		return err
	}))
	return b.String()
}
