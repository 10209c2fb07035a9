package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/controlplane"
)

const (
	// maxWait is the longest a request is held: under the minute after which
	// common balancers drop an idle connection.
	maxWait = 55 * time.Second
	// sendTime is how long a bundle may take on the wire after the wait: 64 MiB at
	// 0.5 MiB/s.
	sendTime = 2 * time.Minute
)

// bundle answers with the stack's bundle, or, when the instance has that one
// (If-None-Match), waits for the next as long as it asked (Prefer: wait=SECONDS,
// RFC 7240, at most 55) and then says 304. A change answers at once.
func (f *feed) bundle(w http.ResponseWriter, r *http.Request, e *event, who caller, _ []byte) error {
	wait := waitFor(r.Header.Values("Prefer"))
	if err := extend(w, wait+sendTime); err != nil {
		return err
	}
	// One sight may write down many: an instance that hangs up must not stop that.
	if err := f.cp.Seen(context.WithoutCancel(r.Context()), who.instance); err != nil {
		return err
	}
	has := strings.TrimPrefix(r.Header.Get("If-None-Match"), "W/")
	sealed, err := f.next(r, who, has, wait)
	if err != nil {
		return err
	}
	tag := etag(sealed)
	head := w.Header()
	head.Set("ETag", tag)
	head.Set("Cache-Control", "private, no-cache")
	head.Set("X-Content-Type-Options", "nosniff")
	if tag == has {
		e.quiet = true
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	head.Set("Content-Type", "text/plain; charset=utf-8")
	head.Set("Content-Length", strconv.Itoa(len(sealed.Note)))
	w.Write(sealed.Note) // an instance that has gone asks again
	return nil
}

// next returns the bundle as soon as it is not the one named by has, or the same
// one at the end of the wait.
func (f *feed) next(r *http.Request, who caller, has string, wait time.Duration) (controlplane.Sealed, error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	for over := wait == 0; ; {
		changed := f.cp.Changed(who.stack) // before Bundle, to miss nothing
		sealed, err := f.cp.Bundle(r.Context(), who.stack)
		if err != nil || over || etag(sealed) != has {
			return sealed, err
		}
		select {
		case <-changed:
			if err := f.stillThere(r, who); err != nil {
				return controlplane.Sealed{}, err
			}
		case <-end.C:
			over = true
		case <-f.stop:
			over = true
		case <-r.Context().Done():
			return controlplane.Sealed{}, r.Context().Err()
		}
	}
}

// stillThere looks again whether the instance is one of the stack: it may have
// been deregistered while it waited.
func (f *feed) stillThere(r *http.Request, who caller) error {
	_, stack, err := f.cp.InstanceKey(r.Context(), who.instance)
	if err != nil {
		return unknownIsStranger(err)
	}
	if stack != who.stack {
		return fmt.Errorf("instance %s moved from stack %s to %s", who.instance, who.stack, stack)
	}
	return nil
}

// etag is "EPOCH.SERIAL", with the quotes.
func etag(s controlplane.Sealed) string { return fmt.Sprintf(`"%d.%d"`, s.Epoch, s.Serial) }

// waitFor reads the wait preference. What it does not understand it ignores, as
// RFC 7240 says; more than the longest is the longest.
func waitFor(prefer []string) time.Duration {
	for _, p := range strings.Split(strings.Join(prefer, ","), ",") {
		value, found := strings.CutPrefix(strings.TrimSpace(p), "wait=")
		seconds, err := strconv.ParseUint(value, 10, 32)
		if found && err == nil {
			return min(time.Duration(seconds)*time.Second, maxWait)
		}
	}
	return 0
}

// extend gives this one request more time than the server's own limits. The read
// side too: a read deadline that passes while a handler waits counts as the
// client having gone.
func extend(w http.ResponseWriter, d time.Duration) error {
	control := http.NewResponseController(w)
	until := time.Now().Add(d)
	err := errors.Join(control.SetReadDeadline(until), control.SetWriteDeadline(until))
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("extend the deadline of a wait: %v", err)
	}
	return nil
}
