package safefile_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

// TestMain lets the test binary be its own child: LATCHKEY_TEST_CHILD says what
// for, LATCHKEY_TEST_DIR where.
func TestMain(m *testing.M) {
	dir := os.Getenv("LATCHKEY_TEST_DIR")
	switch child := os.Getenv("LATCHKEY_TEST_CHILD"); {
	case strings.HasPrefix(child, "kill "):
		os.Exit(killedChild(dir, child))
	case child == "replace":
		os.Exit(replacingChild(dir))
	case child == "traced":
		os.Exit(tracedChild(dir))
	case child == "attack":
		os.Exit(attackingChild(dir))
	}
	os.Exit(m.Run())
}

// newChild returns this test binary as another process.
func newChild(t testing.TB, what, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	// Under the race detector a process sleeps for a second at its end.
	cmd.Env = append(os.Environ(), "LATCHKEY_TEST_CHILD="+what, "LATCHKEY_TEST_DIR="+dir, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// operation is something to be interrupted: it turns the tree from old to new.
type operation struct {
	name string
	old  func(t *testing.T, dir string)
	do   func(w safefile.Writer, dir string) error
	// between lists the trees that are neither old nor new but allowed.
	between []string
}

func putOld(t *testing.T, dir string) { put(t, dir+"/file", "old") }

func operations() []operation {
	content := []byte(strings.Repeat("new ", 40_000))
	return []operation{
		{
			name: "replace",
			old:  putOld,
			do: func(w safefile.Writer, dir string) error {
				_, err := w.Replace(dir+"/file", content, own(0o640), func(string) error { return nil })
				return err
			},
		},
		{
			name: "create",
			old:  func(*testing.T, string) {},
			do: func(w safefile.Writer, dir string) error {
				_, err := w.Replace(dir+"/file", content, own(0o640), func(string) error { return nil })
				return err
			},
		},
		{
			name: "remove",
			old:  putOld,
			do:   func(w safefile.Writer, dir string) error { return w.Remove(dir + "/file") },
		},
		{
			name:    "mkdir",
			old:     func(*testing.T, string) {},
			do:      func(w safefile.Writer, dir string) error { return w.Mkdir(dir+"/folder", own(0o711)) },
			between: []string{"drwx------ folder USER\n"}, // narrower
		},
		{
			name: "remove-dir",
			old:  func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/folder", 0o700)) },
			do:   func(w safefile.Writer, dir string) error { return w.RemoveDir(dir + "/folder") },
		},
		{
			name: "rename",
			old:  func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/folder", 0o700)) },
			do: func(w safefile.Writer, dir string) error {
				if _, err := os.Lstat(dir + "/moved"); err == nil {
					return nil
				}
				return w.Rename(dir+"/folder", dir+"/moved")
			},
		},
		{
			name: "edit-home",
			old: func(t *testing.T, dir string) {
				must(t, os.Mkdir(dir+"/.ssh", 0o700))
				put(t, dir+"/"+keys, "old")
				put(t, dir+"/.ssh/.latchkey."+strings.Repeat("0", 32)+".new", "")
			},
			do: func(w safefile.Writer, dir string) error {
				_, err := w.EditHome(ownHome(dir), keys, become(string(content)))
				return err
			},
		},
		{
			name: "make-in-home",
			old:  func(*testing.T, string) {},
			do: func(w safefile.Writer, dir string) error {
				_, err := w.EditHome(ownHome(dir), keys, become(string(content)))
				return err
			},
			between: []string{"drwx------ .ssh USER\n"},
		},
		{
			name: "clean",
			old:  func(t *testing.T, dir string) { put(t, dir+"/.latchkey."+strings.Repeat("0", 32)+".new", "") },
			do:   func(w safefile.Writer, dir string) error { return w.Clean(dir) },
		},
	}
}

// killedChild does one operation and ends itself by SIGKILL at the n-th step.
func killedChild(dir, child string) int {
	var name string
	var n int
	if _, err := fmt.Sscanf(child, "kill %s %d", &name, &n); err != nil {
		return 1
	}
	step := 0
	w := safefile.Writer{Point: func(string) {
		if step++; step == n {
			unix.Kill(unix.Getpid(), unix.SIGKILL)
			select {} // the signal is on its way
		}
	}}
	for _, o := range operations() {
		if o.name == name {
			if err := o.do(w, dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
	}
	return 0
}

// TestKill holds R38, T-F7 in part and T-F12 in part: kill -9 after each step of each
// operation leaves the old tree or the new one, apart from a temporary file that no
// consumer reads, and the next run comes to the new one.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, o := range operations() {
		var steps []string
		dir := newDir(t)
		o.old(t, dir)
		old := treeWithoutTemps(t, dir)
		must(t, o.do(safefile.Writer{Point: func(step string) { steps = append(steps, step) }}, dir))
		wanted := tree(t, dir)
		allowed := []string{old, wanted}
		for _, text := range o.between {
			allowed = append(allowed, strings.ReplaceAll(text, "USER", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())))
		}
		for i, step := range steps {
			t.Run(fmt.Sprintf("%s/%s", o.name, step), func(t *testing.T) {
				t.Parallel()
				dir := newDir(t)
				o.old(t, dir)
				err := newChild(t, fmt.Sprintf("kill %s %d", o.name, i+1), dir).Run()
				wantKilled(t, err)
				if got := treeWithoutTemps(t, dir); !contains(allowed, got) {
					t.Errorf("killed after %s, the tree is\n%.300s", step, got)
				}
				var w safefile.Writer
				must(t, o.do(w, dir))
				must(t, w.Clean(dir))
				must(t, w.Clean(dir+"/.ssh"))
				if got := tree(t, dir); got != wanted {
					t.Errorf("the next run came to\n%.300s", got)
				}
			})
		}
	}
}

func contains(texts []string, text string) bool {
	for _, t := range texts {
		if t == text {
			return true
		}
	}
	return false
}

func wantKilled(t *testing.T, err error) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child ended with %v, want SIGKILL", err)
	}
}

// treeWithoutTemps is the tree as a consumer sees it.
func treeWithoutTemps(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(tree(t, dir)) {
		if !strings.Contains(line, ".latchkey.") {
			b.WriteString(line)
		}
	}
	return b.String()
}
