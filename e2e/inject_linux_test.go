package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of one process of a running program are answered here: by the
// kernel, or by a fault (seccomp_unotify(2)). strace does as much, but counts the
// calls of each thread by itself, and a Go program's threads change places; and a
// write that stops after its first byte is beyond it.

const (
	launchEnv = "LATCHKEY_TEST_LAUNCH" // absent but in the process that becomes the program
	listenFD  = 3                      // its end of the pair of sockets that the listener is sent over
)

// site is one system call of a run: the n-th of its name about a path.
type site struct {
	call, path string
	n          int
}

func (s site) String() string { return fmt.Sprintf("%s %s #%d", s.call, s.path, s.n) }

// fault is what becomes of the call at a site.
type fault struct {
	at   site
	kind string
	// lasting says that it stays: every later call of that name about that path meets
	// it too.
	lasting bool
}

func (f fault) String() string {
	if f.lasting {
		return f.kind + " from then on at " + f.at.String()
	}
	return f.kind + " at " + f.at.String()
}

// Kinds of faults beside the names of errors.
const (
	short = "short" // a write writes its first byte
	kill  = "kill"  // SIGKILL in place of the call
	full  = "full"  // ENOSPC for this call, and from then on for all that need room
)

// errnos are the errors that are injected.
var errnos = map[string]syscall.Errno{
	"EIO": unix.EIO, "ENOSPC": unix.ENOSPC, "EDQUOT": unix.EDQUOT, "EROFS": unix.EROFS, "EMFILE": unix.EMFILE,
	"EINTR": unix.EINTR, "EAGAIN": unix.EAGAIN, "ENOMEM": unix.ENOMEM,
}

// argument says where a call names what it is about: by a descriptor, by a path, by
// a path beside the descriptor of a folder, or, as clone, not at all.
type argument struct{ fd, path int }

const none = -1

// watched are the calls that are answered here.
var watched = map[int32]struct {
	name string
	argument
}{
	unix.SYS_OPENAT:       {"openat", argument{0, 1}},
	unix.SYS_NEWFSTATAT:   {"newfstatat", argument{0, 1}},
	unix.SYS_STATX:        {"statx", argument{0, 1}},
	unix.SYS_FSTAT:        {"fstat", argument{0, none}},
	unix.SYS_READLINKAT:   {"readlinkat", argument{0, 1}},
	unix.SYS_READ:         {"read", argument{0, none}},
	unix.SYS_GETDENTS64:   {"getdents64", argument{0, none}},
	unix.SYS_FGETXATTR:    {"fgetxattr", argument{0, none}},
	unix.SYS_FREMOVEXATTR: {"fremovexattr", argument{0, none}},
	unix.SYS_FSETXATTR:    {"fsetxattr", argument{0, none}},
	unix.SYS_FCHOWN:       {"fchown", argument{0, none}},
	unix.SYS_FCHMOD:       {"fchmod", argument{0, none}},
	unix.SYS_WRITE:        {"write", argument{0, none}},
	unix.SYS_FTRUNCATE:    {"ftruncate", argument{0, none}},
	unix.SYS_FSYNC:        {"fsync", argument{0, none}},
	unix.SYS_FDATASYNC:    {"fdatasync", argument{0, none}},
	unix.SYS_CLOSE:        {"close", argument{0, none}},
	unix.SYS_FLOCK:        {"flock", argument{0, none}},
	unix.SYS_RENAMEAT:     {"renameat", argument{2, 3}},
	unix.SYS_RENAMEAT2:    {"renameat2", argument{2, 3}},
	unix.SYS_LINKAT:       {"linkat", argument{2, 3}},
	unix.SYS_SYMLINKAT:    {"symlinkat", argument{1, 2}},
	unix.SYS_UNLINKAT:     {"unlinkat", argument{0, 1}},
	unix.SYS_MKDIRAT:      {"mkdirat", argument{0, 1}},
	unix.SYS_EXECVE:       {"execve", argument{none, 0}},
	unix.SYS_CLONE:        {"clone", argument{none, none}},
	unix.SYS_CLONE3:       {"clone3", argument{none, none}},
}

