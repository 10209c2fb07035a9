package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane/store"
)

const (
	// stopEnv tells the child process of these tests after which step of what to
	// kill itself: "backup 3"; dirEnv where.
	stopEnv = "LATCHKEY_TEST_STOP_AFTER"
	dirEnv  = "LATCHKEY_TEST_STOP_IN"
)

// stoppedChild makes or restores a backup and prints its steps.
func stoppedChild(stop, dir string) int {
	var what string
	var last int
	if _, err := fmt.Sscan(stop, &what, &last); err != nil {
		return 3
	}
	step := 0
	point := func(name string) {
		fmt.Println(name)
		if step++; step == last {
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Kill()
			}
			fmt.Fprintln(os.Stderr, "killed:", err)
			select {} // until it takes effect
		}
	}
	database, backup := filepath.Join(dir, "latchkey.db"), filepath.Join(dir, "backup")
	var err error
	if what == "backup" {
		_, err = store.Backup{Database: database, Point: point}.To(context.Background(), filepath.Join(dir, "new"))
	} else {
		err = restoreIn(store.Restore{Database: database, Point: point}, backup)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func restoreIn(r store.Restore, backup string) error {
	p, err := r.Prepare(context.Background(), backup)
	if err != nil {
		return err
	}
	if _, err := p.Commit(context.Background(), entry("restore")); err != nil {
		return err
	}
	return p.Close()
}

// killAt runs the child in a folder and returns the steps it came to; last 0 lets
// it come to the end.
func killAt(t *testing.T, dir, what string, last int) []string {
	t.Helper()
	child := exec.Command(must(os.Executable()))
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", stopEnv, what, last), dirEnv+"="+dir, "GORACE=atexit_sleep_ms=0")
	child.Stderr = os.Stderr
	if last > 0 {
		child.Stderr = nil
	}
	out, err := child.Output()
	if killed := !child.ProcessState.Exited(); killed != (last > 0) || !killed && err != nil {
		t.Fatalf("child ended with %v after %q", err, out)
	}
	return strings.Fields(string(out))
}

// killedServer makes a folder as a killed server leaves it: what was written last
// stands in the log beside the database alone. A backup from before is there too.
func killedServer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	database, backup := since(t, t.TempDir())
	s := mustOpen(t, database)
	insertUser(t, s, 9)
	for _, file := range []string{database, database + "-wal", database + "-shm", backup} {
		put(t, filepath.Join(dir, filepath.Base(file)), string(must(os.ReadFile(file))))
	}
	if info := must(os.Stat(dir + "/latchkey.db-wal")); info.Size() == 0 {
		t.Fatal("the log is empty")
	}
	return dir
}

// again returns a copy of a folder.
func again(t *testing.T, dir string) string {
	t.Helper()
	copy := t.TempDir()
	if err := os.CopyFS(copy, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copy
}

// Killed after any step, a backup is there whole or not at all (requirement R133).
func TestBackup_Kill(t *testing.T) {
	scene := killedServer(t)
	want := dump(t, again(t, scene)+"/latchkey.db")
	steps := killAt(t, again(t, scene), "backup", 0)
	if diff := cmp.Diff([]string{"copied", "sealed", "checked", "named"}, steps); diff != "" {
		t.Fatal(diff)
	}
	for n, step := range steps {
		t.Run(step, func(t *testing.T) {
			dir := again(t, scene)
			killAt(t, dir, "backup", n+1)
			named := slices.Contains(files(t, dir), "new")
			if named != (step == "named") {
				t.Errorf("left %q", files(t, dir))
			}
			if named && !cmp.Equal(want, dump(t, dir+"/new")) {
				t.Error("the backup is another")
			}
			if diff := cmp.Diff(want, dump(t, dir+"/latchkey.db")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Killed after any step, a restore leaves the old database or the new one, never the
// log of the one beside the other; and can be done again (requirement R133).
func TestRestore_Kill(t *testing.T) {
	killed := killedServer(t)
	for _, tt := range []struct {
		name string
		make func(t *testing.T, dir string)
		old  string // the last step after which the old one is there
		bad  string // the last step after which none is
	}{
		{"sound", func(*testing.T, string) {}, "settled", "settled"},
		{"unreadable", func(t *testing.T, dir string) {
			change(t, dir+"/latchkey.db", untie+`DELETE FROM audit WHERE seq = 2`)
		}, "", "cleared"},
		{"none", func(t *testing.T, dir string) {
			for _, ending := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(dir + "/latchkey.db" + ending); err != nil {
					t.Fatal(err)
				}
			}
		}, "", "staged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scene := again(t, killed)
			tt.make(t, scene)
			var old map[string][]string
			if tt.old != "" {
				old = dump(t, again(t, scene)+"/latchkey.db")
			}
			dir := again(t, scene)
			steps := killAt(t, dir, "restore", 0)
			new := dump(t, dir+"/latchkey.db")
			for n, step := range steps {
				if step == "sealed" || step == "checked" { // as "copied": a part of what is kept is there
					continue
				}
				// All end before TestRestore_Kill does, so other tests still run alone.
				t.Run(step, func(t *testing.T) {
					t.Parallel()
					dir := again(t, scene)
					present := dir + "/latchkey.db"
					killAt(t, dir, "restore", n+1)
					switch is := state(t, present); {
					case n <= slices.Index(steps, tt.old):
						if is != "sound" || !cmp.Equal(old, dump(t, present)) {
							t.Errorf("the database is %s and not the old one", is)
						}
					case n <= slices.Index(steps, tt.bad):
						if is == "sound" {
							t.Error("a server starts")
						}
					case is != "sound" || !cmp.Equal(new, dump(t, present)):
						t.Errorf("the database is %s and not the new one", is)
					}
					checkDoneAgain(t, dir, new)
				})
			}
		})
	}
}

// checkDoneAgain restores again after a kill.
func checkDoneAgain(t *testing.T, dir string, want map[string][]string) {
	t.Helper()
	present := dir + "/latchkey.db"
	if err := restoreIn(store.Restore{Database: present}, dir+"/backup"); err != nil {
		t.Errorf("done again: %v", err)
	}
	for table, lines := range dump(t, present) {
		if table != "audit" && table != "meta" && !slices.Equal(lines, want[table]) {
			t.Errorf("done again: other %s", table)
		}
	}
	for _, name := range files(t, dir) {
		if strings.Contains(name, "partial") || strings.Contains(name, "restoring") {
			t.Errorf("done again: left %s", name)
		}
	}
}

// state says what a server that starts would find, without making anything.
func state(t *testing.T, path string) string {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "missing"
	}
	s, err := store.Open(t.Context(), path)
	if err != nil {
		return err.Error()
	}
	defer s.Close()
	err = s.Read(t.Context(), func(v store.View) error {
		_, err := v.VerifyAudit(t.Context())
		return err
	})
	if err != nil {
		return err.Error()
	}
	return "sound"
}
