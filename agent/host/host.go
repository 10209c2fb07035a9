// Package host looks at this machine and applies steps to it. It holds no
// policy: what should be is decided in agent/plan, and an if about a grant here
// would be a defect.
//
// The system's own tools make and close accounts, and every step looks at what
// they left: a tool that answers success without having done its work is found
// out (requirement R27).
package host

import (
	"context"
	"fmt"

	"latchkey/agent/plan"
	"latchkey/agent/safefile"
)

// Host is this machine. Its methods are for one goroutine.
type Host struct {
	Layout plan.Layout
	Files  safefile.Writer
	// Run runs a program of the system with an input; nil runs it for real. A test
	// sets it to inject a fault.
	Run func(ctx context.Context, input, tool string, args ...string) (stdout string, err error)
	// Point is called before and after each step with its name: a failpoint. Nil
	// does nothing.
	Point func(name string)
	// Tell is called with a step when its work begins, with the first of many that are
	// done at once, to show progress; nil tells nobody.
	Tell func(s plan.Step)

	// sudo and sshd are what the installed ones said they are, so that they are asked once.
	sudo, sshd seenTool
	// stuck are looks at file systems that have not answered yet.
	stuck stuck
	homes homes
	// accounts and keyFiles are what was read of the account files and the key folder.
	accounts readOnce
	keyFiles safefile.Memory
}

// Apply makes one step true and looks whether it is. A step may be applied
// again after any interruption.
func (h *Host) Apply(ctx context.Context, s plan.Step) error {
	h.tell(s)
	h.point("step.begin")
	if err := h.apply(ctx, s); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	h.point("step.end")
	return nil
}

// ApplyAll is Apply for steps of one kind that plan.Together found; many of them
// are faster so. The errors are those of Apply, one for each step.
func (h *Host) ApplyAll(ctx context.Context, steps []plan.Step) []error {
	if len(steps) < many {
		errs := make([]error, len(steps))
		for i, s := range steps {
			errs[i] = h.Apply(ctx, s)
		}
		return errs
	}
	h.tell(steps[0])
	h.point("steps.begin")
	errs := h.applyAll(ctx, steps)
	for i, s := range steps {
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s: %w", s, errs[i])
		}
	}
	h.point("steps.end")
	return errs
}

// many is how many steps are worth another way. Fewer accounts than this useradd
// makes in less than half a second.
const many = 16

func (h *Host) tell(s plan.Step) {
	if h.Tell != nil {
		h.Tell(s)
	}
}

func (h *Host) point(name string) {
	if h.Point != nil {
		h.Point(name)
	}
}

func (h *Host) run(ctx context.Context, tool string, args ...string) (string, error) {
	return h.feed(ctx, "", tool, args...)
}

// feed is run for a program that reads what it has to do.
func (h *Host) feed(ctx context.Context, input, tool string, args ...string) (string, error) {
	if h.Run != nil {
		return h.Run(ctx, input, tool, args...)
	}
	return runTool(ctx, input, tool, args...)
}
