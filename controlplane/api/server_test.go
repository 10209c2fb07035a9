package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// sign signs with the SDK for a service.
func (s *server) sign(t *testing.T, r *http.Request, body, service string) {
	t.Helper()
	cred := aws.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: s.key.Secret}
	if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, hash([]byte(body)), service, "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
}

// TestOnePath: every spelling of a path but the plain one is refused before it is
// routed, also when it is signed (requirement R109).
func TestOnePath(t *testing.T) {
	s := newTestServer(t)
	for path, want := range map[string]int{
		"/api/v1/DescribeStacks":                  200,
		"/api/v1/describestacks":                  400,
		"//api/v1/DescribeStacks":                 400,
		"/api//v1/DescribeStacks":                 400,
		"/api/./v1/DescribeStacks":                400,
		"/api/x/../v1/DescribeStacks":             400,
		"/api/v1/%44escribeStacks":                400,
		"/api/v1%2fDescribeStacks":                400,
		"/api/v1/%2e%2e/v1/DescribeStacks":        400,
		"/api/v1/DescribeStacks/":                 404,
		"/api/v1/DescribeStacks;x":                400,
		"/api/v1/DescribeStacks%20":               400,
		"/api/v1/DescribeStacks+":                 400,
		"/API/v1/DescribeStacks":                  404,
		"/api/v1/":                                404,
		"/nothing":                                404,
		"https://localhost/api/v1/DescribeStacks": 400,
		"*": 400,
	} {
		body := "{}"
		r, err := http.NewRequest(http.MethodPost, "https://"+s.address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(s.key.ID, s.key.Secret)
		raw := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			path, s.address, r.Header.Get("Authorization"), len(body), body)
		if got := s.raw(t, raw); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// raw sends bytes and returns the status of the answer.
func (s *server) raw(t *testing.T, text string) int {
	t.Helper()
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: s.pool(t), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestRequestSmuggling: forms that two parsers could read in two ways (requirement
// R128 in part).
func TestRequestSmuggling(t *testing.T) {
	s := newTestServer(t)
	for name, raw := range map[string]string{
		"two-hosts":           "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"no-host":             "POST / HTTP/1.1\r\n\r\n",
		"two-lengths":         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"space-before-colon":  "POST / HTTP/1.1\r\nHost : a\r\n\r\n",
		"control-in-a-header": "POST / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
	} {
		if got := s.raw(t, raw); got != 400 {
			t.Errorf("%s: %d", name, got)
		}
	}
	huge := "POST / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n"
	if got := s.raw(t, huge); got != 431 {
		t.Errorf("64 KiB of headers: %d", got)
	}
}

// TestTLSVersions holds R71.
func TestTLSVersions(t *testing.T) {
	s := newTestServer(t)
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: s.pool(t), ServerName: "localhost", MinVersion: version, MaxVersion: version})
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestHTTP2(t *testing.T) {
	s := newTestServer(t)
	resp, err := s.client.Get(s.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
	if status, answer := s.aws(t, "DescribeStacks", "{}"); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	var fault error
	srv := NewServer(http.NotFoundHandler(), &tls.Config{}, func(context.Context) error { return fault }, discard())
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		srv.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(path); code != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	fault = errors.New("database is locked: /secret")
	if code, body := get("/readyz"); code != 503 || body != "not ready\n" {
		t.Errorf("not ready: %d %q", code, body)
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Errorf("healthz of a server that is not ready: %d", code)
	}
}

// TestLimits: none of the server's limits is left at net/http's "no limit"
// (requirement R128 in part).
func TestLimits(t *testing.T) {
	srv := NewServer(http.NotFoundHandler(), &tls.Config{}, nil, discard())
	for name, limit := range map[string]time.Duration{
		"header": srv.ReadHeaderTimeout, "read": srv.ReadTimeout, "write": srv.WriteTimeout, "idle": srv.IdleTimeout,
	} {
		if limit <= 0 || limit > 2*time.Minute {
			t.Errorf("%s: %s", name, limit)
		}
	}
	if srv.MaxHeaderBytes <= 0 || srv.HTTP2.MaxConcurrentStreams <= 0 || srv.TLSConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("header bytes %d, streams %d, TLS %s", srv.MaxHeaderBytes, srv.HTTP2.MaxConcurrentStreams, tls.VersionName(srv.TLSConfig.MinVersion))
	}
}

// TestPanicAnswers: a handler that panics gets its client an answer, which is no good one
// (requirement R169 in part).
func TestPanicAnswers(t *testing.T) {
	var log lockedBuffer
	srv := NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("planted") }),
		&tls.Config{}, nil, slog.New(slog.NewTextHandler(&log, nil)))
	w := httptest.NewRecorder()
	srv.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "planted") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "planted") || !strings.Contains(log.String(), "server_test.go") {
		t.Errorf("log: %s", log.String())
	}
}

// TestReplay sends the very same bytes twice, over two connections: the change happens
// once and both get its answer (requirement R108).
func TestReplay(t *testing.T) {
	s := newTestServer(t)
	body := `{"Name":"once"}`
	r, err := http.NewRequest(http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", awsJSON)
	r.Header.Set("X-Amz-Target", awsTarget+"CreateStack")
	s.sign(t, r, body, awsService)
	var answers [2]string
	for i := range answers {
		again := r.Clone(t.Context())
		again.Body = io.NopCloser(strings.NewReader(body))
		_, answers[i], _ = s.do(t, again)
		s.client.CloseIdleConnections()
	}
	if answers[0] != answers[1] || !strings.Contains(answers[0], "StackId") {
		t.Errorf("answers: %q", answers)
	}
	if _, all := s.aws(t, "DescribeStacks", "{}"); strings.Count(all, `"Name":"once"`) != 1 {
		t.Errorf("stacks: %s", all)
	}
}

// TestQuietLog: a scanner's handshake is no warning, trouble of our own is one.
func TestQuietLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var b lockedBuffer
		srv := NewServer(http.NotFoundHandler(), &tls.Config{}, nil, slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level})))
		srv.ErrorLog.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
		srv.ErrorLog.Print("http: Accept error: too many open files; retrying")
		if got := strings.Contains(b.String(), "level=DEBUG msg=\"http: TLS handshake error"); got != (level == slog.LevelDebug) {
			t.Errorf("at %s: %s", level, b.String())
		}
		if !strings.Contains(b.String(), "level=WARN msg=\"http: Accept error") {
			t.Errorf("at %s: %s", level, b.String())
		}
	}
}
