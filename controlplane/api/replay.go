package api

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"latchkey/controlplane"
)

// memory keeps the answers of changes that were asked for with a signature, so
// that the same signature acts only once (requirement R108). Presented again, it
// gets the answer it got: that makes a client's retry after a lost reply safe.
//
// A date in a signature has seconds. A client that sets A, sets B and sets A
// again within one second sends the first request twice, and means it. So a
// repeat is answered from memory only while it was the key's latest change;
// after another one it is refused as throttled, which stock clients retry with a
// new signature a moment later.
type memory struct {
	max  int           // answers kept; when full, changes are throttled
	keep time.Duration // twice MaxSkew: after that no signature is valid any more
	// since is when remembering began: what was signed before may have acted
	// before a restart, and has to be signed again.
	since time.Time

	mu     sync.Mutex // guards the rest, and not the acting
	bySig  map[[sha256.Size]byte]*kept
	oldest []*kept
	latest map[string]*kept // by access key
}

type kept struct {
	sig   [sha256.Size]byte
	keyID string
	until time.Time
	done  chan struct{} // closed when reply is set
	reply reply
}

// maxAnswers bounds memory: 262,144 changes in ten minutes are 437 a second for
// as long, at about 300 bytes each under 80 MB.
const maxAnswers = 1 << 18

func newMemory(now time.Time) *memory {
	return &memory{max: maxAnswers, keep: 2 * MaxSkew, since: now.Truncate(time.Second),
		bySig: map[[sha256.Size]byte]*kept{}, latest: map[string]*kept{}}
}

// once acts, or gives the answer of the time the same signature acted. It waits
// while another request with that signature is acting. act must return.
func (m *memory) once(ctx context.Context, s *signature, now time.Time, act func() reply) (reply, error) {
	k, mine, err := m.claim(s, now)
	if err != nil {
		return reply{}, err
	}
	if mine {
		k.reply = act()
		close(k.done)
		return k.reply, nil
	}
	select {
	case <-k.done:
		return k.reply, nil
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// acted tells of a change that a key made without a signature, so that a repeat
// of the signed one before it is no longer the key's latest.
func (m *memory) acted(keyID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.latest, keyID)
}

// claim finds the entry of a signature, or makes it for the caller to fill.
func (m *memory) claim(s *signature, now time.Time) (k *kept, mine bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	if k, ok := m.bySig[s.value]; ok {
		if m.latest[s.keyID] != k {
			return nil, false, refuse(TooMany, "this signature has acted already, and others of its key since: sign the request again")
		}
		return k, false, nil
	}
	if s.at.Before(m.since) {
		return nil, false, refuse(controlplane.BadSignature, "signed before this server started: sign the request again")
	}
	if len(m.oldest) >= m.max {
		return nil, false, refuse(TooMany, "too many changes in the last %s", m.keep)
	}
	k = &kept{sig: s.value, keyID: s.keyID, until: now.Add(m.keep), done: make(chan struct{})}
	m.bySig[s.value], m.latest[s.keyID] = k, k
	m.oldest = append(m.oldest, k)
	return k, true, nil
}

// forget drops what no valid signature can ask for any more.
func (m *memory) forget(now time.Time) {
	n := 0
	for n < len(m.oldest) && now.After(m.oldest[n].until) {
		k := m.oldest[n]
		delete(m.bySig, k.sig)
		if m.latest[k.keyID] == k {
			delete(m.latest, k.keyID)
		}
		m.oldest[n] = nil
		n++
	}
	m.oldest = m.oldest[n:]
}
