package controlplane

import (
	"context"
	"sync"
	"time"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// flushEvery bounds how often sights are written to the disk.
const flushEvery = time.Minute

// Seen says that an instance polled. It is kept in memory; once a minute one of
// the calls writes all that is new to the disk, in one transaction.
func (c *ControlPlane) Seen(ctx context.Context, id authz.InstanceID) error {
	if c.sights.add(id, c.cfg.Now()) {
		return c.flushSights(ctx)
	}
	return nil
}

// sight is when an instance was last seen.
type sight struct {
	at      time.Time
	flushed bool
}

// sights is the memory of who polled when.
type sights struct {
	mu      sync.Mutex // guards all below
	seen    map[authz.InstanceID]sight
	flushed time.Time // when they were last written
}

// add notes a sight and reports whether it is time to write.
func (s *sights) add(id authz.InstanceID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[id] = sight{at: now}
	if d := now.Sub(s.flushed); d >= 0 && d < flushEvery {
		return false
	}
	s.flushed = now
	return true
}

// last is the later of what is in memory and what is stored.
func (s *sights) last(id authz.InstanceID, stored time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.seen[id].at; at.After(stored) {
		return at
	}
	return stored
}

func (s *sights) forget(id authz.InstanceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, id)
}

// unwritten returns what is not on the disk yet and counts it as written.
func (s *sights) unwritten() map[authz.InstanceID]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty := map[authz.InstanceID]time.Time{}
	for id, is := range s.seen {
		if !is.flushed {
			dirty[id] = is.at
			s.seen[id] = sight{at: is.at, flushed: true}
		}
	}
	return dirty
}

func (c *ControlPlane) flushSights(ctx context.Context) error {
	dirty := c.sights.unwritten()
	if len(dirty) == 0 {
		return nil
	}
	return c.cfg.Store.Observe(ctx, func(o store.Observation) error {
		for id, at := range dirty {
			if err := o.SetLastSeen(ctx, id, at); err != nil {
				return err
			}
		}
		return nil
	})
}
