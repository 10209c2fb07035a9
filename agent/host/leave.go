package host

import (
	"time"

	"latchkey/authz"
)

// How long homes may keep a pass, because the next revocation waits for its end, and
// when a home is tried again that took long to be refused.
const (
	homeTime  = 20 * time.Second
	homeSlow  = time.Second
	homeAgain = time.Hour
)

// homes is what a host remembers of homes that are to be removed.
type homes struct {
	spent   time.Duration // in this pass
	refused map[authz.UID]refusedHome
}

type refusedHome struct {
	at  time.Time
	err error
}
