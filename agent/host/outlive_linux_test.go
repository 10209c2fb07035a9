package host

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz"
)

// testOutlive holds T-F7 in part: a tool that goes on when its agent was killed, and makes an
// account after the next agent has looked, is let end, and what it made is taken for what
// was asked; nor is it taken to be gone before. Who was not begun does not wait.
func testOutlive(t *testing.T, s *space) {
	bob := named(t, "bob", 1999, false)
	for number, grants := range map[string][]authz.Grant{"alone": {named(t, "alice", 1998, false)}, "many": crowd(t, 40)} {
		t.Run(number, func(t *testing.T) {
			if number == "many" {
				needBulk(t, s)
			}
			s.become(bob)
			goOn := s.outliving(t, grants[0])
			s.owned.Intend(s.plan(append(grants, bob)...).Steps, nil) // then the agent was killed
			p := s.plan(append(grants, bob)...)
			accounts := plan.Together(p.Steps)
			called := s.instead(nil)
			defer func() { s.Run = nil }()
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			gone := plan.Step{Op: plan.OpRetire, User: grants[0].Username, UID: grants[0].UID, Home: "/home/old"}
			for i, err := range append(s.ApplyAll(short, accounts), s.Apply(short, gone)) {
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "useradd (process ") {
					t.Errorf("%s while the tool is there: %v", append(accounts, gone)[i], err)
				}
			}
			if len(*called) != 0 {
				t.Errorf("%q were called beside the tool", *called)
			}
			anew := plan.Step{Op: plan.OpCreateAccount, User: named(t, "carol", 1997, false).Username, UID: 1997, Shell: s.Layout.Shell}
			if err := s.Apply(t.Context(), anew); err != nil {
				t.Errorf("%s while the tool is there: %v", anew, err)
			}
			*called = nil
			goOn()
			s.do(p)
			if number == "alone" && slices.Contains(*called, "useradd") {
				t.Errorf("%q were called for an account that was there by then", *called)
			}
			s.stands(grants)
			must(t, s.deleteAccount(t.Context(), anew))
		})
	}
}

// outliving starts a useradd that somebody else does not wait for, and that stands until
// it is told to go on.
func (s *space) outliving(t *testing.T, g authz.Grant) (goOn func()) {
	t.Helper()
	user, uid := g.Username.String(), g.UID.String()
	cmd := exec.Command("sh", "-c", `read x
		groupadd --gid "$2" "$1"
		useradd --create-home --uid "$2" --gid "$2" --groups "$3" --shell "$4" --password '*' "$1"`, "-", user, uid, s.Layout.MarkerGroup, s.Layout.Shell)
	cmd.Args[0] = "/usr/sbin/useradd"
	waits, err := cmd.StdinPipe()
	must(t, err)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = waits.Close()
		if err := <-ended; err != nil {
			t.Errorf("the tool: %v %s", err, &said)
		}
	})
	return func() {
		if _, err := io.WriteString(waits, "\n"); err != nil {
			t.Error(err)
		}
	}
}
