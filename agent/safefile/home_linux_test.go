package safefile_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// newHome makes a home with one of everything, beside which lies what must stay.
func newHome(t *testing.T) (dir string, home safefile.Home) {
	t.Helper()
	dir = newDir(t)
	home = safefile.Home{Path: dir + "/alice", UID: os.Getuid()}
	must(t, os.MkdirAll(home.Path+"/folder/empty", 0o700))
	must(t, os.Mkdir(dir+"/outside", 0o700))
	put(t, dir+"/outside/file", "stays")
	put(t, home.Path+"/folder/file", "content")
	put(t, home.Path+"/"+strings.Repeat("n", 200)+"\xff\n", "long")
	must(t, os.Link(home.Path+"/folder/file", home.Path+"/second"))
	must(t, os.Symlink(dir+"/outside", home.Path+"/link"))
	must(t, os.Symlink("nowhere", home.Path+"/folder/dangling"))
	must(t, unix.Mkfifo(home.Path+"/pipe", 0o600))
	must(t, os.Chmod(home.Path+"/folder", 0o750|os.ModeSetgid))
	return dir, home
}

// packed prints what an archive holds.
func packed(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	var b strings.Builder
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return b.String()
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		fmt.Fprintf(&b, "%c %04o %q %q %q\n", h.Typeflag, h.Mode, strings.ReplaceAll(h.Name, "n", ""), h.Linkname, content)
	}
}

// TestPack: an archive holds the files, folders and links of a home, and the home is
// as it was.
func TestPack(t *testing.T) {
	t.Parallel()
	dir, home := newHome(t)
	must(t, os.Mkdir(dir+"/kept", 0o700))
	before := tree(t, home.Path)
	must(t, safefile.Writer{}.Pack(t.Context(), home, dir+"/kept/alice.1.tar"))
	want := `5 0700 "alice/" "" ""
5 2750 "alice/folder/" "" ""
2 0777 "alice/folder/daglig" "nowhere" ""
5 0700 "alice/folder/empty/" "" ""
0 0600 "alice/folder/file" "" "content"
2 0777 "alice/lik" "` + dir + `/outside" ""
0 0600 "alice/\xff\n" "" "long"
1 0600 "alice/secod" "alice/folder/file" ""
`
	if diff := cmp.Diff(want, packed(t, dir+"/kept/alice.1.tar")); diff != "" {
		t.Errorf("packed is (-want +got):\n%s", diff)
	}
	if after := tree(t, home.Path); after != before {
		t.Errorf("the home is now\n%s", after)
	}
	info, err := os.Stat(dir + "/kept/alice.1.tar")
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the archive is %v, %v", info.Mode(), err)
	}

	// The same home again is the same file; another one gets a name of its own.
	must(t, safefile.Writer{}.Pack(t.Context(), home, dir+"/kept/alice.1.tar"))
	wantNames(t, dir+"/kept", "alice.1.tar")
	put(t, home.Path+"/more", "more")
	must(t, safefile.Writer{}.Pack(t.Context(), home, dir+"/kept/alice.1.tar"))
	wantNames(t, dir+"/kept", "alice.1.1.tar alice.1.tar")

	if out, err := exec.CommandContext(t.Context(), "tar", "-C", t.TempDir(), "-xpf", dir+"/kept/alice.1.1.tar").CombinedOutput(); err != nil {
		t.Errorf("tar does not read it: %v %s", err, out)
	}
}

func wantNames(t *testing.T, dir, want string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

// TestHome_Refused: what is not the user's own folder is neither packed nor removed, and
// nothing that is too much for the machine is packed.
func TestHome_Refused(t *testing.T) {
	t.Parallel()
	needRoot(t)
	tests := map[string]struct {
		spoil  func(t *testing.T, dir string, home *safefile.Home)
		pack   error
		remove error
	}{
		"link": {func(t *testing.T, dir string, home *safefile.Home) {
			must(t, os.Rename(home.Path, dir+"/moved"))
			must(t, os.Symlink(dir+"/moved", home.Path))
		}, safefile.ErrNotFolder, safefile.ErrNotFolder},
		"file": {func(t *testing.T, dir string, home *safefile.Home) {
			must(t, os.Rename(home.Path, dir+"/moved"))
			put(t, home.Path, "")
		}, safefile.ErrNotFolder, safefile.ErrNotFolder},
		"of-another": {func(t *testing.T, _ string, home *safefile.Home) { home.UID = 4242 }, safefile.ErrOwner, safefile.ErrOwner},
		"folder-of-another": {func(t *testing.T, dir string, _ *safefile.Home) { must(t, os.Chmod(dir, 0o777)) },
			safefile.ErrUnsafe, safefile.ErrUnsafe},
		"larger-than-the-disk": {func(t *testing.T, _ string, home *safefile.Home) {
			put(t, home.Path+"/holes", "")
			must(t, os.Truncate(home.Path+"/holes", 1<<40)) // ext4 takes up to 16 TiB
		}, safefile.ErrRoom, nil},
		"too-deep": {func(t *testing.T, _ string, home *safefile.Home) { deepen(t, home.Path, 600) }, safefile.ErrDeep, nil},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			dir, home := newHome(t)
			must(t, os.Mkdir(dir+"/kept", 0o700))
			test.spoil(t, dir, &home)
			before := ""
			if test.remove != nil {
				before = tree(t, dir)
			}
			if err := (safefile.Writer{}).Pack(t.Context(), home, dir+"/kept/alice.tar"); !errors.Is(err, test.pack) || err == nil {
				t.Errorf("Pack = %v, want %v", err, test.pack)
			}
			wantNames(t, dir+"/kept", "")
			err := safefile.Writer{}.RemoveHome(t.Context(), home)
			if !errors.Is(err, test.remove) {
				t.Errorf("RemoveHome = %v, want %v", err, test.remove)
			}
			if test.remove != nil {
				if after := tree(t, dir); after != before {
					t.Errorf("the tree is\n%swas\n%s", after, before)
				}
				return
			}
			wantTree(t, dir, "drwx------ kept USER\ndrwx------ outside USER\n-rw------- outside/file USER 1 \"stays\"\n")
		})
	}
}

