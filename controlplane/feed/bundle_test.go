package feed

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/authz/wire"
	"latchkey/controlplane"
)

// TestBundle: the tag names epoch and serial, the same serial is the same bytes,
// and who has it is told so.
func TestBundle(t *testing.T) {
	f := newFixture(t)
	stack := f.stack(t)
	a := f.join(t, stack)
	f.alice(t)
	status, first, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	tag := head.Get("ETag")
	if status != 200 || !strings.Contains(first, `"stack":"`+stack+`"`) || tag == "" {
		t.Fatalf("got %d %s, tag %s", status, first, tag)
	}
	if _, again, _ := a.call(t, "GET", "/agent/v1/bundle", "", map[string]string{"If-None-Match": `"9.9"`}); again != first {
		t.Errorf("second: %s", again)
	}
	for _, has := range []string{tag, "W/" + tag} {
		status, body, head := a.call(t, "GET", "/agent/v1/bundle", "", map[string]string{"If-None-Match": has})
		if status != 304 || body != "" || head.Get("ETag") != tag {
			t.Errorf("%s: got %d %q, tag %s", has, status, body, head.Get("ETag"))
		}
	}
	f.grant(t, stack, true)
	if status, changed, head := a.call(t, "GET", "/agent/v1/bundle", "", map[string]string{"If-None-Match": tag}); status != 200 || changed == first || head.Get("ETag") == tag {
		t.Errorf("after a change: %d, tag %s", status, head.Get("ETag"))
	}
}

// poll is a waiting request of which the answer comes later.
func (a *agent) poll(t *testing.T, tag string, seconds int) <-chan string {
	t.Helper()
	answer := make(chan string, 1)
	head := map[string]string{"If-None-Match": tag, "Prefer": fmt.Sprintf("respond-async, wait=%d", seconds)}
	go func() {
		status, _, h := a.call(t, "GET", "/agent/v1/bundle", "", head)
		answer <- fmt.Sprint(status, " ", h.Get("ETag"))
	}()
	return answer
}

// TestWaitEnds: a wait longer than the server's own time limits ends with 304,
// not with a dropped connection.
func TestWaitEnds(t *testing.T) {
	for name, http2 := range map[string]bool{"http-1": false, "http-2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testWaitEnds(t, newFixtureOver(t, http2, 2*time.Second))
		})
	}
}

func testWaitEnds(t *testing.T, f *fixture) {
	a := f.join(t, f.stack(t))
	_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	tag, began := head.Get("ETag"), time.Now()
	if got := <-a.poll(t, tag, 3); got != "304 "+tag {
		t.Errorf("got %s", got)
	}
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("waited %s", took)
	}
	if !strings.Contains(f.log.String(), "level=DEBUG msg=instance request=bundle instance="+a.id.String()) {
		t.Errorf("log: %s", f.log.String())
	}
}

// TestChangeAnswersAll: every waiting instance of the stack is answered at once,
// and those of another stack go on waiting until the server stops.
func TestChangeAnswersAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.alice(t)
	web, db := f.stack(t), f.stack(t)
	var waiting []<-chan string
	for range 5 {
		a := f.join(t, web)
		_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
		waiting = append(waiting, a.poll(t, head.Get("ETag"), 55))
	}
	other := f.join(t, db)
	_, _, head := other.call(t, "GET", "/agent/v1/bundle", "", nil)
	still := other.poll(t, head.Get("ETag"), 55)
	// Whether each waits already or is about to does not matter: the change is
	// found either way.
	for range len(waiting) + 1 {
		<-f.arrived
	}
	f.grant(t, web, true)
	for _, w := range waiting {
		if got := <-w; !strings.HasPrefix(got, "200 ") {
			t.Errorf("got %s", got)
		}
	}
	select {
	case got := <-still:
		t.Errorf("another stack's instance was answered: %s", got)
	default:
	}
	close(f.stop)
	if got := <-still; got != "304 "+head.Get("ETag") {
		t.Errorf("at the stop: %s", got)
	}
}

// TestDeregisteredWhileWaiting: an instance that was deregistered gets no newer
// bundle on a request it sent before.
func TestDeregisteredWhileWaiting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.alice(t)
	stack := f.stack(t)
	a := f.join(t, stack)
	_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	answer := a.poll(t, head.Get("ETag"), 55)
	<-f.arrived
	if _, err := f.cp.DeregisterInstance(t.Context(), f.admin, controlplane.DeregisterInstanceRequest{InstanceId: a.id.String()}); err != nil {
		t.Fatal(err)
	}
	f.grant(t, stack, true)
	if got := <-answer; got != "401 " {
		t.Errorf("got %s", got)
	}
}

// TestHungUpWhileWaiting: a wait ends with its client.
func TestHungUpWhileWaiting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.join(t, f.stack(t))
	_, _, head := a.call(t, "GET", "/agent/v1/bundle", "", nil)
	ctx, hangUp := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", f.url+"/agent/v1/bundle", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", wire.SignRequest(a.key, a.id, "GET", "/agent/v1/bundle", nil, time.Now()))
	r.Header.Set("If-None-Match", head.Get("ETag"))
	r.Header.Set("Prefer", "wait=55")
	go func() {
		<-f.arrived
		hangUp()
	}()
	if resp, err := f.client.Do(r); err == nil {
		resp.Body.Close()
		t.Error("answered")
	}
	select {
	case <-f.ended:
	case <-time.After(10 * time.Second):
		t.Error("the wait goes on")
	}
}

func TestWaitFor(t *testing.T) {
	for _, tt := range []struct {
		prefer []string
		want   time.Duration
	}{
		{nil, 0},
		{[]string{"wait=55"}, 55 * time.Second},
		{[]string{"wait=0"}, 0},
		{[]string{"wait=3600"}, 55 * time.Second},
		{[]string{"respond-async, wait=10"}, 10 * time.Second},
		{[]string{"respond-async", "wait=10"}, 10 * time.Second},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=1e3"}, 0},
		{[]string{"wait=99999999999999999999"}, 0},
		{[]string{"waiting=5"}, 0},
	} {
		if got := waitFor(tt.prefer); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.prefer, got, tt.want)
		}
	}
}
