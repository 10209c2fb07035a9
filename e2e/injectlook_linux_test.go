package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// needsRoom reports whether a full disk would be felt: the content of a file, a new
// file, a new folder.
func needsRoom(n notification) bool {
	switch n.number {
	case unix.SYS_OPENAT:
		return n.numbers[2]&unix.O_CREAT != 0
	case unix.SYS_WRITE, unix.SYS_MKDIRAT, unix.SYS_FSYNC:
		return true
	}
	return false
}

// concerned reports whether the call is the program's own.
func (a *answerer) concerned(n notification, path string) bool {
	if a.kinds[n.pid] == 0 {
		a.kinds[n.pid] = a.kind(int(n.pid))
	}
	if n.number == unix.SYS_EXECVE {
		switch {
		case a.process == 0 && path == a.program:
			a.process, _ = relatives(int(n.pid))
			clear(a.kinds)
			return false
		case a.kinds[n.pid] == fork:
			a.kinds[n.pid] = foreign
			return true
		}
	}
	// New threads are not new processes: without one the program ends at once, and
	// that is what kill shows.
	isThread := n.number == unix.SYS_CLONE && n.numbers[0]&unix.CLONE_THREAD != 0
	return a.kinds[n.pid] == thread && !isThread
}

func (a *answerer) kind(tid int) int {
	process, parent := relatives(tid)
	switch {
	case a.process == 0 || process != a.process && parent != a.process:
		return foreign
	case process == a.process:
		return thread
	}
	return fork
}

// relatives returns the process that a thread is of, and that one's parent.
func relatives(tid int) (process, parent int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid)) // who is gone has none
	for line := range strings.Lines(string(status)) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); key {
		case "Tgid":
			process, _ = strconv.Atoi(value)
		case "PPid":
			parent, _ = strconv.Atoi(value)
		}
	}
	return process, parent
}

// killStopped waits until the program has stopped, has it looked at, and kills it. The
// tool that entered the machine for it stops with it (nsenter(1)), and has to go on.
func (a *answerer) killStopped() {
	_, parent := relatives(a.process)
	entered := parent != os.Getpid()
	for !allStopped(a.process) || entered && !allStopped(parent) {
		runtime.Gosched()
	}
	defer func() {
		_ = unix.Kill(a.process, unix.SIGKILL)
		if entered {
			_ = unix.Kill(parent, unix.SIGCONT)
		}
	}()
	if a.stopped != nil {
		a.stopped()
	}
}

// allStopped reports whether no thread of a process runs (proc(5)); one that is gone has
// none.
func allStopped(process int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", process))
	for _, thread := range threads {
		text, _ := os.ReadFile(thread)
		_, rest, _ := strings.Cut(string(text), ") ")
		if rest != "" && !strings.Contains("TZX", rest[:1]) {
			return false
		}
	}
	return true
}

// about returns the path that a call is about, and whether it is about files at all:
// sockets and pipes are not.
func (a *answerer) about(n notification, at argument) (string, bool) {
	if at.fd == none && at.path == none {
		return "", true
	}
	name := ""
	if at.path != none {
		name = readString(int(n.pid), n.numbers[at.path])
	}
	if at.fd == none || filepath.IsAbs(name) {
		return name, true
	}
	folder := fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(n.numbers[at.fd]))
	if int32(n.numbers[at.fd]) == unix.AT_FDCWD {
		folder = fmt.Sprintf("/proc/%d/cwd", n.pid)
	}
	target, err := os.Readlink(folder)
	root, _ := os.Readlink(fmt.Sprintf("/proc/%d/root", n.pid)) // which it does not know of
	target = strings.TrimPrefix(target, strings.TrimSuffix(root, "/"))
	if err != nil || target != "" && target[0] != '/' || strings.HasPrefix(target, "/dev/") {
		return "", false
	}
	return filepath.Join("/", target, name), true
}

// readString reads a path out of another process, piece by piece, since what comes
// after it may not be there.
func readString(tid int, address uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	var text []byte
	for len(text) < unix.PathMax {
		piece := make([]byte, 64-address%64) // never over the end of a page
		if _, err := memory.ReadAt(piece, int64(address)); err != nil {
			return ""
		}
		if end := slices.Index(piece, 0); end >= 0 {
			return string(append(text, piece[:end]...))
		}
		text, address = append(text, piece...), address+uint64(len(piece))
	}
	return string(text)
}

// writeByte does the first byte of a write, on the very descriptor.
func (a *answerer) writeByte(n notification) error {
	pidfd, err := unix.PidfdOpen(a.process, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, int(n.numbers[0]), 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", n.pid))
	if err != nil {
		return err
	}
	defer memory.Close()
	first := make([]byte, 1)
	if _, err := memory.ReadAt(first, int64(n.numbers[1])); err != nil {
		return err
	}
	_, err = unix.Write(fd, first)
	return err
}

var (
	randomName = regexp.MustCompile(`\.latchkey\.[0-9a-f]{32}\.new`)
	processes  = regexp.MustCompile(`^(/proc|)/\d+(/|$)`)
)

// plainPath takes out of a path what is another in each run.
func plainPath(path string) string {
	return processes.ReplaceAllString(randomName.ReplaceAllString(path, ".latchkey.HEX.new"), "$1/PID$2")
}
