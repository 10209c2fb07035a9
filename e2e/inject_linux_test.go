package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
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
	stop  = "stop"  // SIGSTOP after the call, and when that was looked at, SIGKILL
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
	unix.SYS_GETRANDOM:    {"getrandom", argument{none, none}},
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
	// Where random bytes come without a call of the kernel, their state is in memory of a
	// kind of its own (MAP_DROPPABLE, Linux 6.11). Without it they come by getrandom(2).
	const flags, kind, droppable = 16 + 3*8, 0xf, 8
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_MMAP, Jf: 4},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: flags},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: kind},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: droppable, Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOMEM)},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
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
	go func() {
		ended := false
		defer func() {
			if !ended { // who looked has ended the test
				_ = cmd.Cancel()
			}
			close(answered)
		}()
		err := a.answer()
		ended = true
		answered <- err
	}()
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
	stopped  func()     // looks at what a stopped program leaves; nil: nobody does
	hit      bool
	stopping bool // SIGSTOP is on its way
	process  int  // the program's process, 0 before it began
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
		if a.stopping {
			a.stopping = false
			a.killStopped()
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
	case stop:
		a.stopping = true
		_ = unix.Kill(a.process, unix.SIGSTOP)
		return goOn // the call is done, and no other one
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
