package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/agent/plan"
)

// How long processes get to end by themselves, and how long they may take to
// disappear once killed.
const (
	endGrace    = 500 * time.Millisecond
	endDeadline = 15 * time.Second
	endPoll     = 10 * time.Millisecond
	sweepTime   = time.Second
)

// endSessions ends the sessions and processes of one uid and of no other.
// logind, where it is, ends whole sessions, with what sudo started in them; what
// is left is ended process by process, also when logind is in trouble.
func (h *Host) endSessions(ctx context.Context, s plan.Step) error {
	err := h.endLogins(ctx, s)
	h.point("sessions.logind")
	return errors.Join(err, endProcesses(ctx, s))
}

func (h *Host) endLogins(ctx context.Context, s plan.Step) error {
	if _, err := os.Stat("/run/systemd/seats"); err != nil {
		return nil
	}
	// Ends with 1 when logind knows no such user: nothing to end then.
	_, err := h.run(ctx, "loginctl", "terminate-user", s.UID.String())
	if exitCode(err) == 1 || errors.Is(err, errNoTool) {
		return nil
	}
	return err
}

// endProcesses ends when none is left, which looking through /proc alone does not
// prove: one that makes a new one of itself and ends, over and over, may be missed
// by every look. So none counts as left only after a sweep, which misses none.
func endProcesses(ctx context.Context, s plan.Step) error {
	uid := uint32(s.UID)
	if uid == 0 {
		return errors.New("root's processes are not ended")
	}
	deadline := time.Now().Add(endDeadline)
	killAt := time.Now().Add(endGrace)
	signal := syscall.SIGTERM
	swept := errors.New("no sweep yet") // nil after one
	for {
		left, err := signalAll(uid, signal)
		switch {
		case err != nil:
			return err
		case left == 0 && swept == nil:
			return nil
		case time.Now().After(deadline):
			return errors.Join(fmt.Errorf("%d processes of uid %s are known to remain", left, s.UID), swept)
		}
		if signal = 0; left == 0 || time.Now().After(killAt) {
			signal = syscall.SIGKILL
			swept = sweep(ctx, uid)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(endPoll):
		}
	}
}

// sweep kills all processes of the uid at once, by kill(2) with -1 and the user's own
// rights: the kernel lets no fork through meanwhile, and no other user's process is
// concerned. What becomes of the sweeping process is not told: a user who is quick
// can stop or kill it, and then it is sent again.
func sweep(ctx context.Context, uid uint32) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	_, err := runToolWith(ctx, as, "", "sh", "-c", "kill -KILL -1")
	if exitCode(err) == 1 { // there was none
		return nil
	}
	return err
}

// signalAll sends a signal, 0 for none, to every process of the uid and says how
// many there were.
func signalAll(uid uint32, signal syscall.Signal) (int, error) {
	count := 0
	err := eachProcess(func(pid int, owner uint32) {
		if owner == uid && signalProcess(pid, uid, signal) {
			count++
		}
	})
	return count, err
}

// signalProcess holds the process by a descriptor and looks again whose it is,
// so that a number used anew is never hit.
func signalProcess(pid int, uid uint32, signal syscall.Signal) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return !errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	if owner, alive := realUID(pid); !alive || owner != uid {
		return false
	}
	if signal != 0 {
		return !errors.Is(unix.PidfdSendSignal(fd, signal, nil, 0), unix.ESRCH)
	}
	return true
}

func ownerOf(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// pidIn reads a process id from a file, 0 when there is none.
func pidIn(path string) int {
	text, err := os.ReadFile(path)
	if err != nil || len(text) > 32 {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}
