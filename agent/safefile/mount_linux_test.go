package safefile_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// TestMount runs what needs file systems of its own in a private mount
// namespace: this test again, as a child that can mount without anyone noticing.
func TestMount(t *testing.T) {
	if os.Getenv("LATCHKEY_TEST_CHILD") == "mount" {
		inNamespace(t)
		return
	}
	t.Parallel()
	needRoot(t)
	cmd := newChild(t, "mount", newDir(t))
	cmd.Args = append(cmd.Args, "-test.run=^TestMount$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("inside:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out, []byte("--- PASS: TestMount/full-disk")) {
		t.Error("the inner tests did not run")
	}
}

func inNamespace(t *testing.T) {
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	tests := map[string]struct {
		options string
		do      func(t *testing.T, dir string)
	}{
		"full-disk":     {"mode=755,size=64k", fullDisk},
		"no-inodes":     {"mode=755,nr_inodes=2", noInodes}, // the root folder and one file
		"read-only":     {"mode=755", readOnly},
		"mounted-file":  {"mode=755", mountedFile},
		"mounted-on":    {"mode=755", mountedOn},
		"across-mounts": {"mode=755", acrossMounts},
		"in-a-home":     {"mode=755", inHome},
		"home-itself":   {"mode=755", homeItself},
		"in-home":       {"mode=755", mountedInHome},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			dir := os.Getenv("LATCHKEY_TEST_DIR")
			must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, test.options))
			defer func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
			put(t, dir+"/file", "old")
			test.do(t, dir)
		})
	}
}

const oldTree = "-rw------- file USER 1 \"old\"\n"

// fullDisk holds R44 for ENOSPC, with a write that gets half-way (a short write).
func fullDisk(t *testing.T, dir string) {
	var w safefile.Writer
	large := []byte(strings.Repeat("x", 100<<10))
	changed, err := w.Replace(dir+"/file", large, own(0o600), nil)
	if want := "replace " + dir + "/file: no space left on device"; changed || !errors.Is(err, unix.ENOSPC) || err.Error() != want {
		t.Errorf("Replace = %v, %v; want %s", changed, err, want)
	}
	wantTree(t, dir, oldTree)
	// Room again, and it recovers alone.
	if changed, err := w.Replace(dir+"/file", large[:30<<10], own(0o600), nil); !changed || err != nil {
		t.Errorf("Replace = %v, %v", changed, err)
	}
	if content, _, err := safefile.Read(dir+"/file", 1<<20); err != nil || len(content) != 30<<10 {
		t.Errorf("Read gave %d bytes, %v", len(content), err)
	}
}

func noInodes(t *testing.T, dir string) {
	var w safefile.Writer
	if changed, err := w.Replace(dir+"/file", []byte("new"), own(0o600), nil); changed || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Replace = %v, %v; want %v", changed, err, unix.ENOSPC)
	}
	if err := w.Mkdir(dir+"/folder", own(0o700)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Mkdir = %v, want %v", err, unix.ENOSPC)
	}
	wantTree(t, dir, oldTree)
}

// readOnly holds R44 and T-F18 in part.
func readOnly(t *testing.T, dir string) {
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	var w safefile.Writer
	if changed, err := w.Replace(dir+"/file", []byte("new"), own(0o600), nil); changed || !errors.Is(err, unix.EROFS) {
		t.Errorf("Replace = %v, %v; want %v", changed, err, unix.EROFS)
	}
	for name, err := range map[string]error{
		"Remove": w.Remove(dir + "/file"),
		"Mkdir":  w.Mkdir(dir+"/folder", own(0o700)),
		"Rename": w.Rename(dir+"/file", dir+"/moved"),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s = %v, want %v", name, err, unix.EROFS)
		}
	}
	if changed, err := w.Replace(dir+"/file", []byte("old"), own(0o600), nil); changed || err != nil {
		t.Errorf("Replace with the same = %v, %v", changed, err)
	}
	wantTree(t, dir, oldTree)
}

// mountedFile: a container runtime mounts single files over /etc/hosts and the like
// (requirement R39 in part).
func mountedFile(t *testing.T, dir string) {
	put(t, dir+"/above", "above")
	must(t, unix.Mount(dir+"/above", dir+"/file", "", unix.MS_BIND, ""))
	var w safefile.Writer
	if changed, err := w.Replace(dir+"/file", []byte("new"), own(0o600), nil); changed || !errors.Is(err, safefile.ErrMount) {
		t.Errorf("Replace = %v, %v; want %v", changed, err, safefile.ErrMount)
	}
	if err := w.Remove(dir + "/file"); !errors.Is(err, safefile.ErrMount) {
		t.Errorf("Remove = %v, want %v", err, safefile.ErrMount)
	}
	must(t, unix.Unmount(dir+"/file", 0))
	wantTree(t, dir, "-rw------- above USER 1 \"above\"\n"+oldTree)
}

