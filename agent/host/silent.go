package host

import (
	"errors"
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

// stuck are the looks that are under way, by what they look at: what has not answered
// yet is not asked again.
type stuck struct {
	mu sync.Mutex
	at map[string]bool
}

func (s *stuck) begin(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at[what] || len(s.at) >= mostStuck {
		return false
	}
	if s.at == nil {
		s.at = map[string]bool{}
	}
	s.at[what] = true
	return true
}

func (s *stuck) end(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, what)
}

// ask has look run beside its caller and returns where its answer comes, nil when
// that was asked before and has not answered yet.
func ask[T any](s *stuck, what string, look func() T) <-chan T {
	if !s.begin(what) {
		return nil
	}
	answer := make(chan T, 1)
	go func() {
		a := look()
		s.end(what)
		answer <- a
	}()
	return answer
}

// within waits for an answer.
func within[T any](answer <-chan T, limit <-chan time.Time) (a T, err error) {
	if answer == nil {
		return a, errSilent
	}
	select {
	case a = <-answer:
		return a, nil
	case <-limit:
		return a, errSilent
	}
}
