// Package api is the control plane's API over HTTP: one registry of actions
// ([Actions]) and the two surfaces made from it.
//
//   - The AWS surface, POST / with X-Amz-Target, speaks AWS JSON 1.1 as OpsWorks
//     did, so that every stock AWS client works unmodified.
//   - The plain surface, POST /api/v1/ACTION, serves the same and our own actions
//     to anything that can send JSON, with honest HTTP statuses.
//
// The package decodes, authenticates and answers. What may be done, and doing it,
// is package controlplane's.
package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"latchkey/controlplane"
)

// MaxBody is the largest request body in bytes, but for actions that say more: 1 MiB.
// The largest honest one, a stack with custom JSON, has some 80 KiB.
const MaxBody = 1 << 20

// maxAction bounds a change that runs on after its client has gone.
const maxAction = 20 * time.Second

const (
	plainPath  = "/api/v1/"
	ownService = "latchkey"
	awsService = "opsworks"
	awsTarget  = "OpsWorks_20130218."
	awsJSON    = "application/x-amz-json-1.1"
	plainJSON  = "application/json"
)

// Config is what the API is made of.
type Config struct {
	ControlPlane *controlplane.ControlPlane
	// Region is the one that signatures must be scoped to.
	Region string
	// Log gets one line per call: action, caller, outcome, duration; never bodies.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// New returns the handler of POST /, POST /api/v1/ACTION and GET
// /api/v1/openapi.json. Everything else is answered with 404 in the same form as other errors.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &handler{
		cp: cfg.ControlPlane, log: cfg.Log, now: cfg.Now,
		auth:    authenticator{region: cfg.Region, now: cfg.Now, credential: cfg.ControlPlane.Credential},
		actions: map[string]Action{},
		memory:  newMemory(cfg.Now()),
	}
	for _, a := range Actions() {
		h.actions[a.Name] = a
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		h.serve(w, r, awsSurface(), target(r))
	})
	mux.HandleFunc("POST "+plainPath+"{action}", func(w http.ResponseWriter, r *http.Request) {
		h.serve(w, r, plainSurface(), r.PathValue("action"))
	})
	mux.HandleFunc("GET "+plainPath+openAPIName, h.serveDocument)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e := refuse(controlplane.NotFound, "no such address: actions are POST /api/v1/ACTION, or POST / for AWS clients")
		plainSurface().write(w, failed(e, http.StatusNotFound))
	})
	return mux
}

// target is the action that X-Amz-Target names, or "".
func target(r *http.Request) string {
	name, found := strings.CutPrefix(r.Header.Get("X-Amz-Target"), awsTarget)
	if !found {
		return ""
	}
	return name
}

// surface is how the two ways in differ.
type surface struct {
	name         string
	services     []string // that a signature may be scoped to
	basic        bool     // access key id and secret as a password
	onlyOriginal bool     // actions of opsworks: only
	unknown      unknown  // members
	contentTypes []string // accepted; the first is what is sent
	status       func(controlplane.Code) int
	nothing      string // body of an answer without output
	challenge    string // WWW-Authenticate of a 401
}

func awsSurface() surface {
	return surface{name: "aws", services: []string{awsService}, onlyOriginal: true, unknown: ignoreUnknown,
		contentTypes: []string{awsJSON}, status: awsStatus}
}

func plainSurface() surface {
	return surface{name: "plain", services: []string{ownService, awsService}, basic: true, unknown: refuseUnknown,
		contentTypes: []string{plainJSON, awsJSON}, status: honestStatus, nothing: "{}",
		challenge: `Basic realm="latchkey", charset="UTF-8"`}
}

// reply is an answer, ready to be written.
type reply struct {
	status int
	body   string
	err    *controlplane.Error // nil when done
}

func failed(e *controlplane.Error, status int) reply {
	body, err := encode(struct {
		Type    controlplane.Code `json:"__type"`
		Message string            `json:"message"`
	}{e.Code, e.Message})
	if err != nil {
		panic("two strings did not encode: " + err.Error())
	}
	return reply{status: status, body: string(body), err: e}
}

func (s surface) write(w http.ResponseWriter, rep reply) {
	head := w.Header()
	if rep.body != "" {
		head.Set("Content-Type", s.contentTypes[0])
	}
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	if rep.status == http.StatusUnauthorized {
		head.Set("WWW-Authenticate", s.challenge)
	}
	w.WriteHeader(rep.status)
	io.WriteString(w, rep.body) // a client that has gone is no fault of ours
}

type handler struct {
	cp      *controlplane.ControlPlane
	log     *slog.Logger
	now     func() time.Time
	auth    authenticator
	actions map[string]Action
	memory  *memory
}

