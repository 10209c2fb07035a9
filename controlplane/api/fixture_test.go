package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

// server is the whole thing in one process: a real store in a folder of its own,
// the real server on loopback.
type server struct {
	url, address string
	dir          *datadir.Dir
	cp           *controlplane.ControlPlane
	client       *http.Client
	key          datadir.AccessKey
	log          *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newControlPlane(t testing.TB) (*controlplane.ControlPlane, *datadir.Dir) {
	t.Helper()
	dir, _, err := datadir.Open(filepath.Join(t.TempDir(), "data"), datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir.DatabasePath())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	cp, err := controlplane.New(t.Context(), controlplane.Config{
		Store: st, Signer: dir.Signer(), VerifierKeys: dir.VerifierKeys(), Pin: dir.Pin(),
		Account: "000000000000", Region: "us-east-1", Secrets: dir.Sealer(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cp.FirstRun(t.Context(), dir.AdminKey); err != nil {
		t.Fatal(err)
	}
	return cp, dir
}

func newTestServer(t *testing.T) *server {
	t.Helper()
	cp, dir := newControlPlane(t)
	s := &server{dir: dir, cp: cp, log: &lockedBuffer{}}
	var err error
	if s.key, err = dir.AdminKey(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := New(Config{ControlPlane: cp, Region: "us-east-1", Log: log})
	srv := NewServer(h, &tls.Config{GetCertificate: dir.GetCertificate}, func(context.Context) error { return nil }, log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		srv.Close()
		<-ended
	})
	s.address = listener.Addr().String()
	s.url = "https://" + s.address
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool(t)}, ForceAttemptHTTP2: true}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func (s *server) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(s.dir.CAPath())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate authority")
	}
	return pool
}

// post sends a body to the plain surface with the administrator's password;
// edit may change the request.
func (s *server) post(t *testing.T, path, body string, edit func(*http.Request)) (status int, answer string, head http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", plainJSON)
	r.SetBasicAuth(s.key.ID, s.key.Secret)
	if edit != nil {
		edit(r)
	}
	return s.do(t, r)
}

func (s *server) do(t *testing.T, r *http.Request) (status int, answer string, head http.Header) {
	t.Helper()
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// enrolled lets a machine join a stack, and returns its id and what it said.
func enrolled(t *testing.T, cp *controlplane.ControlPlane, admin controlplane.Caller, stack string) (string, wire.Enroll) {
	t.Helper()
	made, err := cp.CreateJoinToken(t.Context(), admin, controlplane.CreateJoinTokenRequest{StackId: stack})
	if err != nil {
		t.Fatal(err)
	}
	token, err := wire.ParseJoinToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := wire.Enroll{Secret: token.Secret(), Facts: wire.Facts{
		Hostname: "web-1", OS: "linux", Platform: "debian 12", Architecture: "amd64", Agent: "1.0", Address: "192.0.2.9",
	}}
	e.Sign(key)
	out, err := cp.Enroll(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return out.Instance, e
}

func mustARN(t *testing.T, s string) authz.ARN {
	t.Helper()
	arn, err := authz.ParseARN(s)
	if err != nil {
		t.Fatal(err)
	}
	return arn
}
