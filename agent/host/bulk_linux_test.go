package host

import (
	"fmt"
	"testing"
	"time"

	"latchkey/authz"
)

func people(t *testing.T, n int) []authz.Grant {
	t.Helper()
	var grants []authz.Grant
	for i := range n {
		grants = append(grants, named(t, fmt.Sprintf("user%d", i), authz.UID(20000+i), false))
	}
	return grants
}

func testBulk(t *testing.T, s *space) {
	grants := people(t, 1000)
	last := time.Now()
	lap := func(what string) { t.Log(what, time.Since(last).Round(100*time.Microsecond)); last = time.Now() }
	s.Point = func(name string) { if len(name) > 9 && name[:9] == "accounts." || name == "steps.begin" || name == "steps.end" { lap(name) } }
	p := s.plan(grants...)
	lap("plan")
	s.do(p)
	lap("apply")
	if left := s.plan(grants...); !left.Empty() {
		t.Fatalf("still to be done:\n%s", left)
	}
	lap("plan again")
}
