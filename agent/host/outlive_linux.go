package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"latchkey/agent/plan"
)

// lookToMake reads the account files before accounts are made. Where that was begun before
// it lets the tools end first that are still at it: one that an agent has started goes on
// when that agent is killed, and makes an account, or its home, after both were looked for.
func lookToMake(ctx context.Context, steps ...plan.Step) (looked, error) {
	if slices.ContainsFunc(steps, func(s plan.Step) bool { return s.Again }) {
		if err := awaitMakers(ctx); err != nil {
			return looked{}, err
		}
	}
	return lookAccounts()
}

// awaitUnmade does so before an account is removed that is not there: it may be made yet, and
// the ledger is to forget it.
func awaitUnmade(ctx context.Context, s plan.Step) error {
	_, found, err := account(s.User.String())
	if err != nil || found {
		return err
	}
	return awaitMakers(ctx)
}

// awaitMakers waits until those tools of root have ended that make accounts and run now.
// They get as long as ours do. None is missed: until it is the tool the new process has the
// files of the one that started it, and with them the lock of the pass (flock(2)).
func awaitMakers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	var left []int
	err := eachProcess(func(pid int, uid uint32) {
		if uid == 0 && maker(pid) != "" {
			left = append(left, pid)
		}
	})
	for len(left) > 0 && err == nil {
		tool := maker(left[0])
		if tool == "" {
			left = left[1:]
			continue
		}
		select {
		case <-ctx.Done():
			err = fmt.Errorf("%s (process %d) was started before and has not ended: %w", tool, left[0], context.Cause(ctx))
		case <-time.After(endPoll):
		}
	}
	return err
}

// maker is the tool that a process is, empty when it makes no accounts, or has ended.
func maker(pid int) string {
	args := argumentsOf(pid)
	if len(args) == 0 {
		return ""
	}
	tool := filepath.Base(args[0])
	if !slices.Contains([]string{"useradd", "groupadd", "systemd-sysusers", "chpasswd"}, tool) {
		return ""
	}
	return tool
}
