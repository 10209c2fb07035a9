package host

import (
	"time"

	"latchkey/authz"
)

// In home mode our lines lie in files of the users, who may change them at any moment and
// as often as they like. So each home may wake the agent a few times only, and cost it some
// events; then it is not watched for a while, and looked at at the interval like all else.
const (
	homeWindow = 10 * time.Minute
	// homeWakes are those of one home within the window. What happens within a second, as a
	// change and its repair, is one.
	homeWakes = 10
	// homeEvents are those that the system may tell of one home's folder within the window.
	homeEvents = 4096
	// mostHomes are watched. The system counts watches for each user and gives 8192 where
	// nothing else is set and there is little memory (inotify(7)).
	mostHomes = 4096
)

// homeKey names a home of ours.
type homeKey struct {
	user authz.Username
	uid  authz.UID
}

// watchedHome is what is remembered of one.
type watchedHome struct {
	watch         int       // the system's number of it; 0: not watched
	since         time.Time // when the window began
	wakes, events int       // in it
	woke          time.Time // when the last of the wakes was counted
}

// begin begins a new window when the last one is over.
func (w *watchedHome) begin(now time.Time) {
	if now.Sub(w.since) >= homeWindow {
		w.since, w.wakes, w.events = now, 0, 0
	}
}

// heard takes an event of the home in, for which the agent is woken or not.
func (w *watchedHome) heard(wakes bool, now time.Time) {
	w.begin(now)
	if w.events++; wakes && now.Sub(w.woke) >= time.Second {
		w.wakes++
		w.woke = now
	}
}

// spent reports whether the home has had its share, and is not watched until its window
// is over.
func (w *watchedHome) spent(now time.Time) bool {
	w.begin(now)
	return w.wakes >= homeWakes || w.events >= homeEvents
}
