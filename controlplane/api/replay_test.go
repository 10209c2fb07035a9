package api

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func signed(keyID string, n byte, at time.Time) *signature {
	return &signature{keyID: keyID, value: [32]byte{n}, at: at}
}

// acts returns an action that counts and answers with its count.
func acts(count *atomic.Int32) func() reply {
	return func() reply { return reply{status: 200, body: string('0' + rune(count.Add(1)))} }
}

func TestMemoryActsOnce(t *testing.T) {
	var count atomic.Int32
	m := newMemory(testNow)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			rep, err := m.once(context.Background(), signed("k", 1, testNow), testNow, acts(&count))
			if err != nil || rep.body != "1" {
				t.Errorf("got %q, %v", rep.body, err)
			}
		})
	}
	all.Wait()
	if count.Load() != 1 {
		t.Errorf("acted %d times", count.Load())
	}
}

// TestMemory walks through one memory, a line a request (requirement R108).
func TestMemory(t *testing.T) {
	var count atomic.Int32
	m := newMemory(testNow)
	m.max = 3
	for _, tt := range []struct {
		name  string
		key   string
		sig   byte
		after time.Duration
		want  string // body, or a part of the error
	}{
		{"before-the-start", "k", 9, -time.Second, "signed before this server started"},
		{"set-a", "k", 1, 0, "1"},
		{"set-a-lost-reply", "k", 1, 0, "1"},
		{"another-key", "other", 2, 0, "2"},
		{"set-a-still-the-keys-latest", "k", 1, 0, "1"},
		{"set-b", "k", 3, 0, "3"},
		{"set-a-meant-again", "k", 1, 0, "sign the request again"},
		{"set-b-lost-reply", "k", 3, 0, "3"},
		{"full", "k", 4, time.Second, "too many changes"},
		{"forgotten-after-no-signature-is-valid", "k", 5, 10*time.Minute + time.Second, "4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := testNow.Add(tt.after)
			rep, err := m.once(t.Context(), signed(tt.key, tt.sig, now), now, acts(&count))
			if err != nil {
				wantText(t, err, tt.want)
			} else if rep.body != tt.want {
				t.Errorf("got %q, want %q", rep.body, tt.want)
			}
		})
	}
	if len(m.bySig) != 1 || len(m.oldest) != 1 || len(m.latest) != 1 {
		t.Errorf("kept %d, %d, %d; want 1 each", len(m.bySig), len(m.oldest), len(m.latest))
	}
}

// TestMemoryAfterAnUnsignedChange: a password's change counts as the key's latest.
func TestMemoryAfterAnUnsignedChange(t *testing.T) {
	var count atomic.Int32
	m := newMemory(testNow)
	s := signed("k", 1, testNow)
	if _, err := m.once(t.Context(), s, testNow, acts(&count)); err != nil {
		t.Fatal(err)
	}
	m.acted("k")
	_, err := m.once(t.Context(), s, testNow, acts(&count))
	wantText(t, err, "sign the request again")
}

// TestMemoryWaiterLeaves: who waits for another's answer may give up.
func TestMemoryWaiterLeaves(t *testing.T) {
	m := newMemory(testNow)
	s := signed("k", 1, testNow)
	acting, release := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		if _, err := m.once(context.Background(), s, testNow, func() reply { close(acting); <-release; return reply{} }); err != nil {
			t.Error(err)
		}
	})
	<-acting
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := m.once(gone, s, testNow, nil); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	close(release)
	first.Wait()
}