// deepen makes folders inside each other, deeper than any path can say.
func deepen(t *testing.T, path string, levels int) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_DIRECTORY, 0)
	must(t, err)
	for range levels {
		must(t, unix.Mkdirat(fd, strings.Repeat("d", 20), 0o700))
		next, err := unix.Openat(fd, strings.Repeat("d", 20), unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd))
}

// TestRemoveHome: all of it goes, and nothing outside; also what is deeper than the
// folders that are held open, and what belongs to others or lets nobody in.
func TestRemoveHome(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir, home := newHome(t)
	deepen(t, home.Path, 300)
	must(t, os.Mkdir(home.Path+"/closed", 0))
	must(t, os.Chown(home.Path+"/closed", 4242, 4242))
	for i := range 3000 {
		put(t, fmt.Sprintf("%s/%d", home.Path, i), "")
	}
	must(t, safefile.Writer{}.RemoveHome(t.Context(), home))
	wantTree(t, dir, "drwx------ outside USER\n-rw------- outside/file USER 1 \"stays\"\n")
	must(t, safefile.Writer{}.RemoveHome(t.Context(), home)) // there is none
}

// TestHome_Ended: a context that ends leaves the rest for the next call, and no half an
// archive.
func TestHome_Ended(t *testing.T) {
	t.Parallel()
	dir, home := newHome(t)
	must(t, os.Mkdir(dir+"/kept", 0o700))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (safefile.Writer{}).Pack(ctx, home, dir+"/kept/alice.tar"); !errors.Is(err, context.Canceled) {
		t.Errorf("Pack = %v", err)
	}
	wantNames(t, dir+"/kept", "")
	before := tree(t, dir)
	if err := (safefile.Writer{}).RemoveHome(ctx, home); !errors.Is(err, context.Canceled) || tree(t, dir) != before {
		t.Errorf("RemoveHome = %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	w := safefile.Writer{Point: func(step string) { cancel() }}
	if err := w.RemoveHome(ctx, home); !errors.Is(err, context.Canceled) {
		t.Errorf("RemoveHome = %v", err)
	}
	must(t, safefile.Writer{}.RemoveHome(t.Context(), home))
	if _, err := os.Lstat(home.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home: %v", err)
	}
}

// TestPack_Changed: a home in which something goes on is not packed.
func TestPack_Changed(t *testing.T) {
	t.Parallel()
	for step, change := range map[string]func(home string) error{
		"create": func(home string) error { return os.WriteFile(home+"/new", nil, 0o600) },
		"write":  func(home string) error { return os.Truncate(onlyIn(filepath.Dir(home)+"/kept"), 1024) },
	} {
		t.Run(step, func(t *testing.T) {
			dir, home := newHome(t)
			must(t, os.Mkdir(dir+"/kept", 0o700))
			w := safefile.Writer{Point: func(at string) {
				if at == step {
					must(t, change(home.Path))
				}
			}}
			if err := w.Pack(t.Context(), home, dir+"/kept/alice.tar"); err == nil {
				t.Error("it was packed")
			}
			wantNames(t, dir+"/kept", "")
		})
	}
}

func onlyIn(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		return ""
	}
	return dir + "/" + entries[0].Name()
}

// TestLink: a link is made once and removed, and nothing else is taken for one.
func TestLink(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	var w safefile.Writer
	for range 2 {
		must(t, w.Link(dir+"/link", "/etc"))
	}
	wantTree(t, dir, "Lrwxrwxrwx link USER -> /etc\n")
	if err := w.Link(dir+"/link", "/usr"); !errors.Is(err, safefile.ErrExists) {
		t.Errorf("Link = %v", err)
	}
	for range 2 {
		must(t, w.Unlink(dir+"/link"))
	}
	put(t, dir+"/file", "stays")
	if err := w.Unlink(dir + "/file"); !errors.Is(err, safefile.ErrNotRegular) {
		t.Errorf("Unlink = %v", err)
	}
	wantTree(t, dir, "-rw------- file USER 1 \"stays\"\n")
}