func mountedOn(t *testing.T, dir string) {
	must(t, os.Mkdir(dir+"/folder", 0o700))
	must(t, unix.Mount("tmpfs", dir+"/folder", "tmpfs", 0, "mode=700"))
	var w safefile.Writer
	if err := w.RemoveDir(dir + "/folder"); !errors.Is(err, safefile.ErrMount) {
		t.Errorf("RemoveDir = %v, want %v", err, safefile.ErrMount)
	}
}

func acrossMounts(t *testing.T, dir string) {
	must(t, os.Mkdir(dir+"/folder", 0o755))
	must(t, unix.Mount("tmpfs", dir+"/folder", "tmpfs", 0, "mode=755"))
	var w safefile.Writer
	if err := w.Rename(dir+"/file", dir+"/folder/file"); !errors.Is(err, unix.EXDEV) {
		t.Errorf("Rename = %v, want %v", err, unix.EXDEV)
	}
	if changed, err := w.Replace(dir+"/folder/file", []byte("x"), own(0o600), nil); !changed || err != nil {
		t.Errorf("Replace = %v, %v", changed, err)
	}
	wantTree(t, dir, oldTree+"drwxr-xr-x folder USER\n-rw------- folder/file USER 1 \"x\"\n")
}

// inHome: what is mounted in a home, even of the same file system, is neither packed
// nor touched when the rest goes.
func inHome(t *testing.T, dir string) {
	must(t, os.MkdirAll(dir+"/alice/folder/mounted", 0o755))
	must(t, os.Mkdir(dir+"/outside", 0o755))
	must(t, os.Mkdir(dir+"/kept", 0o755))
	put(t, dir+"/outside/file", "stays")
	put(t, dir+"/alice/mounted", "")
	put(t, dir+"/alice/goes", "")
	must(t, unix.Mount(dir+"/outside", dir+"/alice/folder/mounted", "", unix.MS_BIND, ""))
	must(t, unix.Mount(dir+"/outside/file", dir+"/alice/mounted", "", unix.MS_BIND, ""))
	home := safefile.Home{Path: dir + "/alice", UID: os.Getuid()}
	var w safefile.Writer
	if err := w.Pack(t.Context(), home, dir+"/kept/alice.tar"); !errors.Is(err, safefile.ErrMount) {
		t.Errorf("Pack = %v, want %v", err, safefile.ErrMount)
	}
	if err := w.RemoveHome(t.Context(), home); !errors.Is(err, safefile.ErrMount) {
		t.Errorf("RemoveHome = %v, want %v", err, safefile.ErrMount)
	}
	must(t, unix.Unmount(dir+"/alice/folder/mounted", 0))
	must(t, unix.Unmount(dir+"/alice/mounted", 0))
	wantTree(t, dir, `drwxr-xr-x alice USER
drwxr-xr-x alice/folder USER
drwxr-xr-x alice/folder/mounted USER
-rw------- alice/mounted USER 1 ""
`+oldTree+`drwxr-xr-x kept USER
drwxr-xr-x outside USER
-rw------- outside/file USER 1 "stays"
`)
	must(t, w.RemoveHome(t.Context(), home))
}

func homeItself(t *testing.T, dir string) {
	must(t, os.MkdirAll(dir+"/alice", 0o755))
	must(t, os.Mkdir(dir+"/outside", 0o755))
	put(t, dir+"/outside/file", "stays")
	must(t, unix.Mount(dir+"/outside", dir+"/alice", "", unix.MS_BIND, ""))
	defer func() { must(t, unix.Unmount(dir+"/alice", 0)) }()
	home := safefile.Home{Path: dir + "/alice", UID: os.Getuid()}
	before := tree(t, dir)
	for what, err := range map[string]error{
		"Pack":       safefile.Writer{}.Pack(t.Context(), home, dir+"/alice.tar"),
		"RemoveHome": safefile.Writer{}.RemoveHome(t.Context(), home),
	} {
		if !errors.Is(err, safefile.ErrMount) || tree(t, dir) != before {
			t.Errorf("%s = %v, want %v", what, err, safefile.ErrMount)
		}
	}
}

// mountedInHome holds R33's part for what a user mounts in his home, which may hang;
// the home itself may be a mount, as it is here.
func mountedInHome(t *testing.T, dir string) {
	home := ownHome(dir)
	var w safefile.Writer
	if changed, err := w.EditHome(home, keys, become("x")); !changed || err != nil {
		t.Fatalf("EditHome = %v, %v", changed, err)
	}
	for _, on := range []string{keys, ".ssh"} {
		t.Run(on, func(t *testing.T) {
			must(t, unix.Mount(dir+"/"+on, dir+"/"+on, "", unix.MS_BIND, ""))
			defer func() { must(t, unix.Unmount(dir+"/"+on, unix.MNT_DETACH)) }()
			before := tree(t, dir)
			if changed, err := w.EditHome(home, keys, become("new")); changed || !errors.Is(err, safefile.ErrMount) {
				t.Errorf("EditHome = %v, %v; want %v", changed, err, safefile.ErrMount)
			}
			if _, _, err := safefile.ReadHome(home, keys); !errors.Is(err, safefile.ErrMount) {
				t.Errorf("ReadHome: %v, want %v", err, safefile.ErrMount)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("tree is\n%swas\n%s", after, before)
			}
		})
	}
}
