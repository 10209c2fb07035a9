package host

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// A file system may never answer: one on a network that is gone, or one made by a
// program that hangs (fuse(4)). Who asks it is stuck in the kernel until it does, so
// what may lie on such a one is looked at beside the pass, which goes on without it.
const (
	silence   = 5 * time.Second
	aMoment   = 20 * time.Millisecond // after which the next one is looked at beside it
	mostStuck = 64                    // looks at once, each of which may cost a thread
)

var errSilent = errors.New("its file system does not answer")

// stuck are the looks that are under way: what has not answered yet is not asked again.
type stuck struct {
	mu    sync.Mutex
	looks []*underWay
}

// underWay is one of them. Group says with what else it hangs; empty: not known yet.
type underWay struct {
	what, group string
	began       time.Time
}

// begin returns nil when that is under way, or too much is. What hung in a group that is
// not the one of now is in the way of nothing: something else is mounted there by now.
func (s *stuck) begin(what, group string) *underWay {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := func(l *underWay) bool { return l.what == what && (l.group == "" || group == "" || l.group == group) }
	if len(s.looks) >= mostStuck || slices.ContainsFunc(s.looks, same) {
		return nil
	}
	l := &underWay{what, group, time.Now()}
	s.looks = append(s.looks, l)
	return l
}

func (s *stuck) end(l *underWay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks = slices.DeleteFunc(s.looks, func(o *underWay) bool { return o == l })
}

// hangs says of what a look turned out to hang with.
func (s *stuck) hangs(l *underWay, group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.group = group
}

// silent are the groups in which a look was not answered for so long that it is not waited
// for; any says whether anything at all is under way.
func (s *stuck) silent() (groups map[string]bool, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups = map[string]bool{}
	for _, l := range s.looks {
		if time.Since(l.began) >= silence {
			groups[l.group] = true
		}
	}
	delete(groups, "")
	return groups, len(s.looks) > 0
}

// ask has do run beside its caller and returns where its answer comes, nil when
// that was asked before and has not answered yet.
func ask[T any](s *stuck, what string, do func() T) <-chan T {
	_, answer := askIn(s, what, "", do)
	return answer
}

// askIn is ask for something of which it may be known with what else it hangs.
func askIn[T any](s *stuck, what, group string, do func() T) (*underWay, <-chan T) {
	l := s.begin(what, group)
	if l == nil {
		return nil, nil
	}
	answer := make(chan T, 1)
	go func() {
		a := do()
		s.end(l)
		answer <- a
	}()
	return l, answer
}

// within waits for an answer; one that is there is taken however late it is.
func within[T any](answer <-chan T, limit <-chan time.Time) (a T, err error) {
	if answer == nil {
		return a, errSilent
	}
	select {
	case a = <-answer:
		return a, nil
	default:
	}
	select {
	case a = <-answer:
		return a, nil
	case <-limit:
		return a, errSilent
	}
}