// serve answers one call and logs it.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, s surface, name string) {
	began := h.now()
	c := call{surface: s, name: name, caller: newCaller(r)}
	w.Header().Set("X-Amzn-Requestid", c.caller.RequestID)
	rep, err := h.answer(&c, w, r)
	if err != nil {
		e := outside(err)
		rep = failed(e, s.status(e.Code))
	}
	s.write(w, rep)
	h.logCall(r.Context(), c, rep, h.now().Sub(began))
}

// newCaller holds what is known of a caller before the credentials are checked.
func newCaller(r *http.Request) controlplane.Caller {
	return controlplane.Caller{
		SourceIP: host(r.RemoteAddr), RequestID: rand.Text(), UserAgent: strings.ToValidUTF8(r.UserAgent(), "?"), Secure: r.TLS != nil,
	}
}

// call is one call as far as it is known.
type call struct {
	surface surface
	name    string
	caller  controlplane.Caller
}

// answer authenticates, then looks at what is asked: a stranger learns nothing
// about actions.
func (h *handler) answer(c *call, w http.ResponseWriter, r *http.Request) (reply, error) {
	body, err := readBody(w, r, h.limit(c.name))
	if err != nil {
		return reply{}, err
	}
	p, err := h.auth.authenticate(r, body, c.surface)
	if err != nil {
		return reply{}, err
	}
	c.caller.ARN, c.caller.AccessKeyID = p.caller.ARN, p.caller.AccessKeyID
	a, err := find(h.actions, c.surface, c.name)
	if err != nil {
		return reply{}, err
	}
	if err := checkContent(r, body, c.surface); err != nil {
		return reply{}, err
	}
	if !a.Changes {
		return h.act(r.Context(), *c, a, body), nil
	}
	// A change is finished even when its client hangs up: the client comes back for
	// the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxAction)
	defer cancel()
	if p.signature == nil {
		h.memory.acted(p.caller.AccessKeyID)
		return h.act(ctx, *c, a, body), nil
	}
	return h.memory.once(r.Context(), p.signature, h.now(), func() reply { return h.act(ctx, *c, a, body) })
}

// act runs an action and always returns a reply, whatever the action does.
func (h *handler) act(ctx context.Context, c call, a Action, body []byte) (rep reply) {
	defer func() {
		if p := recover(); p != nil {
			e := outside(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			rep = failed(e, c.surface.status(e.Code))
		}
	}()
	out, err := a.run(ctx, h.cp, c.caller, body, c.surface.unknown)
	if err == nil && out == nil {
		return reply{status: http.StatusOK, body: c.surface.nothing}
	}
	var text []byte
	if err == nil {
		text, err = encode(out)
	}
	if err != nil {
		e := outside(err)
		return failed(e, c.surface.status(e.Code))
	}
	return reply{status: http.StatusOK, body: string(text)}
}

func (h *handler) logCall(ctx context.Context, c call, rep reply, took time.Duration) {
	level, outcome := slog.LevelInfo, "ok"
	attrs := []slog.Attr{
		slog.String("surface", c.surface.name), slog.String("action", clip(c.name)),
		slog.String("caller", c.caller.ARN.String()), slog.String("key", c.caller.AccessKeyID),
		slog.String("source", c.caller.SourceIP), slog.String("request", c.caller.RequestID),
		slog.Duration("took", took),
	}
	if rep.err != nil {
		outcome = string(rep.err.Code)
		if rep.err.Code == Internal {
			level = slog.LevelError
			attrs = append(attrs, slog.Any("error", rep.err.Err))
		}
	}
	h.log.LogAttrs(ctx, level, "call", append(attrs, slog.String("outcome", outcome))...)
}

// limit is the largest body that is read, before anything is known of the caller, for
// what he says that he asks.
func (h *handler) limit(name string) int64 {
	if a, served := h.actions[name]; served {
		return a.MaxBody
	}
	return MaxBody
}

// readBody reads a bounded body.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, refuse(controlplane.Invalid, "content encoding %q is not accepted", clip(enc))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(TooLarge, "the body is larger than %d bytes", limit)
	case err != nil:
		return nil, refuse(Malformed, "the body ended early")
	}
	return body, nil
}

// checkContent wants a content type that a page of another site cannot send
// without asking first, and that says JSON.
func checkContent(r *http.Request, body []byte, s surface) error {
	given := r.Header.Get("Content-Type")
	if given == "" && len(body) == 0 {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(given)
	for _, t := range s.contentTypes {
		if err == nil && mediaType == t {
			return nil
		}
	}
	return refuse(controlplane.Invalid, "content type is %q: send the header  Content-Type: %s", clip(given), s.contentTypes[0])
}

// host is the address of a peer without its port.
func host(remote string) string {
	if h, _, err := net.SplitHostPort(remote); err == nil {
		return h
	}
	return remote
}
