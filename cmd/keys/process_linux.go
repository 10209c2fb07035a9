package main

import (
	"os"
	"syscall"
	"unsafe"
)

// deadline bounds the whole run in milliseconds (requirement R61): an answer
// that comes later than this is worth less than sshd's next key source.
const deadline = 500

// armDeadline has the kernel kill this process when the deadline passes. Not a
// timer of the runtime: that costs a thread, cannot end a process whose threads
// are all stuck, and the runtime ignores SIGALRM. SIGKILL cannot be blocked or
// ignored by what started us, and sshd takes it for a refusal.
func armDeadline() error {
	// struct sigevent of timer_create(2): value, signal, notify; notify 0 is
	// SIGEV_SIGNAL.
	event := struct {
		value          uintptr
		signal, notify int32
		_              [64]byte
	}{signal: int32(syscall.SIGKILL)}
	// struct itimerspec: interval (none), first expiry.
	setting := [2]syscall.Timespec{1: syscall.NsecToTimespec(deadline * 1e6)}
	const monotonic = 1
	var timer int32
	_, _, errno := syscall.RawSyscall(syscall.SYS_TIMER_CREATE, monotonic,
		uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer)))
	if errno == 0 {
		_, _, errno = syscall.RawSyscall6(syscall.SYS_TIMER_SETTIME, uintptr(timer), 0,
			uintptr(unsafe.Pointer(&setting)), 0, 0, 0)
	}
	if errno != 0 {
		return os.NewSyscallError("timer", errno)
	}
	return nil
}

// dropGroups gives up supplementary groups where it may, which is as root: sshd
// 6.2 to 8.7 left its own to the command (CVE-2021-41617, requirement R59).
func dropGroups() error {
	if syscall.Geteuid() != 0 {
		return nil
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_GETGROUPS, 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("getgroups", errno)
	}
	if n == 0 {
		return nil
	}
	return os.NewSyscallError("setgroups", syscall.Setgroups(nil))
}
