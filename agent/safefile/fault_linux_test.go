package safefile_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/agent/safefile"
)

const (
	oldContent = "old"
	newContent = "new content, and longer"
)

// replacingChild does one Replace: status 0 done, 3 not done, 4 done with an
// error.
func replacingChild(dir string) int {
	// strace counts the calls of each thread by itself.
	runtime.LockOSThread()
	var w safefile.Writer
	changed, err := w.Replace(dir+"/file", []byte(newContent), own(0o640), nil)
	switch {
	case err == nil:
		return 0
	case changed:
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	fmt.Fprintln(os.Stderr, err)
	return 3
}

// TestFault holds R42, R44, R45, T-F9 in part, T-F10 and T-F16 in part: each system call of a Replace fails
// in turn, the first, the second, the third of its kind, until the whole run has none
// left to fail. What is under the name is the old file or the new one, what the caller
// is told is so, and nothing is left behind.
//
// The calls of the Go runtime fail too; what it does about it is its own
// affair, and then the file must be the old one.
func TestFault(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	need(t, err == nil, "strace (package strace)")
	faults := map[string][]string{
		"openat":       {"EMFILE", "ENOMEM", "EINTR"},
		"newfstatat":   {"EIO"},
		"fstat":        {"EIO"},
		"fgetxattr":    {"EIO"},
		"fremovexattr": {"EIO"},
		"fchown":       {"EPERM", "EDQUOT"},
		"fchmod":       {"EPERM"},
		"write":        {"ENOSPC", "EDQUOT", "EIO", "EINTR"},
		"fsync":        {"EIO", "ENOSPC", "EINTR"},
		"close":        {"EIO"},
		"renameat":     {"EIO", "EROFS", "EPERM", "EINTR"},
	}
	if os.Getuid() == 0 {
		faults["fsetxattr"] = []string{"EPERM", "ENOSPC", "EOPNOTSUPP"} // the label
	}
	for call, errnos := range faults {
		for _, errno := range errnos {
			t.Run(call+"/"+errno, func(t *testing.T) {
				t.Parallel()
				const most = 40
				hit := false
				for n := 1; ; n++ {
					if n == most {
						t.Fatalf("still failing at call %d", n)
					}
					injected, ended := injectFault(t, strace, call, errno, n)
					hit = hit || ended
					if !injected {
						break
					}
				}
				if !hit && errno != "EINTR" {
					t.Error("no fault reached Replace")
				}
			})
		}
	}
}

// injectFault runs a Replace whose n-th call fails. It reports whether that call
// was made at all, and whether Replace gave an error for it.
func injectFault(t *testing.T, strace, call, errno string, n int) (injected, ended bool) {
	t.Helper()
	dir := newDir(t)
	put(t, dir+"/file", oldContent)
	must(t, os.Chmod(dir+"/file", 0o640))
	if call == "fsetxattr" {
		must(t, unix.Setxattr(dir+"/file", "security.selinux", []byte(sshLabel), 0))
		defer wantLabel(t, dir+"/file", sshLabel)
	}
	trace := t.TempDir() + "/trace"
	child := newChild(t, "replace", dir)
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", trace, "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, errno, n), child.Path)
	cmd.Env = child.Env
	out, err := cmd.CombinedOutput()
	calls, readErr := os.ReadFile(trace)
	must(t, readErr)
	injected = bytes.Contains(calls, []byte("(INJECTED)"))

	content := oldContent
	switch status := cmd.ProcessState.ExitCode(); {
	case status == 0, status == 4:
		content = newContent
	case !injected:
		t.Errorf("%s %d: %v without a fault\n%s", call, n, err, out)
	}
	if status := cmd.ProcessState.ExitCode(); status == 3 || status == 4 {
		ended = true
		if !strings.HasPrefix(string(out), "replace ") && !strings.HasPrefix(string(out), "open ") {
			t.Errorf("%s %d: the error is %q", call, n, out)
		}
	}
	if got, want := tree(t, dir), fmt.Sprintf("-rw-r----- file %d:%d 1 %q\n", os.Getuid(), os.Getgid(), content); got != want {
		t.Errorf("%s %d: %v %s\ntree is\n%swant\n%s", call, n, err, out, got, want)
	}
	return injected, ended
}
