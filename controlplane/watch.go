package controlplane

import (
	"context"
	"time"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// behindAfter is how long an instance that polls may be about another version than its
// stack's newest: it takes a second, and minutes where something is in the way for a
// moment.
const behindAfter = 10 * time.Minute

// Watch notices which instances fall silent, or poll and do not follow (requirement
// R154). One goroutine uses it.
type Watch struct {
	c     *ControlPlane
	since time.Time // silence from before it is not known to be an instance's
	told  map[authz.InstanceID]Standing
	apart map[authz.InstanceID]time.Time // since when it is about another version
}

// Standing is how an instance keeps up with its control plane.
type Standing string

// What an instance can be to a Watch.
const (
	StandingWell   Standing = ""       // or never heard of
	StandingLost   Standing = "lost"   // not seen for three minutes
	StandingBehind Standing = "behind" // seen, but for ten minutes about an older version
)

// Turn is an instance that stands otherwise than when it was looked at last.
type Turn struct {
	Instance authz.InstanceID
	Stack    authz.StackID
	Hostname string
	Standing Standing
	LastSeen time.Time
}

// Watch begins to watch.
func (c *ControlPlane) Watch() *Watch {
	return &Watch{c: c, since: c.cfg.Now(), told: map[authz.InstanceID]Standing{}, apart: map[authz.InstanceID]time.Time{}}
}

// Look returns what has changed since the last look, each once. Looked at once a minute
// an instance that falls silent is told within five.
func (w *Watch) Look(ctx context.Context) (turns []Turn, err error) {
	var instances []store.Instance
	var receipts []store.Receipt
	newest := map[authz.StackID]int64{}
	err = w.c.cfg.Store.Read(ctx, func(v store.View) error {
		stacks, err := v.Stacks(ctx)
		if err != nil {
			return err
		}
		for _, s := range stacks {
			newest[s.ID] = s.Serial
		}
		if receipts, err = v.LastReceipts(ctx); err != nil {
			return err
		}
		instances, err = v.Instances(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	now, told, last := w.c.cfg.Now(), map[authz.InstanceID]Standing{}, map[authz.InstanceID]store.Receipt{}
	for _, r := range receipts {
		last[r.Instance] = r
	}
	for _, i := range instances {
		r, reported := last[i.ID]
		w.compare(i.ID, reported && (r.Epoch != w.c.epoch || r.Serial != newest[i.Stack]), now)
		seen := w.c.sights.last(i.ID, i.LastSeen)
		told[i.ID] = w.standing(seen, w.apart[i.ID], now)
		if told[i.ID] != w.told[i.ID] {
			turns = append(turns, Turn{i.ID, i.Stack, shownHostname(i), told[i.ID], seen})
		}
	}
	w.told = told
	return turns, nil
}

// compare notes since when an instance is about another version than the newest.
func (w *Watch) compare(id authz.InstanceID, differs bool, now time.Time) {
	if !differs {
		delete(w.apart, id)
	} else if w.apart[id].IsZero() {
		w.apart[id] = now
	}
}

// standing judges by when an instance was seen, and since when it is about another
// version; zero: it is not.
func (w *Watch) standing(seen, apart, now time.Time) Standing {
	switch {
	case seen.IsZero():
		return StandingWell
	case now.Sub(seen) > lostAfter && now.Sub(w.since) > lostAfter:
		return StandingLost
	case !apart.IsZero() && now.Sub(apart) >= behindAfter:
		return StandingBehind
	}
	return StandingWell
}
