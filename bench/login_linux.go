package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"latchkey/agent/plan"
	"latchkey/e2e/fleet"
	"latchkey/e2e/machine"
)

const (
	loginTurns  = 12
	loginRounds = 8 // of each kind, in each turn
)

// wholeLogin measures P3: a login with the ssh client, from its start to its end, where
// sshd asks the hook for the keys, against one where it reads the same key from a file
// (AuthorizedKeysFile). It is the same user, sshd and machine: what sshd waits in each
// login depends on the name (it hides how long a refusal takes).
func wholeLogin(ctx context.Context) ([]Row, error) {
	row := Row{ID: "P3", What: "whole sshd login with the hook", Target: Target{Ratio: 1.02}, Floor: "AuthorizedKeysFile"}
	f, err := newGrantField(ctx)
	if err != nil {
		return nil, err
	}
	defer f.close()
	const user = "alice"
	if _, err := f.grant(ctx, user); err != nil {
		return nil, err
	}
	// It would put sshd's configuration right, and is not needed for a login.
	if _, err := f.m.Run(ctx, "systemctl", "stop", "latchkey-agent"); err != nil {
		return nil, err
	}
	for i := range loginTurns {
		progress("P3", i, loginTurns)
		for _, kind := range []struct {
			times *Times
			turn  func(context.Context, string) error
		}{{&row.FloorTimes, f.byFile}, {&row.Times, f.byHook}} {
			if err := kind.turn(ctx, user); err != nil {
				return nil, err
			}
			for range loginRounds {
				took, err := f.login(ctx, user)
				if err != nil {
					return nil, err
				}
				*kind.times = append(*kind.times, took)
			}
		}
	}
	progress("P3", loginTurns, loginTurns)
	return []Row{row}, nil
}

// fileOnly comes before our drop-in, and sshd takes what it reads first (sshd_config(5)).
const fileOnly = "/etc/ssh/sshd_config.d/00-bench.conf"

// byFile has sshd read the user's key from a file.
func (f *grantField) byFile(ctx context.Context, user string) error {
	const keys = "/etc/ssh/bench_keys"
	if err := f.m.Copy(ctx, filepath.Join(f.dir, user+".pub"), keys, 0o644); err != nil {
		return err
	}
	text := "Match User " + user + "\n\tAuthorizedKeysCommand none\n\tAuthorizedKeysFile " + keys + "\nMatch all\n"
	if err := f.m.WriteFile(ctx, fileOnly, []byte(text), 0o644); err != nil {
		return err
	}
	return f.reloaded(ctx, user, "none")
}

// byHook has sshd ask the hook.
func (f *grantField) byHook(ctx context.Context, user string) error {
	if _, err := f.m.Run(ctx, "rm", fileOnly); err != nil {
		return err
	}
	return f.reloaded(ctx, user, plan.HookCommand(plan.Linux()))
}

// reloaded has sshd read its settings again, makes sure of what they say, and waits
// until it answers.
func (f *grantField) reloaded(ctx context.Context, user, command string) error {
	if _, err := f.m.Run(ctx, "systemctl", "reload", "ssh"); err != nil {
		return err
	}
	if _, err := f.m.Run(ctx, "sh", "-c", `sshd -T -C "user=$1,host=bench,addr=127.0.0.1" | grep -qixF "authorizedkeyscommand $2"`, "sh", user, command); err != nil {
		return fmt.Errorf("sshd does not use %q: %w", command, err)
	}
	return fleet.Eventually(ctx, 10*time.Second, func() error {
		r, err := machine.SSH(ctx, f.m, user, filepath.Join(f.dir, user), "true")
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("login of %s: status %d: %s", user, r.Code, r.Stderr)
		}
		return err
	})
}
