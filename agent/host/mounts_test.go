package host

import "testing"

// TestMounts: paths hang together where one file system is mounted, unless each name may be
// one of its own.
func TestMounts(t *testing.T) {
	all := parseMounts(`22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:44 / /home rw shared:9 - nfs4 srv:/home rw
31 30 0:45 / /home/bob rw - fuse.sshfs x rw
32 22 0:46 / /net rw - autofs systemd-1 rw
33 32 0:47 / /net/carol rw - nfs4 srv:/carol rw
34 22 0:48 / /mnt/two\040words rw - ext4 /dev/sdb1 rw
35 30 0:49 / /home rw - tmpfs tmpfs rw
broken
36 22
`)
	for path, want := range map[string]string{
		"/home/alice":          "35 /home", // the last one lies on top
		"/home/bob":            "31 /home",
		"/home/bob/.ssh/keys":  "31 /home",
		"/home/bobby":          "35 /home",
		"/root/.ssh":           "22 /home",
		"/homes/x":             "22 /home",
		"/net/dave":            "/net/dave",
		"/net/carol/.ssh":      "33 /home",
		"/mnt/two words/alice": "34 /home",
		"/":                    "22 /home",
	} {
		if got := all.group(path, "/home"); got != want {
			t.Errorf("%s hangs with %q, want %q", path, got, want)
		}
	}
	if got := mounts(nil).group("/home/alice", "/home"); got != "/home/alice" {
		t.Errorf("where nothing is known it hangs with %q", got)
	}
}
