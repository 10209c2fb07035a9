package host

import (
	"os"
	"time"
)

// spot is something to look at, of some kind, at a path, in a home below base. Alone says
// that a link may lead elsewhere, so that what hangs there says nothing of its neighbours.
type spot struct {
	kind, path, base string
	alone            bool
}

func (p spot) what() string { return p.kind + " " + p.path }

// askEach looks at many spots, and gives each answer to got, in no order: errSilent for one
// that does not answer. A file system that is silent costs one wait, however many
// spots are on it and however often it is asked, and keeps no other from being looked at.
func askEach[T any](s *stuck, spots []spot, do func(i int) T, got func(i int, answer T, err error)) {
	a := asking[T]{s: s, spots: spots, do: do, got: got, late: map[string][]waiting[T]{}, rest: map[string][]int{}}
	var pending bool
	if a.silent, pending = s.silent(); pending {
		a.mounts = readMounts()
	}
	for i := range spots {
		a.first(i)
	}
	if len(a.late) == 0 {
		return
	}
	limit, stop := oneSilence()
	defer stop()
	var alive []int
	for group, late := range a.late {
		alive = append(alive, a.settle(group, late, limit)...)
	}
	a.slowly(alive)
}

// oneSilence is over for all who wait for it at once.
func oneSilence() (over <-chan time.Time, stop func() bool) {
	limit := make(chan time.Time)
	return limit, time.AfterFunc(silence, func() { close(limit) }).Stop
}

// asking is one askEach.
type asking[T any] struct {
	s      *stuck
	spots  []spot
	do     func(int) T
	got    func(int, T, error)
	mounts mounts // read when something does not answer at once
	silent map[string]bool
	// late are the looks that did not answer at once, rest what waits for what comes of
	// them, by what hangs together.
	late map[string][]waiting[T]
	rest map[string][]int
}

// waiting is a look that is under way.
type waiting[T any] struct {
	i      int
	answer <-chan T
}

func readMounts() mounts {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mounts{} // so each place may hang alone
	}
	return parseMounts(string(text))
}

// group is empty while nothing is late.
func (a *asking[T]) group(i int) string {
	if a.mounts == nil {
		return ""
	}
	return a.mounts.group(a.spots[i].path, a.spots[i].base)
}

// first looks at a spot, and leaves it for later where it hangs with one that does not
// answer at once.
func (a *asking[T]) first(i int) {
	group := a.group(i)
	switch {
	case a.silent[group]:
		a.miss(i)
		return
	case !a.spots[i].alone && len(a.late[group]) > 0:
		a.rest[group] = append(a.rest[group], i)
		return
	}
	if a.spots[i].alone {
		group = a.spots[i].path
	}
	l, answer := a.begin(i, group)
	if answer, err := within(answer, time.After(aMoment)); err == nil {
		a.got(i, answer, nil)
		return
	}
	if a.mounts == nil {
		a.mounts = readMounts()
	}
	if !a.spots[i].alone {
		group = a.group(i)
	}
	if l != nil {
		a.s.hangs(l, group)
	}
	a.late[group] = append(a.late[group], waiting[T]{i, answer})
}

func (a *asking[T]) begin(i int, group string) (*underWay, <-chan T) {
	return askIn(a.s, a.spots[i].what(), group, func() T { return a.do(i) })
}

func (a *asking[T]) miss(i int) {
	var none T
	a.got(i, none, errSilent)
}

// mostAtOnce are looked at together where each takes its time.
const mostAtOnce = 16

// settle waits for those of a group that did not answer at once, and returns the rest of
// the group if one of them did.
func (a *asking[T]) settle(group string, late []waiting[T], limit <-chan time.Time) []int {
	alive := false
	for _, w := range late {
		alive = a.wait(w, limit) || alive
	}
	if alive {
		return a.rest[group]
	}
	for _, i := range a.rest[group] {
		a.miss(i)
	}
	return nil
}

// slowly looks at spots that take their time.
func (a *asking[T]) slowly(spots []int) {
	limit, stop := oneSilence()
	defer stop()
	var under []waiting[T]
	for _, i := range spots {
		if len(under) == mostAtOnce {
			a.wait(under[0], limit)
			under = under[1:]
		}
		_, answer := a.begin(i, a.group(i))
		under = append(under, waiting[T]{i, answer})
	}
	for _, w := range under {
		a.wait(w, limit)
	}
}

func (a *asking[T]) wait(w waiting[T], limit <-chan time.Time) (answered bool) {
	answer, err := within(w.answer, limit)
	a.got(w.i, answer, err)
	return err == nil
}
