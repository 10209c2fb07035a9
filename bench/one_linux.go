package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	oneRounds = 7
	onePort   = 8450 // and those after it
)

// oneUsers are how many users the machines have. The last is nearly what a control plane
// has uids for by itself; there are 59,000 in all.
func oneUsers() []int { return []int{10, 1000, 39_000} }

// oneChange measures P11: the apply of one new key among many users against among few,
// by the agent's program, from its start to its end: it opens the stored bundle, asks
// for the new one, looks at the machine, writes the key file, looks again and reports.
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

// oneField is a control plane and a root directory that has all its users.
type oneField struct {
	*firstField
	root *diskRoot
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

// settle makes all accounts.
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
	return f.root.check(ctx, f.users)
}

// change gives the user in the middle a new key and times how long apply takes. It
// makes sure that apply wrote this key and did nothing else.
func (f *oneField) change(ctx context.Context, round int) (time.Duration, error) {
	user, key := f.users/2, firstKey(-1-round)
	req := map[string]any{"IamUserArn": firstARN(user), "SshPublicKey": key}
	if err := f.server.Call(ctx, "UpdateUserProfile", req, nil); err != nil {
		return 0, err
	}
	file := fmt.Sprintf("/var/lib/latchkey/authorized_keys/many%d", user)
	began := time.Now()
	out, err := f.root.run(ctx, "", "latchkey-agent", "apply")
	took := time.Since(began)
	if err == nil && (!strings.HasPrefix(out, "write file "+file) || strings.Count(out, "\n") != 1) {
		err = fmt.Errorf("apply printed %q, not one line about %s", out, file)
	}
	if err != nil {
		return 0, err
	}
	content, err := f.root.run(ctx, "", "cat", file)
	if err == nil && !strings.Contains(content, strings.Fields(key)[1]) {
		err = fmt.Errorf("%s is %q", file, content)
	}
	return took, err
}
