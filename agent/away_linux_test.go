package agent_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/client"
)

// TestRun_TenDaysAway holds I3 and T-L1 in part: ten days of whatever a broken control
// plane says take nothing away, with a start of the agent each day; what is new after it
// is taken.
func TestRun_TenDaysAway(t *testing.T) {
	t.Parallel()
	refused := func(status int) func(context.Context, int) ([]byte, bool, error) {
		return func(context.Context, int) ([]byte, bool, error) {
			return nil, false, &client.Refused{Status: status, Message: "go away"}
		}
	}
	for name, answer := range map[string]func(context.Context, int) ([]byte, bool, error){
		"off": away, "answers-500": refused(500), "answers-401": refused(401), "answers-404": refused(404), "answers-410": refused(410),
		"hangs": func(ctx context.Context, _ int) ([]byte, bool, error) {
			ctx, cancel := context.WithTimeout(ctx, 75*time.Second) // as the client bounds it
			defer cancel()
			<-ctx.Done()
			return nil, false, ctx.Err()
		},
		// Each bundle that comes is first noted on the disk, so they are not all of it.
		"answers-nonsense": func(_ context.Context, n int) ([]byte, bool, error) {
			nonsense := []string{"<html>please log in</html>\n", "", `{"users":[]}`, "cut sho"}
			if n%100 < len(nonsense) {
				return []byte(nonsense[n%100]), true, nil
			}
			return nil, false, io.ErrUnexpectedEOF
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.settle(newBundle(7, newUser("alice", 20001, true), newUser("bob", 20002, false)))
				before := w.machine.String()
				w.source.answers(noSpin(t, answer))
				hourly := func(a *agent.Agent) { a.Interval = hour }
				for range 10 {
					stop := w.runWith(hourly)
					later(24 * hour)
					stop()
				}
				if after := w.machine.String(); after != before {
					t.Errorf("the machine is\n%swas\n%s", after, before)
				}
				if status, err := w.dir.Status(); err != nil || status.Trouble == "" {
					t.Errorf("the status says %+v, %v", status, err)
				}
				w.issue(newBundle(8, newUser("alice", 20001, true), newUser("bob", 20002, true)))
				w.source.answers(nil)
				stop := w.runWith(hourly)
				later(interval)
				stop()
				if got := w.machine.may("bob"); got != "open keys sudo" {
					t.Errorf("after it bob has %q", got)
				}
			})
		})
	}
}
