package datadir_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane/datadir"
)

// The environment of a child process that opens a directory under a umask.
const (
	dirEnv   = "LATCHKEY_TEST_DIR"
	umaskEnv = "LATCHKEY_TEST_UMASK"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirEnv); dir != "" {
		if err := openUnder(dir, os.Getenv(umaskEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func openUnder(dir, umask string) error {
	mask, err := strconv.ParseInt(umask, 8, 32)
	if err != nil {
		return err
	}
	syscall.Umask(int(mask))
	d, _, err := datadir.Open(dir, options())
	if err != nil {
		return err
	}
	_, err = d.AdminKey()
	return err
}

// The modes do not depend on the umask (umask(2) is of the whole process, so a
// child has it).
func TestOpen_Umask(t *testing.T) {
	for _, umask := range []string{"000", "022", "077", "777"} {
		t.Run("umask-"+umask, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), dirEnv+"="+dir, umaskEnv+"="+umask)
			if out, err := child.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if diff := cmp.Diff(fullTree, tree(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
