package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"latchkey/controlplane"
)

// Limits of the server, beside MaxBody (requirement R128). A handler that needs
// longer extends its own deadlines with http.ResponseController.
const (
	headerTimeout = 10 * time.Second // also for the TLS handshake
	readTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10 // bytes; a signed request has about 1 KiB
	maxStreams    = 100      // at once on one HTTP/2 connection
)

// NewServer returns the HTTP server for a handler, with every limit set. config
// gives the certificates; versions below TLS 1.2 are refused. It also answers
// GET /healthz (the process runs) and GET /readyz (ready returns nil), to anybody.
// Requests whose path is not in its one plain form are refused before routing
// (requirement R109).
func NewServer(h http.Handler, config *tls.Config, ready func(context.Context) error, log *slog.Logger) *http.Server {
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			log.WarnContext(r.Context(), "not ready", slog.Any("error", err))
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "not ready\n")
			return
		}
		io.WriteString(w, "ok\n")
	})
	return &http.Server{
		Handler:           survive(onePath(mux), log),
		TLSConfig:         config,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(quieter{log.Handler()}, slog.LevelWarn),
	}
}

// onePath refuses every spelling of a path but the one that is routed: no
// percent-encoding, no empty or dot segments, no absolute form. No route of ours
// needs any of them, and the standard mux would redirect some.
func onePath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _, _ := strings.Cut(r.RequestURI, "?")
		if sent != r.URL.Path || path.Clean(sent) != strings.TrimSuffix(sent, "/") && sent != "/" {
			e := refuse(controlplane.Invalid, "the path is not in its plain form")
			plainSurface().write(w, failed(e, http.StatusBadRequest))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// survive answers a request whose handler panicked with an internal error, and
// logs it: net/http would only drop the connection.
func survive(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			switch p {
			case nil:
				return
			case http.ErrAbortHandler:
				panic(p)
			}
			log.ErrorContext(r.Context(), "panic", slog.Any("panic", p), slog.String("path", clip(r.URL.Path)),
				slog.String("stack", string(debug.Stack())))
			WriteError(w, fmt.Errorf("panic: %v", p), "")
		}()
		next.ServeHTTP(w, r)
	})
}

// quieter turns what net/http says of strangers' handshakes into debug lines:
// every scanner makes some. What it says of itself, such as that it cannot accept
// connections, stays a warning.
type quieter struct{ slog.Handler }

// Handle logs one line of net/http.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: TLS handshake error") {
		r.Level = slog.LevelDebug
		if !q.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return q.Handler.Handle(ctx, r)
}
