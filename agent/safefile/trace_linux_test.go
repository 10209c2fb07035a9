package safefile_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"latchkey/agent/safefile"
)

// tracedChild does each kind of change once, for strace to write down.
func tracedChild(dir string) int {
	runtime.LockOSThread()
	var w safefile.Writer
	_, err := w.Replace(dir+"/file", []byte("content"), own(0o640), nil)
	for _, next := range []func() error{
		func() error { return w.Rename(dir+"/file", dir+"/moved") },
		func() error { return w.Remove(dir + "/moved") },
		func() error { return w.Remove(dir + "/moved") },
		func() error { return w.Mkdir(dir+"/folder", own(0o755)) },
		func() error { return w.RemoveDir(dir + "/folder") },
		func() error { return w.Sync(dir) },
	} {
		if err == nil {
			err = next()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// What the kernel is asked, in order (requirements R34, R36, R45, R52): made under a
// random name that must be new, owner and mode on the descriptor before a byte is
// in it, synced, closed, renamed, folder synced. Files opened only to be looked
// at are left out.
const wantTrace = `openat DIR ".latchkey.HEX.new" O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC 0600
fremovexattr DIR/.latchkey.HEX.new "system.posix_acl_access"
fremovexattr DIR/.latchkey.HEX.new "system.posix_acl_default"
fchown DIR/.latchkey.HEX.new USER
fchmod DIR/.latchkey.HEX.new 0640
write DIR/.latchkey.HEX.new "content" 7
fsync DIR/.latchkey.HEX.new
close DIR/.latchkey.HEX.new
renameat DIR ".latchkey.HEX.new" DIR "file"
fsync DIR
renameat2 DIR "file" DIR "moved" RENAME_NOREPLACE
fsync DIR
fsync DIR
unlinkat DIR "moved" 0
fsync DIR
fsync DIR
mkdirat DIR "folder" 0700
fremovexattr DIR/folder "system.posix_acl_access"
fremovexattr DIR/folder "system.posix_acl_default"
fchown DIR/folder USER
fchmod DIR/folder 0755
fsync DIR/folder
fsync DIR
unlinkat DIR "folder" AT_REMOVEDIR
fsync DIR
fsync DIR
`

func TestTrace(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	need(t, err == nil, "strace (package strace)")
	dir := newDir(t)
	trace := t.TempDir() + "/trace"
	child := newChild(t, "traced", dir)
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-y", "-o", trace,
		"-e", "trace=openat,fremovexattr,fchown,fchmod,write,fsync,close,renameat,renameat2,unlinkat,mkdirat", child.Path)
	cmd.Env = child.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(trace)
	must(t, err)
	want := strings.ReplaceAll(wantTrace, "USER", fmt.Sprintf("%d %d", os.Getuid(), os.Getgid()))
	if got := plainTrace(string(text), dir); got != want {
		t.Errorf("asked the kernel\n%swant\n%s", got, want)
	}
}

var (
	tracedCall = regexp.MustCompile(`^\d+ +(\w+)\((.*)\) += `)
	descriptor = regexp.MustCompile(`\d+<([^>]*)>`)
	random     = regexp.MustCompile(`\.[0-9a-f]{32}\.`)
)

// plainTrace keeps of strace's lines those about dir that change something.
func plainTrace(text, dir string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		call := tracedCall.FindStringSubmatch(line)
		if call == nil || !strings.Contains(call[2], dir) {
			continue
		}
		arguments := random.ReplaceAllString(descriptor.ReplaceAllString(call[2], "$1"), ".HEX.")
		arguments = strings.ReplaceAll(strings.ReplaceAll(arguments, dir, "DIR"), ", ", " ")
		switch {
		case call[1] == "openat" && !strings.Contains(arguments, "O_CREAT"):
		case call[1] == "close" && !strings.Contains(arguments, "HEX"):
		default:
			b.WriteString(call[1] + " " + arguments + "\n")
		}
	}
	return b.String()
}
