// Package feed is the surface that instances talk to:
//
//	POST /agent/v1/enroll   a join token for an identity
//	GET  /agent/v1/bundle   the stack's signed bundle; waits for a newer one
//	POST /agent/v1/report   what the instance did with it
//
// All but enroll carry the instance's signature (package wire), and the instance
// is whom the signature says, never what a body or an address says (requirement
// R72). Messages are the canonical JSON of package wire; errors have the form of
// the plain surface of package api.
package feed

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/api"
)

// maxEnroll is the largest enrolment in bytes: strangers send it, and an honest
// one is under 2 KiB.
const maxEnroll = 16 << 10

// Config is what the feed is made of.
type Config struct {
	ControlPlane *controlplane.ControlPlane
	// Log gets one line per enrolment, report, bundle handed out and refusal.
	// Waits that end without news are logged at debug level.
	Log *slog.Logger
	// Stop, when closed, ends every wait at once, so that a server can stop.
	Stop <-chan struct{}
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// New returns the handler of /agent/v1/.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &feed{cp: cfg.ControlPlane, log: cfg.Log, stop: cfg.Stop, now: cfg.Now}
	mux := http.NewServeMux()
	for _, route := range f.routes() {
		mux.HandleFunc(route.pattern, f.serve(route.name, route.handle))
	}
	mux.HandleFunc("/", f.serve("unknown", func(w http.ResponseWriter, _ *http.Request, _ *event) error {
		return &controlplane.Error{Code: controlplane.NotFound, Message: "no such address"}
	}))
	return mux
}

type feed struct {
	cp   *controlplane.ControlPlane
	log  *slog.Logger
	stop <-chan struct{}
	now  func() time.Time
}

// handle answers a request, or returns why not; it fills in the event as it
// learns more.
type handle func(http.ResponseWriter, *http.Request, *event) error

type route struct {
	name, pattern string
	handle        handle
}

func (f *feed) routes() []route {
	return []route{
		{"enroll", "POST /agent/v1/enroll", f.enroll},
		{"bundle", "GET /agent/v1/bundle", f.signed(0, f.bundle)},
		{"report", "POST /agent/v1/report", f.signed(wire.MaxMessage, f.report)},
	}
}

// event is what is logged of a request.
type event struct {
	instance authz.InstanceID
	outcome  string // "ok" unless said
	quiet    bool
}

// serve renders a handler's error and logs the request once.
func (f *feed) serve(name string, do handle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began, e := f.now(), event{outcome: "ok"}
		level := slog.LevelInfo
		var attrs []slog.Attr
		if err := do(w, r, &e); err != nil {
			shown := api.WriteError(w, err, wire.Scheme)
			e.outcome = string(shown.Code)
			if shown.Code == api.Internal {
				level = slog.LevelError
				attrs = append(attrs, slog.Any("error", shown.Err))
			}
		} else if e.quiet {
			level = slog.LevelDebug
		}
		source, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			source = r.RemoteAddr
		}
		f.log.LogAttrs(r.Context(), level, "instance", append(attrs,
			slog.String("request", name), slog.String("instance", e.instance.String()), slog.String("source", source),
			slog.Duration("took", f.now().Sub(began)), slog.String("outcome", e.outcome))...)
	}
}

// caller is the instance that a signature proved.
type caller struct {
	instance authz.InstanceID
	stack    authz.StackID
}

// signed verifies the instance's signature before do sees anything. The body is
// read only for an instance that exists, and up to limit bytes.
func (f *feed) signed(limit int64, do func(http.ResponseWriter, *http.Request, *event, caller, []byte) error) handle {
	return func(w http.ResponseWriter, r *http.Request, e *event) error {
		if len(r.Header.Values("Authorization")) != 1 {
			return stranger(wire.ErrCredentials)
		}
		sig, err := wire.ParseSignature(r.Header.Get("Authorization"))
		if err != nil {
			return stranger(err)
		}
		key, stack, err := f.cp.InstanceKey(r.Context(), sig.Instance)
		if err != nil {
			return unknownIsStranger(err)
		}
		body, err := read(w, r, limit)
		if err != nil {
			return err
		}
		if err := sig.Verify(key, r.Method, r.RequestURI, body, f.now()); err != nil {
			return stranger(err)
		}
		e.instance = sig.Instance
		return do(w, r, e, caller{sig.Instance, stack}, body)
	}
}

// enroll is for machines that have a join token and nothing else yet.
func (f *feed) enroll(w http.ResponseWriter, r *http.Request, e *event) error {
	body, err := read(w, r, maxEnroll)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return &controlplane.Error{Code: controlplane.Unauthenticated, Message: "the request carries no join token"}
	}
	var req wire.Enroll
	if err := decode(body, &req); err != nil {
		return err
	}
	// It ends with an answer or not at all: an instance that hangs up in the middle
	// asks again with the same token and key.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), enrollTimeout)
	defer cancel()
	enrolled, err := f.cp.Enroll(ctx, req)
	if err != nil {
		return err
	}
	if e.instance, err = authz.ParseInstanceID(enrolled.Instance); err != nil {
		return err
	}
	return answer(w, enrolled)
}

const enrollTimeout = 20 * time.Second

// report stores a receipt.
func (f *feed) report(w http.ResponseWriter, r *http.Request, _ *event, who caller, body []byte) error {
	var receipt wire.Report
	if err := decode(body, &receipt); err != nil {
		return err
	}
	if err := f.cp.Report(r.Context(), who.instance, receipt); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func decode(body []byte, v any) error {
	if err := wire.Decode(body, v); err != nil {
		return &controlplane.Error{Code: controlplane.Invalid, Message: err.Error(), Err: err}
	}
	return nil
}

func answer(w http.ResponseWriter, v any) error {
	body, err := wire.Encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(body) // an instance that has gone asks again
	return nil
}

func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &controlplane.Error{Code: api.TooLarge, Message: "the body is larger than its limit", Err: err}
	case err != nil:
		return nil, &controlplane.Error{Code: controlplane.Invalid, Message: "the body ended early", Err: err}
	}
	return body, nil
}

// stranger is the answer to whoever did not prove to be an instance.
func stranger(why error) error {
	return &controlplane.Error{Code: controlplane.Unauthenticated, Message: why.Error(), Err: why}
}

// unknownIsStranger keeps unknown and deregistered instances from being told
// apart from a bad signature.
func unknownIsStranger(err error) error {
	var e *controlplane.Error
	if errors.As(err, &e) && (e.Code == controlplane.NotFound || e.Code == controlplane.Unauthenticated) {
		return stranger(wire.ErrCredentials)
	}
	return err
}