// launch becomes the program in the arguments, all of whose watched calls wait for
// an answer from who listens.
func launch() int {
	runtime.LockOSThread() // the filter is this thread's, which the program goes on in
	unix.CloseOnExec(listenFD)
	listener, err := installFilter()
	if err == nil {
		err = unix.Sendmsg(listenFD, []byte{0}, unix.UnixRights(listener), nil, 0)
	}
	if err == nil {
		os.Unsetenv(launchEnv)
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "launch:", err)
	return 125
}

func installFilter() (listener int, err error) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call comes first
	for number := range watched {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(number), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Without the second flag (Linux 5.19) a signal makes a call that waits here be
	// made again, and so counted twice.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}

// injected is how a run went.
type injected struct {
	sites     []site // the calls that were made, in order
	hit       bool   // the fault was met
	out, errs string
	code      int // exit status, -1 or 128 and more after a signal
}

// inject runs a command in which the program takes the fault; without one its calls
// are only counted. Programs that it starts are left alone.
func inject(t *testing.T, cmd *exec.Cmd, program string, f fault) injected {
	t.Helper()
	return (&answerer{program: program, fault: f}).run(t, cmd)
}

// watch runs a command and shows each call of the program before it is made.
func watch(t *testing.T, cmd *exec.Cmd, program string, see func(site)) injected {
	t.Helper()
	return (&answerer{program: program, see: see}).run(t, cmd)
}

// run answers the calls of one run of a command.
func (a *answerer) run(t *testing.T, cmd *exec.Cmd) injected {
	t.Helper()
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(sockets[0]), "launcher"), os.NewFile(uintptr(sockets[1]), "launcher")
	defer ours.Close()
	var out, errs bytes.Buffer
	cmd.Args = append([]string{"launch", cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Env = selfPath(t), append(cmd.Env, launchEnv+"=1", "GODEBUG=asyncpreemptoff=1")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := receive(ours)
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("%v: %s", err, errs.String())
	}
	defer unix.Close(listener)
	a.listener, a.kinds, a.count = listener, map[uint32]int{}, map[site]int{}
	answered := make(chan error, 1)
	go func() { answered <- a.answer() }()
	_ = cmd.Wait() // its status says the same
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	return injected{a.sites, a.hit, out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func selfPath(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// receive takes the descriptor that the launcher sends.
func receive(from *os.File) (int, error) {
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(from.Fd()), make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return 0, errors.Join(err, errors.New("no listener came"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.Join(err, errors.New("no listener came"))
	}
	return fds[0], nil
}

// answerer answers the calls of one run.
type answerer struct {
	listener int
	program  string
	fault    fault
	see      func(site) // nil: nobody looks
	hit      bool
	process  int // the program's process, 0 before it began
	kinds    map[uint32]int
	count    map[site]int
	sites    []site
}

// Whose a thread is, by its id: unknown at first.
const (
	thread  = iota + 1 // the program's own
	fork               // a new process of the program's that has not become another yet
	foreign            // anything else
)

// notification is struct seccomp_notif.
type notification struct {
	id      uint64
	pid     uint32
	_       uint32
	number  int32
	_       uint32
	_       uint64
	numbers [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// answer answers until nobody is left who could ask.
func (a *answerer) answer() error {
	for {
		ready := []unix.PollFd{{Fd: int32(a.listener), Events: unix.POLLIN}}
		_, err := unix.Poll(ready, -1)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case ready[0].Revents&unix.POLLIN == 0:
			return nil
		}
		var n notification
		err = ioctl(a.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
		if err == unix.ENOENT || err == unix.EINTR {
			continue // who asked was killed
		}
		if err != nil {
			return err
		}
		r := a.decide(n)
		r.id = n.id
		if err := ioctl(a.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); err != nil && err != unix.ENOENT {
			return err
		}
	}
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// decide counts a call and says what becomes of it.
func (a *answerer) decide(n notification) response {
	goOn := response{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	call := watched[n.number]
	path, ok := a.about(n, call.argument)
	if !a.concerned(n, path) || !ok {
		return goOn
	}
	if n.number == unix.SYS_OPENAT && n.numbers[2]&unix.O_CREAT != 0 {
		call.name = "create"
	}
	s := site{call.name, plainPath(path), 0}
	a.count[s]++
	s.n = a.count[s]
	a.sites = append(a.sites, s)
	if a.see != nil {
		a.see(s)
	}
	if !a.meets(s, n) {
		return goOn
	}
	a.hit = true
	switch a.fault.kind {
	case short:
		if err := a.writeByte(n); err != nil {
			return response{errno: -int32(unix.EFAULT)}
		}
		return response{value: 1}
	case kill:
		_ = unix.Kill(a.process, unix.SIGKILL)
		return goOn // to its end, which comes first
	case full:
		return response{errno: -int32(unix.ENOSPC)}
	}
	return response{errno: -int32(errnos[a.fault.kind])}
}

func (a *answerer) meets(s site, n notification) bool {
	at := a.fault.at
	switch {
	case s == at:
		return true
	case !a.hit:
		return false
	case a.fault.kind == full:
		return needsRoom(n)
	}
	return a.fault.lasting && s.call == at.call && s.path == at.path
}

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

// TestInject proves the tool by a program that writes in place, and that such a one is
// caught: what it leaves behind is neither the old file nor the new one.
func TestInject(t *testing.T) {
	t.Parallel()
	need(t)
	const old, next = "old content\n", "new content\n"
	tee, err := filepath.EvalSymlinks("/usr/bin/tee")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := dir + "/file"
	for _, test := range []struct {
		fault   fault
		hit     bool
		code    int
		content string
		writes  int
	}{
		{fault{}, false, 0, next, 1},
		{fault{at: site{"write", file, 2}, kind: "EIO"}, false, 0, next, 1},
		{fault{at: site{"write", file, 1}, kind: "EIO"}, true, 1, "", 1},
		{fault{at: site{"write", file, 1}, kind: "ENOSPC"}, true, 1, "", 1},
		{fault{at: site{"write", file, 1}, kind: full}, true, 1, "", 1},
		{fault{at: site{"write", file, 1}, kind: short}, true, 0, next, 2},
		{fault{at: site{"write", file, 1}, kind: kill}, true, -1, "", 1},
		{fault{at: site{"create", file, 1}, kind: "EMFILE"}, true, 1, old, 0},
		{fault{at: site{"create", file, 1}, kind: "EROFS"}, true, 1, old, 0},
	} {
		if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), tee, file)
		cmd.Stdin = strings.NewReader(next)
		r := inject(t, cmd, tee, test.fault)
		content, err := os.ReadFile(file)
		writes := slices.DeleteFunc(r.sites, func(s site) bool { return s.call != "write" || s.path != file })
		if err != nil || r.hit != test.hit || r.code != test.code || string(content) != test.content || len(writes) != test.writes {
			t.Errorf("%v: met is %v, status %d, file %q, %d writes, %s", test.fault, r.hit, r.code, content, len(writes), r.errs)
		}
		if says, fails := errnos[test.fault.kind]; fails && r.hit && !strings.Contains(strings.ToLower(r.errs), says.Error()) {
			t.Errorf("%v: it says %q, want %q", test.fault, r.errs, says.Error())
		}
	}
}

var (
	randomName = regexp.MustCompile(`\.latchkey\.[0-9a-f]{32}\.new`)
	processes  = regexp.MustCompile(`^(/proc|)/\d+(/|$)`)
)

// plainPath takes out of a path what is another in each run.
func plainPath(path string) string {
	return processes.ReplaceAllString(randomName.ReplaceAllString(path, ".latchkey.HEX.new"), "$1/PID$2")
}
