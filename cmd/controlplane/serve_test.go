package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
	"latchkey/controlplane/store"
)

// running is a server in this process.
type running struct {
	*client
	stop  context.CancelFunc
	ended chan error
}

func startServer(t *testing.T) *running {
	t.Helper()
	return startServerAt(t, filepath.Join(t.TempDir(), "data"))
}

// startServerAt starts one on a data directory, which may be there already.
func startServerAt(t *testing.T, dir string) *running {
	t.Helper()
	cfg := defaultConfig()
	cfg.DataDir, cfg.Listen = dir, "127.0.0.1:0"
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	out, said := io.Pipe()
	r := &running{stop: stop, ended: make(chan error, 1)}
	go func() {
		r.ended <- serve(ctx, cfg, said, io.Discard)
		said.Close()
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "serving on ") {
	}
	go io.Copy(io.Discard, out)
	var err error
	if r.client, err = (connection{dataDir: cfg.DataDir}).dial(); err != nil {
		t.Fatal(err)
	}
	return r
}

// join makes a stack and an instance of it.
func (r *running) join(t *testing.T) (authz.InstanceID, ed25519.PrivateKey) {
	t.Helper()
	var stack controlplane.CreateStackResponse
	if err := r.call(t.Context(), "CreateStack", controlplane.CreateStackRequest{Name: "web"}, &stack); err != nil {
		t.Fatal(err)
	}
	var made controlplane.CreateJoinTokenResponse
	if err := r.call(t.Context(), "CreateJoinToken", controlplane.CreateJoinTokenRequest{StackId: stack.StackId}, &made); err != nil {
		t.Fatal(err)
	}
	token, err := wire.ParseJoinToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := wire.Enroll{Secret: token.Secret()}
	e.Sign(key)
	body, err := wire.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.http.Post(r.server+"/agent/v1/enroll", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var enrolled wire.Enrolled
	if err := json.NewDecoder(resp.Body).Decode(&enrolled); err != nil {
		t.Fatal(err)
	}
	id, err := authz.ParseInstanceID(enrolled.Instance)
	if err != nil {
		t.Fatal(err)
	}
	return id, key
}

// poll asks for the bundle, and waits for a newer one than tag; written is called
// when the request is on its way.
func (r *running) poll(t *testing.T, id authz.InstanceID, key ed25519.PrivateKey, tag string, written func()) (status, newer string) {
	t.Helper()
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { written() }})
	req, err := http.NewRequestWithContext(trace, "GET", r.server+"/agent/v1/bundle", nil)
	if err != nil {
		t.Error(err)
		return "", ""
	}
	req.Header.Set("Authorization", wire.SignRequest(key, id, "GET", "/agent/v1/bundle", nil, time.Now()))
	req.Header.Set("If-None-Match", tag)
	req.Header.Set("Prefer", "wait=55")
	resp, err := r.http.Do(req)
	if err != nil {
		t.Error(err)
		return "", ""
	}
	resp.Body.Close()
	return resp.Status, resp.Header.Get("ETag")
}

// TestStopLetsWaitersGo: a server with a waiting instance stops at once, and the
// instance gets an answer.
func TestStopLetsWaitersGo(t *testing.T) {
	r := startServer(t)
	id, key := r.join(t)
	_, tag := r.poll(t, id, key, "", func() {})
	answer, written := make(chan string, 1), make(chan struct{})
	go func() {
		status, _ := r.poll(t, id, key, tag, func() { close(written) })
		answer <- status
	}()
	<-written
	if _, err := r.stacks(t.Context()); err != nil { // by the time this is answered the other is waiting
		t.Fatal(err)
	}
	began := time.Now()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopped after %s", took)
	}
	if got := <-answer; got != "304 Not Modified" {
		t.Errorf("the instance got %q", got)
	}
}

// TestInstanceList_Lost holds T-L14 in part: an instance that has fallen silent is listed,
// and the exit status says so to whatever watches the machines.
func TestInstanceList_Lost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startServerAt(t, dir)
	id, key := r.join(t)
	r.poll(t, id, key, "", func() {})
	list := func() (out string, err error) {
		var text bytes.Buffer
		cmd := newCommand()
		cmd.SetOut(&text)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs([]string{"--data-dir", dir, "instance", "list", "--lost"})
		err = cmd.ExecuteContext(t.Context())
		return text.String(), err
	}
	if out, err := list(); err != nil || strings.Contains(out, id.String()) {
		t.Errorf("just seen: %v\n%s", err, out)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), filepath.Join(dir, "latchkey.db"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Observe(t.Context(), func(o store.Observation) error { return o.SetLastSeen(t.Context(), id, time.Now().Add(-time.Hour)) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	r = startServerAt(t, dir)
	var exit *cli.ExitError
	if out, err := list(); !errors.As(err, &exit) || exit.Code != 1 || !strings.Contains(out, id.String()) {
		t.Errorf("seen an hour ago: %v\n%s", err, out)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
}

// TestTellTurn is what the server's log says of instances (T-L14 in part).
func TestTellTurn(t *testing.T) {
	var log bytes.Buffer
	for _, standing := range []controlplane.Standing{controlplane.StandingLost, controlplane.StandingBehind, controlplane.StandingWell} {
		tellTurn(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})), controlplane.Turn{Hostname: "web-1", Standing: standing, LastSeen: time.Unix(0, 0)})
	}
	const about = ` instance="" hostname=web-1 stack="" seen=1970-01-01T00:00:00Z` + "\n"
	want := `level=WARN msg="instance has fallen silent"` + about + `level=WARN msg="instance is heard and does not follow"` + about +
		`level=INFO msg="instance keeps up again"` + about
	if log.String() != want {
		t.Errorf("the log says\n%swant\n%s", log.String(), want)
	}
}
