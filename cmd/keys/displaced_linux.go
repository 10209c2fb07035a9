package main

import (
	"errors"
	"path"
	"syscall"

	"latchkey/agent/hook"
)

const (
	// displacedFile is where the agent keeps the command that ours has displaced, when
	// root has asked for that; see docs/adr/0006.
	displacedFile = "/var/lib/latchkey/displaced_command"
	// limiter ends what it runs, and everything that has started, so that nothing keeps
	// sshd waiting for the end of our output (timeout(1)).
	limiter = "/usr/bin/timeout"
	// displacedTime is how long the command may take, in seconds.
	displacedTime = "5"
)

var errUnsafe = errors.New("displaced command: a program or a folder above it may be changed by others than root")

// becomeDisplaced replaces this process by the command that ours has displaced, which
// answers in its place, as the same user. Where none is kept it returns nil.
func becomeDisplaced(r hook.Request) error {
	file, err := readFile(displacedFile, 0)
	if err == errNoFile {
		return nil
	}
	if err != nil {
		return err
	}
	d, err := hook.ReadDisplaced(file)
	if err != nil {
		return err
	}
	for _, program := range []string{limiter, d.Program()} {
		if err := onlyRoots(program); err != nil {
			return err
		}
	}
	return syscall.Exec(limiter, append([]string{limiter, "-s", "KILL", displacedTime}, r.Arguments(d)...), syscall.Environ())
}

// onlyRoots looks at a program the way sshd looks at its command: it and every folder
// above it belong to root, and nobody else can write there.
func onlyRoots(at string) error {
	for ; ; at = path.Dir(at) {
		var st syscall.Stat_t
		if err := syscall.Stat(at, &st); err != nil {
			return err
		}
		if st.Uid != 0 || st.Mode&0o022 != 0 {
			return errUnsafe
		}
		if at == "/" {
			return nil
		}
	}
}
