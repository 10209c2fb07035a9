package agent

import (
	"slices"
	"time"

	"latchkey/agent/plan"
	"latchkey/authz/name"
)

// A fight: another program undoes what the agent does, and each of the two puts it
// back. The agent's part of it is slowed and told, and goes on: giving up would
// leave access as somebody else wants it.
const (
	// fightTimes repairs of one thing within fightWindow are a fight.
	fightTimes  = 5
	fightWindow = 10 * time.Minute
)

// ErrContested is what a report says of a thing that is fought about.
var ErrContested = name.Refuse("contested", "another program changes it back again and again; the agent puts it right more slowly")

// contest remembers when the agent had to repeat a step though nothing new was
// wanted. It is pure but for what it remembers.
type contest struct{ repairs map[string][]time.Time }

// repaired adds the steps of a pass that nobody but the machine gave cause for.
func (c *contest) repaired(steps []string, now time.Time) {
	if c.repairs == nil {
		c.repairs = map[string][]time.Time{}
	}
	for _, step := range steps {
		c.repairs[step] = append(c.repairs[step], now)
	}
	c.forget(now)
}

func (c *contest) forget(now time.Time) {
	for step, times := range c.repairs {
		times = slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) >= fightWindow })
		c.repairs[step] = times
		if len(times) == 0 {
			delete(c.repairs, step)
		}
	}
}

// pause is how long after a pass the machine is left alone whatever wakes the
// agent: nothing without a fight, then a second, doubled with each repair, up to
// limit.
func (c *contest) pause(now time.Time, limit time.Duration) time.Duration {
	c.forget(now)
	most := 0
	for _, times := range c.repairs {
		most = max(most, len(times))
	}
	if most < fightTimes {
		return 0
	}
	return min(time.Second<<min(most-fightTimes, 30), limit)
}

// refused lists what is fought about, by name.
func (c *contest) refused(now time.Time) (all []plan.Refused) {
	c.forget(now)
	for step, times := range c.repairs {
		if len(times) >= fightTimes {
			all = append(all, plan.Refused{Name: step, Reason: ErrContested})
		}
	}
	slices.SortFunc(all, func(a, b plan.Refused) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}
