package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// What a re-executed process is told by its environment.
const (
	roleEnv    = "E2E_MACHINE_ROLE"    // which of the roles below; absent in main
	spaceEnv   = "E2E_MACHINE_SPACE"   // the run's own folder
	groupEnv   = "E2E_MACHINE_GROUP"   // the run's control group, below that of the run it was started in
	refusedEnv = "E2E_MACHINE_REFUSED" // why main runs without namespaces
	rootEnv    = "E2E_MACHINE_ROOT"    // the root directory, for roleRoot
	nameEnv    = "E2E_MACHINE_NAME"    // the host name, for roleRoot
)

// The roles, in the order of their appearance. The program the user started has
// none: it starts the sweeper and the init, passes signals on and waits.
const (
	roleSweep = "sweep" // stands apart, waits for the end, removes what is left
	roleInit  = "init"  // first process of the namespaces: mounts, starts main, reaps
	roleMain  = "main"  // runs the caller's function
	roleRoot  = "root"  // first process of a machine that Chroot made
)

// Descriptors that the init is started with.
const (
	networkFD = 3 // the network namespace outside, for what must download
	refusalFD = 4 // where it writes why it gave up, before main ran
)

// spacePrefix begins the name of a run's folder, and of its control group.
const spacePrefix = "latchkey-e2e-"

func enter(main func() int) int {
	role := os.Getenv(roleEnv)
	os.Unsetenv(roleEnv) // it is not for the children of this process
	switch role {
	case roleMain:
		return main()
	case roleInit:
		return initSpace(os.Getenv(spaceEnv))
	case roleRoot:
		return initRoot(os.Getenv(rootEnv), os.Getenv(nameEnv))
	case roleSweep:
		return sweep(os.Getenv(spaceEnv))
	}
	if os.Geteuid() != 0 {
		return main()
	}
	code, err := enclose(main)
	if err != nil {
		fmt.Fprintln(os.Stderr, "machine:", err)
		return max(code, 1)
	}
	return code
}

// enclose runs main in namespaces, between the start and the end of a sweeper.
func enclose(main func() int) (int, error) {
	dir, err := os.MkdirTemp("", spacePrefix)
	if err != nil {
		return 0, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return 0, err
	}
	os.Setenv(spaceEnv, dir)
	os.Setenv(groupEnv, filepath.Join(os.Getenv(groupEnv), filepath.Base(dir)))
	os.Unsetenv(refusedEnv)
	sweeper, err := startSweeper()
	if err != nil {
		return 0, errors.Join(err, os.Remove(dir))
	}
	code, refused := runInit()
	if refused != nil {
		os.Setenv(refusedEnv, refused.Error())
		code = main()
	}
	return code, sweeper.finish()
}

// again prepares this program to run once more, in a role.
func again(role string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd, nil
}

// runInit starts the first process of the namespaces and waits for its end. The
// error says why namespaces were refused; main did not run then.
func runInit() (int, error) {
	// The kernel sends the parent-death signal when the starting thread ends,
	// not the process (prctl(2), PR_SET_PDEATHSIG): stay on it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := again(roleInit)
	if err != nil {
		return 0, err
	}
	network, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	defer network.Close()
	refusal, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer refusal.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{networkFD - 3: network, refusalFD - 3: theirs}
	cmd.SysProcAttr = ownNamespaces()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// Its own process group: a terminal's interrupt comes once, from here.
	cmd.SysProcAttr.Setpgid = true

	signals := catchSignals()
	defer signal.Stop(signals)
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return 0, err
	}
	go passOn(signals, cmd.Process.Pid)
	reason, _ := io.ReadAll(refusal) // ends when the init closes its end: main is about to run
	err = cmd.Wait()
	if len(reason) > 0 {
		return 0, errors.New(string(reason))
	}
	if cmd.ProcessState == nil {
		return 1, err
	}
	return exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// ownNamespaces asks for everything but users. The process namespace can only be
// cloned; the others are unshared after it, which makes os/exec turn mount
// propagation off too.
func ownNamespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
}

// catchSignals catches what is to be passed on to main, less what somebody
// (nohup, a shell's &) wants ignored: main inherits that.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

// passOn sends every signal on to pid, for as long as this process lives.
func passOn(signals <-chan os.Signal, pid int) {
	for s := range signals {
		syscall.Kill(pid, s.(syscall.Signal))
	}
}

// exitCode is the shell's: 128 and the signal's number for a killed process.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
