package machine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/e2e/machine"
)

// TestCanBoot asks in a process of its own for each thing that may be missing.
func TestCanBoot(t *testing.T) {
	need(t)
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	const this = "/proc/self/fd/3"                                               // its folder is closed to other users
	path, nowhere := os.Getenv("PATH"), "machine asked: index 0 is not 1 to 254" // what Chroot says when all is well but its options
	for name, c := range map[string]struct {
		argv       []string
		path, temp string
		boot, root string // what CanBoot and Chroot say
	}{
		"can":      {[]string{this}, path, "", "<nil>", nowhere},
		"not-root": {[]string{"setpriv", "--reuid=65534", this}, path, "", machine.ErrNotRoot.Error(), machine.ErrNotRoot.Error()},
		"no-namespaces": {[]string{"setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", this}, path, "",
			"namespaces are refused here: fork/exec ", nowhere},
		"no-namespaces-and-nosuid": {[]string{"setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", this}, path, "/run",
			"namespaces are refused here: fork/exec ", "/run is mounted nosuid or nodev"},
		"no-nspawn": {[]string{this}, tools(t, "ip", "nsenter", "ssh", "ssh-keygen"), "",
			"systemd-nspawn: not installed (package systemd-container)", nowhere},
		"no-ip": {[]string{this}, tools(t, "nsenter", "ssh", "ssh-keygen"), "",
			"namespaces are refused here: ip: not installed (package iproute2)", nowhere},
		"no-ssh": {[]string{this}, tools(t, "ip"), "",
			"ssh: not installed (package openssh-client)", "ssh: not installed (package openssh-client)"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), c.argv[0], c.argv[1:]...)
			cmd.ExtraFiles = []*os.File{self}
			cmd.Env = append(os.Environ(), victimEnv+"=asks", "PATH="+c.path, "TMPDIR="+c.temp)
			out, err := cmd.CombinedOutput()
			boot, root, _ := strings.Cut(string(out), "\n")
			if err != nil || !strings.HasPrefix(boot, c.boot) || !strings.HasPrefix(root, c.root) {
				t.Errorf("got %v:\n%s\nwant\n%s\n%s", err, out, c.boot, c.root)
			}
		})
	}
}

// tools returns a folder with nothing but links to the tools named.
func tools(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
