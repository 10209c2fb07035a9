package safefile_test

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// TestLabel holds R42 in part: the SELinux label of the old file is on the new one
// before it has the name. Without SELinux in the kernel, a file system keeps
// labels all the same.
func TestLabel(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := newDir(t)
	put(t, dir+"/file", "old")
	err := unix.Setxattr(dir+"/file", "security.selinux", []byte(sshLabel), 0)
	need(t, err == nil, "a file system that keeps SELinux labels")
	var steps []string
	w := safefile.Writer{Point: func(step string) { steps = append(steps, step) }}
	_, err = w.Replace(dir+"/file", []byte("new"), own(0o600), func(temp string) error {
		wantLabel(t, temp, sshLabel)
		return nil
	})
	must(t, err)
	wantLabel(t, dir+"/file", sshLabel)
	if len(steps) < 3 || steps[2] != "label" {
		t.Errorf("took the steps %q", steps)
	}
}

const sshLabel = "system_u:object_r:sshd_key_t:s0\x00"

func wantLabel(t *testing.T, path, label string) {
	t.Helper()
	got := make([]byte, 100)
	n, err := unix.Getxattr(path, "security.selinux", got)
	if err != nil || string(got[:n]) != label {
		t.Errorf("%s has the label %q, %v", path, got[:max(n, 0)], err)
	}
}

// accessList is a POSIX access control list in the form of its extended
// attribute (acl(5), linux/posix_acl_xattr.h) that lets one more user in.
func accessList(user uint32) []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2) // version
	for _, entry := range []struct {
		tag, permissions uint16
		id               uint32
	}{{1, 7, 1<<32 - 1}, {2, 7, user}, {4, 7, 1<<32 - 1}, {16, 7, 1<<32 - 1}, {32, 0, 1<<32 - 1}} {
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.permissions)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	return list
}

// TestAccessList holds the rest of T-F13: neither a list that the folder leaves
// to what is made in it, nor one that somebody put on our file, stays.
func TestAccessList(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	list := accessList(20900)
	err := unix.Setxattr(dir, "system.posix_acl_default", list, 0)
	need(t, err == nil, "a file system with access control lists")
	put(t, dir+"/control", "")
	if !hasList(t, dir+"/control") {
		t.Fatal("the folder leaves nothing to its files: nothing is tested")
	}
	var w safefile.Writer
	_, err = w.Replace(dir+"/file", []byte("x"), own(0o640), nil)
	must(t, err)
	must(t, w.Mkdir(dir+"/folder", own(0o750)))
	for _, path := range []string{dir + "/file", dir + "/folder"} {
		if hasList(t, path) {
			t.Errorf("%s has a list", path)
		}
	}
	must(t, unix.Setxattr(dir+"/file", "system.posix_acl_access", list, 0))
	must(t, unix.Setxattr(dir+"/folder", "system.posix_acl_default", list, 0))
	must(t, os.Chmod(dir+"/file", 0o640))
	if changed, err := w.Replace(dir+"/file", []byte("x"), own(0o640), nil); err != nil || !changed || hasList(t, dir+"/file") {
		t.Errorf("Replace = %v, %v, list %v", changed, err, hasList(t, dir+"/file"))
	}
	if err := w.Mkdir(dir+"/folder", own(0o750)); err != nil || hasList(t, dir+"/folder") {
		t.Errorf("Mkdir = %v, list %v", err, hasList(t, dir+"/folder"))
	}
}

func hasList(t *testing.T, path string) bool {
	t.Helper()
	for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
		switch _, err := unix.Getxattr(path, name, nil); err {
		case nil:
			return true
		case unix.ENODATA, unix.EOPNOTSUPP:
		default:
			t.Fatal(err)
		}
	}
	return false
}

// TestFrozen: chattr +i and +a on the file and on the folder (R39 in part,
// T-F2).
func TestFrozen(t *testing.T) {
	t.Parallel()
	needRoot(t)
	tests := map[string]struct {
		name string
		flag int
	}{
		"file-immutable":     {"/file", unix.STATX_ATTR_IMMUTABLE},
		"file-append-only":   {"/file", unix.STATX_ATTR_APPEND},
		"folder-immutable":   {"", unix.STATX_ATTR_IMMUTABLE},
		"folder-append-only": {"", unix.STATX_ATTR_APPEND},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			put(t, dir+"/file", "old")
			freeze(t, dir+test.name, test.flag)
			var w safefile.Writer
			if changed, err := w.Replace(dir+"/file", []byte("new"), own(0o600), nil); changed || !errors.Is(err, safefile.ErrImmutable) {
				t.Errorf("Replace = %v, %v; want %v", changed, err, safefile.ErrImmutable)
			}
			if err := w.Remove(dir + "/file"); !errors.Is(err, safefile.ErrImmutable) {
				t.Errorf("Remove = %v, want %v", err, safefile.ErrImmutable)
			}
			if err := w.Rename(dir+"/file", dir+"/moved"); !errors.Is(err, safefile.ErrImmutable) {
				t.Errorf("Rename = %v, want %v", err, safefile.ErrImmutable)
			}
			if changed, err := w.Replace(dir+"/file", []byte("old"), own(0o600), nil); changed || err != nil {
				t.Errorf("Replace with the same = %v, %v", changed, err)
			}
			wantTree(t, dir, "-rw------- file USER 1 \"old\"\n")
		})
	}
}

// freeze sets a flag of chattr(1) until the test ends. The flags of statx(2) are
// those of FS_IOC_SETFLAGS.
func freeze(t *testing.T, path string, flag int) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	fd := int(f.Fd())
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	need(t, err == nil, "a file system with immutable files")
	t.Cleanup(func() {
		must(t, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags))
		must(t, f.Close())
	})
	must(t, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags|flag))
}
