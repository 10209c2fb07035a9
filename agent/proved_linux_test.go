package agent_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestProvedOnce holds R153 in part: of a bundle in which one user has another key that
// one is proved, and all of them of the first one that an agent opens.
func TestProvedOnce(t *testing.T) {
	for _, users := range []int{10, 300} {
		t.Run(fmt.Sprint(users), func(t *testing.T) {
			w := newWorld(t)
			b := newBundle(7)
			for i := range users {
				b.Users = append(b.Users, newUser(fmt.Sprintf("many%03d", i), int64(21000+i), false))
			}
			w.settle(b)
			if want := fmt.Sprintf("serial=7 users=%d keys_proved=%d\n", users, users); !strings.Contains(w.log.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, w.log)
			}
			a := w.agent()
			must(t, a.Load())
			for _, keys := range [][]string{{keyA, keyB}, {keyB}, {keyA}} {
				b.Serial++
				b.Users[5].Keys = keys
				w.issue(b)
				must(t, a.Fetch(t.Context()))
				_, err := a.Pass(t.Context())
				must(t, err)
				if want := fmt.Sprintf("serial=%d users=%d keys_proved=%d\n", b.Serial, users, len(keys)); !strings.Contains(w.log.String(), want) {
					t.Errorf("the log has no %q:\n%s", want, w.log)
				}
			}
		})
	}
}
