package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"latchkey/agent/cache"
)

const (
	oneRounds = 7
	onePort   = 8450 // and those after it
)

// oneUsers are how many users the machines have. The last is nearly what a control plane
// has uids for by itself.
func oneUsers() []int { return []int{10, 1000, 39_000} }

// oneChange measures P11: how long one new key among many users takes against one among
// few, by the agent that runs, from the control plane's answer to the change to the end
// of the agent's pass: the control plane makes and signs the bundle, the agent fetches,
// opens and stores it, looks at the machine, writes the key file and looks again.
func oneChange(ctx context.Context) ([]Row, error) {
	var rows []Row
	var fields []*oneField
	defer func() {
		for _, f := range fields {
			f.close()
		}
	}()
	for i, users := range oneUsers() {
		progress("P11, making machines", i, len(oneUsers()))
		f, err := newOneField(ctx, users, onePort+i)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
		row := Row{ID: "P11", What: fmt.Sprintf("apply of one change among %d users", users)}
		if i > 0 {
			row.Floor = fmt.Sprintf("among %d", oneUsers()[0])
			row.Target.Ratio = 2
		}
		rows = append(rows, row)
	}
	for i := range oneRounds {
		progress("P11", i, oneRounds)
		for n, f := range fields {
			took, err := f.change(ctx, i)
			if err != nil {
				return nil, err
			}
			rows[n].Times = append(rows[n].Times, took)
		}
	}
	progress("P11", oneRounds, oneRounds)
	for n := range rows[1:] {
		rows[n+1].FloorTimes = rows[0].Times
	}
	return rows, nil
}

// oneField is a control plane and a root directory that has all its users, in which the
// agent runs.
type oneField struct {
	*firstField
	root  *diskRoot
	agent *exec.Cmd
}

func newOneField(ctx context.Context, users, port int) (*oneField, error) {
	first, err := newFirstField(ctx, users, port)
	if err != nil {
		return nil, err
	}
	f := &oneField{firstField: first}
	if err := f.settle(ctx); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *oneField) close() {
	if f.agent != nil {
		_ = f.agent.Process.Kill()
		_ = f.agent.Wait() // its files are in use until then
	}
	f.firstField.close()
}

// settle makes all accounts and starts the agent.
func (f *oneField) settle(ctx context.Context) (err error) {
	if f.root, err = newDiskRoot(ctx, f.tree); err != nil {
		return err
	}
	f.roots = append(f.roots, f.root)
	if err := f.join(ctx, f.root); err != nil {
		return err
	}
	if _, err := f.root.run(ctx, "", "latchkey-agent", "apply"); err != nil {
		return err
	}
	if err := f.root.check(ctx, f.users); err != nil {
		return err
	}
	agent := f.root.command(ctx, "latchkey-agent", "run", "--interval", "1h")
	if err := agent.Start(); err != nil {
		return err
	}
	f.agent = agent
	return f.quiet(ctx)
}

// quiet waits until the agent has done nothing for a second: a change of its own wakes it
// to look once more.
func (f *oneField) quiet(ctx context.Context) error {
	for before, now := "", "begin"; before != now; {
		if err := rest(ctx, time.Second); err != nil {
			return err
		}
		// Its processor time in the user's and the system's part (proc_pid_stat(5)).
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.agent.Process.Pid))
		if err != nil {
			return err
		}
		before, now = now, strings.Join(strings.Fields(string(text))[13:15], " ")
	}
	return nil
}

// change gives the user in the middle a new key and times how long the agent takes. It
// makes sure that the agent wrote this key and did nothing else.
func (f *oneField) change(ctx context.Context, round int) (time.Duration, error) {
	user, key := f.users/2, firstKey(-1-round)
	before, err := f.status()
	if err != nil {
		return 0, err
	}
	req := map[string]any{"IamUserArn": firstARN(user), "SshPublicKey": key}
	if err := f.server.Call(ctx, "UpdateUserProfile", req, nil); err != nil {
		return 0, err
	}
	answered := time.Now()
	after := before
	for after.Report.Serial == before.Report.Serial && time.Since(answered) < time.Minute {
		if err := rest(ctx, time.Millisecond); err != nil {
			return 0, err
		}
		if after, err = f.status(); err != nil {
			return 0, err
		}
	}
	took := time.Since(answered)
	file := fmt.Sprintf("/var/lib/latchkey/authorized_keys/many%d", user)
	steps := after.Report.Steps
	if len(steps) != 1 || !strings.HasPrefix(steps[0].What, "write file "+file) || steps[0].Error != "" {
		return 0, fmt.Errorf("the agent did %+v, not one step about %s", steps, file)
	}
	content, err := os.ReadFile(filepath.Join(f.root.root, file))
	if err == nil && !strings.Contains(string(content), strings.Fields(key)[1]) {
		err = fmt.Errorf("%s is %q", file, content)
	}
	return took, errors.Join(err, f.quiet(ctx))
}

// status is what the agent's last pass came to.
func (f *oneField) status() (s cache.Status, err error) {
	text, err := os.ReadFile(filepath.Join(f.root.root, "var/lib/latchkey/agent/status.json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}
